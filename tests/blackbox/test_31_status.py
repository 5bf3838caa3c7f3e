"""bridge = status: JSON, Prometheus, live and ready."""
import os
import re
import signal

import pytest
import zmq
from harness import bind, free_endpoint, zrecv

COMMON = {"requests", "in_flight", "status_2xx", "status_4xx", "ws_open", "ws_delivered"}


@pytest.fixture
def busy(gateway, zmq_context):
    """A gateway with one location of several kinds, and a peer for some."""
    s = zmq_context.socket(zmq.PUB)
    gw = gateway(f"""
        [location /echo]
        bridge = reqrep
        req = connect {free_endpoint()} {free_endpoint()}

        [location = /echo]
        bridge = reqrep
        req = bind tcp://127.0.0.1:*

        [location /prices]
        bridge = pubsub
        sub = connect {bind(s)}

        [location /jobs]
        bridge = pipeline
        push = bind tcp://127.0.0.1:*
        pull = bind tcp://127.0.0.1:*

        [location /files]
        bridge = static
        root = html

        [demo]
        pub = bind tcp://127.0.0.1:*
        interval = 10ms
    """)
    gw.wait_peers("/prices", "sub", 1)
    yield gw
    s.close()


def test_the_document(busy):
    r = busy.http("GET", "/status")
    assert (r.status, r.headers["Content-Type"]) == (200, "application/json")
    assert r.headers["Cache-Control"] == "no-store"
    s = r.json()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", s["version"])
    assert s["pid"] == busy.pid
    assert s["listen"] == ["127.0.0.1:0"]
    assert s["draining"] is False
    assert s["memory_bytes"] > 1 << 20
    assert s["descriptors"] <= s["descriptors_max"]
    assert s["worker"]["connections_accepted"] >= 1
    assert {(at["path"], at["exact"], at["bridge"]) for at in s["locations"]} == {
        ("/echo", False, "reqrep"), ("/echo", True, "reqrep"), ("/prices", False, "pubsub"),
        ("/jobs", False, "pipeline"), ("/files", False, "static"), ("/status", False, "status")}
    for at in s["locations"]:
        assert COMMON <= at["counters"].keys()
        assert all(isinstance(v, int) and v >= 0 for v in at["counters"].values())
    assert busy.location("/files", s)["methods"][:1] == ["GET"]
    assert "POST" in busy.location("/jobs", s)["methods"]
    assert "outside_root" in busy.counters("/files")


def test_uptime_and_descriptors_are_true(busy):
    before = busy.status()
    conns = [busy.connect() for _ in range(20)]
    for c in conns:
        c.send("GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().text == "live\n"
    after = busy.status()
    assert after["uptime_ms"] >= before["uptime_ms"]
    assert after["descriptors"] - before["descriptors"] == pytest.approx(20, abs=3)
    assert after["descriptors"] == pytest.approx(len(os.listdir(f"/proc/{busy.pid}/fd")), abs=3)
    assert after["worker"]["connections_open"] >= 20


def test_sockets(busy):
    s = busy.status()
    sub = busy.socket("/prices", "sub", s)
    assert (sub["type"], sub["peers"], sub["bound"]) == ("SUB", 1, False)
    assert "1 peer" in sub["state"]
    push, pull = (busy.socket("/jobs", d, s) for d in ("push", "pull"))
    assert (push["type"], pull["type"], push["bound"]) == ("PUSH", "PULL", True)
    for endpoint in (push["endpoints"], pull["endpoints"], sub["endpoints"]):
        assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9]\d*", endpoint)
    service, = s["services"]
    assert service["name"] == "demo"
    assert service["sockets"][0]["type"] == "PUB"
    assert service["counters"]["published"] > 0


def test_a_socket_that_binds_and_connects(gateway):
    there = free_endpoint()
    gw = gateway(f"""
        [location /prices]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
        sub = connect {there}
    """)
    every = " ".join(s["endpoints"] for s in gw.location("/prices")["sockets"])
    assert there in every and re.search(r"tcp://127\.0\.0\.1:\d+.*tcp://", every)


def test_counters_count(busy):
    before, status = busy.counters("/files"), busy.counters("/status")["requests"]
    for path in ("/files/index.html", "/files/nothing", "/files"):
        busy.http("GET", path)
    after = busy.counters("/files")
    grown = {k: after[k] - before[k] for k in after if after[k] != before[k]}
    assert grown.pop("bytes_out") > 0
    assert grown == {"requests": 3, "answered": 2, "refused": 1, "status_2xx": 1, "status_3xx": 1, "status_4xx": 1}
    assert busy.counters("/status")["requests"] > status


def test_live_ready_and_nothing_else(busy):
    assert busy.http("GET", "/status/").json()["pid"] == busy.pid
    assert busy.http("GET", "/status/live").text == "live\n"
    assert busy.http("GET", "/status/ready").text == "ready\n"
    for path in ("/status/x", "/status/metrics/x", "/status/Metrics"):
        assert busy.http("GET", path).status == 404
    r = busy.http("POST", "/status", b"x")
    assert (r.status, r.headers["Allow"].split(", ")[0]) == (405, "GET")
    assert busy.http("HEAD", "/status/metrics").status == 200


# Prometheus -------------------------------------------------------------------

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(,|$)')


def parse(text):
    """{name: (type, {labels: value})} by the rules of the text format: HELP and
    TYPE once and first, a name's samples together, no two with equal labels."""
    assert text.endswith("\n")
    families, name = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in families, f"{name} is in two places"
            assert len(line.split(" ", 3)[3]) > 5
            families[name] = (None, {})
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == name and families[name] == (None, {})
            families[name] = (kind, {})
        else:
            found = SAMPLE.fullmatch(line)
            assert found and found[1] == name, line
            labels, at = [], 0
            while at < len(found[2] or ""):
                one = LABEL.match(found[2], at)
                assert one, line
                labels.append((one[1], one[2]))
                at = one.end()
            kind, samples = families[name]
            assert kind and len(dict(labels)) == len(labels)
            assert frozenset(labels) not in samples, f"twice: {line}"
            samples[frozenset(labels)] = float(found[3])
    return families


def value(families, name, **labels):
    return families[name][1][frozenset(labels.items())]


def test_metrics(busy):
    busy.http("GET", "/files/nothing")
    r = busy.http("GET", "/status/metrics")
    assert r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    m = parse(r.text)
    for name, (kind, samples) in m.items():
        assert name.startswith("zgate_")
        assert (kind == "counter") == name.endswith("_total"), name
        assert "_total_total" not in name and samples
    s = busy.status()
    assert value(m, "zgate_build_info", version=s["version"]) == 1
    assert 0 < value(m, "zgate_uptime_seconds") <= s["uptime_ms"] / 1000
    assert value(m, "zgate_status_4xx_total", location="/files", bridge="static") == 1
    assert value(m, "zgate_requests_total", location="= /echo", bridge="reqrep") == 0
    assert value(m, "zgate_static_outside_root_total", location="/files", bridge="static") == 0
    assert value(m, "zgate_demo_published_total", service="demo") > 0
    assert value(m, "zgate_socket_peers", location="/prices", bridge="pubsub", socket="sub",
                 type="SUB") == 1
    assert m["zgate_in_flight"][0] == m["zgate_connections_open"][0] == "gauge"
    # whatever the JSON has is here, too
    for at in s["locations"]:
        for row in at["counters"]:
            names = {f"zgate_{p}{row}{t}" for p in ("", at["bridge"] + "_") for t in ("", "_total")}
            assert names & m.keys(), row
    for row in s["worker"]:
        assert {f"zgate_{row}", f"zgate_{row}_total"} & m.keys(), row


def test_labels_are_escaped(gateway):
    gw = gateway("""
        [location /a"b\\\\c]
        bridge = static
        root = html
    """)
    m = parse(gw.http("GET", "/status/metrics").text)
    paths = {dict(labels)["location"] for labels in m["zgate_requests_total"][1]}
    assert any('\\"' in p and "\\\\" in p for p in paths), paths


# shutting down ----------------------------------------------------------------

def test_not_ready_while_draining(gateway, zmq_context):
    """A request in flight holds the drain up; another is asked meanwhile."""
    s = zmq_context.socket(zmq.REP)
    gw = gateway(f"""
        [location /slow]
        bridge = reqrep
        req = connect {bind(s)}
    """)
    gw.wait_peers("/slow", "req", 1)
    ready = b"GET /status/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    asking, waiting = gw.connect(), gw.connect()
    assert asking.send(ready).response().text == "ready\n"
    waiting.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    assert zrecv(s) == [b"x"]
    asking.send(ready[:30])
    gw.wait_status(lambda _: True)  # a round trip: the half request has arrived
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")
    r = asking.send(ready[30:]).response()
    assert r.status == 503 and r.headers["Retry-After"]
    s.send(b"late, but in time")
    assert waiting.response().body == b"late, but in time"
    assert gw.wait(20) == 0
