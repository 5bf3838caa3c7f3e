"""What /status, the metrics and a 503 say of each ZeroMQ endpoint, with peers of
every kind behind it."""
import signal
import socket
import threading

import pytest
import zmq
from harness import bind, free_endpoint, zrecv
from test_31_status import lint, parse


class Stranger:
    """A TCP server that is no ZeroMQ: says something to whoever comes, or
    nothing, and closes or stays. connections: how many came."""

    def __init__(self, says=b"", closes=True, backlog=16):
        self.says, self.closes, self.connections, self.kept = says, closes, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"tcp://127.0.0.1:{self.port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def serve(self):
        while True:
            try:
                c = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            self.kept.append(c)
            try:
                c.sendall(self.says)
                if self.closes:
                    c.recv(64)
                    c.close()
            except OSError:
                pass

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for c in self.kept:
            c.close()


def states(gw, location, status=None):
    return {e["endpoint"]: e for s in gw.location(location, status)["sockets"] for e in s["states"]}


def wait_state(gw, location, endpoint, state, **more):
    """The endpoint's description once it is in that state and has `more`."""
    def there(status):
        e = states(gw, location, status)[endpoint]
        return e["state"] == state and all(e[k] == v for k, v in more.items())
    return states(gw, location, gw.wait_status(there))[endpoint]


def refusal(gw, path):
    r = gw.http("POST", path, b"x")
    assert r.status == 503 and r.headers["Retry-After"]
    return r.json()["detail"]


def rep(zmq_context, endpoint):
    s = zmq_context.socket(zmq.REP)
    s.bind(endpoint)
    return s


REQREP = """
    [location /echo]
    bridge = reqrep
    req = connect {}
"""


def test_nobody_then_somebody_then_lost(gateway, zmq_context):
    there = free_endpoint()
    gw = gateway(REQREP.format(there))
    e = wait_state(gw, "/echo", there, "refused", peers=0)
    assert (e["bound"], e["disconnects"], e["handshakes_failed"]) == (False, 0, 0)
    gw.wait_status(lambda s: states(gw, "/echo", s)[there]["attempts"] >= 3)
    detail = refusal(gw, "/echo")
    assert there in detail and "nobody listens there" in detail
    assert gw.socket("/echo", "req")["state"] == "nobody listens there"

    s = rep(zmq_context, there)
    e = wait_state(gw, "/echo", there, "connected", peers=1, attempts=0)
    then = gw.wait_status(lambda s: states(gw, "/echo", s)[there]["since_ms"] > e["since_ms"] + 50)
    age = states(gw, "/echo", then)[there]["since_ms"]
    assert age <= then["uptime_ms"], "since it connected, not since the start"

    s.close(0)
    e = wait_state(gw, "/echo", there, "refused", peers=0, disconnects=1)
    assert "nobody listens there" in refusal(gw, "/echo")
    right = rep(zmq_context, there)
    wait_state(gw, "/echo", there, "connected", peers=1, disconnects=1)
    right.close(0)


def test_a_peer_of_the_wrong_type(gateway, zmq_context):
    s = zmq_context.socket(zmq.PUSH)
    there = bind(s)
    gw = gateway(REQREP.format(there))

    def failed(status):  # who of the two sees it first is chance
        e = states(gw, "/echo", status)[there]
        return e["state"] in ("wrong_type", "handshake_failed") and e["handshakes_failed"] >= 2
    gw.wait_status(failed)
    detail = refusal(gw, "/echo")
    assert there in detail and "wrong type (a DEALER needs REP, ROUTER or DEALER)" in detail
    s.close(0)
    wait_state(gw, "/echo", there, "refused")
    right = rep(zmq_context, there)
    e = wait_state(gw, "/echo", there, "connected", peers=1)
    right.close(0)
    assert e["handshakes_failed"] >= 2


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail.example.org\r\n"])
def test_no_zeromq_program(gateway, zmq_context, says):
    with Stranger(says) as stranger:
        gw = gateway(REQREP.format(stranger.endpoint))
        wait_state(gw, "/echo", stranger.endpoint, "handshake_failed")
        assert "no ZeroMQ program" in refusal(gw, "/echo")
    wait_state(gw, "/echo", stranger.endpoint, "refused")
    right = rep(zmq_context, stranger.endpoint)
    wait_state(gw, "/echo", stranger.endpoint, "connected", peers=1)
    right.close(0)


def test_somebody_who_says_nothing(gateway):
    with Stranger(closes=False) as stranger:
        gw = gateway(REQREP.format(stranger.endpoint))
        wait_state(gw, "/echo", stranger.endpoint, "handshaking", peers=0)
        assert stranger.connections == 1
        assert "has not spoken ZeroMQ yet" in refusal(gw, "/echo")


def test_nobody_answers(gateway):
    """A machine that drops what comes, as a firewall does: here, a full backlog."""
    stranger = Stranger(backlog=0)
    filling = [socket.socket() for _ in range(4)]
    for c in filling:
        c.setblocking(False)
        c.connect_ex(("127.0.0.1", stranger.port))
    gw = gateway(REQREP.format(stranger.endpoint))
    began = wait_state(gw, "/echo", stranger.endpoint, "connecting")["since_ms"]
    gw.wait_status(lambda s: states(gw, "/echo", s)[stranger.endpoint]["since_ms"] > began + 200)
    e = wait_state(gw, "/echo", stranger.endpoint, "connecting", peers=0, attempts=0)
    assert e["detail"] in refusal(gw, "/echo")
    for c in filling:
        c.close()
    stranger.listener.close()


def test_a_name_that_is_none(gateway):
    there = "tcp://no.such.host.invalid:5555"
    gw = gateway(REQREP.format(there))
    wait_state(gw, "/echo", there, "unreachable", peers=0)
    detail = refusal(gw, "/echo")
    assert there in detail and "no host of that name" in detail


def test_ipc(gateway, zmq_context, tmp_path):
    there = f"ipc://{tmp_path}/worker"
    gw = gateway(REQREP.format(there))
    wait_state(gw, "/echo", there, "refused")
    right = rep(zmq_context, there)
    wait_state(gw, "/echo", there, "connected", peers=1)
    right.close(0)


def test_bound(gateway, zmq_context):
    gw = gateway("""
        [location /jobs]
        bridge = pipeline
        push = bind tcp://127.0.0.1:*
    """)
    there = gw.endpoint("/jobs", "push")
    wait_state(gw, "/jobs", there, "bound", bound=True, peers=0)
    detail = refusal(gw, "/jobs")
    assert there in detail and "nobody has connected" in detail
    wrong = zmq_context.socket(zmq.PUSH)
    wrong.connect(there)
    gw.wait_status(lambda s: states(gw, "/jobs", s)[there]["handshakes_failed"] >= 1)
    assert "wrong type (a PUSH needs PULL)" in refusal(gw, "/jobs")
    wrong.close(0)
    right = [zmq_context.socket(zmq.PULL) for _ in range(3)]
    for s in right:
        s.connect(there)
    wait_state(gw, "/jobs", there, "bound", peers=3)
    for s in right:
        s.close(0)
    wait_state(gw, "/jobs", there, "bound", peers=0, disconnects=3)


def test_each_of_several_endpoints(gateway, zmq_context):
    """One socket, two workers; each endpoint on its own, also in the metrics."""
    s = zmq_context.socket(zmq.PUB)
    good, none = bind(s), free_endpoint()
    with Stranger(b"220 mail.example.org\r\n") as stranger:
        gw = gateway(f"""
            [gateway]
            listen = 127.0.0.1:0
            workers = 2

            [location /prices]
            bridge = pubsub
            sub = connect {good} {none}
            sub = connect {stranger.endpoint} tcp://no.such.host.invalid:1
        """)
        wanted = {good: "connected", none: "refused", stranger.endpoint: "handshake_failed",
                  "tcp://no.such.host.invalid:1": "unreachable"}
        gw.wait_status(lambda st: {k: e["state"] for k, e in states(gw, "/prices", st).items()} == wanted)
        peers = gw.socket("/prices", "sub")["peers"]
        assert peers == states(gw, "/prices")[good]["peers"] >= 1
        text = gw.http("GET", "/status/metrics").text
        lint(text)
        samples = parse(text)["zgate_endpoint_state"][1]
        told = {dict(at)["endpoint"]: dict(at)["state"] for at, number in samples.items()
                if number == 1 and dict(at)["location"] == "/prices"}
        assert told == wanted
        assert parse(text)["zgate_endpoint_state_seconds"][0] == "gauge"


def test_over_a_reload(gateway, zmq_context):
    """A location that is kept keeps its connections, and since when they are."""
    s = zmq_context.socket(zmq.REP)
    there = bind(s)
    gw = gateway(REQREP.format(there))
    before = wait_state(gw, "/echo", there, "connected")
    gw.signal(signal.SIGHUP)
    gw.wait_log(r"\] reloaded")
    after = wait_state(gw, "/echo", there, "connected", peers=1, disconnects=0)
    assert after["since_ms"] >= before["since_ms"]
    c = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    assert zrecv(s) == [b"x"]
    s.send(b"y")
    assert c.response().body == b"y"
