"""pubsub: who may publish what, whether anybody hears it, and who is there."""
import re

import pytest
import zmq

from harness import GatewayFailed, bind, free_endpoint, poll, zrecv

WORKERS = [1, 2]


def start(gateway, workers, *lines):
    return gateway(f"[gateway]\nworkers = {workers}\n[location /prices]\nbridge = pubsub\n"
                   f"sub = connect {free_endpoint()}\n" + "\n".join(lines) + "\n")


def v1(gw, query=""):
    return gw.ws("/prices" + query, subprotocols=["zgate.v1"])


def ask(ws, **message):
    ws.send_json(message)
    return ws.recv_json()


@pytest.mark.parametrize("workers", WORKERS)
def test_publish_topics(gateway, zmq_context, workers):
    gw = start(gateway, workers, "pub = bind tcp://127.0.0.1:*", "publish_topics = A. B", "publish_required = yes")
    s = zmq_context.socket(zmq.SUB)
    s.subscribe(b"")
    s.connect(gw.endpoint("/prices", "pub"))
    poll(lambda: gw.http("POST", "/prices?topic=A.x", b"1").status == 202)
    assert zrecv(s) == [b"A.x 1"]
    for topic in ("A", "C", "", "xA."):
        r = gw.http("POST", f"/prices?topic={topic}", b"1")
        assert r.status == 403 and "publish" in r.json()["detail"]
    ws = v1(gw)
    assert ask(ws, op="publish", topic="B1", data="x", id=1) == {"op": "published", "id": 1}
    assert zrecv(s) == [b"B1 x"]
    assert ask(ws, op="publish", topic="C", data="x", id="two")["code"] == "forbidden"
    raw = gw.ws("/prices")
    raw.send("B raw")
    assert zrecv(s) == [b"B raw"]
    raw.send("C raw")
    assert raw.wait_closed() == 1008
    assert gw.http("POST", "/prices?topic=A.y", b"2").status == 202
    assert zrecv(s) == [b"A.y 2"]  # nothing else came through


@pytest.mark.parametrize("workers", WORKERS)
def test_publish_required(gateway, zmq_context, workers):
    """202 and `published` only while somebody subscribes to the topic."""
    gw = start(gateway, workers, "pub = bind tcp://127.0.0.1:*", "publish_required = yes")
    r = gw.http("POST", "/prices?topic=A", b"1")
    assert r.status == 503 and "nobody subscribes" in r.json()["detail"] and r.headers["Retry-After"]
    s = zmq_context.socket(zmq.SUB)
    s.subscribe(b"A")
    s.connect(gw.endpoint("/prices", "pub"))
    poll(lambda: gw.http("POST", "/prices?topic=AB", b"1").status == 202)
    ws = v1(gw)
    assert ask(ws, op="publish", topic="A", data="x")["op"] == "published"
    assert ask(ws, op="publish", topic="B", data="x")["code"] == "unavailable"
    assert gw.http("POST", "/prices?topic=B", b"1").status == 503
    assert zrecv(s) == [b"AB 1"] and zrecv(s) == [b"A x"]
    s.close()
    poll(lambda: gw.http("POST", "/prices?topic=A", b"1").status == 503)


@pytest.mark.parametrize("line", ["publish_topics = A", "publish_required = yes"])
def test_of_no_use_without_pub(gateway, line):
    with pytest.raises(GatewayFailed) as e:
        start(gateway, 1, line)
    assert re.search(r"gateway.ini:\d+: \[location /prices\] publish_\w+: is of no use without `pub`", str(e.value))


@pytest.mark.parametrize("workers", WORKERS)
def test_presence(gateway, workers):
    gw = start(gateway, workers)
    clients = [gw.ws("/prices?topic=A") for _ in range(8)] + [v1(gw, "?topic=A&topic=B") for _ in range(8)]
    assert [c.recv_json()["op"] for c in clients[8:] for _ in range(2)] == ["subscribed"] * 16

    def presence(query=""):
        r = gw.http("GET", "/prices?presence" + query)
        assert r.status == 200 and r.headers["Content-Type"] == "application/json"
        return r.json()["topics"]
    poll(lambda: presence() == {"A": 16, "B": 8})
    assert presence("&topic=B&topic=none") == {"B": 8, "none": 0}
    watcher = v1(gw)
    assert ask(watcher, op="presence", topic="A", id=5) == {"op": "presence", "topic": "A", "subscribers": 16, "id": 5}
    other = v1(gw)
    assert ask(other, op="presence", topic="A") == {"op": "presence", "topic": "A", "subscribers": 16}
    clients[0].close()
    assert watcher.recv_json() == {"op": "presence", "topic": "A", "subscribers": 15}
    assert ask(clients[15], op="unsubscribe", topic="A")["op"] == "unsubscribed"
    assert watcher.recv_json()["subscribers"] == 14
    while other.recv_json()["subscribers"] != 14:
        pass
    assert ask(watcher, op="presence_end", topic="A", id=6) == {"op": "presence_end", "topic": "A", "id": 6}
    for c in clients[1:]:
        c.close()
    while other.recv_json()["subscribers"] != 0:
        pass
    assert presence() == {}
    assert ask(watcher, op="ping") == {"op": "pong"}  # and nothing before it
    for i in range(64):
        ask(watcher, op="presence", topic=f"t{i}")
    while (m := ask(watcher, op="presence", topic="more", id=1)).get("id") != 1:
        pass
    assert m["code"] == "too_many"
