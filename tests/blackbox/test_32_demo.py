"""[demo]: peers inside the process; and conf/gateway.ini, which shows them."""
import hashlib
import os
import re

import pytest
import zmq
from harness import FACTOR, ROOT, GatewayFailed, free_port, zgate, zrecv

BINARY_BODY = bytes(range(256)) * 4


def line(body):
    return f"{len(body)} byte{'' if len(body) == 1 else 's'}, sha256 " \
        f"{hashlib.sha256(body).hexdigest()}".encode()


def demo_socket(gw, directive):
    service, = gw.status()["services"]
    return next(s for s in service["sockets"] if s["directive"] == directive)


def demo_counters(gw):
    return gw.status()["services"][0]["counters"]


@pytest.fixture
def peer(zmq_context):
    """A ZeroMQ socket connected to what the demo has bound."""
    def connect(gw, kind, directive, **options):
        s = zmq_context.socket(kind)
        for name, value in options.items():
            setattr(s, name, value)
        s.connect(demo_socket(gw, directive)["endpoints"])
        gw.wait_status(lambda _: demo_socket(gw, directive)["peers"] > 0)
        return s
    return connect


# each peer by itself ----------------------------------------------------------

def test_rep(gateway, peer):
    gw = gateway("[demo]\nrep = bind tcp://127.0.0.1:*")
    s = peer(gw, zmq.REQ, "rep")
    for sent, got in ((b"Hello", b"You said: Hello"), (b"", b"World"),
                      (b"\0\xff\n", b"You said: \0\xff\n"), (b"x" * (2 << 20), b"You said: " + b"x" * (2 << 20))):
        s.send(sent)
        assert zrecv(s) == [got]
    s.send_multipart([b"a", b"", b"b"])
    assert zrecv(s) == [b"You said: ab"]
    assert demo_counters(gw)["requests"] == 5


def test_rep_outlives_a_client_that_leaves(gateway, peer):
    gw = gateway("[demo]\nrep = bind tcp://127.0.0.1:*")
    for _ in range(20):
        s = peer(gw, zmq.REQ, "rep")
        s.send(b"x")
        s.close(0)
    s = peer(gw, zmq.REQ, "rep")
    s.send(b"Hello")
    assert zrecv(s) == [b"You said: Hello"]


def test_pub(gateway, peer):
    gw = gateway("[demo]\npub = bind tcp://127.0.0.1:*\ninterval = 5ms")
    s = peer(gw, zmq.SUB, "pub")
    s.subscribe(b"")
    got = [zrecv(s) for _ in range(40)]
    assert all(len(m) == 1 for m in got)
    texts = [m[0].decode() for m in got]
    for pattern in (r"clock \d\d:\d\d:\d\d", r"A \d+", r"B \d+", r"prices\.ACME \d+\.\d\d"):
        assert len([t for t in texts if re.fullmatch(pattern, t)]) == pytest.approx(10, abs=1)
    numbers = [int(t[2:]) for t in texts if t.startswith("A ")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    prices = {t for t in texts if t.startswith("prices")}
    assert len(prices) > 1


def test_uploads(gateway, peer):
    gw = gateway("[demo]\npull = bind tcp://127.0.0.1:*\npush = bind tcp://127.0.0.1:*")
    push, pull = peer(gw, zmq.PUSH, "pull"), peer(gw, zmq.PULL, "push")
    for frames, result in (
            ([b"Hello"], [line(b"Hello")]), ([b"x"], [line(b"x")]), ([b""], [line(b"")]),
            ([b"id1", BINARY_BODY], [b"id1", line(BINARY_BODY)]), ([b"", b""], [b"", line(b"")]),
            ([b"id2", b"ab", b"cd"], [b"id2", line(b"abcd")]),
            ([b'{"id":"id3","bytes":1}', b"x"], [b"id3", line(b"x")]),
            ([b"{not json", b"x"], [b"{not json", line(b"x")]),
            ([b'{"id":7}', b"x"], [b'{"id":7}', line(b"x")])):
        push.send_multipart(frames)
        assert zrecv(pull) == result
    big = os.urandom(8 << 20)
    push.send(big)
    assert zrecv(pull) == [line(big)]


def test_uploads_without_results(gateway, peer):
    gw = gateway("[demo]\npull = bind tcp://127.0.0.1:*")
    push = peer(gw, zmq.PUSH, "pull")
    for _ in range(50):
        push.send(b"x" * 1000)
    gw.wait_status(lambda s: s["services"][0]["counters"]["uploads"] == 50
                   and s["services"][0]["counters"]["holding"] == 0)


def test_nothing_is_lost_while_nobody_takes_results(gateway, peer):
    count = 4000
    gw = gateway("[demo]\npull = bind tcp://127.0.0.1:*\npush = bind tcp://127.0.0.1:*")
    push = peer(gw, zmq.PUSH, "pull", sndhwm=count)
    for n in range(count):
        push.send_multipart([b"%d" % n, b"body %d" % n])
    gw.wait_status(lambda s: s["services"][0]["counters"]["holding"] >= 1000)
    assert demo_counters(gw)["holding"] <= 1000  # the rest waits in ZeroMQ
    pull = peer(gw, zmq.PULL, "push")
    got = dict(zrecv(pull) for _ in range(count))
    assert got == {b"%d" % n: line(b"body %d" % n) for n in range(count)}
    assert demo_counters(gw)["dropped"] == 0


def test_stopping_with_uploads_unanswered(gateway, peer):
    gw = gateway("[demo]\npull = bind tcp://127.0.0.1:*\npush = bind tcp://127.0.0.1:*")
    push = peer(gw, zmq.PUSH, "pull")
    for _ in range(20):
        push.send(b"x" * 100000)
    gw.wait_status(lambda s: s["services"][0]["counters"]["uploads"] == 20)
    assert gw.stop() == 0
    gw.wait_log(r"stopping with 20 uploads unanswered")


def test_pair(gateway, peer):
    gw = gateway("[demo]\npair = bind tcp://127.0.0.1:*")
    s = peer(gw, zmq.PAIR, "pair")
    for frames in ([b"text"], [BINARY_BODY], [b""], [b"a", b"b", b""]):
        s.send_multipart(frames)
        assert zrecv(s) == frames


def test_pair_loses_nothing_to_a_slow_peer(gateway, peer):
    count, body = 3000, b"x" * 10000
    gw = gateway("[demo]\npair = bind tcp://127.0.0.1:*")
    s = peer(gw, zmq.PAIR, "pair", sndhwm=count, rcvhwm=1)
    for n in range(count):
        s.send(b"%d " % n + body)
    for n in range(count):
        assert zrecv(s)[0].split(b" ")[0] == b"%d" % n
    assert demo_counters(gw)["echoed"] == count
    assert demo_counters(gw)["dropped"] == 0


def test_push_needs_pull(gateway):
    with pytest.raises(GatewayFailed, match=r"\[demo\].*push.*needs `pull`"):
        gateway("[demo]\npush = bind tcp://127.0.0.1:*")


def test_an_endpoint_in_use_is_named(gateway):
    gw = gateway("[demo]\nrep = bind tcp://127.0.0.1:*")
    taken = demo_socket(gw, "rep")["endpoints"]
    with pytest.raises(GatewayFailed, match=f"cannot bind {taken}.*in use"):
        gateway(f"[demo]\nrep = bind {taken}\npair = bind tcp://127.0.0.1:*")


# conf/gateway.ini --------------------------------------------------------------

def shown():
    """conf/gateway.ini with ports that are free, so that tests may run beside it."""
    with open(os.path.join(ROOT, "conf/gateway.ini"), encoding="utf-8") as f:
        text = f.read()
    for port in sorted(set(re.findall(r"tcp://127\.0\.0\.1:(\d+)", text))):
        text = text.replace(f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{free_port()}")
    return re.sub(r"(?m)^listen = \S+", "listen = 127.0.0.1:0", text)


def test_the_shown_configuration_is_right():
    r = zgate("-p", ROOT, "-c", os.path.join(ROOT, "conf/gateway.ini"), "-T")  # -t would want its ports
    assert r.returncode == 0, r.stderr
    with open(os.path.join(ROOT, "conf/gateway.ini"), encoding="utf-8") as f:
        assert all(len(l) < 150 for l in f)


def test_everything_on_the_page_is_alive(gateway):
    gw = gateway(shown())
    for path, directive in (("/api/echo", "req"), ("/prices", "sub"), ("/jobs", "push"),
                            ("/jobs", "pull"), ("/console", "pair")):
        gw.wait_peers(path, directive, 1)
    assert b"<html" in gw.http("GET", "/").body

    assert gw.http("POST", "/api/echo", b"Hello").body == b"You said: Hello"
    assert gw.http("POST", "/api/echo", b"").body == b"World"

    with gw.ws("/prices?topic=A") as ws:
        first = int(ws.recv()[2:])
        assert ws.recv() == f"A {first + 1}"

    r = gw.http("POST", "/jobs", b"Hello")
    assert r.status == 202
    result = r.headers["Location"]
    gw.wait_status(lambda _: gw.http("GET", result).status == 200)
    assert gw.http("GET", result).body == line(b"Hello")

    with gw.ws("/console") as ws:
        ws.send("text")
        assert ws.recv() == "text"
        ws.send(b"\xff\x00binary")
        assert ws.recv() == b"\xff\x00binary"
    assert gw.stop(timeout=2 * FACTOR) == 0
