"""pubsub: clients that are too slow. What happens to them is what the location
says, is counted and told, and is nobody else's business."""
import json
import time

import pytest
import zmq

from harness import FACTOR, GatewayFailed, handshake, poll, zrecv
from publishing import WORKERS, joined, start


def slow_client(gw, topics="topic=A"):
    ws = gw.raw_ws("/prices?" + topics, {"Sec-WebSocket-Protocol": "zgate.v1"}, rcvbuf=4096)
    for _ in topics.split("&"):
        assert json.loads(ws.message()[1])["op"] == "subscribed"
    return ws


@pytest.mark.parametrize("workers", WORKERS)
def test_conflate(gateway, publisher, workers):
    """Of each topic the newest, in the order in which they came; what is left
    out is told before; then live again."""
    s, _ = publisher
    gw = start(gateway, publisher, workers, "overflow = conflate", "client_queue = 64k")
    slow, fast = slow_client(gw, "topic=A&topic=B"), gw.ws("/prices?topic=A")
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\x01A"], [b"\x01B"]]
    joined(gw, 2)
    rounds, topics = 300, [f"A.{i}" for i in range(9)] + ["B"]
    for i in range(rounds):
        for t in topics:
            s.send(f"{t} {i} ".encode() + b"x" * 2000)
        for t in topics[:-1]:
            assert fast.recv().startswith(f"{t} {i} ")
    gw.wait_counter("/prices", "received", rounds * len(topics))
    got, missed, last = 0, 0, dict.fromkeys(topics, -1)
    while min(last.values()) < rounds - 1:
        m = json.loads(slow.message()[1])
        if m["op"] == "gap":
            missed += m["missed"]
            continue
        n = int(m["data"].split()[0])
        assert n > last[m["topic"]]
        last[m["topic"]] = n
        got += 1
    assert got + missed == rounds * len(topics) and missed > 0
    counters = gw.counters("/prices")
    assert counters["conflated"] == counters["ws_dropped"] == missed
    s.send(b"B live")
    assert json.loads(slow.message()[1])["data"] == "live"


@pytest.mark.parametrize("workers", WORKERS)
def test_disconnect(gateway, publisher, workers):
    s, _ = publisher
    gw = start(gateway, publisher, workers, "overflow = disconnect", "client_queue = 64k")
    slow, fast = slow_client(gw), gw.ws("/prices?topic=A")
    zrecv(s)
    joined(gw, 2)
    i = 0
    while gw.counters("/prices")["ws_slow_closed"] == 0:
        for i in range(i, i + 100):
            s.send(b"A %d " % i + b"x" * 5000)
            assert fast.recv().startswith(f"A {i} ")
        i += 1
    expected = missed = 0
    while True:
        opcode, data = slow.message()
        if opcode == 8:
            break
        if json.loads(data)["op"] == "gap":
            missed = json.loads(data)["missed"]
            continue
        assert missed == 0
        assert int(json.loads(data)["data"].split()[0]) == expected  # whole up to there
        expected += 1
    assert data[:2] == (1008).to_bytes(2, "big") and b"too slow" in data
    assert missed == gw.counters("/prices")["ws_dropped"] > 0


@pytest.mark.parametrize("overflow", ["drop_oldest", "conflate"])
def test_max_rate(gateway, publisher, overflow):
    """A client gets no more a second than max_rate, and hears what it missed."""
    s, _ = publisher
    gw = start(gateway, publisher, 1, "max_rate = 20", "client_queue = 4k", f"overflow = {overflow}")
    client = gw.ws("/prices?topic=A", subprotocols=["zgate.v1"])
    client.recv_json()
    zrecv(s)
    total, got, missed = 2000, 0, 0
    began = time.monotonic()
    for i in range(total):
        s.send(b"A%d %d" % (i % 3, i))
    while got + missed < total:
        m = client.recv_json()
        if m["op"] == "gap":
            missed += m["missed"]
        else:
            got += 1
    took = time.monotonic() - began
    # a burst may come at once; what follows it waits for its moment
    assert missed > 0 and got < 20 * took + 300
    s.send(b"A0 last")
    assert client.recv_json()["data"] == "last"
    client.close()
    assert client.wait_closed() == 1000


def test_conflate_needs_topics(gateway):
    with pytest.raises(GatewayFailed) as e:
        gateway("[location /c]\nbridge = pair\npair = bind tcp://127.0.0.1:*\noverflow = conflate\n")
    assert "overflow: conflate is for bridges that know topics" in str(e.value)


def test_one_stalled_among_many(gateway, publisher):
    """Stalled clients cost the others neither a message nor their order."""
    s, _ = publisher
    gw = start(gateway, publisher, 1, "client_queue = 64k")
    stalled = [slow_client(gw) for _ in range(5)]
    others = [gw.ws("/prices?topic=A") for _ in range(50)]
    zrecv(s)
    for i in range(1000):
        s.send(b"A %d " % i + b"x" * 3000)
        if i % 50 == 49:
            for o in others:
                for k in range(i - 49, i + 1):
                    assert o.recv(20 * FACTOR).startswith(f"A {k} ")
    counters = gw.counters("/prices")
    assert counters["ws_dropped"] > 0 and counters["ws_queued_bytes"] <= 5 * 65536
    for ws in stalled:
        ws.close()
    poll(lambda: gw.counters("/prices")["clients"] == 50)
    assert gw.counters("/prices")["ws_queued_bytes"] == 0


@pytest.mark.parametrize("workers", WORKERS)
def test_permessage_deflate(gateway, publisher, workers):
    """Negotiated with who offers it; large messages are compressed, small ones
    are not, and all arrive as they are: both ways, among clients without it."""
    s, _ = publisher
    gw = start(gateway, publisher, workers, "max_body = 10m", "pub = bind tcp://127.0.0.1:*")
    with_it = [gw.ws("/prices?topic=A") for _ in range(4)] + [gw.ws("/prices?topic=A", subprotocols=["zgate.v1"])]
    without = [gw.ws("/prices?topic=A", compression=None) for _ in range(4)]
    assert all("permessage-deflate" in w.ws.response_headers["Sec-WebSocket-Extensions"] for w in with_it)
    assert not any(w.ws.extensions for w in without)
    assert with_it[4].recv_json()["op"] == "subscribed"
    zrecv(s)
    raw = gw.raw_ws("/prices?topic=A", {"Sec-WebSocket-Extensions": "permessage-deflate"})
    joined(gw, 10)
    for data in (b"small", b"x" * 100000, bytes(range(256)) * 200, "ä€".encode() * 5000, b"y" * 1100):
        s.send(b"A " + data)
        try:
            whole = (b"A " + data).decode()
        except UnicodeDecodeError:
            whole = b"A " + data
        assert all(w.recv() == whole for w in with_it[:4] + without)
        assert with_it[4].recv_json().get("data", "") == (whole[2:] if isinstance(whole, str) else "")
        head = raw.read(2)
        assert bool(head[0] & 0x40) == (len(data) > 1000)  # RSV1
        size = head[1] if head[1] < 126 else int.from_bytes(raw.read(2), "big")
        assert len(raw.read(size)) == size < 10000
    raw.close()
    sub = zmq_sub(gw, s)
    for data in ("x" * 1000000, "small", "z" * 20000):
        with_it[0].send("A " + data)
        assert zrecv(sub) == [b"A " + data.encode()]


def zmq_sub(gw, s):
    sub = s.context.socket(zmq.SUB)
    sub.subscribe(b"")
    sub.connect(gw.endpoint("/prices", "pub"))

    def heard():
        assert gw.http("POST", "/prices?topic=", b"warm").status == 202
        return sub.poll(50)
    poll(heard)
    while sub.poll(200):
        sub.recv()
    return sub


@pytest.mark.parametrize("offer, taken", [
    ("permessage-deflate", True), ("permessage-deflate; client_max_window_bits", True),
    ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True),
    ("permessage-deflate; server_max_window_bits=10", False), ("permessage-deflate; server_max_window_bits=15", True),
    ("permessage-deflate; client_max_window_bits=\"10\"", True), ("permessage-deflate; client_max_window_bits=16", False),
    ("permessage-deflate; x=1", False), ("x-webkit-deflate-frame", False), (";,;;=,", False),
    ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", False)])
def test_deflate_offers(gateway, publisher, offer, taken):
    gw = start(gateway, publisher, 1)
    c = gw.connect()
    c.send(handshake("/prices", gw.address, {"Sec-WebSocket-Extensions": offer}))
    head = c.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101") and (b"permessage-deflate" in head) == taken
