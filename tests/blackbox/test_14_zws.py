"""pubsub over ZWS2.0: a ZeroMQ peer over WebSocket, by a client of the test's own
that can misbehave, and by npm's jszmq in Node (tests/browser has it in Chromium)."""
import os
import random
import select
import socket
import threading

import pytest
import zmq

from harness import (FACTOR, PATIENCE, ROOT, Process, RawWs, bind, encode_frame, free_endpoint, poll,
                     zrecv)

ZWS = {"Sec-WebSocket-Protocol": "ZWS2.0"}
LAST, MORE, COMMAND = b"\0", b"\1", b"\2"
ASK = [b"\1"]
MODULES = os.path.join(ROOT, "build/node/node_modules")
jszmq = pytest.mark.skipif(not os.path.isdir(os.path.join(MODULES, "jszmq")),
                           reason="./configure --install-deps brings npm's jszmq")


def location(sub, *lines, workers=1):
    return "\n".join(["[gateway]", f"workers = {workers}", "[location /prices]", "bridge = pubsub",
                      f"sub = {sub}", *lines, ""])


class Peer:
    """A ZWS2.0 peer; name: its routing id, None: it sends none."""

    def __init__(self, gw, path="/prices", name=b"", headers=ZWS, **options):
        self.ws = gw.raw_ws(path, headers, **options)
        assert self.ws.answer.headers["Sec-WebSocket-Protocol"] == "ZWS2.0"
        assert self.ws.message() == (RawWs.BINARY, LAST)  # the gateway's routing id
        if name is not None:
            self.raw(LAST + name)

    def raw(self, *messages):
        """WebSocket messages, in one write."""
        self.ws.send(b"".join(encode_frame(RawWs.BINARY, m) for m in messages))
        return self

    def send(self, *frames):
        return self.raw(*[MORE + f for f in frames[:-1]], LAST + frames[-1])

    def subscribe(self, *topics):
        return self.raw(*[LAST + b"\1" + t for t in topics])

    def cancel(self, topic):
        return self.send(b"\0" + topic)

    def recv(self, timeout=None):
        """The frames of the next message."""
        frames, more = [], MORE
        while more == MORE:
            opcode, payload = self.ws.message(timeout)
            assert opcode == RawWs.BINARY and payload[:1] in (LAST, MORE), (opcode, payload)
            more = payload[:1]
            frames.append(payload[1:])
        return frames

    def closed(self):
        """(code, reason) of the close that comes."""
        while True:
            opcode, payload = self.ws.message()
            if opcode == RawWs.CLOSE:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()


@pytest.fixture
def publisher(zmq_context):
    """(XPUB, endpoint)"""
    s = zmq_context.socket(zmq.XPUB)
    s.set_hwm(0)
    return s, bind(s)


@pytest.fixture
def subscriber(zmq_context):
    """(SUB to everything, endpoint)"""
    s = zmq_context.socket(zmq.SUB)
    s.set_hwm(0)
    s.subscribe(b"")
    return s, bind(s)


def reach(gw, subscriber):
    """Until what the gateway publishes gets through to the SUB."""
    def warm():
        assert gw.http("POST", "/prices?topic=", b"warm").status == 202
        return subscriber.poll(50)
    poll(warm)
    while subscriber.poll(100):
        subscriber.recv_multipart()


# ---- receiving ----

def test_frames_as_they_are(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint))
    peer = Peer(gw, name=b"x" * 255).subscribe(b"")
    assert zrecv(s) == [b"\1"]
    for frames in ([b""], [b"A 1"], [b"A", b"x"], [b"", b"", b""], [b"\xff\0\1"], [b"A", b"\xc3", b"\xa4"],
                   [b"x" * 124], [b"x" * 125], [b"x" * 65534], [b"x" * 65535], [b"y" * 200, b"z" * 70000],
                   [bytes([i]) * i for i in range(64)]):
        s.send_multipart(frames)
        assert peer.recv() == frames
    # the counters count messages, not frames
    gw.wait_counter("/prices", "ws_delivered", 12 + 1)
    assert gw.counters("/prices")["ws_delivered"] <= 12 + 2


@pytest.mark.parametrize("workers", [1, 2])
def test_subscriptions_are_bytes_and_follow_the_clients(gateway, publisher, workers):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, workers=workers))
    peers = [Peer(gw).subscribe(b"A", b"\0\xff", b"A", b"AB") for _ in range(6)]
    assert sorted(zrecv(s) for _ in range(3)) == [[b"\1\0\xff"], [b"\1A"], [b"\1AB"]]
    raw = [gw.ws("/prices?topic=A") for _ in range(2)]
    for p in peers:  # another peer's topic is in place upstream before one's own is
        poll(lambda: s.send(b"AB?") or select.select([p.ws.sock], [], [], 0.05)[0])
    for frames in ([b"ABC", b"1"], [b"\0\xff\0", b""], [b"\0", b"no"], [b"B"], [b"A"]):
        s.send_multipart(frames)
    for p in peers:
        got = p.recv()
        while got == [b"AB?"]:
            got = p.recv()
        assert [got, p.recv(), p.recv()] == [[b"ABC", b"1"], [b"\0\xff\0", b""], [b"A"]]
    for p in peers:
        p.cancel(b"never").cancel(b"\0\xff")
    assert zrecv(s) == [b"\0\0\xff"]
    for p in peers[1:]:
        p.ws.close()
    s.send_multipart([b"\0\xff", b"no"])
    s.send_multipart([b"A", b"yes"])
    assert peers[0].recv() == [b"A", b"yes"]
    for c in (peers[0].ws, *raw):
        c.close()
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\0A"], [b"\0AB"]]


def test_last_values_and_topics_of_the_query(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "last_value = yes", "pub = bind tcp://127.0.0.1:*"))
    assert zrecv(s) == [b"\1"]
    for frames in ([b"A", b"0"], [b"B", b"0"], [b"A", b"1"]):
        s.send_multipart(frames)
    gw.wait_counter("/prices", "received", 3)
    assert Peer(gw).subscribe(b"A").recv() == [b"A", b"1"]
    named = Peer(gw, "/prices?topic=B")
    assert named.recv() == [b"B", b"0"]
    assert Peer(gw).recv() == ASK  # by now the others would have been asked
    s.send_multipart([b"B", b"2"])
    assert named.recv() == [b"B", b"2"]


@pytest.mark.parametrize("workers", [1, 2])
def test_many_topics(gateway, publisher, workers):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, workers=workers))
    peer = Peer(gw).subscribe(*[b"t%d;" % i for i in range(4096)])
    for i in range(4096):
        assert zrecv(s) == [b"\1t%d;" % i]
    s.send(b"t4095;x")
    assert peer.recv() == [b"t4095;x"]
    peer.subscribe(b"one more")
    assert peer.closed() == (1013, "too many topics, or out of memory")


def test_slow_client_loses_whole_messages(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "client_queue = 64k"))
    peer = Peer(gw, rcvbuf=4096).subscribe(b"A")
    assert zrecv(s) == [b"\1A"]
    total = 2000
    for i in range(total):
        s.send_multipart([b"A", b"%d" % i, b"x" * 30000, b"", b"%d" % i])
    gw.wait_counter("/prices", "received", total)
    dropped = gw.counters("/prices")["ws_dropped"]
    assert 0 < dropped < total
    numbers = []
    while not numbers or numbers[-1] < total - 1:
        frames = peer.recv()
        assert len(frames) == 5 and frames[0] == b"A" and frames[1] == frames[4], frames
        assert frames[2] == b"x" * 30000 and frames[3] == b""
        numbers.append(int(frames[1]))
    assert numbers == sorted(set(numbers)) and len(numbers) == total - dropped


def test_overflow_disconnect(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "client_queue = 64k", "overflow = disconnect"))
    peer = Peer(gw, rcvbuf=4096).subscribe(b"A")
    assert zrecv(s) == [b"\1A"]
    for i in range(300):
        s.send_multipart([b"A", b"%d" % i, b"x" * 30000])
    gw.wait_counter("/prices", "ws_slow_closed", 1)
    code, reason = peer.closed()
    assert code == 1008 and "slow" in reason


def test_conflate_keeps_messages_whole(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "client_queue = 64k", "overflow = conflate"))
    peer = Peer(gw, rcvbuf=4096).subscribe(b"")
    assert zrecv(s) == [b"\1"]
    total = 600
    for i in range(total):
        s.send_multipart([b"A%d" % (i % 3), b"%d" % i, b"x" * 30000, b"%d" % i])
    gw.wait_counter("/prices", "received", total)
    newest = {}
    while newest.get(b"A2") != total - 1:
        frames = peer.recv()
        assert len(frames) == 4 and frames[1] == frames[3] and int(frames[1]) > newest.get(frames[0], -1)
        newest[frames[0]] = int(frames[1])
    assert newest == {b"A0": total - 3, b"A1": total - 2, b"A2": total - 1}


# ---- publishing, and who is who ----

ANY = [[b""], [b"A", b"1"], [b"\1A"], [b"\0A"], [b"\1"], [b"\0", b""], [b"\xff\0", b"", b"x" * 70000],
       [b"%d" % i for i in range(64)]]


@pytest.mark.parametrize("workers", [1, 2])
def test_pub_publishes_frames_as_they_are(gateway, publisher, subscriber, workers):
    s, endpoint = subscriber
    gw = gateway(location("connect " + publisher[1], "pub = connect " + endpoint, "framing = multipart",
                          workers=workers))
    reach(gw, s)
    for _ in range(4):  # on either worker
        peer = Peer(gw)
        assert peer.recv() == ASK
        for frames in ANY:
            peer.send(*frames)
        for frames in ANY:
            assert zrecv(s) == frames
        with pytest.raises(TimeoutError):  # it is asked once
            peer.recv(0.05)


def test_who_is_who(gateway, publisher, subscriber):
    up, _ = publisher
    s, endpoint = subscriber
    gw = gateway(location("connect " + publisher[1], "pub = connect " + endpoint))
    reach(gw, s)
    early = Peer(gw).subscribe(b"")                # never asked
    assert zrecv(up) == [b"\1"]
    late = Peer(gw)                                # a SUB that has nothing to say yet
    back = Peer(gw).cancel(b"A")                   # one that comes back and has left a topic meanwhile
    binary = Peer(gw)                              # a PUB whose messages look like something else
    eager = Peer(gw).send(b"B", b"before asked")   # a PUB that comes back
    assert zrecv(s) == [b"B", b"before asked"]
    for p in (late, back, binary, eager):
        assert p.recv() == ASK
    late.subscribe(b"B")
    assert zrecv(up) == [b"\1B"]
    back.subscribe(b"C")
    assert zrecv(up) == [b"\1C"]
    for frame in (b"\0A", b"\1A", b"\0A"):
        binary.send(frame)
        assert zrecv(s) == [frame]
    eager.send(b"\1A")
    assert zrecv(s) == [b"\1A"]
    early.send(b"up", b"an XSUB may")              # and stays a SUB
    assert zrecv(s) == [b"up", b"an XSUB may"]
    early.cancel(b"")
    assert zrecv(up) == [b"\0"]
    up.send_multipart([b"B", b"1"])
    assert late.recv() == [b"B", b"1"]
    up.send_multipart([b"C", b"1"])
    assert back.recv() == [b"C", b"1"]
    with pytest.raises(TimeoutError):
        early.recv(0.05)
    assert gw.counters("/prices")["errors"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_publish_topics(gateway, publisher, subscriber, workers):
    s, endpoint = subscriber
    gw = gateway(location("connect " + publisher[1], "pub = connect " + endpoint, "publish_topics = A",
                          workers=workers))
    for _ in range(4):
        peer = Peer(gw)
        assert peer.recv() == ASK
        poll(lambda: peer.send(b"A", b"1") and s.poll(50))
        while s.poll(50):
            assert s.recv_multipart() == [b"A", b"1"]
        peer.send(b"B", b"A")
        assert peer.closed() == (1008, "this location does not let clients publish to that topic")
    assert not s.poll(50)


def test_without_pub_nobody_is_asked(gateway, publisher):
    up, endpoint = publisher
    gw = gateway(location("connect " + endpoint)
                 + "[location /both]\nbridge = pubsub\nsub = connect " + endpoint
                 + "\npub = bind tcp://127.0.0.1:*\n")
    peer = Peer(gw)
    assert Peer(gw, "/both").recv() == ASK
    peer.subscribe(b"A")
    assert zrecv(up) == [b"\1A"]
    up.send(b"A")
    assert peer.recv() == [b"A"]
    peer.send(b"data")
    assert peer.closed() == (1008, "this location does not publish: no pub")


# ---- what is refused ----

BAD = [  # what is sent, the code, a part of the reason
    ([b""], 1002, "flags byte"), ([b"\3"], 1002, "flags byte"), ([b"\xff" * 300], 1002, "flags byte"),
    ([MORE + b"id"], 1002, "routing id"), ([COMMAND + b"\5READY"], 1002, "routing id"),
    ([LAST + b"x" * 256], 1002, "routing id"), ([LAST, b""], 1002, "flags byte"),
    ([LAST, MORE + b"A", b"\3"], 1002, "flags byte"),
    ([LAST, *[MORE] * 65], 1008, "64 frames"), ([LAST, *[MORE] * 64, LAST], 1008, "64 frames"),
    ([LAST, *[MORE + b"x" * 30000] * 3], 1009, "max_body"), ([LAST, LAST + b"x" * 66000], 1009, "max_body"),
    ([LAST, LAST + b"\1" + b"A" * 513], 1008, "512 bytes"), ([LAST, LAST + b"\1B"], 1008, "not offer"),
]


@pytest.mark.parametrize("workers", [1, 2])
def test_malformed(gateway, publisher, subscriber, workers):
    s, endpoint = subscriber
    gw = gateway(location("connect " + publisher[1], "pub = connect " + endpoint, "max_body = 64k",
                          "topics = A C", workers=workers))
    for messages, code, reason in BAD:
        peer = Peer(gw, name=None).raw(*messages, LAST + b"A", MORE)  # more after it changes nothing
        got = peer.closed()
        assert got[0] == code and reason in got[1], (messages, got)
    peer = Peer(gw, name=None)
    peer.ws.frame(RawWs.TEXT, LAST)
    assert peer.closed()[0] == 1002
    # commands belong to mechanisms and are passed over, also amidst a message
    reach(gw, s)
    Peer(gw).raw(COMMAND + b"\4PING\0\0", MORE + b"A", COMMAND, LAST + b"1")
    assert zrecv(s) == [b"A", b"1"]
    fragments = Peer(gw)
    fragments.ws.frame(RawWs.BINARY, MORE + b"fr", fin=False).frame(0, b"ag").frame(RawWs.BINARY, LAST)
    assert zrecv(s) == [b"frag", b""]


def test_topics_that_are_offered(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "topics = A C"))
    peer = Peer(gw).subscribe(b"")
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\1A"], [b"\1C"]]
    one = Peer(gw).subscribe(b"AB")
    assert zrecv(s) == [b"\1AB"]
    for m in (b"AB", b"C", b"B"):
        s.send(m)
    assert [peer.recv(), peer.recv(), one.recv()] == [[b"AB"], [b"C"], [b"AB"]]
    code, reason = Peer(gw).subscribe(b"B").closed()
    assert (code, reason) == (1008, "this location does not offer that topic")
    assert gw.counters("/prices")["errors"] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_random_peers(gateway, publisher, subscriber, workers):
    """Whatever peers send, and whenever they go, the others are served."""
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "pub = connect " + subscriber[1], "max_body = 16k",
                          "last_value = yes", workers=workers))
    steady = Peer(gw).subscribe(b"steady")
    assert zrecv(s) == [b"\1"]
    dice = random.Random(14)

    def message():
        flags = dice.choices([b"", LAST, MORE, COMMAND, b"\3"], [1, 60, 30, 5, 1])[0]
        body = dice.choice([b"", b"\1", b"\0", b"\1\1", b"\xff", b"\1A", b"\0A", b"x" * 3000])
        return flags + body + dice.randbytes(dice.randrange(3))
    for i in range(300):
        peer = Peer(gw, name=dice.choice([b"", b"id", None]))
        try:
            peer.raw(*[message() for _ in range(dice.randrange(40))])
            if i % 3 == 0:
                peer.ws.send(dice.randbytes(dice.randrange(200)))
        except OSError:
            pass  # it has been closed already
        s.send_multipart([b"A", b"%d" % i])
        if i % 2:
            peer.ws.close()
    for i in range(3):
        s.send_multipart([b"steady", b"%d" % i])
        assert steady.recv() == [b"steady", b"%d" % i]


# ---- npm's jszmq ----

@pytest.fixture
def node(tmp_path):
    """node(code, *args): a script with jszmq as `zmq`, its arguments as `args`."""
    started = []

    def start(code, *args):
        file = tmp_path / f"peer{len(started)}.js"
        file.write_text("const zmq = require('jszmq');\nconst args = process.argv.slice(2);\n" + code)
        p = Process(["node", str(file), *args], {**os.environ, "NODE_PATH": MODULES})
        started.append(p)
        return p
    yield start
    for p in started:
        p.kill()


# Prints the frames of each message in hex. args: Sub or XSub, URL, topics in hex
SUBSCRIBER = """
const s = new zmq[args[0]]();
s.on('message', (...frames) => console.log('got', frames.map(f => f.toString('hex')).join(',')));
s.connect(args[1]);
for (const topic of args.slice(2).map(t => Buffer.from(t, 'hex'))) {
    if (args[0] === 'Sub')
        s.subscribe(topic);
    else
        s.send(Buffer.concat([Buffer.from([1]), topic]));
}
"""
# Publishes ["A", number, bytes that are no text] all the time. args: Pub or XPub, URL
PUBLISHER = """
const s = new zmq[args[0]]();
s.connect(args[1]);
let n = 0;
setInterval(() => s.send(['A', String(n++), Buffer.alloc(3000, 255)]), 5);
"""


def line(frames):
    return "got " + ",".join(f.hex() for f in frames) + "$"


@jszmq
@pytest.mark.parametrize("type", ["Sub", "XSub"])
@pytest.mark.parametrize("workers", [1, 2])
def test_jszmq_receives(gateway, publisher, node, type, workers):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "pub = bind tcp://127.0.0.1:*", workers=workers))
    p = node(SUBSCRIBER, type, gw.ws_url("/prices"), b"A".hex(), b"\xff\0".hex(), "e282ac")
    assert sorted(zrecv(s) for _ in range(3)) == [[b"\1A"], [b"\1\xe2\x82\xac"], [b"\1\xff\0"]]
    for frames in ([b"A", b"1"], [b"B", b"no"], [b"\xff\0\1", b"", b"\0"], ["€".encode()], [b"A" * 70000]):
        s.send_multipart(frames)
        if frames[0] != b"B":
            assert p.wait_line(line(frames), PATIENCE * FACTOR)
    assert len(p.lines) == 4
    everything = node(SUBSCRIBER, type, gw.ws_url("/prices"), "")
    assert zrecv(s) == [b"\1"]
    assert Peer(gw).recv() == ASK  # the time in which a PUB is asked is over
    s.send(b"and more")
    assert everything.wait_line(line([b"and more"]), PATIENCE * FACTOR)
    assert len(everything.lines) == 1  # it was not shown the gateway's subscription


@jszmq
@pytest.mark.parametrize("type", ["Pub", "XPub"])
@pytest.mark.parametrize("workers", [1, 2])
def test_jszmq_publishes(gateway, publisher, subscriber, node, type, workers):
    s, endpoint = subscriber
    gw = gateway(location("connect " + publisher[1], "pub = connect " + endpoint, workers=workers))
    reach(gw, s)
    node(PUBLISHER, type, gw.ws_url("/prices"))
    first = int(zrecv(s, PATIENCE * FACTOR)[1])
    for i in range(first + 1, first + 100):
        assert zrecv(s) == [b"A", b"%d" % i, b"\xff" * 3000]


class Door:
    """A port that stays while the gateway behind it goes and comes: connections
    wait. In Node jszmq does not survive a refused one."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port, self.gw, self.open = self.server.getsockname()[1], None, True
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while self.open:
            client = self.server.accept()[0]
            if self.open:
                self.threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
                self.threads[-1].start()

    def _serve(self, client):
        with client:
            poll(lambda: self.gw or not self.open)
            if self.open:
                self._connect(client)

    def _connect(self, client):
        with socket.create_connection(self.gw.address) as server:
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self._copy(client, server)
            back.join()

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.open = False
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.server.close()


@pytest.fixture
def door():
    d = Door()
    yield d
    d.close()


@jszmq
def test_jszmq_across_restarts(gateway, publisher, subscriber, node, door):
    up, upstream = publisher
    s, downstream = subscriber
    url = f"ws://127.0.0.1:{door.port}/prices"
    sub = node(SUBSCRIBER, "Sub", url, b"A".hex(), b"B".hex())
    node(PUBLISHER, "Pub", url)
    seen = -1
    for life in range(3):
        door.gw = gateway(location("connect " + upstream, "pub = connect " + downstream))
        assert sorted([zrecv(up), zrecv(up)]) == [[b"\1A"], [b"\1B"]]
        up.send_multipart([b"B", b"life %d" % life])
        assert sub.wait_line(line([b"B", b"life %d" % life]), PATIENCE * FACTOR)
        for _ in range(20):
            n = int(zrecv(s)[1])
            assert n > seen
            seen = n
        last, door.gw = door.gw, None
        assert last.stop() == 0
        assert sorted([zrecv(up), zrecv(up)]) == [[b"\0A"], [b"\0B"]]
        while s.poll(100):
            seen = int(s.recv_multipart()[1])
    assert len(sub.lines) == 3
