"""bridge = status: JSON, Prometheus, live and ready."""
import http.client
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest
import zmq
from harness import Conn, bind, free_endpoint, zrecv

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
    assert (s["workers"], s["per_worker"]) == (1, [s["worker"]])
    assert s["build"]["compiler"] and "libzmq" in s["build"]["libraries"]
    assert (s["reloads"], s["reloads_failed"], s["leaving"]) == (0, 0, [])
    assert 0 <= s["configured_ms"] <= s["uptime_ms"]
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
            assert found, line
            parts = {name + p for p in ("_bucket", "_sum", "_count")}
            assert found[1] in (parts if families[name][0] == "histogram" else {name}), line
            labels, at = [], 0
            while at < len(found[2] or ""):
                one = LABEL.match(found[2], at)
                assert one, line
                labels.append((one[1], one[2]))
                at = one.end()
            kind, samples = families[name]
            assert kind and len(dict(labels)) == len(labels)
            if kind == "histogram":
                labels.append(("", found[1].rsplit("_", 1)[1]))
            assert frozenset(labels) not in samples, f"twice: {line}"
            samples[frozenset(labels)] = float(found[3])
    for kind, samples in families.values():
        if kind == "histogram":
            check_histogram(samples)
    return families


def check_histogram(samples):
    """Every series has growing buckets up to +Inf, a sum and a count that fits."""
    series = {}
    for labels, number in samples.items():
        labels = dict(labels)
        part, le = labels.pop(""), labels.pop("le", None)
        series.setdefault(frozenset(labels.items()), {})[part if le is None else float(le)] = number
    for parts in series.values():
        count, total = parts.pop("count"), parts.pop("sum")
        bounds = sorted(parts)
        assert bounds[-1] == float("inf") and len(bounds) > 5
        assert [parts[b] for b in bounds] == sorted(parts.values())
        assert parts[bounds[-1]] == count
        assert (total > 0) == (count > 0)


def lint(text):
    """What promtool says, where there is one."""
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                              capture_output=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def value(families, name, **labels):
    return families[name][1][frozenset(labels.items())]


def test_metrics(busy):
    busy.http("GET", "/files/nothing")
    r = busy.http("GET", "/status/metrics")
    assert r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    m = parse(r.text)
    lint(r.text)
    for name, (kind, samples) in m.items():
        assert name.startswith("zgate_")
        assert (kind == "counter") == name.endswith("_total"), name
        assert "_total_total" not in name and samples
    s = busy.status()
    assert value(m, "zgate_build_info", version=s["version"], **s["build"]) == 1
    assert value(m, "zgate_workers") == 1 and value(m, "zgate_reloads_total") == 0
    assert 0 < value(m, "zgate_uptime_seconds") <= s["uptime_ms"] / 1000
    assert value(m, "zgate_status_4xx_total", location="/files", bridge="static") == 1
    assert value(m, "zgate_requests_total", location="= /echo", bridge="reqrep") == 0
    assert value(m, "zgate_static_outside_root_total", location="/files", bridge="static") == 0
    assert value(m, "zgate_demo_published_total", service="demo") > 0
    assert value(m, "zgate_socket_peers", location="/prices", bridge="pubsub", socket="sub",
                 type="SUB") == 1
    assert value(m, "zgate_endpoint_peers", location="/prices", bridge="pubsub", socket="sub",
                 type="SUB", endpoint=busy.endpoint("/prices", "sub")) == 1
    assert m["zgate_in_flight"][0] == m["zgate_connections_open"][0] == "gauge"
    # whatever the JSON has is here, too
    for at in s["locations"]:
        for row in at["counters"]:
            names = {f"zgate_{p}{row}{t}" for p in ("", at["bridge"] + "_") for t in ("", "_total")}
            assert names & m.keys(), row
        for row in at["times"]:
            assert m[f"zgate_{row}_seconds"][0] == "histogram"
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


# times --------------------------------------------------------------------------

def test_times(gateway, zmq_context):
    """Waiting and worker time are apart, and the texts agree with each other."""
    s = zmq_context.socket(zmq.REP)
    gw = gateway(f"""
        [location /slow]
        bridge = reqrep
        req = connect {bind(s)}
    """)
    gw.wait_peers("/slow", "req", 1)
    clients = [gw.connect() for _ in range(2)]
    for c in clients:
        c.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    gw.wait_status(lambda s: gw.location("/slow", s)["counters"]["in_flight"] == 2)
    began = gw.status()["uptime_ms"]
    gw.wait_status(lambda s: s["uptime_ms"] > began + 300)  # the workers take that long
    for _ in clients:
        zrecv(s)
        s.send(b"y")
    assert [c.response().status for c in clients] == [200, 200]
    times = gw.location("/slow")["times"]
    assert times.keys() == {"request_time", "waiting_time", "worker_time"}
    for name, t in times.items():
        assert t["count"] == sum(b["count"] for b in t["buckets"]) == 2, name
        assert t["sum_us"] > 0
    assert times["request_time"]["sum_us"] > 600_000
    assert times["request_time"]["at_most_us"]["p50"] >= 500_000
    assert times["waiting_time"]["sum_us"] + times["worker_time"]["sum_us"] == pytest.approx(
        times["request_time"]["sum_us"], abs=1000)
    text = gw.http("GET", "/status/metrics").text
    m = parse(text)
    lint(text)
    for name, t in times.items():
        at = {"location": "/slow", "bridge": "reqrep"}
        assert value(m, f"zgate_{name}_seconds", **at, **{"": "count"}) == 2
        assert value(m, f"zgate_{name}_seconds", **at, **{"": "sum"}) * 1e6 == pytest.approx(t["sum_us"])


# several workers ---------------------------------------------------------------

WORKERS = """
[gateway]
listen  = 127.0.0.1:0
workers = 3

[location /echo]
bridge = reqrep
req = connect {}

[location /files]
bridge = static
root = html
{}
[location /status]
bridge = status
"""


def test_numbers_are_the_whole_process(gateway, zmq_context):
    """... whichever worker is asked, and they go on over a reload."""
    s = zmq_context.socket(zmq.ROUTER)
    where = bind(s)
    gw = gateway(WORKERS.format(where, ""))
    gw.wait_peers("/echo", "req", 3)
    for _ in range(60):
        assert gw.http("GET", "/files/index.html").status == 200
    seen = gw.wait_status(lambda now: all(w["connections_accepted"] for w in now["per_worker"]))
    assert seen["workers"] == len(seen["per_worker"]) == 3
    for row in seen["worker"]:
        assert seen["worker"][row] == sum(w[row] for w in seen["per_worker"])
    for _ in range(20):  # any worker tells the same
        c = gw.counters("/files")
        assert (c["requests"], c["answered"], c["status_2xx"]) == (60, 60, 60)
    text = gw.http("GET", "/status/metrics").text
    m = parse(text)
    lint(text)
    assert value(m, "zgate_requests_total", location="/files", bridge="static") == 60
    assert {dict(labels)["worker"] for labels in m["zgate_connections_accepted_total"][1]} == set("012")

    def reload(config, *expect):
        with open(gw.file, "w", encoding="utf-8") as f:
            f.write(config)
        since = len(gw.log)
        gw.signal(signal.SIGHUP)
        gw.wait_log(r"\] reloaded", since=since)
        now = gw.status()
        assert (now["reloads"], now["configured_ms"] < now["uptime_ms"]) == (expect[0], True)
        return gw.location("/files", now)["counters"]["requests"]

    assert reload(WORKERS.format(where, ""), 1) == 60  # kept
    assert reload(WORKERS.format(where, "max_body = 2m"), 2) == 60  # reloaded
    assert gw.location("/status")["counters"]["requests"] > 20
    assert reload(WORKERS.format(where, "max_body = 2m").replace("/files", "/other") +
                  "[location /files]\nbridge = status\n", 3) == 0  # another one of that name
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write("nonsense")
    gw.signal(signal.SIGHUP)
    assert gw.wait_status(lambda now: now["reloads_failed"] == 1)["reloads"] == 3


def test_what_a_reload_gave_up_is_told_apart(gateway, zmq_context):
    s = zmq_context.socket(zmq.ROUTER)
    gw = gateway(WORKERS.format(bind(s), ""))
    gw.wait_peers("/echo", "req", 3)
    waiting = gw.connect()
    waiting.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    frames = zrecv(s)
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(WORKERS.format(bind(zmq_context.socket(zmq.ROUTER)), ""))
    gw.signal(signal.SIGHUP)
    gw.wait_log(r"\] reloaded")
    now = gw.status()
    at, = now["leaving"]
    assert (at["path"], at["counters"]["requests"], at["counters"]["in_flight"]) == ("/echo", 1, 1)
    assert gw.location("/echo", now)["counters"]["requests"] == 0
    text = gw.http("GET", "/status/metrics").text
    m = parse(text)
    lint(text)
    assert value(m, "zgate_leaving_in_flight", location="/echo", bridge="reqrep") == 1
    assert value(m, "zgate_in_flight", location="/echo", bridge="reqrep") == 0
    s.send_multipart([*frames[:-1], b"y"])
    assert waiting.response().body == b"y"
    gw.wait_status(lambda now: now["leaving"] == [])


def test_questions_that_are_given_up(gateway):
    """Clients that leave while their question is on its way, also at the end."""
    gw = gateway(WORKERS.format("tcp://127.0.0.1:1", ""))
    ask = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
    stop = threading.Event()

    def leave():
        try:
            while not stop.is_set():
                for _ in range(10):
                    with Conn(gw.address) as c:
                        c.send(ask * 3)
                gw.http("GET", "/status/live")  # no faster than it can do it
        except (OSError, http.client.HTTPException):
            pass  # it does not listen any more
    asker = threading.Thread(target=leave)
    asker.start()
    for _ in range(3):
        since = len(gw.log)
        gw.signal(signal.SIGHUP)
        gw.wait_log(r"\] reloaded", since=since)
    begun = gw.status()["worker"]["connections_accepted"]
    gw.wait_status(lambda s: s["worker"]["connections_accepted"] > begun + 100)
    try:
        assert gw.stop(signal.SIGTERM) == 0
    finally:
        stop.set()
        asker.join()


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
