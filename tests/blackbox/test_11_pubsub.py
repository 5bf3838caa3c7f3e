"""pubsub: PUB peers to WebSocket clients, and what clients publish to SUB
peers. The publisher is an XPUB where a test has to know when a subscription has
arrived, for it shows them; else it is a PUB that keeps on sending."""
import base64
import json
import re
import threading

import pytest
import websockets
import zmq

from harness import FACTOR, bind, free_endpoint, handshake, poll, zrecv

V1 = "zgate.v1"
PATIENT = 20 * FACTOR


def location(sub, *lines):
    return "\n".join(["[location /prices]", "bridge = pubsub", f"sub = {sub}", *lines, ""])


@pytest.fixture(params=[1, 2])
def gw(gateway, publisher, request):
    """A gateway that subscribes to the publisher and publishes."""
    gw = gateway(f"[gateway]\nworkers = {request.param}\n" +
                 location("connect " + publisher[1], "pub = bind tcp://127.0.0.1:*"))
    gw.wait_peers("/prices", "sub", 1)
    return gw


@pytest.fixture
def subscriber(zmq_context, gw):
    """A SUB to which what the gateway publishes gets through."""
    s = zmq_context.socket(zmq.SUB)
    s.subscribe(b"")
    s.connect(gw.endpoint("/prices", "pub"))

    def warm():
        assert gw.http("POST", "/prices?topic=", b"warm").status == 202
        return s.poll(50)
    poll(warm)
    s.recv()
    return s


def v1(gw, path="/prices"):
    return gw.ws(path, subprotocols=[V1])


def recv(ws):
    """The next message, without its cursor, which has to be one."""
    message = ws.recv_json()
    if message["op"] in ("message", "subscribed"):
        assert re.fullmatch(r"[0-9a-f]+-[0-9]+-[0-9]+", message.pop("cursor"))
    return message


def ask(ws, **message):
    ws.send_json(message)
    return recv(ws)


def subscribe(ws, *topics):
    for t in topics:
        assert ask(ws, op="subscribe", topic=t) == {"op": "subscribed", "topic": t}


# ---- receiving, without subprotocol ----

def test_topics_byte_for_byte(gw, publisher):
    s, _ = publisher
    a = gw.ws("/prices?topic=A")
    assert zrecv(s) == [b"\x01A"]
    b = gw.ws("/prices?topic=B")
    assert zrecv(s) == [b"\x01B"]
    for i in range(500):
        s.send(b"A %d" % i)
        s.send(b"B %d" % i)
        s.send(b"C %d" % i)
    for i in range(500):
        assert a.recv() == f"A {i}"
        assert b.recv() == f"B {i}"
    assert gw.counters("/prices")["received"] == 1000  # C was never asked for


def test_text_binary_and_frames(gw, publisher):
    s, _ = publisher
    ws = gw.ws("/prices")
    assert zrecv(s) == [b"\x01"]
    for frames in ([b""], ["käse €".encode()], [b"\xff\x00"], [b"A", b"B", b""], [b"A", b"\xc3", b"\xa4"],
                   [b"x" * 70000], [b"y" * 200, b"\x80"], [b"z"] * 64):
        s.send_multipart(frames)
        whole = b" ".join(frames)
        try:
            whole = whole.decode()
        except UnicodeDecodeError:
            pass
        assert ws.recv() == whole


def test_prefixes_match_and_each_message_comes_once(gw, publisher):
    s, _ = publisher
    ws = gw.ws("/prices?topic=A&topic=AB&topic=A&topic=%20x")
    assert sorted(zrecv(s) for _ in range(3)) == [[b"\x01 x"], [b"\x01A"], [b"\x01AB"]]
    for m in (b"ABC 1", b"A", b"B 1", b" x y", b"AC"):
        s.send(m)
    assert [ws.recv() for _ in range(4)] == ["ABC 1", "A", " x y", "AC"]


def test_upstream_subscriptions_follow_the_clients(gw, publisher):
    s, _ = publisher
    first = gw.ws("/prices?topic=A")
    assert zrecv(s) == [b"\x01A"]
    second = gw.ws("/prices?topic=A&topic=B")
    assert zrecv(s) == [b"\x01B"]
    assert gw.counters("/prices")["subscriptions"] == 2
    first.close()
    gw.wait_status(lambda x: gw.location("/prices", x)["counters"]["clients"] == 1)
    s.send(b"A still")
    assert second.recv() == "A still"
    second.close()
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\x00A"], [b"\x00B"]]
    gw.wait_status(lambda x: gw.location("/prices", x)["counters"]["clients"] == 0)
    assert gw.counters("/prices")["subscriptions"] == 0


def test_publisher_starts_later_and_again(gateway, zmq_context):
    endpoint = free_endpoint()
    gw = gateway(location("connect " + endpoint))
    ws = gw.ws("/prices?topic=A")
    for i in range(3):
        s = zmq_context.socket(zmq.XPUB)
        s.bind(endpoint)
        assert zrecv(s) == [b"\x01A"]
        s.send(b"A %d" % i)
        assert ws.recv() == f"A {i}"
        s.close()
        gw.wait_peers("/prices", "sub", 0)


def test_plain_pub_in_two_lives(gateway, worker_process):
    endpoint = free_endpoint()
    code = """
    s = ctx.socket(zmq.PUB)
    s.bind(args[0])
    for i in range(10 ** 9):
        s.send(b"A %d" % i)
        s.send(b"B %d" % i)
        time.sleep(0.002)
    """
    gw = gateway(location("connect " + endpoint))
    ws = gw.ws("/prices?topic=A")
    for _ in range(2):
        p = worker_process(code, endpoint)
        first = poll(lambda: int(ws.recv().split()[1]))
        for i in range(first + 1, first + 100):
            assert ws.recv() == f"A {i}"
        p.kill()
        gw.wait_peers("/prices", "sub", 0)
        ws.close()
        ws = gw.ws("/prices?topic=A")


# ---- zgate.v1 ----

def test_v1_subscribe_and_messages(gw, publisher):
    s, _ = publisher
    ws = v1(gw)
    assert ws.subprotocol == V1
    assert ask(ws, op="subscribe", topic="A", id=1) == {"op": "subscribed", "topic": "A", "id": 1}
    assert zrecv(s) == [b"\x01A"]
    subscribe(ws, "A", "\u20ac")
    for frames, topic, data in (
            ([b"A 0"], "A", "0"), ([b"A"], "A", ""), ([b"AB  two  "], "AB", " two  "),
            ([b"A", b"x"], "A", "x"), ([b"A b", b"x", b"y z", b""], "A b", "x y z "),
            (["\u20ac \"\\\n\x01".encode()], "\u20ac", "\"\\\n\x01")):
        s.send_multipart(frames)
        assert recv(ws) == {"op": "message", "topic": topic, "data": data}
    for n in range(5):
        data = b"\xff" + b"x" * n
        s.send_multipart([b"A", data])
        assert recv(ws) == {"op": "message", "topic": "A",
                                  "data64": base64.b64encode(data).decode()}
    s.send(b"A\xff x")
    assert recv(ws) == {"op": "message", "topic64": base64.b64encode(b"A\xff").decode(),
                              "data": "x"}


def test_v1_unsubscribe(gw, publisher):
    s, _ = publisher
    ws = v1(gw)
    subscribe(ws, "A", "B")
    assert [zrecv(s), zrecv(s)] == [[b"\x01A"], [b"\x01B"]]
    assert ask(ws, op="unsubscribe", topic="A", id="x") == {"op": "unsubscribed", "topic": "A", "id": "x"}
    assert zrecv(s) == [b"\x00A"]
    assert ask(ws, op="unsubscribe", topic="never")["op"] == "unsubscribed"
    s.send(b"A 1")
    s.send(b"B 1")
    assert ws.recv_json()["topic"] == "B"
    assert ask(ws, op="unsubscribe", topic="B")["op"] == "unsubscribed"
    assert zrecv(s) == [b"\x00B"]
    assert ask(ws, op="ping", id=-7) == {"op": "pong", "id": -7}


def test_v1_topics_of_the_query(gw, publisher):
    s, _ = publisher
    ws = v1(gw, "/prices?topic=A&topic=B")
    assert [ws.recv_json()["topic"], ws.recv_json()["topic"]] == ["A", "B"]
    s.send(b"A 1")
    poll(lambda: s.poll(0))
    zrecv(s), zrecv(s)
    s.send(b"B 1")
    assert poll(lambda: ws.recv_json())["data"] == "1"


def test_clients_that_share_and_part(gw, publisher):
    """Clients with the same topics share their encoding; one that changes its
    topics, or leaves, changes nothing for the others."""
    s, _ = publisher
    clients = [v1(gw) for _ in range(4)]
    for c in clients:
        subscribe(c, "A", "B")
    raw = gw.ws("/prices?topic=A&topic=B")
    assert [zrecv(s), zrecv(s)] == [[b"\x01A"], [b"\x01B"]]
    subscribe(clients[0], "C")
    assert zrecv(s) == [b"\x01C"]
    assert ask(clients[1], op="unsubscribe", topic="A")["op"] == "unsubscribed"
    clients[2].close()
    for m in (b"A 1", b"B 1", b"C 1"):
        s.send(m)
    got = [[c.recv_json()["topic"] for _ in range(n)] for c, n in ((clients[0], 3), (clients[1], 1),
                                                                  (clients[3], 2))]
    assert got == [["A", "B", "C"], ["B"], ["A", "B"]]
    assert [raw.recv(), raw.recv()] == ["A 1", "B 1"]
    for c in clients:
        c.close()
    raw.close()
    assert sorted(zrecv(s)[0] for _ in range(3)) == [b"\x00A", b"\x00B", b"\x00C"]


def test_v1_many_topics(gw, publisher):
    s, _ = publisher
    ws = v1(gw)
    for i in range(4096):
        ws.send_json({"op": "subscribe", "topic": f"t{i};"})
    for i in range(4096):
        assert ws.recv_json()["topic"] == f"t{i};"
    assert ask(ws, op="subscribe", topic="more", id=1)["code"] == "too_many"
    assert gw.counters("/prices")["subscriptions"] == 4096
    for _ in range(4096):
        zrecv(s)
    s.send(b"t4095; x")
    assert recv(ws) == {"op": "message", "topic": "t4095;", "data": "x"}
    ws.close()
    gw.wait_status(lambda x: gw.location("/prices", x)["counters"]["subscriptions"] == 0)


BAD = [
    ("nonsense", "bad_request"), ("", "bad_request"), ("[]", "bad_request"), ("{}", "bad_request"),
    ('{"op":1}', "bad_request"), ('{"op":"fly"}', "unknown_op"), ('{"op":"ping","op":"ping"}', "bad_request"),
    ('{"op":"subscribe"}', "bad_request"), ('{"op":"subscribe","topic":1}', "bad_request"),
    ('{"op":"subscribe","topic":null}', "bad_request"), ('{"op":"subscribe","topic":"\\u0000"}', "bad_request"),
    (json.dumps({"op": "subscribe", "topic": "x" * 513}), "bad_request"),
    ('{"op":"subscribe","topic":"A","since":"1"}', "bad_request"),
    ('{"op":"ping","id":1.5}', "bad_request"), ('{"op":"ping","id":{}}', "bad_request"),
    ('{"op":"ping","id":99999999999999999999}', "bad_request"),
    (json.dumps({"op": "ping", "id": "x" * 65}), "bad_request"),
    ('{"op":"publish","topic":"A"}', "bad_request"), ('{"op":"publish","data":"A"}', "bad_request"),
    ('{"op":"publish","topic":"A","data":1}', "bad_request"),
    ('{"op":"publish","topic":"A","data":"x","data64":""}', "bad_request"),
    ('{"op":"publish","topic":"A","data64":"a"}', "bad_request"),
    ('{"op":"publish","topic":"A","data64":"===="}', "bad_request"),
    ('{"op":"publish","topic":"A","data64":"ab c"}', "bad_request"),
    (b'{"op":"ping"}', "bad_request"), ("[" * 3000, "bad_request"),
]


def test_v1_errors(gw):
    ws = v1(gw)
    for message, code in BAD:
        ws.send(message)
        answer = ws.recv_json()
        assert (answer["op"], answer["code"]) == ("error", code), message
        assert answer["detail"]
    assert ask(ws, op="fly", id="my id")["id"] == "my id"
    assert ask(ws, op="ping") == {"op": "pong"}
    assert gw.counters("/prices")["errors"] == len(BAD) + 1


def test_v1_too_many_errors_in_a_row(gw):
    ws = v1(gw)
    for _ in range(64):
        assert ask(ws, op="fly")["code"] == "unknown_op"
    assert ask(ws, op="ping") == {"op": "pong"}  # makes up for them
    for _ in range(65):
        ws.send("nonsense")
    for _ in range(65):
        assert ws.recv_json()["code"] == "bad_request"
    assert ws.wait_closed() == 1008


def test_v1_gap(gateway, publisher):
    """What a slow client lost is counted, and the client is told how much."""
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "client_queue = 64k"))
    ws = gw.raw_ws("/prices?topic=A", {"Sec-WebSocket-Protocol": V1}, rcvbuf=4096)
    assert json.loads(ws.message()[1])["op"] == "subscribed"
    assert zrecv(s) == [b"\x01A"]
    total = 3000
    for i in range(total):
        s.send(b"A %d " % i + b"x" * 5000)
    gw.wait_counter("/prices", "received", total)
    dropped = gw.counters("/prices")["ws_dropped"]
    assert dropped > 0
    numbers, missed, expected = [], 0, 0
    while expected < total:
        message = json.loads(ws.message()[1])
        if message["op"] == "gap":
            missed += message["missed"]
            expected += message["missed"]
            continue
        numbers.append(int(message["data"].split()[0]))
        assert numbers[-1] == expected  # the gap said exactly what is missing here
        expected += 1
    assert missed == dropped and len(numbers) + missed == total


# ---- publishing ----

def test_post_publishes(gw, subscriber):
    r = gw.http("POST", "/prices?topic=A", b"17")
    assert (r.status, r.json()) == (202, {"published": True})
    assert zrecv(subscriber) == [b"A 17"]
    for path, body, sent in (("?topic=", b"as it is", b"as it is"), ("?topic=%20b+c", b"\xff", b" b c \xff"),
                             ("?topic=A", b"", b"A "), ("?x=1&topic=A", b"y", b"A y")):
        assert gw.http("POST", "/prices" + path, body).status == 202
        assert zrecv(subscriber) == [sent]
    for path in ("", "?topic=A&topic=B", "?topic=%zz", "?topic=" + "x" * 513):
        assert gw.http("POST", "/prices" + path, b"x").status == 400, path
    assert gw.counters("/prices")["published"] >= 6


def test_websockets_publish(gw, subscriber):
    raw = gw.ws("/prices?topic=none")
    raw.send("A text")
    assert zrecv(subscriber) == [b"A text"]
    raw.send(b"\x00\xff")
    assert zrecv(subscriber) == [b"\x00\xff"]
    ws = v1(gw)
    assert ask(ws, op="publish", topic="A", data="x", id=2) == {"op": "published", "id": 2}
    assert zrecv(subscriber) == [b"A x"]
    for data in (b"", b"\xff", b"\x00\x01", b"abc", b"\xff" * 1000):
        assert ask(ws, op="publish", topic="A", data64=base64.b64encode(data).decode()) == {"op": "published"}
        assert zrecv(subscriber) == [b"A " + data]


def test_multipart_framing(gateway, publisher, zmq_context):
    s = zmq_context.socket(zmq.SUB)
    s.subscribe(b"")
    endpoint = bind(s)
    gw = gateway(location("connect " + publisher[1], "pub = connect " + endpoint, "framing = multipart"))

    def warm():
        gw.http("POST", "/prices?topic=w", b"")
        return s.poll(50)
    poll(warm)
    assert zrecv(s) == [b"w", b""]
    gw.http("POST", "/prices?topic=A", b"17 18")
    message = zrecv(s)
    while message[0] == b"w":
        message = zrecv(s)
    assert message == [b"A", b"17 18"]
    assert ask(v1(gw), op="publish", topic="", data="x") == {"op": "published"}
    assert zrecv(s) == [b"", b"x"]
    gw.ws("/prices").send("raw is one frame")
    assert zrecv(s) == [b"raw is one frame"]


def test_without_pub(gateway, publisher):
    gw = gateway(location("connect " + publisher[1]))
    r = gw.http("POST", "/prices?topic=A", b"x")
    assert r.status == 405 and r.headers["Allow"] == "GET"
    assert ask(v1(gw), op="publish", topic="A", data="x")["code"] == "not_configured"
    ws = gw.ws("/prices")
    ws.send("x")
    assert ws.wait_closed() == 1008


# ---- what is refused ----

def test_get_without_websocket(gw):
    r = gw.http("GET", "/prices?topic=A")
    assert r.status == 426 and r.headers["Upgrade"] == "websocket"
    assert f"new WebSocket(\"ws://127.0.0.1:{gw.port}/prices" in r.json()["detail"]


def refused(gw, path, **options):
    with pytest.raises(websockets.InvalidStatusCode) as e:
        gw.ws(path, **options)
    return e.value.status_code


def test_handshakes_refused(gw):
    many = "&".join(f"topic={i}" for i in range(257))
    assert refused(gw, "/prices", subprotocols=["soap"]) == 400
    assert refused(gw, "/prices?" + many) == 400
    assert refused(gw, "/prices?topic=" + "x" * 513) == 400
    assert refused(gw, "/prices?topic=%zz") == 400
    assert refused(gw, "/prices?topic=%ff", subprotocols=[V1]) == 400
    assert gw.ws("/prices", subprotocols=["soap", V1]).subprotocol == V1
    gw.ws("/prices?" + many[:many.rindex("&")])
    gw.ws("/prices?topic=" + "x" * 512)
    gw.ws("/prices?topic=%ff")


def test_topics_allowed(gateway, publisher):
    s, endpoint = publisher
    gw = gateway(location("connect " + endpoint, "topics = A BB", "topics = C"))
    gw.wait_peers("/prices", "sub", 1)
    for topic in ("B", "D", "a"):
        assert refused(gw, "/prices?topic=" + topic) == 403
    assert refused(gw, "/prices?topic=A&topic=D") == 403
    everything = gw.ws("/prices")
    assert sorted(zrecv(s) for _ in range(3)) == [[b"\x01A"], [b"\x01BB"], [b"\x01C"]]
    ws = v1(gw)
    assert ask(ws, op="subscribe", topic="D", id=1)["code"] == "forbidden"
    subscribe(ws, "A", "", "AX")
    assert zrecv(s) == [b"\x01AX"]
    assert ask(ws, op="unsubscribe", topic="")["op"] == "unsubscribed"  # A by name stays
    for m in (b"A 1", b"B 1", b"BB 1", b"C 1", b"A 2"):
        s.send(m)
    assert [everything.recv() for _ in range(4)] == ["A 1", "BB 1", "C 1", "A 2"]
    assert [ws.recv_json()["data"] for _ in range(2)] == ["1", "2"]
    everything.close()
    assert sorted(zrecv(s) for _ in range(2)) == [[b"\x00BB"], [b"\x00C"]]


# ---- as a whole ----

def test_clients_come_and_go_under_load(gw, publisher):
    s, _ = publisher
    stop, count = threading.Event(), [0]

    def publish():
        while not stop.is_set():
            s.send(b"A %d" % count[0])
            count[0] += 1
            stop.wait(0.0005)
    steady = gw.ws("/prices?topic=A")
    assert zrecv(s) == [b"\x01A"]
    thread = threading.Thread(target=publish)
    thread.start()
    try:
        last = None
        for i in range(30):
            c = v1(gw) if i % 2 else gw.raw_ws("/prices?topic=A")
            if i % 2:
                subscribe(c, "A")
                c.close()
            else:
                c.message()
                c.reset()
            number = int(steady.recv().split()[1])
            assert last is None or number == last + 1
            last = number
    finally:
        stop.set()
        thread.join()
    while last < count[0] - 1:
        number = int(steady.recv().split()[1])
        assert number == last + 1
        last = number


def test_thousand_messages_to_many_clients(gw, publisher):
    s, _ = publisher
    clients = [gw.ws("/prices?topic=A") for _ in range(20)] + [v1(gw) for _ in range(20)]
    for c in clients[20:]:
        subscribe(c, "A")
    assert zrecv(s) == [b"\x01A"]
    for i in range(1000):
        s.send(b"A %d" % i)
    for c in clients[:20]:
        assert [c.recv(PATIENT) for _ in range(1000)] == [f"A {i}" for i in range(1000)]
    for c in clients[20:]:
        assert [c.recv_json(PATIENT)["data"] for _ in range(1000)] == [str(i) for i in range(1000)]
    assert gw.counters("/prices")["ws_dropped"] == 0




def test_many_subscriptions_in_one_moment(gw, publisher):
    """Regression: libzmq drops subscriptions over the send high-water mark."""
    s, _ = publisher
    per, clients = 200, 40
    conns = [gw.connect() for _ in range(clients)]
    for i, c in enumerate(conns):
        c.send(handshake("/prices?" + "&".join(f"topic=t{i}.{k};" for k in range(per)), gw.address))
    for c in conns:
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
    assert len({zrecv(s)[0] for _ in range(per * clients)}) == per * clients
    for c in conns:
        c.sock.close()
    assert all(zrecv(s)[0][:1] == b"\0" for _ in range(per * clients))
