"""ZeroMQ peers that are of the wrong type, talk rubbish, send too much, or
come and go."""
import random
import signal
import struct

import pytest
import zmq

from harness import FACTOR, REP_WORKER, Conn, free_endpoint, free_port, poll, zrecv

LOCATIONS = {
    "req": "bridge = reqrep\nreq = {}\n",
    "sub": "bridge = pubsub\nsub = {}\n",
    "pub": "bridge = pubsub\nsub = connect tcp://127.0.0.1:9\npub = {}\n",
    "push": "bridge = pipeline\npush = {}\n",
    "pull": "bridge = pipeline\npush = bind tcp://127.0.0.1:*\npull = {}\n",
    "pair": "bridge = pair\npair = {}\n",
}
RIGHT = {"req": zmq.REP, "sub": zmq.PUB, "pub": zmq.SUB, "push": zmq.PULL, "pull": zmq.PUSH, "pair": zmq.PAIR}
WRONG = {"req": zmq.PUB, "sub": zmq.REP, "pub": zmq.PULL, "push": zmq.SUB, "pull": zmq.PUB, "pair": zmq.DEALER}


def rebind(sock, endpoint):
    """Binds as soon as libzmq has let go of the address."""
    def attempt():
        try:
            sock.bind(endpoint)
            return True
        except zmq.ZMQError:
            return False
    poll(attempt)
    return sock


def connect(sock, endpoint):
    sock.connect(endpoint)
    return sock


@pytest.mark.parametrize("how", ["connect", "bind"])
def test_a_peer_of_the_wrong_type_is_named(gateway, zmq_context, how):
    """... in the log, once, and in /status; and the right one is taken."""
    where = {d: free_endpoint() for d in LOCATIONS}
    gw = gateway("".join(f"[location /{d}]\n" + LOCATIONS[d].format(f"{how} {where[d]}") for d in LOCATIONS))
    attach = rebind if how == "connect" else connect
    wrong = {d: attach(zmq_context.socket(WRONG[d]), where[d]) for d in LOCATIONS}
    for d in LOCATIONS:
        line = gw.wait_log(rf" warn .*/{d}: {d}: .*wrong type.*").string
        assert "127.0.0.1:" in line, "says where"
        # libzmq does not try again after this; the gateway does
        again = 3 if how == "connect" else 1
        info = gw.wait_status(lambda s: gw.socket("/" + d, d, s)["handshakes_failed"] >= again)
        info = gw.socket("/" + d, d, info)
        assert info["peers"] == 0 and "wrong type" in info["state"]
        said = sum("wrong type" in line and f"/{d}: {d}:" in line for line in gw.log)
        assert said == 1, "what repeats is said once"
    for d in LOCATIONS:
        wrong[d].close(0)
        right = attach(zmq_context.socket(RIGHT[d]), where[d])
        gw.wait_peers("/" + d, d, 1)
        assert not right.closed
        assert "wrong type" not in gw.socket("/" + d, d)["state"]


def test_a_wrong_peer_beside_a_right_one(gateway, zmq_context):
    gw = gateway("[location /req]\n" + LOCATIONS["req"].format("bind tcp://127.0.0.1:*"))
    right, wrong = zmq_context.socket(zmq.REP), zmq_context.socket(zmq.PULL)
    for s in right, wrong:
        s.connect(gw.endpoint("/req", "req"))
    gw.wait_peers("/req", "req", 1)
    gw.wait_log("wrong type")
    for n in range(20):
        c = gw.connect().send(f"POST /req HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{n:02}")
        rep = zrecv(right)
        right.send_multipart(rep)
        assert c.response().body == b"%02d" % n
        c.close()
    assert not wrong.poll(0)
    assert gw.socket("/req", "req")["peers"] == 1


@pytest.mark.parametrize("said", ["nothing", "a greeting"])
def test_a_stranger_that_leaves_is_not_taken_for_a_peer(gateway, zmq_context, said):
    """A health check or a port scan at a bound endpoint, while workers come:
    what is counted is workers, and they are served. (One that says anything but
    a ZMTP 3 greeting is a peer to libzmq: of ZMTP 1, which had no handshake.)"""
    gw = gateway("[location /req]\n" + LOCATIONS["req"].format("bind tcp://127.0.0.1:*"))
    endpoint = gw.endpoint("/req", "req")
    address = ("127.0.0.1", int(endpoint.rsplit(":", 1)[1]))
    words = {"nothing": b"", "a greeting": GREETING}[said]
    before = [Conn(address).send(words) for _ in range(3)]
    gw.http("GET", "/status/live")
    rep = zmq_context.socket(zmq.REP)
    rep.connect(endpoint)
    gw.wait_peers("/req", "req", 1)
    after = [Conn(address).send(words) for _ in range(3)]
    for c in before + after:
        c.close()
    for n in range(20):  # ... and it stays so while the strangers' ends become known
        assert gw.socket("/req", "req")["peers"] == 1
        c = gw.connect().send(f"POST /req HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{n:02}")
        assert zrecv(rep) == [b"%02d" % n]
        rep.send(b"ok")
        assert c.response().body == b"ok"
    rep.close(0)
    gw.wait_peers("/req", "req", 0)
    assert gw.http("POST", "/req", b"x").status == 503


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


def ready(*properties):
    """A NULL handshake's READY command (RFC 23)."""
    body = b"\x05READY"
    for name, value in properties:
        body += bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
    return b"\x04" + bytes([len(body)]) + body


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "zeros": bytes(1000), "ones": b"\xff" * 1000, "one byte": b"\xff",
    "half a greeting": GREETING[:30],
    "unknown mechanism": GREETING.replace(b"NULL", b"LULL"),
    "version 1": b"\xff" + bytes(8) + b"\x7f\x00" + b"x" * 50,
    "version 2": b"\xff" + bytes(7) + b"\x01\x7f\x01\x05" + b"\x00\x00" + b"\x02" + b"\xff" * 8,
    "greeting, rubbish": GREETING + b"\xff" * 100,
    "READY cut": GREETING + ready((b"Socket-Type", b"PUB"))[:-4],
    "READY without type": GREETING + ready(),
    "READY with a wrong length": GREETING + b"\x04\x10\x05READY\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "type unknown": GREETING + ready((b"Socket-Type", b"BUBU")),
    "type huge": GREETING + ready((b"Socket-Type", b"P" * 200)),
    "endless frame": GREETING + ready((b"Socket-Type", b"PUSH")) + b"\x02" + b"\x7f" + b"\xff" * 7 + b"abc",
    "reserved flags": GREETING + ready((b"Socket-Type", b"PUSH")) + b"\xf0\x01a",
    "command late": GREETING + ready((b"Socket-Type", b"PUSH")) + b"\x04\x05\x04OOPS",
    "a long PING": GREETING + ready((b"Socket-Type", b"PUSH")) + b"\x04\xc8\x04PING" + b"\xff\xff" + b"p" * 193,
    "an unfinished message": GREETING + ready((b"Socket-Type", b"PUSH")) + b"\x01\x01a",
}


def test_garbage_at_a_bound_endpoint(gateway, zmq_context):
    gw = gateway("".join(f"[location /{d}]\n" + LOCATIONS[d].format("bind tcp://127.0.0.1:*") for d in LOCATIONS))
    endpoints = {d: gw.endpoint("/" + d, d) for d in LOCATIONS}
    dice = random.Random(1)
    pieces = list(GARBAGE.values()) + [dice.randbytes(dice.randrange(1, 300)) for _ in range(20)]
    pieces += [GREETING + dice.randbytes(100) for _ in range(10)]
    # each type's own READY, then rubbish in frames
    names = {"req": b"REP", "sub": b"PUB", "pub": b"SUB", "push": b"PULL", "pull": b"PUSH", "pair": b"PAIR"}
    for d, endpoint in endpoints.items():
        open_ = []
        for piece in pieces + [GREETING + ready((b"Socket-Type", names[d])) + dice.randbytes(100) for _ in range(10)]:
            c = Conn(("127.0.0.1", int(endpoint.rsplit(":", 1)[1])))
            try:
                c.send(piece)
            except ConnectionError:
                pass
            if d == "pair":
                # of several at a time libzmq 4.3.4 reads from one; that another
                # has gone it sees only when its handshake is over time (30 s)
                c.close()
                gw.wait_peers("/pair", "pair", 0)
            open_.append(c)
        assert gw.http("GET", "/status/live").status == 200
        for n, c in enumerate(open_):
            if d != "pair":
                c.reset() if n % 2 else c.close()
        gw.wait_peers("/" + d, d, 0)
    gw.wait_status(lambda s: all(gw.socket("/" + d, d, s)["peers"] == 0 for d in LOCATIONS))
    # decent peers are served as ever
    for d in LOCATIONS:
        if d == "pair":
            continue  # one of the strangers may be its one peer until it is found gone
        peer = zmq_context.socket(RIGHT[d])
        if d == "pub":
            peer.subscribe(b"")
        peer.connect(endpoints[d])
        gw.wait_peers("/" + d, d, 1)
        if d == "req":
            c = gw.connect().send("POST /req HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
            peer.send_multipart(zrecv(peer))
            assert c.response().body == b"hi"
        elif d == "sub":
            ws = gw.ws("/sub")
            poll(lambda: peer.send(b"A 1") or soon(ws) == "A 1")
        elif d == "pub":
            poll(lambda: gw.http("POST", "/pub?topic=A", b"x").status == 202 and peer.poll(100))
            assert zrecv(peer) == [b"A x"]
        elif d == "push":
            assert gw.http("POST", "/push", b"load").status == 202
            assert zrecv(peer) == [b"load"]


def soon(ws):
    try:
        return ws.recv(0.2)
    except TimeoutError:
        return None


def test_a_frame_over_the_limit_cuts_off_its_sender_only(gateway, zmq_context):
    gw = gateway("""
        [location /feed]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
        max_body = 64k
        [location /echo]
        bridge = reqrep
        req = bind tcp://127.0.0.1:*
        max_reply = 64k
        timeout = 3s
    """)
    good, bad = zmq_context.socket(zmq.PUB), zmq_context.socket(zmq.PUB)
    for s in good, bad:
        s.connect(gw.endpoint("/feed", "sub"))
    gw.wait_peers("/feed", "sub", 2)
    ws = gw.ws("/feed")
    for s in good, bad:
        poll(lambda: s.send(b"ready") or soon(ws))
    for n in range(3):
        gw.wait_peers("/feed", "sub", 2)
        cut = gw.socket("/feed", "sub")["disconnects"]

        def is_cut():
            bad.send(b"x" * 5_000_000)  # until its subscription is there again after the last cut
            return gw.socket("/feed", "sub")["disconnects"] > cut
        poll(is_cut)
        good.send(b"fine %d" % n)
        while ws.recv() != f"fine {n}":
            pass
    # a worker's reply
    workers = [zmq_context.socket(zmq.REP) for _ in range(2)]
    for w in workers:
        w.connect(gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 2)
    first = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1")
    second = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n2")
    asked = {zrecv(w)[0]: w for w in workers}
    asked[b"1"].send(b"y" * 5_000_000)
    asked[b"2"].send(b"ok")
    assert second.response().body == b"ok"
    r = first.response()
    assert r.status in (502, 504), r


def test_peers_that_come_late_and_restart(gateway, zmq_context):
    """The gateway is first; every peer may come, go and come back."""
    where = {d: free_endpoint() for d in LOCATIONS}
    gw = gateway("".join(f"[location /{d}]\n" + LOCATIONS[d].format("connect " + where[d]) for d in LOCATIONS))
    for d in LOCATIONS:
        assert gw.socket("/" + d, d)["peers"] == 0
    feed, console = gw.ws("/sub?topic=A"), None
    assert gw.http("POST", "/req", b"x").status == 503
    assert gw.http("POST", "/push", b"x").status == 503
    for life in range(3):
        peers = {d: rebind(zmq_context.socket(RIGHT[d]), where[d]) for d in LOCATIONS}
        peers["pub"].subscribe(b"")
        for d in LOCATIONS:
            gw.wait_peers("/" + d, d, 1)
        c = gw.connect().send("POST /req HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % life)
        assert zrecv(peers["req"]) == [b"%d" % life]
        peers["req"].send(b"answer %d" % life)
        assert c.response().body == b"answer %d" % life
        poll(lambda: peers["sub"].send_string(f"A {life}") or soon(feed) == f"A {life}")
        poll(lambda: gw.http("POST", "/pub?topic=T", b"x").status == 202 and peers["pub"].poll(100))
        assert zrecv(peers["pub"]) == [b"T x"]
        assert gw.http("POST", "/push", b"up %d" % life).status == 202
        assert zrecv(peers["push"]) == [b"up %d" % life]
        if console is None:
            console = gw.ws("/pair")
        console.send(f"in {life}")
        assert zrecv(peers["pair"]) == [b"in %d" % life]
        peers["pair"].send(b"out %d" % life)
        assert console.recv() == f"out {life}"
        for d in LOCATIONS:
            peers[d].close(0)
        for d in LOCATIONS:
            gw.wait_peers("/" + d, d, 0)
            assert gw.socket("/" + d, d)["disconnects"] >= life + 1
    assert gw.http("POST", "/req", b"x").status == 503
    feed.ping()


def test_a_worker_that_is_killed_and_one_that_is_frozen(gateway, worker_process):
    port = free_port()
    gw = gateway(f"""
        [location /echo]
        bridge = reqrep
        req = connect tcp://127.0.0.1:{port}
        timeout = 2s
    """)
    code = REP_WORKER.replace("s.connect", "s.bind")
    for _ in range(2):
        worker = worker_process(code, f"tcp://127.0.0.1:{port}")
        gw.wait_peers("/echo", "req", 1)
        assert gw.http("POST", "/echo", b"hello").body == b"hello"
        worker.kill()
        gw.wait_peers("/echo", "req", 0)
        r = gw.http("POST", "/echo", b"x", timeout=5 * FACTOR)
        assert r.status == 503 and r.headers["Retry-After"]
    worker = worker_process(code, f"tcp://127.0.0.1:{port}")
    gw.wait_peers("/echo", "req", 1)
    worker.signal(signal.SIGSTOP)
    assert gw.http("POST", "/echo", b"x").status == 504
    worker.signal(signal.SIGCONT)
    assert gw.http("POST", "/echo", b"fresh").body == b"fresh", "the late reply is not taken for another's"
