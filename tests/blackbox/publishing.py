"""For the tests of pubsub: a publisher that shows what it is subscribed to, and a
gateway that subscribes to it. conftest.py makes the fixture known."""
import json
import re

import pytest
import zmq

from harness import bind, poll, zrecv

WORKERS = [1, 2]


@pytest.fixture
def publisher(zmq_context):
    """(XPUB, endpoint)"""
    s = zmq_context.socket(zmq.XPUB)
    s.set_hwm(0)
    return s, bind(s)


def start(gateway, publisher, workers, *lines):
    """A gateway with the location /prices, connected to the publisher."""
    gw = gateway(f"[gateway]\nworkers = {workers}\n[location /prices]\nbridge = pubsub\n"
                 f"sub = connect {publisher[1]}\n" + "\n".join(lines) + "\n")
    gw.wait_peers("/prices", "sub", 1)
    return gw


def joined(gw, count):
    """Waits until that many clients are there, and what their workers asked the
    location's home for has come to it: a second look at all workers comes after."""
    gw.wait_status(lambda s: gw.location("/prices", s)["counters"]["clients"] == count)
    gw.status()


class Upstream:
    """What the publisher is subscribed to."""

    def __init__(self, s):
        self.s, self.now = s, set()

    def wait(self, wanted):
        def same():
            while self.s.poll(0):
                m = zrecv(self.s)[0]
                (self.now.add if m[0] else self.now.discard)(m[1:].decode())
            return self.now == wanted
        poll(same)


# subscribers of every kind: next() gives ("message", topic, data) or ("gap", n), and
# cursor is where to go on -----------------------------------------------------

class V1:
    """Subscribes with since; next() gives ("message", topic, data) or ("gap", n)."""

    def __init__(self, gw, topics, cursor):
        self.cursor, self.ws = cursor, gw.ws("/prices", subprotocols=["zgate.v1"])
        for t in topics:
            self.ws.send_json({"op": "subscribe", "topic": t, **({"since": cursor} if cursor else {})})
        self._wait(topics)

    def _wait(self, topics):
        waiting, self.early = len(topics), []
        while waiting:
            m = self.ws.recv_json()
            if m["op"] == "subscribed":
                waiting -= 1
                self.cursor = self.cursor or m["cursor"]
            else:
                self.early.append(m)

    def next(self):
        m = self.early.pop(0) if self.early else self.ws.recv_json()
        if m["op"] == "gap":
            return ("gap", m["missed"])
        self.cursor = m["cursor"]
        return ("message", m["topic"], m["data"])

    def close(self):
        self.ws.close()


class Query(V1):
    """Says all in the WebSocket's URL."""

    def __init__(self, gw, topics, cursor):
        query = "&".join([f"topic={t}" for t in topics] + ([f"last_event_id={cursor}"] if cursor else []))
        self.cursor, self.ws = cursor, gw.ws("/prices?" + query, subprotocols=["zgate.v1"])
        self._wait(topics)


class Sse:
    extra = ""

    def __init__(self, gw, topics, cursor):
        self.cursor, self.c = cursor, gw.connect()
        self.c.send("GET /prices?" + "&".join(f"topic={t}" for t in topics) + self.extra + " HTTP/1.1\r\n"
                    "Host: x\r\nAccept: text/event-stream\r\n" +
                    (f"Last-Event-ID: {cursor}\r\n" if cursor else "") + "\r\n")
        head = self.c.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and b"text/event-stream" in head
        assert re.fullmatch(rb"retry: [0-9]+\n\n", self.c.read_until(b"\n\n"))
        if not cursor:
            self.cursor = self.c.read_until(b"\n\n").decode().split()[1]

    def next(self):
        while True:
            event = {}
            for line in self.c.read_until(b"\n\n").decode().splitlines():
                name, _, value = line.partition(": ")
                event.setdefault(name, []).append(value)
            if "data" in event:
                break
            self.cursor = event["id"][0]  # it has joined
        if event.get("event") == ["gap"]:
            return ("gap", json.loads(event["data"][0])["missed"])
        self.cursor = event["id"][0]
        return self.message("\n".join(event["data"]))

    def message(self, text):
        return ("message", *text.split(" ", 1))

    def close(self):
        self.c.sock.close()


class SseJson(Sse):
    extra = "&format=json"

    def message(self, text):
        m = json.loads(text)
        assert m["cursor"] == self.cursor
        return ("message", m["topic"], m["data"])


class Poll:
    def __init__(self, gw, topics, cursor):
        self.gw, self.path, self.cursor, self.early = gw, "&".join(f"topic={t}" for t in topics), cursor, []
        if not cursor:
            self._ask("0s")

    def _ask(self, wait):
        r = self.gw.http("GET", f"/prices?{self.path}&wait={wait}" +
                         (f"&cursor={self.cursor}" if self.cursor else ""))
        assert r.status in (200, 204), r
        self.ends = r.headers["Cursor"]
        for m in r.json()["messages"] if r.status == 200 else []:
            self.early.append(("gap", m["missed"], self.cursor) if m["op"] == "gap"
                              else ("message", m["topic"], m["data"], m["cursor"]))
        if not self.early:
            self.cursor = self.ends

    def next(self):
        while not self.early:
            self._ask("20s")
        kind, *rest, self.cursor = self.early.pop(0)
        if not self.early:
            self.cursor = self.ends
        return (kind, *rest)

    def close(self):
        pass
