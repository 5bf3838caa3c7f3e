"""bridge = pair: one WebSocket to one PAIR peer."""
import threading

import pytest
import websockets
import zmq

from harness import RawWs, bind, free_endpoint, poll, zgate, zrecv

BOUND = """
    [location /console]
    bridge = pair
    pair   = bind tcp://127.0.0.1:*
"""


def connecting(endpoint, more=""):
    return f"""
    [location /console]
    bridge = pair
    pair   = connect {endpoint}
    {more}
"""


@pytest.fixture
def peer(zmq_context):
    """peer(gw) -> a PAIR socket connected to the bound location."""
    def connect(gw, hwm=1000):
        s = zmq_context.socket(zmq.PAIR)
        s.sndhwm = s.rcvhwm = hwm
        s.connect(gw.endpoint("/console", "pair"))
        gw.wait_peers("/console", "pair", 1)
        return s
    return connect


def leave(gw, sock):
    """Closes it when all it sent has arrived."""
    sock.close(linger=5000)
    gw.wait_peers("/console", "pair", 0)


def counter(gw, name):
    return gw.counters("/console")[name]


def refused(gw, path="/console", **options):
    with pytest.raises(websockets.InvalidStatusCode) as e:
        gw.ws(path, **options)
    return e.value.status_code


def test_text_and_binary_both_ways(gateway, zmq_context):
    s = zmq_context.socket(zmq.PAIR)
    gw = gateway(connecting(bind(s)))
    gw.wait_peers("/console", "pair", 1)
    with gw.ws("/console") as ws:
        for message in "Hello", "Wörld", "", b"\x00\xff", b"", "x" * 500000:
            ws.send(message)
            frame = message.encode() if isinstance(message, str) else message
            assert zrecv(s) == [frame]
        for frames, expected in (([b"text \xc3\xa9"], "text é"), ([b"\xff\x00"], b"\xff\x00"),
                                 ([b""], ""), ([b"a", b"b", b"\xff"], b"a b \xff"),
                                 ([b"y" * 500000], "y" * 500000)):
            s.send_multipart(frames)
            assert ws.recv() == expected
    assert (counter(gw, "to_peer"), counter(gw, "from_peer")) == (6, 5)
    assert counter(gw, "dropped") == 0


def test_one_client_at_a_time(gateway, peer):
    gw = gateway(BOUND)
    s = peer(gw)
    with gw.ws("/console") as first:
        assert refused(gw) == 409
        assert counter(gw, "refused_busy") == 1
        first.send("still mine")
        assert zrecv(s) == [b"still mine"]
    poll(lambda: gw.counters("/console")["ws_open"] == 0)
    with gw.ws("/console") as second:
        second.send("my turn")
        assert zrecv(s) == [b"my turn"]


def test_other_requests_are_refused(gateway):
    gw = gateway(BOUND)
    r = gw.http("GET", "/console")
    assert r.status == 426 and r.headers["Upgrade"] == "websocket"
    assert gw.http("POST", "/console", b"x").status == 405
    assert refused(gw, "/console/below") == 404
    assert refused(gw, subprotocols=["a", "b"]) == 400
    assert counter(gw, "refused_busy") == 0


def test_the_peers_messages_wait_for_the_next_client(gateway, peer):
    gw = gateway(BOUND)
    s = peer(gw)
    for i in range(100):
        s.send(b"early %d" % i)
    with gw.ws("/console") as ws:
        assert [ws.recv() for _ in range(100)] == [f"early {i}" for i in range(100)]


def test_a_clients_messages_wait_for_the_peer(gateway, zmq_context):
    endpoint = free_endpoint()
    gw = gateway(connecting(endpoint))
    with gw.ws("/console") as ws:
        for i in range(500):
            ws.send(f"early {i}")
        s = zmq_context.socket(zmq.PAIR)
        s.bind(endpoint)
        assert [zrecv(s)[0] for _ in range(500)] == [b"early %d" % i for i in range(500)]
        s.send(b"thanks")
        assert ws.recv() == "thanks"
    assert counter(gw, "held") == 0


def test_what_a_client_left_behind_is_still_delivered(gateway, peer):
    gw = gateway(BOUND)
    with gw.ws("/console") as ws:
        ws.send("last words")
        gw.wait_counter("/console", "held", 1)
    poll(lambda: gw.counters("/console")["ws_open"] == 0)
    with gw.ws("/console") as ws:
        ws.send("next")
        s = peer(gw)
        assert [zrecv(s), zrecv(s)] == [[b"last words"], [b"next"]]


def test_a_slow_peer_holds_the_client_back_and_nothing_is_lost(gateway, peer):
    gw = gateway(BOUND + "    client_queue = 256k\n")
    s = peer(gw, hwm=1)
    body, count = b"x" * 100000, 800
    ws = gw.raw_ws("/console")
    sender = threading.Thread(target=lambda: [
        ws.frame(ws.BINARY, b"%d " % i + body) for i in range(count)])
    sender.start()
    gw.wait_counter("/console", "held", 3)
    assert sender.is_alive()
    for i in range(count):
        assert zrecv(s) == [b"%d " % i + body]
        if i % 100 == 0:
            assert counter(gw, "held") <= 3
    sender.join()
    assert (counter(gw, "to_peer"), counter(gw, "dropped")) == (count, 0)


def test_a_slow_client_holds_the_peer_back_and_nothing_is_lost(gateway, peer):
    gw = gateway(BOUND)
    s = peer(gw, hwm=1)
    ws = RawWs(gw.address, "/console", rcvbuf=65536)
    body = b"x" * 100000
    sent = 0
    while s.poll(500, zmq.POLLOUT):
        s.send(b"%d " % sent + body)
        sent += 1
        assert sent < 3000, "a client that does not read takes everything"
    for i in range(sent):
        assert ws.message() == (ws.TEXT, b"%d " % i + body)
    s.send(b"end")
    assert ws.message() == (ws.TEXT, b"end")
    ws.close()
    assert counter(gw, "dropped") == 0


def test_many_small_messages_in_one_segment(gateway, peer):
    """The pause takes effect between messages that arrived together."""
    gw = gateway(BOUND)
    ws = gw.raw_ws("/console")
    ws.send(b"".join(b"\x81\x84\0\0\0\0%04d" % i for i in range(3000)))
    gw.wait_counter("/console", "held", 1000)
    assert counter(gw, "ws_received") == 1000
    s = peer(gw)
    assert [zrecv(s)[0] for _ in range(3000)] == [b"%04d" % i for i in range(3000)]
    assert counter(gw, "dropped") == 0


def held_back(gw):
    """A client that sent more than waits for the peer."""
    ws = gw.raw_ws("/console")
    for i in range(6):
        ws.frame(ws.BINARY, b"%d" % i + b"x" * 999)
    gw.wait_counter("/console", "held", 5)
    return ws


def test_a_client_that_is_held_back_may_stay(gateway, peer):
    gw = gateway(BOUND + "    client_queue = 4k\n    ping = 1s\n")
    ws = held_back(gw)
    for _ in range(3):
        opcode, payload = ws.message()
        assert opcode == ws.PING
        ws.frame(ws.PONG, payload)
    s = peer(gw)
    assert [zrecv(s)[0][:1] for _ in range(6)] == [b"%d" % i for i in range(6)]
    s.send(b"at last")
    assert ws.message() == (ws.TEXT, b"at last")


def test_a_client_that_is_held_back_and_vanishes_gives_way(gateway):
    gw = gateway(BOUND + "    client_queue = 4k\n    ping = 1s\n")
    held_back(gw).close()
    poll(lambda: gw.counters("/console")["ws_open"] == 0)
    gw.raw_ws("/console")


@pytest.mark.parametrize("watched", [True, False])
def test_a_bound_pair_takes_the_peer_back(gateway, peer, watched):
    """libzmq's PAIR would refuse the next connection while messages of the
    last one are unread."""
    gw = gateway(BOUND)
    ws = gw.ws("/console") if watched else None
    for n in range(3):
        s = peer(gw)
        s.send(b"from %d" % n)
        leave(gw, s)
    s = peer(gw)
    s.send(b"from 3")
    ws = ws or gw.ws("/console")
    assert [ws.recv() for _ in range(4)] == [f"from {n}" for n in range(4)]
    ws.send("hello again")
    assert zrecv(s) == [b"hello again"]
    assert (counter(gw, "dropped"), counter(gw, "waiting")) == (0, 0)


def test_what_a_peer_left_behind_is_limited(gateway, peer):
    gw = gateway(BOUND + "    client_queue = 10k\n")
    s = peer(gw)
    for i in range(30):
        s.send(b"%02d" % i + b"x" * 998)
    leave(gw, s)
    gw.wait_counter("/console", "dropped", 20)
    assert gw.wait_log(r"warn.* /console: messages of the peer are dropped")
    kept = 30 - counter(gw, "dropped")
    assert kept == counter(gw, "waiting") == 9 or kept == 10
    with gw.ws("/console") as ws:
        assert [int(ws.recv()[:2]) for _ in range(kept)] == list(range(kept))


def test_a_connecting_pair_loses_nothing_when_the_peer_comes_back(gateway, zmq_context):
    endpoint = free_endpoint()
    gw = gateway(connecting(endpoint))
    for n in range(3):
        s = zmq_context.socket(zmq.PAIR)
        poll(lambda: not bound(s, endpoint))
        gw.wait_peers("/console", "pair", 1)
        s.send(b"from %d" % n)
        leave(gw, s)
    with gw.ws("/console") as ws:
        assert [ws.recv() for _ in range(3)] == [f"from {n}" for n in range(3)]
        ws.send("while nobody is there")
        s = zmq_context.socket(zmq.PAIR)
        poll(lambda: not bound(s, endpoint))
        assert zrecv(s) == [b"while nobody is there"]
        s.send(b"back")
        assert ws.recv() == "back"
    assert counter(gw, "dropped") == 0


def bound(sock, endpoint):
    """None, or why not: the port may be in use a moment longer."""
    try:
        sock.bind(endpoint)
    except zmq.ZMQError as e:
        return e


def test_a_message_too_large_for_the_peer_or_the_client(gateway, peer):
    gw = gateway(BOUND + "    max_body = 1k\n    client_queue = 4k\n")
    s = peer(gw)
    ws = gw.ws("/console")
    s.send(b"x" * 4096)
    assert ws.recv() == "x" * 4096
    ws.send("x" * 1024)
    assert zrecv(s) == [b"x" * 1024]
    ws.send("x" * 1025)
    assert ws.wait_closed() == 1009


def test_messages_that_wait_at_the_stop_are_reported(gateway):
    gw = gateway(BOUND)
    ws = gw.ws("/console")
    ws.send("nobody there")
    gw.wait_counter("/console", "held", 1)
    assert gw.stop() == 0
    assert gw.wait_log(r"warn.* /console: 1 messages .* discarded")


def test_two_endpoints_to_connect_to_are_an_error(tmp_path):
    ini = tmp_path / "gateway.ini"
    ini.write_text(connecting("tcp://127.0.0.1:1 tcp://127.0.0.1:2").replace("    ", ""))
    r = zgate("-t", "-c", str(ini))
    assert r.returncode == 1 and "[location /console] pair: a PAIR has one peer" in r.stderr


def test_an_idle_client_that_answers_pings_stays(gateway):
    """Regression: libwebsockets tells of no empty pong, so the gateway's pings
    went unanswered as far as it knew."""
    gw = gateway(BOUND + "    ping = 1s\n")
    good, silent = gw.ws("/console"), None
    with pytest.raises(TimeoutError):
        good.recv(3.5)
    good.ping()
    good.close()
    silent = gw.raw_ws("/console")
    opcode, payload = silent.message()
    assert (opcode, len(payload)) == (9, 1)
    assert silent.close_code() == 1006
    assert gw.counters("/console")["ws_slow_closed"] == 1
