"""pubsub against a model: random clients of every kind come, change their topics,
leave and return while messages are published; each must get just what the model
says, in order, once, and the publisher must see just the subscriptions that are
wanted. Then: many clients at once, of which some stall."""
import json
import os
import random
import selectors
import socket
import struct

import pytest
import zmq

from harness import FACTOR, bind, handshake, poll
from publishing import WORKERS, Poll, Query, Sse, SseJson, Upstream, V1, joined, start

TOPICS = ["", "a", "ab", "abc", "abd", "b", "ba", "c"]
SEED = int(os.environ.get("ZGATE_SEED") or random.randrange(1 << 30))


class Client:
    def __init__(self, kind, gw, topics):
        self.kind, self.gw, self.topics, self.due = kind, gw, set(topics), []
        self.c = kind(gw, sorted(topics), None)

    def come_back(self):
        # all topics in one replay, or each would be replayed by itself
        kind = Query if self.kind is V1 else self.kind
        self.c = kind(self.gw, sorted(self.topics), self.c.cursor)
        self.check()

    def takes(self, topic):
        return any(topic.startswith(t) for t in self.topics)

    def published(self, topic, n):
        if self.takes(topic):
            self.due.append(("message", topic, str(n)))

    def check(self):
        for expected in self.due:
            got = self.c.next()
            assert got == expected, (self.kind.__name__, sorted(self.topics), got, expected)
        self.due = []


def ask(client, op, topic):
    client.c.ws.send_json({"op": op, "topic": topic})
    while (m := client.c.ws.recv_json())["op"] == "message":
        client.c.early.append(m)
    assert m["op"] == op + "d" and m["topic"] == topic and not client.c.early
    client.c.cursor = m.get("cursor", client.c.cursor)


def random_topics():
    return random.sample(TOPICS[1:], random.randrange(1, 4))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("history", [0, 10000])
def test_random_clients_against_a_model(gateway, publisher, workers, history):
    print("ZGATE_SEED =", SEED)
    random.seed(SEED)
    s, _ = publisher
    gw = start(gateway, publisher, workers, f"history = {history}")
    clients, away, upstream, n = [], [], Upstream(s), 0
    for step in range(400):
        what = random.random()
        if what < 0.25 or not clients:
            kind = random.choice([V1, Query, Sse, SseJson] + ([Poll] if history else []))
            clients.append(Client(kind, gw, random_topics()))
        elif what < 0.45:
            v1 = [c for c in clients if isinstance(c.c, V1)]
            if v1:
                c = random.choice(v1)
                topic, op = random.choice(TOPICS), random.choice(["subscribe", "unsubscribe"])
                ask(c, op, topic)
                (c.topics.add if op == "subscribe" else c.topics.discard)(topic)
        elif what < 0.55:
            c = clients.pop(random.randrange(len(clients)))
            c.c.close()
            if history:
                away.append(c)
        elif what < 0.65 and away:
            c = away.pop(random.randrange(len(away)))
            if c.topics:
                c.come_back()
                clients.append(c)
        else:
            if not history:
                upstream.wait({t for c in clients for t in c.topics})
            else:
                upstream.wait({""} | {t for c in clients if c.kind is not Poll for t in c.topics})
            for _ in range(random.randrange(1, 8)):
                topic = random.choice(TOPICS[1:])
                s.send(f"{topic} {n}".encode())
                for c in clients + away:
                    c.published(topic, n)
                n += 1
            for c in clients:
                c.check()
    for c in away:
        if c.topics:
            c.come_back()
            clients.append(c)
    for c in clients:
        c.check()
    for c in clients:
        c.c.close()
    upstream.wait({""} if history else set())
    counters = gw.counters("/prices")
    assert counters["ws_dropped"] == counters["missed"] == counters["undelivered"] == 0


class Many:
    """Raw WebSockets, read by one selector; of each the next number expected."""

    def __init__(self, gw, count, stalled):
        self.selector, self.next, self.buffer, self.stalled = selectors.DefaultSelector(), {}, {}, []
        for i in range(count):
            c = socket.socket()
            if i < stalled:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.connect(gw.address)
            # what stalls is sent more, or the kernel would hold it all
            c.sendall(handshake("/prices?topic=A" + "&topic=X" * (i < stalled), gw.address))
            data = b""
            while b"\r\n\r\n" not in data:
                data += c.recv(4096)
            if i < stalled:
                self.stalled.append(c)
            else:
                c.setblocking(False)
                self.selector.register(c, selectors.EVENT_READ)
                self.next[c], self.buffer[c] = 0, data.partition(b"\r\n\r\n")[2]

    def _take(self, c):
        data, at = self.buffer[c], 0
        while len(data) - at >= 4:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = struct.unpack_from(">H", data, at + 2)[0], 4
            if len(data) - at < head + size:
                break
            if data[at] == 0x81:  # pings pass
                number = int(data[at + head:at + head + size].split()[1])
                assert number == self.next[c]
                self.next[c] += 1
            at += head + size
        self.buffer[c] = data[at:]

    def read_until(self, total):
        def all_there():
            for key, _ in self.selector.select(1):
                data = key.fileobj.recv(1 << 16)
                assert data, "a client was closed"
                self.buffer[key.fileobj] += data
                self._take(key.fileobj)
            return min(self.next.values()) == total
        poll(all_there, 60 * FACTOR, 0)

    def close(self):
        for c in list(self.next) + self.stalled:
            c.close()


@pytest.mark.parametrize("workers", WORKERS)
def test_a_thousand_clients_of_which_some_stall(gateway, publisher, workers):
    s, _ = publisher
    count = 1000 if FACTOR == 1 else 200
    gw = start(gateway, publisher, workers, "client_queue = 128k")
    many = Many(gw, count, count // 50)
    joined(gw, count)
    upstream, total = Upstream(s), 0
    upstream.wait({"A", "X"})
    for _ in range(10):
        for _ in range(100):
            s.send(b"A %d " % total + b"x" * 1000)
            total += 1
            s.send(b"X " + b"x" * 10000)
        many.read_until(total)
    counters = gw.counters("/prices")
    assert counters["ws_dropped"] > 0 and counters["worker_dropped"] == 0
    assert counters["ws_queued_bytes"] <= count // 50 * 131072
    many.close()
    poll(lambda: gw.counters("/prices")["clients"] == 0)
    upstream.wait(set())


@pytest.mark.parametrize("send, code", [
    (lambda ws: ws.frame(8, struct.pack(">H", 1000)), 1000),
    (lambda ws: ws.frame(1, b"\xff"), 1007),
    (lambda ws: ws.frame(1, b"x" * 5000), 1009),
    (lambda ws: ws.frame(3, b""), 1002),
    (lambda ws: ws.frame(1, b"hello"), 1008),  # there is no pub
])
def test_close_codes(gateway, publisher, send, code):
    gw = start(gateway, publisher, 1, "max_body = 4k")
    ws = gw.raw_ws("/prices?topic=A")
    send(ws)
    assert ws.close_code() == code
    other = gw.ws("/prices?topic=A")
    gw.wait_status(lambda x: gw.location("/prices", x)["counters"]["clients"] == 1)
    Upstream(publisher[0]).wait({"A"})
    publisher[0].send(b"A still")
    assert other.recv() == "A still"


def test_faster_than_the_gateway(gateway, zmq_context):
    """A publisher that never waits: memory stays bounded, what is delivered is in
    order, and the gateway answers all the while."""
    s = zmq_context.socket(zmq.PUB)
    s.set_hwm(1000)
    gw = start(gateway, (s, bind(s)), 1, "client_queue = 256k")
    ws, last = gw.ws("/prices?topic=A", subprotocols=["zgate.v1"]), -1
    assert ws.recv_json()["op"] == "subscribed"
    poll(lambda: (s.send(b"A -1 x"), gw.counters("/prices")["received"])[1])
    before = gw.status()["memory_bytes"]
    for i in range(100000 // FACTOR):
        s.send(b"A %d " % i + b"x" * 1000)
        if i % 10000 == 0:
            assert gw.http("GET", "/status/live").status == 200
            assert gw.status()["memory_bytes"] < before + (32 << 20)
    s.send(b"A 1000000 end")
    while last != 1000000:
        try:
            m = ws.recv_json(1)
        except TimeoutError:
            s.send(b"A 1000000 end")  # what was sent before may be among the lost
            continue
        if m["op"] == "message":
            n = int(m["data"].split()[0])
            assert n >= last
            last = n
    assert json.dumps(gw.counters("/prices"))
