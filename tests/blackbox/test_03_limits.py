"""Limits: connections, descriptors, and the queues of slow WebSocket clients."""
import resource

import pytest
import zmq

from harness import FACTOR, GatewayFailed, RawWs, poll, zrecv

GET = "GET /status HTTP/1.1\r\nHost: x\r\n\r\n"


def ask(c):
    """/status over a connection that is open already."""
    r = c.send(GET).response()
    assert r.status == 200
    return r.json()


def test_max_connections(gateway):
    gw = gateway("""
        [gateway]
        max_connections = 10
        [location /feed]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
    """)
    clients = [gw.connect() for _ in range(6)]
    for c in clients:
        ask(c)
    sockets = [gw.ws("/feed") for _ in range(4)]
    # the eleventh is told so, whatever it is and although it has not spoken yet
    for _ in range(5):
        c = gw.connect()
        r = c.response()
        assert r.status == 503 and int(r.headers["Retry-After"]) >= 1
        assert r.headers["Content-Type"] == "application/problem+json" and r.json()["detail"]
        assert c.closed()
    # those within the limit notice nothing
    for s in sockets:
        s.ping()
    worker = ask(clients[0])["worker"]
    assert worker["connections_refused"] == 5 and worker["connections_open"] >= 10
    for freed in (clients.pop().close, sockets.pop().close, clients.pop().reset):
        freed()
        poll(lambda: ask(clients[0])["worker"]["connections_open"] <= 9)
        c = gw.connect()
        ask(c)
        clients.append(c)


def test_no_descriptor_left(gateway, zmq_context):
    """Accepting pauses; who is connected notices nothing; it goes on when
    descriptors are free again."""
    gw = gateway("""
        [location /echo]
        bridge = reqrep
        req = bind tcp://127.0.0.1:*
        [location /feed]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
    """)
    rep = zmq_context.socket(zmq.REP)
    rep.connect(gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    late = gw.endpoint("/feed", "sub")
    ws = gw.ws("/feed")
    _, hard = resource.prlimit(gw.pid, resource.RLIMIT_NOFILE)
    limit = max(gw.open_fds()) + 8
    resource.prlimit(gw.pid, resource.RLIMIT_NOFILE, (limit, hard))
    served, waiting = [], None
    while waiting is None:
        c = gw.connect().send(GET)
        try:
            assert c.response(timeout=0.5 * FACTOR).status == 200
            served.append(c)
        except TimeoutError:
            waiting = c
        assert len(served) < 40
    assert len(served) >= 3
    gw.wait_log(" warn .*accepting pauses.*Too many open files")
    pub = zmq_context.socket(zmq.PUB)
    pub.connect(late)  # libzmq has no descriptor for it either
    for _ in range(3):
        c = served[0].send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        rep.send(b"".join(zrecv(rep)))
        assert c.response().body == b"hi"
        ws.ping()
    assert ask(served[0])["worker"]["accept_paused"] >= 1
    while len(served) > 1:
        served.pop().close()
    assert waiting.response().status == 200, "who waited is served"
    gw.wait_peers("/feed", "sub", 1)
    poll(lambda: pub.send(b"news") or ws.recv() == "news")
    assert gw.http("GET", "/status").status == 200
    assert sum("accepting pauses" in line for line in gw.log) < 5, "the log is not flooded"


def test_a_low_descriptor_limit_from_the_start(gateway, zmq_context):
    """Clients cannot take what ZeroMQ and files need."""
    gw = gateway("""
        [location /echo]
        bridge = reqrep
        req = bind tcp://127.0.0.1:*
        [location /page]
        bridge = static
        root = html
    """, nofile=256)
    endpoint = gw.endpoint("/echo", "req")
    clients = [gw.connect() for _ in range(300)]
    # all have been accepted or refused, or accepting has paused
    poll(lambda: sum(ask(clients[0])["worker"][k] for k in ("connections_refused", "accept_paused")) > 0)
    rep = zmq_context.socket(zmq.REP)
    rep.connect(endpoint)
    poll(lambda: gw.socket("/echo", "req", ask(clients[0]))["peers"] == 1)
    c = clients[1].send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    rep.send(b"".join(zrecv(rep)))
    assert c.response().body == b"hi"
    for c in clients[2:]:
        c.close()
    poll(lambda: ask(clients[0])["worker"]["connections_open"] <= 2)
    ask(gw.connect())


def test_too_few_descriptors_to_start_is_said(gateway):
    with pytest.raises(GatewayFailed) as e:
        gateway("[location /echo]\nbridge = reqrep\nreq = bind tcp://127.0.0.1:*\n", nofile=12)
    assert e.value.code == 1
    assert any("open files" in line for line in e.value.log)


FEED = """
[location /feed]
bridge       = pubsub
sub          = bind tcp://127.0.0.1:*
client_queue = 64k
overflow     = {}
"""


def flood(gw, pub, fast, size, until, start=0):
    """Publishes numbered messages of that size, and reads each by a fast
    client, until it is enough; how many. No client can miss one for want of
    time: the next ten go out when the last ten have arrived."""
    n = start
    while not until():
        for _ in range(10):
            pub.send(b"%08d " % n + b"x" * size)
            n += 1
        for i in range(n - 10, n):
            assert fast.recv()[:8] == f"{i:08}"
        assert n < start + 20000, "the slow client was never noticed"
    return n


def prepare(gw, zmq_context):
    pub = zmq_context.socket(zmq.PUB)
    pub.connect(gw.endpoint("/feed", "sub"))
    gw.wait_peers("/feed", "sub", 1)
    fast = gw.ws("/feed")
    # wait until what it subscribes to has reached the PUB
    poll(lambda: pub.send(b"probe") or has_message(fast))
    pub.send(b"start")
    while fast.recv() != "start":
        pass
    return pub, fast


def has_message(ws):
    try:
        return ws.recv(0.1)
    except TimeoutError:
        return None


def memory(gw):
    return gw.status()["memory_bytes"]


def test_drop_oldest_drops_the_oldest(gateway, zmq_context):
    gw = gateway(FEED.format("drop_oldest"))
    pub, fast = prepare(gw, zmq_context)
    slow = gw.raw_ws("/feed", rcvbuf=4096)
    gw.wait_counter("/feed", "ws_open", 2)
    before = memory(gw)
    sent = flood(gw, pub, fast, 4000, lambda: gw.counters("/feed")["ws_dropped"] >= 100)
    counts = gw.counters("/feed")
    assert counts["ws_slow_closed"] == 0 and counts["ws_open"] == 2
    assert counts["ws_queued_bytes"] <= 64 << 10, "never more than client_queue"
    assert memory(gw) - before < (16 << 20) * FACTOR
    # now it reads: whole messages, in order, something missing, and the newest is there
    got = []
    while not got or got[-1] < sent - 1:
        opcode, payload = slow.message()
        assert opcode == RawWs.TEXT and len(payload) == 4009
        got.append(int(payload[:8]))
    assert got == sorted(set(got)) and got[0] == 0
    dropped = gw.counters("/feed")["ws_dropped"]
    assert sent - len(got) == dropped >= 100, "every lost message is counted, no other"
    # it has caught up, and misses nothing any more
    pub.send(b"after")
    assert slow.message() == (RawWs.TEXT, b"after") and fast.recv() == "after"
    assert gw.counters("/feed")["ws_dropped"] == dropped


def test_disconnect_cuts_the_slow_client_off(gateway, zmq_context):
    gw = gateway(FEED.format("disconnect"))
    pub, fast = prepare(gw, zmq_context)
    slow = gw.raw_ws("/feed", rcvbuf=4096)
    gw.wait_counter("/feed", "ws_open", 2)
    sent = flood(gw, pub, fast, 4000, lambda: gw.counters("/feed")["ws_slow_closed"] == 1)
    gw.wait_status(lambda s: gw.location("/feed", s)["counters"]["ws_open"] == 1)
    flood(gw, pub, fast, 100, iter([False, False, True]).__next__, sent)
    # what it reads is whole and without a gap, then the connection ends
    got = []
    try:
        while True:
            opcode, payload = slow.message()
            if opcode == RawWs.CLOSE:
                break
            got.append(int(payload[:8]))
    except (EOFError, ConnectionResetError):
        pass
    assert got == list(range(len(got)))


def test_many_slow_clients_cost_bounded_memory(gateway, zmq_context):
    gw = gateway(FEED.format("drop_oldest"))
    pub, fast = prepare(gw, zmq_context)
    before = memory(gw)
    slow = [gw.raw_ws("/feed", rcvbuf=4096) for _ in range(50)]
    gw.wait_counter("/feed", "ws_open", 51)
    flood(gw, pub, fast, 16000, lambda: gw.counters("/feed")["ws_dropped"] >= 50 * 20)
    assert gw.counters("/feed")["ws_queued_bytes"] <= 51 * 64 << 10
    assert memory(gw) - before < (32 << 20) * FACTOR
    for s in slow:
        s.reset()
    gw.wait_status(lambda s: gw.location("/feed", s)["counters"]["ws_open"] == 1)
    assert gw.counters("/feed")["ws_queued_bytes"] == 0
