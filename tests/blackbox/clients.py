"""Clients for the black-box tests: raw HTTP (Conn), WebSocket (Ws), and a
WebSocket client that can misbehave (RawWs). harness.py exports all of it."""
import asyncio
import base64
import email.parser
import http.client
import json
import os
import socket
import struct
import threading
import time

import websockets

# How long a test waits for what must happen. Never a sleep: it is only spent
# when the gateway is wrong.
PATIENCE = 20.0


class Response:
    """An HTTP answer: .status .reason .headers[name] .body .text .json()"""

    def __init__(self, status, reason, headers, body, version="HTTP/1.1"):
        self.status, self.reason, self.headers = status, reason, headers
        self.body, self.version = body, version

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason} {dict(self.headers)} {self.body[:300]!r}>"


def http_request(address, method, path, body=None, headers=None, timeout=PATIENCE):
    """One request on its own connection. body: bytes, str, or an iterable of
    bytes, which is sent chunked."""
    c = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        chunked = body is not None and not isinstance(body, (bytes, str))
        headers = dict(headers or {})
        if chunked:
            headers.setdefault("Transfer-Encoding", "chunked")
        c.request(method, path, body=body, headers=headers, encode_chunked=chunked)
        r = c.getresponse()
        return Response(r.status, r.reason, r.headers, r.read())
    finally:
        c.close()


class Conn:
    """A TCP connection on which a test says exactly what it wants.

        c = gw.connect()
        c.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        assert c.response().status == 200
        assert c.closed()
    """

    def __init__(self, address, timeout=PATIENCE, rcvbuf=None):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def _fill(self, timeout=None):
        self.sock.settimeout(self.timeout if timeout is None else timeout)
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def read(self, n, timeout=None):
        while len(self.buffer) < n:
            if not self._fill(timeout):
                raise EOFError(f"closed after {self.buffer!r}")
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def read_until(self, mark, timeout=None):
        while mark not in self.buffer:
            if not self._fill(timeout):
                raise EOFError(f"closed after {self.buffer!r}")
        at = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def read_to_end(self, timeout=None):
        """Everything until the gateway closes; TimeoutError if it does not."""
        try:
            while self._fill(timeout):
                pass
        except ConnectionResetError:
            pass
        data, self.buffer = self.buffer, b""
        return data

    def response(self, method="GET", timeout=None):
        """The next answer on the connection; 100 Continue is one, too."""
        head = self.read_until(b"\r\n\r\n", timeout)
        line, _, fields = head.partition(b"\r\n")
        version, status, reason = (line.decode("latin-1").split(" ", 2) + [""])[:3]
        headers = email.parser.Parser(http.client.HTTPMessage).parsestr(fields.decode("latin-1"))
        status = int(status)
        if method == "HEAD" or status < 200 or status in (204, 304):
            body = b""
        elif "chunked" in headers.get("Transfer-Encoding", ""):
            body = b""
            while True:
                n = int(self.read_until(b"\r\n", timeout).split(b";")[0], 16)
                if n:
                    body += self.read(n, timeout)
                assert self.read(2, timeout) == b"\r\n"
                if not n:
                    break
        elif "Content-Length" in headers:
            body = self.read(int(headers["Content-Length"]), timeout)
        else:
            body = self.read_to_end(timeout)
        return Response(status, reason, headers, body, version)

    def closed(self, timeout=None):
        """True when the gateway closes and sends nothing more; False if it
        has not done so in time; fails on further bytes."""
        try:
            rest = self.read_to_end(timeout)
        except TimeoutError:
            assert not self.buffer, f"unexpected bytes {self.buffer!r}"
            return False
        assert not rest, f"unexpected bytes {rest!r}"
        return True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawWs(Conn):
    """A WebSocket client that can send any frame, good or bad.

        ws = gw.raw_ws("/prices?topic=A")
        ws.frame(1, b"hello")                 # FIN, masked
        ws.frame(1, b"hel", fin=False, mask=False, rsv=4)
        opcode, payload = ws.message()        # skips nothing
        assert ws.close_code() == 1002        # reads up to the close frame
    """
    TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

    def __init__(self, address, path, headers=None, timeout=PATIENCE, rcvbuf=None):
        super().__init__(address, timeout, rcvbuf)
        self.send(handshake(path, address, headers))
        self.answer = self.response()
        if self.answer.status != 101:
            self.close()
            raise AssertionError(f"handshake refused: {self.answer}")

    def frame(self, opcode, payload=b"", fin=True, mask=True, rsv=0):
        return self.send(encode_frame(opcode, payload, fin, mask, rsv))

    def read_frame(self, timeout=None):
        """(opcode, payload, fin) of the next frame."""
        a, b = self.read(2, timeout)
        n = b & 127
        assert not b & 128, "a server's frames are not masked"
        if n == 126:
            n, = struct.unpack(">H", self.read(2, timeout))
        elif n == 127:
            n, = struct.unpack(">Q", self.read(8, timeout))
        return a & 15, self.read(n, timeout), bool(a & 128)

    def message(self, timeout=None):
        """(opcode, payload) of the next message or control frame."""
        opcode, payload, fin = self.read_frame(timeout)
        while not fin:
            _, more, fin = self.read_frame(timeout)
            payload += more
        return opcode, payload

    def close_code(self, timeout=None):
        """The code of the close frame that comes; messages before it are
        passed over. 1005: none in it, 1006: closed without."""
        try:
            while True:
                opcode, payload, _ = self.read_frame(timeout)
                if opcode == self.CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        except (EOFError, ConnectionResetError):
            return 1006


def handshake(path, address=("127.0.0.1", 80), headers=None, drop=()):
    """The bytes of a correct WebSocket handshake; headers replaces or adds,
    drop leaves out."""
    fields = {
        "Host": "localhost" if isinstance(address, str) else f"{address[0]}:{address[1]}",
        "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    fields.update(headers or {})
    lines = [f"{k}: {v}" for k, v in fields.items() if k not in drop]
    return ("GET " + path + " HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def encode_frame(opcode, payload=b"", fin=True, mask=True, rsv=0):
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload)
    bit = 128 if mask else 0
    head = bytes([(128 if fin else 0) | rsv << 4 | opcode])
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    stream = int.from_bytes((key * (n // 4 + 1))[:n], "big")
    return head + key + (int.from_bytes(payload, "big") ^ stream).to_bytes(n, "big")


class _Background:
    """One event loop on a thread, for all Ws clients."""
    _loop = None

    @classmethod
    def run(cls, coroutine, timeout=PATIENCE):
        if cls._loop is None:
            cls._loop = asyncio.new_event_loop()
            threading.Thread(target=cls._loop.run_forever, daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, cls._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise


class Ws:
    """A well-behaved WebSocket client (websockets 10.4, an independent
    implementation), to be used without asyncio.

        with gw.ws("/prices?topic=A", subprotocols=["zgate.v1"]) as ws:
            ws.send("text"); ws.send(b"binary")
            assert ws.recv() == "A 1"         # str for text, bytes for binary
        ws.wait_closed()                       # -> close code

    A refused handshake raises websockets.InvalidStatusCode (.status_code,
    .headers); recv on a closed one raises websockets.ConnectionClosed."""

    def __init__(self, url, headers=None, timeout=PATIENCE, **options):
        options.setdefault("max_size", None)
        options.setdefault("ping_interval", None)
        options.setdefault("close_timeout", 5)
        options.setdefault("open_timeout", timeout)
        if headers:
            options["extra_headers"] = headers

        async def connect():
            return await websockets.connect(url, **options)
        self.timeout = timeout
        self.ws = _Background.run(connect(), timeout + 5)

    @property
    def subprotocol(self):
        return self.ws.subprotocol

    def send(self, message):
        _Background.run(self.ws.send(message), self.timeout)

    def send_json(self, value):
        self.send(json.dumps(value))

    def recv(self, timeout=None):
        """The next message; TimeoutError if none comes (nothing is lost)."""
        async def one():
            return await asyncio.wait_for(self.ws.recv(), self.timeout if timeout is None else timeout)
        try:
            return _Background.run(one(), (timeout or self.timeout) + 5)
        except asyncio.TimeoutError as e:
            raise TimeoutError("no message arrived") from e

    def recv_json(self, timeout=None):
        return json.loads(self.recv(timeout))

    def ping(self, data=b"ping"):
        """Sends a ping and waits for its pong: a round trip."""
        async def ping():
            await asyncio.wait_for(await self.ws.ping(data), self.timeout)
        _Background.run(ping(), self.timeout + 5)

    def close(self, code=1000, reason=""):
        _Background.run(self.ws.close(code, reason), self.timeout)

    def wait_closed(self, timeout=None):
        """Waits for the connection's end; the close code received."""
        async def wait():
            await asyncio.wait_for(self.ws.wait_closed(), timeout or self.timeout)
        _Background.run(wait(), (timeout or self.timeout) + 5)
        return self.ws.close_code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def poll(fn, timeout=PATIENCE, interval=0.02):
    """The first true value of fn(); fails with the last one after timeout."""
    pause, end = threading.Event(), time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        assert time.monotonic() < end, f"did not become true in {timeout} s; last: {value!r}"
        pause.wait(interval)
