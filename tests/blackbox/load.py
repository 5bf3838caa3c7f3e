"""Many clients at once for the tests of reload and drain, on one event loop in a
thread of its own. What goes wrong is collected, not raised:

    load = Load(gw.address)
    load.post(64, "/echo")            # keep-alive, one request after the other
    load.upload(4, "/jobs")           # chunked, piece by piece
    load.subscribe(1000, "/prices")   # WebSockets; returns when all are open
    ...
    load.finish()                     # ends posting and uploading
    assert not load.failed and load.posted > 0
    assert all(s.messages() == expected for s in load.subscribers)
    load.close()
"""
import asyncio
import threading
import time

from clients import PATIENCE, handshake


class Subscriber(asyncio.Protocol):
    """One WebSocket that keeps every byte it gets."""

    def __init__(self, path, address):
        self.request, self.data, self.opened = handshake(path, address), bytearray(), asyncio.Event()
        self.closed_at, self.transport = None, None

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.data += data
        if not self.opened.is_set() and b"\r\n\r\n" in self.data:
            assert self.data.startswith(b"HTTP/1.1 101"), bytes(self.data)
            del self.data[:self.data.index(b"\r\n\r\n") + 4]
            self.opened.set()

    def connection_lost(self, error):
        self.closed_at = time.monotonic()
        self.opened.set()

    def frames(self):
        """[(opcode, payload)] of everything that has come."""
        found, at, data = [], 0, bytes(self.data)
        while at + 2 <= len(data):
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2:at + 10], "big"), 10
            if at + head + size > len(data):
                break
            found.append((data[at] & 15, data[at + head:at + head + size]))
            at += head + size
        return found

    def messages(self):
        return [payload.decode() for opcode, payload in self.frames() if opcode in (1, 2)]

    def close_frame(self):
        """(code, reason) of the close frame, None: there was none."""
        for opcode, payload in self.frames():
            if opcode == 8:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        return None


class Load:
    def __init__(self, address):
        self.address, self.failed, self.subscribers = address, [], []
        self.posted = self.uploaded = self.refused = self.told_to_close = 0
        self.ending = self.draining = False
        self.loop = asyncio.new_event_loop()
        self.tasks = []
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine, timeout=3 * PATIENCE):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    # clients -----------------------------------------------------------------

    async def _answer(self, reader):
        """(status, body, whether the connection stays)"""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length: ")[2].split("\r\n")[0]
        body = await reader.readexactly(int(length or 0))
        return int(head.split(" ", 2)[1]), body, "connection: close" not in head

    async def _connect(self):
        """None: refused, which is right while the gateway drains."""
        try:
            return await asyncio.open_connection(*self.address)
        except ConnectionError:
            if not self.draining:
                raise
            self.refused += 1
            return None

    async def _post(self, path, number, pause=0):
        count, streams = 0, await self._connect()
        while streams and not self.ending:
            body, count = b"%d-%d" % (number, count), count + 1
            streams[1].write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                             % (path.encode(), len(body), body))
            status, answer, stays = await self._answer(streams[0])
            assert (status, answer) == (200, body), (status, answer, body)
            self.posted += 1
            await asyncio.sleep(pause)
            if not stays:
                self.told_to_close += 1
                streams[1].close()
                streams = await self._connect()
        if streams:
            streams[1].close()

    async def _upload(self, path, number, pieces=20, pause=0.01):
        while not self.ending:
            streams = await self._connect()
            if not streams:
                return
            reader, writer = streams
            writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                         % path.encode())
            piece = b"%x\r\n%s\r\n" % (1000, b"%d" % (number % 10) * 1000)
            for _ in range(pieces):
                writer.write(piece)
                await asyncio.sleep(pause)  # an upload takes its time: that is the point
            writer.write(b"0\r\n\r\n")
            status, answer, _ = await self._answer(reader)
            assert status == 202, (status, answer)
            self.uploaded += 1
            writer.close()

    async def _watch(self, what, coroutine):
        try:
            await coroutine
        except Exception as e:  # whatever it is: the test tells
            self.failed.append(f"{what}: {type(e).__name__}: {e}")

    def _begin(self, what, n, make):
        for i in range(n):
            self.tasks.append(asyncio.run_coroutine_threadsafe(
                self._watch(f"{what} {i}", make(i)), self.loop))

    def post(self, n, path, **options):
        self._begin("post", n, lambda i: self._post(path, i, **options))

    def upload(self, n, path, **options):
        self._begin("upload", n, lambda i: self._upload(path, i, **options))

    def subscribe(self, n, path):
        async def open_all():
            for _ in range(n):
                _, s = await self.loop.create_connection(lambda: Subscriber(path, self.address),
                                                         *self.address)
                await s.opened.wait()
                assert s.closed_at is None
                self.subscribers.append(s)
        self.run(open_all())

    # end ---------------------------------------------------------------------

    def finish(self, timeout=2 * PATIENCE):
        """Ends posting and uploading: what is under way is awaited."""
        self.ending = True
        self.join(timeout)

    def join(self, timeout=2 * PATIENCE):
        """Waits until the clients have ended by themselves."""
        for task in self.tasks:
            task.result(timeout)

    def close(self):
        async def close_all():
            for s in self.subscribers:
                s.transport.abort()
            await asyncio.sleep(0)
        self.run(close_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()
