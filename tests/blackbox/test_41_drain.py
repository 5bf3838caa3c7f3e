"""Drain: QUIT finishes what has begun. Nothing that was accepted is lost, those who
have to go are told, and what is discarded in the end is reported."""
import signal
import socket
import time

import pytest
import zmq
from harness import FACTOR, PATIENCE, SANITIZED, bind, free_endpoint, poll
from load import Load
from test_40_reload import WORKERS, echo


def quit_and_wait(gw, timeout=2 * PATIENCE):
    gw.signal(signal.SIGQUIT)
    return ended(gw, timeout)


def ended(gw, timeout=2 * PATIENCE):
    gw.code = gw.wait(timeout)
    return gw.code


# ---- under load ---------------------------------------------------------------

@WORKERS
def test_nothing_accepted_is_lost(gateway, worker_process, zmq_context, workers):
    """64 clients post on kept connections, 16 on new ones, uploads are under way: each
    gets its answer, kept connections end with an answer that says so, and those who
    come later are refused."""
    pull = zmq_context.socket(zmq.PULL)
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        [location /echo]
        bridge = reqrep
        req = connect {echo(worker_process)}
        [location /jobs]
        bridge = pipeline
        push = connect {bind(pull)}
    """)
    load = Load(gw.address)
    poll(lambda: gw.http("POST", "/echo", b"x").status == 200)
    load.post(64, "/echo")
    load.upload(8, "/jobs")
    poll(lambda: load.failed or (load.posted > 300 and load.uploaded > 0))
    idle = [gw.connect() for _ in range(10)]
    for c in idle[:5]:
        c.send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().status == 200
    poll(lambda: gw.status()["worker"]["connections_open"] >= 64 + 10 or workers > 1)
    load.draining = True
    assert quit_and_wait(gw) == 0
    load.join()
    load.close()
    assert not load.failed
    assert load.refused >= 64 and load.told_to_close >= 64
    assert all(c.closed() for c in idle)
    assert not any("time is up" in line for line in gw.log)
    while pull.poll(200):
        pull.recv()
        load.uploaded -= 1
    assert load.uploaded <= 0  # each 202 has reached ZeroMQ, and its worker


@WORKERS
def test_websockets_are_told_one_after_the_other(gateway, zmq_context, workers):
    """1,000 get 1001 and a reason within shutdown_timeout, not all at one moment."""
    clients = 200 if SANITIZED else 1000
    pub = zmq_context.socket(zmq.XPUB)
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        [location /prices]
        bridge = pubsub
        sub = connect {bind(pub)}
    """)
    load = Load(gw.address)
    load.subscribe(clients, "/prices")
    begun = time.monotonic()
    assert quit_and_wait(gw) == 0
    assert time.monotonic() - begun < 10 * FACTOR
    load.join()
    poll(lambda: all(s.closed_at for s in load.subscribers))
    assert {s.close_frame() for s in load.subscribers} == {(1001, "the gateway is stopping")}
    moments = sorted(s.closed_at for s in load.subscribers)
    # over about a second for a thousand of them
    assert moments[-clients // 10] - moments[clients // 10] > clients / 4000
    assert not any("time is up" in line for line in gw.log)
    load.close()


# ---- what is under way ----------------------------------------------------------

@WORKERS
def test_ready_fails_first_and_live_last(gateway, zmq_context, workers):
    """From the QUIT on, /ready is 503 on connections that are open, and /live 200 until
    the last request is answered; new connections are refused."""
    rep = zmq_context.socket(zmq.ROUTER)
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        shutdown_timeout = 30s
        [location /echo]
        bridge = reqrep
        req = connect {bind(rep)}
    """)
    ready, live = b"GET /status/ready HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n"
    probes = [gw.connect() for _ in range(30)]
    for p in probes:
        assert p.send(ready).response().status == 200
    slow = gw.connect()
    slow.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
    frames = rep.recv_multipart()
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")

    def refused():
        with socket.socket() as s:
            return s.connect_ex(gw.address) != 0
    poll(refused)
    for _ in range(5):
        r = probes.pop().send(ready).response()
        assert r.status == 503 and r.headers["Connection"] == "close", r
        assert probes.pop().send(live).response().status == 200
    # an idle connection is served as long as there is anything to wait for
    for p in probes[:10]:
        assert p.send(live).response().status == 200 and p.closed()
    assert gw.running
    rep.send_multipart(frames)
    assert slow.response().body == b"a"
    assert ended(gw) == 0
    assert all(p.closed() for p in probes[10:])


@WORKERS
def test_answers_and_requests_that_are_on_their_way(gateway, tmp_path, workers):
    """A head that has begun, a body that comes slowly, and a large file that its client
    reads slowly: all are finished before the end."""
    (tmp_path / "large").write_bytes(b"x" * (8 << 20))
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        shutdown_timeout = 60s
        [location /files]
        bridge = static
        root = {tmp_path}
        [location /p]
        bridge = pubsub
        sub = connect {free_endpoint()}
        pub = connect {free_endpoint()}
    """)
    half = [gw.connect(), gw.connect()]
    half[0].send(b"GET /status/live HTTP/1.1\r\nHo")
    half[1].send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\nGET /status/live HTTP/1.1\r\nHos")
    assert half[1].response().status == 200
    body = gw.connect().send(b"POST /p?topic=A HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    slow = gw.connect(rcvbuf=4096)
    slow.send(b"GET /files/large HTTP/1.1\r\nHost: x\r\n\r\n")
    assert slow.read(12) == b"HTTP/1.1 200"
    gw.wait_status(lambda s: s["worker"]["connections_open"] >= 4 or workers > 1)
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")
    poll(lambda: socket.socket().connect_ex(gw.address) != 0)
    assert body.send(b"cd").response().status == 202
    assert half[0].send(b"st: x\r\n\r\n").response().status == 200
    assert half[1].send(b"t: x\r\n\r\n").response().status == 200
    assert len(slow.read_to_end()) >= 8 << 20
    assert ended(gw) == 0
    assert not any("time is up" in line for line in gw.log)


@WORKERS
def test_when_time_is_up(gateway, tmp_path, zmq_context, workers):
    """What has not ended in shutdown_timeout is cut off, told why, and reported."""
    (tmp_path / "large").write_bytes(b"x" * (8 << 20))
    rep = zmq_context.socket(zmq.ROUTER)
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        shutdown_timeout = 500ms
        [location /echo]
        bridge = reqrep
        req = connect {bind(rep)}
        [location /files]
        bridge = static
        root = {tmp_path}
    """)
    waits, uploads = gw.connect(), gw.connect()
    waits.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
    rep.recv_multipart()
    uploads.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na")
    slow = gw.connect(rcvbuf=4096)
    slow.send(b"GET /files/large HTTP/1.1\r\nHost: x\r\n\r\n")
    assert slow.read(12) == b"HTTP/1.1 200"
    gw.wait_counter("/echo", "in_flight", 2)
    assert quit_and_wait(gw) == 0
    for c in (waits, uploads):
        r = c.response()
        assert r.status == 503 and "stopping" in r.json()["detail"], r
    told = [line for line in gw.log if "time is up" in line]
    assert sum(int(line.split("time is up: ")[1].split(" requests in flight")[0])
               for line in told if "/echo: " in line) == 2, told
    assert any("in the middle of a request or its answer" in line for line in told)


@WORKERS
def test_a_term_ends_a_drain(gateway, zmq_context, workers):
    """QUIT, and then no patience: TERM ends it within a second; and a QUIT while a
    reload runs begins when that is done."""
    rep, pub = zmq_context.socket(zmq.ROUTER), zmq_context.socket(zmq.XPUB)
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        shutdown_timeout = 10m
        [location /echo]
        bridge = reqrep
        req = connect {bind(rep)}
        [location /prices]
        bridge = pubsub
        sub = connect {bind(pub)}
    """)
    c = gw.connect()
    c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
    rep.recv_multipart()
    gw.signal(signal.SIGHUP)
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")
    begun = time.monotonic()
    gw.signal(signal.SIGTERM)
    assert ended(gw) == 0 and time.monotonic() - begun < 2 * FACTOR
    assert c.response().status == 503


def test_what_zeromq_has_not_taken_is_reported(gateway, zmq_context):
    """Uploads that wait for a worker at the end are counted and told."""
    push = zmq_context.socket(zmq.PULL)
    push.rcvhwm = 1
    gw = gateway(f"""
        [gateway]
        shutdown_timeout = 300ms
        [location /jobs]
        bridge = pipeline
        push = connect {bind(push)}
        max_body = 4m
    """)
    gw.wait_peers("/jobs", "push", 1)
    while gw.counters("/jobs")["queued"] < 3:
        assert gw.http("POST", "/jobs", b"x" * (2 << 20)).status == 202
    assert quit_and_wait(gw) == 0
    gw.wait_log(r"/jobs: time is up: 0 requests .* [3-9]\d* messages that ZeroMQ has not taken are discarded|"
                r"/jobs: [3-9]\d* uploads that waited for a worker are discarded")
