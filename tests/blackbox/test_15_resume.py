"""pubsub: resuming by cursor, last values, event streams and long polls. Each
kind of client is asked the same: every message once, in order, without a hole,
wherever it was cut off, and told what it missed."""
import json
import random
import re

import pytest

from harness import FACTOR, poll, zrecv
from publishing import WORKERS, Poll, Query, Sse, SseJson, V1, start

KINDS = ["v1", "query", "sse", "json", "poll"]

CLIENTS = dict(zip(KINDS, [V1, Query, Sse, SseJson, Poll]))


def settled(gw, total):
    gw.wait_counter("/prices", "received", total)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_anywhere(gateway, publisher, kind, workers):
    """A client that is cut off after every number of messages there is, and
    between messages of others."""
    s, _ = publisher
    gw = start(gateway, publisher, workers, "history = 1000")
    assert zrecv(s) == [b"\x01"]  # what is kept has to be heard
    random.seed(workers)
    client, sent, got = CLIENTS[kind](gw, ["A", "AB"], None), 0, 0
    for cut in list(range(12)) + [40, 0, 1]:
        more = cut + random.randrange(4)
        for _ in range(more):
            s.send(b"AB %d" % sent)
            s.send(b"B other")
            sent += 1
        for _ in range(min(cut, sent - got)):
            assert client.next() == ("message", "AB", str(got))
            got += 1
        cursor = client.cursor
        client.close()
        s.send(b"AB %d" % sent)  # while nobody listens
        sent += 1
        client = CLIENTS[kind](gw, ["A", "AB"], cursor)
    while got < sent:
        assert client.next() == ("message", "AB", str(got))
        got += 1
    s.send(b"AB %d" % sent)
    assert client.next() == ("message", "AB", str(sent))
    assert gw.counters("/prices")["missed"] == 0
    client.close()


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_history_that_does_not_reach_back(gateway, publisher, kind, workers):
    s, _ = publisher
    gw = start(gateway, publisher, workers, "history = 5")
    zrecv(s)
    client = CLIENTS[kind](gw, ["A"], None)
    s.send(b"A 0")
    assert client.next() == ("message", "A", "0")
    cursor = client.cursor
    client.close()
    for i in range(1, 21):
        s.send(b"A %d" % i)
    settled(gw, 21)
    client = CLIENTS[kind](gw, ["A"], cursor)
    assert client.next() == ("gap", 15)
    for i in range(16, 21):
        assert client.next() == ("message", "A", str(i))
    s.send(b"A live")
    assert client.next() == ("message", "A", "live")
    assert gw.counters("/prices")["missed"] == 15
    client.close()
    # a cursor of another life of the gateway: nobody knows how many
    client = CLIENTS[kind](gw, ["A"], "abcdef-17-1")
    assert client.next() == ("gap", None)
    assert client.next() == ("message", "A", "17")
    client.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_without_history_the_gap_is_told(gateway, publisher, workers):
    s, _ = publisher
    gw = start(gateway, publisher, workers)
    other = gw.ws("/prices?topic=A")
    assert zrecv(s) == [b"\x01A"]
    client = V1(gw, ["A"], None)
    cursor = client.cursor
    client.close()
    for i in range(3):
        s.send(b"A %d" % i)
        assert other.recv() == f"A {i}"
    client = V1(gw, ["A"], cursor)
    assert client.next() == ("gap", 3)
    s.send(b"A 3")
    assert client.next() == ("message", "A", "3")
    cursor = client.cursor
    client.close()
    client = V1(gw, ["A"], cursor)  # nothing was missed: nothing is said
    s.send(b"A 4")
    assert client.next() == ("message", "A", "4")


@pytest.mark.parametrize("workers", WORKERS)
def test_what_nobody_listened_to_is_not_said_to_be_nothing(gateway, publisher, workers):
    """Regression: the only client of a topic leaves, the gateway unsubscribes, and
    what is published then is never seen: who resumes is told that it may be much."""
    s, _ = publisher
    gw = start(gateway, publisher, workers)
    client = V1(gw, ["A"], None)
    assert zrecv(s) == [b"\x01A"]
    s.send(b"A 1")
    assert client.next() == ("message", "A", "1")
    cursor = client.cursor
    client.close()
    assert zrecv(s) == [b"\x00A"]
    s.send(b"A lost")
    client = V1(gw, ["A"], cursor)
    assert client.next() == ("gap", None)
    assert zrecv(s) == [b"\x01A"]
    s.send(b"A 2")
    assert client.next() == ("message", "A", "2")
    other = gw.ws("/prices?topic=")  # from now on all is listened to
    assert zrecv(s) == [b"\x01"]
    for text in ("A 3", "A 4"):
        s.send(text.encode())
        assert other.recv() == text
    assert client.next() == ("message", "A", "3")
    cursor = client.cursor
    client.close()
    client = V1(gw, ["A"], cursor)
    assert client.next() == ("gap", 1)


def test_history_is_bounded_in_bytes_and_time(gateway, publisher):
    s, _ = publisher
    gw = start(gateway, publisher, 1, "history = 1m", "history_size = 64k")
    zrecv(s)
    client = V1(gw, ["A"], None)
    cursor = client.cursor
    client.close()
    for i in range(500):
        s.send(b"A %d " % i + b"x" * 1000)
    settled(gw, 500)
    counters = gw.counters("/prices")
    assert 40 < counters["kept"] < 64 and 40000 < counters["kept_bytes"] <= 65536
    client = V1(gw, ["A"], cursor)
    kind, missed = client.next()
    assert (kind, missed) == ("gap", 500 - counters["kept"])
    assert client.next()[2].split()[0] == str(missed)
    client.close()
    gw = start(gateway, publisher, 1, "history = 300ms")
    zrecv(s)
    client = V1(gw, ["A"], None)
    cursor = client.cursor
    client.close()
    s.send(b"A old")
    settled(gw, 1)

    def forgotten():
        c = V1(gw, ["A"], cursor)
        first = c.next()
        c.close()
        return first == ("gap", 1)
    poll(forgotten)


@pytest.mark.parametrize("workers", WORKERS)
def test_last_value(gateway, publisher, workers):
    s, _ = publisher
    gw = start(gateway, publisher, workers, "last_value = yes", "topics = A B")
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\x01A"], [b"\x01B"]]
    for m in (b"A.x 1", b"B 1", b"A.y 1", b"A.x 2"):
        s.send(m)
    settled(gw, 4)
    client = V1(gw, ["A"], None)
    assert [client.next(), client.next()] == [("message", "A.y", "1"), ("message", "A.x", "2")]
    s.send(b"A.y 2")
    assert client.next() == ("message", "A.y", "2")
    # what it has already does not come again
    client.ws.send_json({"op": "subscribe", "topic": "A.x"})
    client.ws.send_json({"op": "subscribe", "topic": "B"})
    assert client.ws.recv_json()["op"] == "subscribed"
    assert client.next() == ("message", "B", "1")
    raw = gw.ws("/prices")
    assert [raw.recv() for _ in range(3)] == ["B 1", "A.x 2", "A.y 2"]
    raw = gw.ws("/prices?topic=A.z")
    s.send(b"A.z 1")
    assert raw.recv() == "A.z 1"


@pytest.mark.parametrize("workers", WORKERS)
def test_a_long_replay_takes_its_time(gateway, publisher, workers):
    """Much more than a client's queue holds, to one that reads slowly, while
    others live on: nothing is dropped, nothing comes twice."""
    s, _ = publisher
    total = 20000
    gw = start(gateway, publisher, workers, "history = 100000", "history_size = 64m", "client_queue = 64k")
    zrecv(s)
    live = gw.ws("/prices?topic=A")
    first = V1(gw, ["A"], None)
    cursor = first.cursor
    first.close()
    for i in range(total):
        s.send(b"A %d " % i + b"x" * 500)
        if i % 100 == 99:
            for k in range(i - 99, i + 1):
                assert live.recv().startswith(f"A {k} ")
    slow = gw.raw_ws(f"/prices?topic=A&last_event_id={cursor}", rcvbuf=4096)
    for i in range(total):
        assert slow.message()[1].startswith(b"A %d " % i)
        if i % 1000 == 0:
            s.send(b"A %d more" % (total + i // 1000))
            assert live.recv() == f"A {total + i // 1000} more"
    for i in range(total // 1000):
        assert slow.message()[1] == b"A %d more" % (total + i)
    counters = gw.counters("/prices")
    assert counters["ws_dropped"] == 0 and counters["missed"] == 0
    slow.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_reload_at_work(gateway, publisher, workers):
    """history, topics and the like change without closing anybody."""
    s, _ = publisher
    gw = start(gateway, publisher, workers, "history = 100", "topics = A B")
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\x01A"], [b"\x01B"]]
    a, b, everything = gw.ws("/prices?topic=A"), gw.ws("/prices?topic=B"), V1(gw, [""], None)
    cursor = everything.cursor
    s.send(b"A 1")
    s.send(b"B 1")
    assert (a.recv(), b.recv()) == ("A 1", "B 1")
    assert [everything.next(), everything.next()] == [("message", "A", "1"), ("message", "B", "1")]
    text = gw.config.replace("topics = A B", "topics = A C").replace("history = 100", "history = 1")
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(text)
    gw.signal(1)
    gw.wait_log("reloaded")
    assert b.wait_closed() == 1008
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\x00B"], [b"\x01C"]]
    for m in (b"A 2", b"B 2", b"C 2"):
        s.send(m)
    assert a.recv() == "A 2"
    assert [everything.next(), everything.next()] == [("message", "A", "2"), ("message", "C", "2")]
    again = V1(gw, [""], cursor)
    assert [again.next(), again.next()] == [("gap", 3), ("message", "C", "2")]


@pytest.mark.parametrize("workers", WORKERS)
def test_reload_keeps_listening(gateway, publisher, workers):
    """Regression: a reload that changed something else unsubscribed and subscribed
    anew, and what was published in between was lost."""
    s, _ = publisher
    gw = start(gateway, publisher, workers, "topics = A B")
    client = V1(gw, [""], None)
    assert sorted([zrecv(s), zrecv(s)]) == [[b"\x01A"], [b"\x01B"]]
    for old, new, told in (("topics = A B", "topics = A B\nmax_body = 2m", []),
                           ("topics = A B", "topics = A C", [b"\x00B", b"\x01C"]),
                           ("topics = A C\n", "", [b"\x00A", b"\x00C", b"\x01"])):
        gw.config = gw.config.replace(old, new)
        with open(gw.file, "w", encoding="utf-8") as f:
            f.write(gw.config)
        since = len(gw.log)
        gw.signal(1)
        gw.wait_log("reloaded", since=since)
        s.send(b"A " + new.encode())
        assert client.next() == ("message", "A", new)
        assert sorted(zrecv(s)[0] for _ in told) == told
        assert not s.poll(0)


def test_bad_cursors_and_waits(gateway, publisher):
    gw = start(gateway, publisher, 1)
    for query in ("last_event_id=x", "cursor=1-2", "cursor=1-2-3-4", "cursor=--", "cursor=zz-1-1", "cursor=1-1-" + "9" * 30):
        for extra in ("&wait=1s", ""):
            r = gw.http("GET", f"/prices?{query}{extra}", headers={"Accept": "text/event-stream"} if not extra else {})
            assert r.status == 400 and "cursor" in r.json()["detail"], query
    for wait in ("", "x", "-1", "6m", "1e9", "99999999999999999999"):
        assert gw.http("GET", f"/prices?wait={wait}").status == 400
    r = gw.http("GET", "/prices?topic=A&wait=0")
    assert (r.status, r.body) == (204, b"") and "Access-Control-Allow-Origin" not in r.headers
    assert gw.http("GET", "/prices", headers={"Accept": "text/event-stream;q=1, x/y", "Last-Event-ID": "y" * 200}).status == 400


def test_event_streams(gateway, publisher):
    """What a stream is beside its messages: lines, bytes, heartbeats, CORS, ends."""
    s, _ = publisher
    gw = start(gateway, publisher, 1, "ping = 1s", "origins = https://a.example")
    r = gw.http("GET", "/prices?topic=A&wait=0", headers={"Origin": "https://a.example"})
    assert r.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Cursor" in r.headers["Access-Control-Expose-Headers"]
    assert [zrecv(s), zrecv(s)] == [[b"\x01A"], [b"\x00A"]]
    c = gw.connect()
    # a kept-alive connection becomes a stream
    c.send("GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert c.response().status == 200
    c.send("GET /prices?topic=A HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nOrigin: https://a.example\r\n\r\n")
    head = c.read_until(b"\r\n\r\n")
    assert b"Access-Control-Allow-Origin: https://a.example\r\n" in head and b"Date: " in head
    c.read_until(b"\n\n")
    assert re.fullmatch(rb"id: [0-9a-f]+-0-2\n\n", c.read_until(b"\n\n"))
    assert zrecv(s) == [b"\x01A"]
    for frames, lines in (([b"A 1\n2\r\n3\r4"], b"data: A 1\ndata: 2\ndata: 3\ndata: 4\n\n"), ([b"A"], b"data: A\n\n"),
                          ([b"A", b"x", b"\n"], b"data: A x \ndata: \n\n"),
                          ([b"A \xff"], b"event: base64\ndata: QSD/\n\n")):
        s.send_multipart(frames)
        assert c.read_until(b"\n\n").partition(b"\n")[2] == lines
    assert c.read_until(b"\n\n") == b":\n\n"
    assert gw.counters("/prices")["ws_open"] == 1
    c.sock.close()
    gw.wait_status(lambda x: gw.location("/prices", x)["counters"]["clients"] == 0)
    assert zrecv(s) == [b"\x00A"]
    c = gw.connect()
    c.send("GET /prices HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    c.read_until(b"\n\n")
    zrecv(s)
    gw.expected_exit = 0
    gw.signal(3)
    assert b'event: close\ndata: {"code":1001,' in c.read_to_end()
    gw.wait()


def test_a_stream_that_does_not_read(gateway, publisher):
    s, _ = publisher
    gw = start(gateway, publisher, 1, "client_queue = 64k")
    c = gw.connect(rcvbuf=4096)
    c.send("GET /prices?topic=A&format=json HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    c.read_until(b"\n\n")
    fast = gw.ws("/prices?topic=A")
    zrecv(s)
    total = 3000
    for i in range(total):
        s.send(b"A %d " % i + b"x" * 5000)
        if i % 10 == 9:
            for k in range(10):
                fast.recv()
    gw.wait_counter("/prices", "received", total)
    expected = 0
    c.read_until(b"\n\n")
    while expected < total:
        event = c.read_until(b"\n\n", 20 * FACTOR).decode()
        data = json.loads(event[event.index("data: ") + 6:])
        if "event: gap" in event:
            expected += data["missed"]
            continue
        assert int(data["data"].split()[0]) == expected
        expected += 1
    assert gw.counters("/prices")["ws_dropped"] > 0
