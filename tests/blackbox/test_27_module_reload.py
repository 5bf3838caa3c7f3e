"""Reload and drain of the bridges: what changes at work, what starts anew, and that an
endpoint which the new instance binds is taken over from the old one."""
import concurrent.futures
import signal

import pytest
import zmq

from harness import bind, free_endpoint, poll, zrecv

several = pytest.mark.parametrize("workers", (1, 2))

REP_ECHO = """
s = ctx.socket(zmq.REP)
s.connect(args[0])
while True:
    s.send_multipart([b"echo"] + s.recv_multipart())
"""


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(32) as executor:
        yield executor


def config(workers, *lines):
    return f"[gateway]\nworkers = {workers}\n" + "\n".join(lines) + "\n"


def write(gw, *replacements):
    """Each of (old, new) in the file."""
    with open(gw.file, encoding="utf-8") as f:
        text = f.read()
    for old, new in replacements:
        assert text.count(old) == 1, text
        text = text.replace(old, new)
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(text)


def reload(gw, *replacements):
    write(gw, *replacements)
    before = len(gw.log)
    gw.signal(signal.SIGHUP)
    gw.wait_log(r"reloaded$", since=before)


def connected(gw, count, directive):
    poll(lambda: sum(f": {directive}: peer connected" in line for line in gw.log) >= count)


def reqrep(endpoint, *lines):
    return ("[location /echo]", "bridge = reqrep", f"req = {endpoint}", *lines)


def router(gateway, zmq_context, workers, *lines):
    """A location that binds, and the ROUTER that serves it."""
    endpoint = free_endpoint()
    gw = gateway(config(workers, *reqrep("bind " + endpoint, *lines)))
    s = zmq_context.socket(zmq.ROUTER)
    s.connect(endpoint)
    connected(gw, 1, "req")
    return gw, s


def post(pool, gw, body=b"x", path="/echo", **options):
    return pool.submit(gw.http, "POST", path, body, **options)


def kept(gw):
    """Nothing was given up: no peer had to come anew."""
    return not any("disconnected" in line for line in gw.log)


# reqrep ----------------------------------------------------------------------

@several
def test_limits_of_reqrep_change_at_work(gateway, zmq_context, pool, workers):
    gw, s = router(gateway, zmq_context, workers, "queue = 2", "timeout = 60s")
    first = post(pool, gw, b"1")
    one = zrecv(s)
    second = post(pool, gw, b"2")
    gw.wait_status(lambda status: sum(gw.location("/echo", status)["counters"][name]
                                      for name in ("waiting", "outstanding")) == 2)
    assert post(pool, gw, b"3").result().status == 503
    reload(gw, ("queue = 2", "queue = 3"))
    third = post(pool, gw, b"3")
    s.send_multipart(one)
    assert first.result().body == b"1"
    for answer in (second, third):  # a ROUTER may have all, once it has shown what it is
        s.send_multipart(zrecv(s))
        assert answer.result().status == 200
    assert kept(gw)

    reload(gw, ("queue = 3", "queue = 3\ncontent_type = text/x-new"))
    answer = post(pool, gw)
    s.send_multipart(zrecv(s))
    assert answer.result().headers["Content-Type"] == "text/x-new"

    # what is here when the timeout is made shorter has the shorter one from then on
    answer = post(pool, gw)
    zrecv(s)
    reload(gw, ("timeout = 60s", "timeout = 200ms"))
    assert answer.result().status == 504 and "200ms" in answer.result().json()["detail"]
    # and what is here when it is made longer keeps the one that it has
    reload(gw, ("timeout = 200ms", "timeout = 500ms"))
    answer = post(pool, gw)
    zrecv(s)
    reload(gw, ("timeout = 500ms", "timeout = 60s"))
    assert answer.result().status == 504 and "500ms" in answer.result().json()["detail"]
    assert kept(gw)


@several
def test_a_bound_endpoint_is_taken_over(gateway, zmq_context, pool, workers):
    """`envelope` starts the location anew: the old one answers what it has, and the new
    one waits for its address and its workers, refusing nobody."""
    gw, s = router(gateway, zmq_context, workers, "envelope = none")
    first = post(pool, gw)
    s.send_multipart(zrecv(s))
    assert first.result().status == 200  # from here on it may have all there are
    old = [post(pool, gw, b"%d" % i) for i in range(4)]
    held = [zrecv(s) for _ in range(4)]
    reload(gw, ("envelope = none", "envelope = http"))
    new = [post(pool, gw, b"new%d" % i) for i in range(8)]
    for frames in held:
        assert len(frames) == 4  # the peer, id, empty, body
        s.send_multipart(frames)
    assert {a.result().body for a in old} == {b"0", b"1", b"2", b"3"}
    gw.wait_log("req: tcp://.* is free now and bound")
    for _ in range(8):
        *route, head, body = zrecv(s)
        assert len(route) == 3 and head.startswith(b'{"id":')
        s.send_multipart([*route, b'{"status":201}', body])
    assert {(a.result().status, a.result().body) for a in new} == {(201, b"new%d" % i) for i in range(8)}


@several
@pytest.mark.parametrize("transport", ("tcp", "ipc"))
def test_no_request_fails_while_a_location_starts_anew(gateway, worker_process, pool, tmp_path,
                                                       workers, transport):
    endpoint = free_endpoint() if transport == "tcp" else f"ipc://{tmp_path}/req"
    gw = gateway(config(workers, *reqrep("bind " + endpoint, "max_reply = 1m")))
    worker_process(REP_ECHO, endpoint)
    connected(gw, 1, "req")
    stop = []

    def client(n):
        c, count = gw.connect(), 0
        while not stop:
            c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n%04d" % n)
            r = c.response("POST")
            assert (r.status, r.body) == (200, b"echo%04d" % n), r
            count += 1
        return count
    clients = [pool.submit(client, n) for n in range(16)]
    for i in range(1, 6):
        reload(gw, (f"max_reply = {i}m", f"max_reply = {i + 1}m"))
        connected(gw, 1 + i, "req")
    stop.append(True)
    assert all(c.result() > 0 for c in clients)


def test_endpoints_that_a_location_no_longer_has(gateway, zmq_context, pool):
    """In flight at the old endpoint: answered from there. New requests go to the new one
    at once, though its connection is not up yet."""
    old, new = zmq_context.socket(zmq.ROUTER), zmq_context.socket(zmq.ROUTER)
    where = [bind(old), bind(new)]
    gw = gateway(config(2, *reqrep("connect " + where[0])))
    connected(gw, 2, "req")
    before = [post(pool, gw, b"old%d" % i) for i in range(8)]
    got = [zrecv(old)]
    reload(gw, (where[0], where[1]))
    after = [post(pool, gw, b"new%d" % i) for i in range(8)]
    for s, answers in ((new, after), (old, before)):
        while not all(a.done() for a in answers):
            if s is old and got:
                s.send_multipart(got.pop())
            elif s.poll(20):
                s.send_multipart(s.recv_multipart())
    assert [a.result().body for a in before] == [b"old%d" % i for i in range(8)]
    assert [a.result().body for a in after] == [b"new%d" % i for i in range(8)]


def test_nobody_comes_to_the_new_endpoint(gateway, pool, zmq_context):
    s = zmq_context.socket(zmq.ROUTER)
    where = bind(s)
    gw = gateway(config(2, *reqrep("connect " + where)))
    connected(gw, 2, "req")
    nobody = free_endpoint()
    reload(gw, (where, nobody))
    for answer in [post(pool, gw) for _ in range(8)]:
        r = answer.result()
        assert r.status == 503 and nobody in r.json()["detail"]


def test_a_refused_reload_lets_the_endpoint_be(gateway, zmq_context, pool):
    gw, s = router(gateway, zmq_context, 2)
    taken = zmq_context.socket(zmq.REP)
    other = bind(taken)
    write(gw, ("bridge = reqrep", "bridge = reqrep\nenvelope = http"),
          ("[location /echo]", f"[location /more]\nbridge = reqrep\nreq = bind {other}\n[location /echo]"))
    gw.signal(signal.SIGHUP)
    gw.wait_log("Address already in use")
    gw.wait_log("not reloaded, everything stays as it was")
    answer = post(pool, gw)
    s.send_multipart(zrecv(s))
    assert answer.result().status == 200 and kept(gw)


# pipeline --------------------------------------------------------------------

def pipeline(push, pull, *lines):
    return ("[location /jobs]", "bridge = pipeline", f"push = {push}", f"pull = {pull}",
            "framing = id", *lines)


def jobs(gateway, zmq_context, workers, *lines, hwm=1000):
    push, pull = free_endpoint(), free_endpoint()
    gw = gateway(config(workers, *pipeline("bind " + push, "bind " + pull, *lines)))
    i, o = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    i.rcvhwm, i.rcvbuf = hwm, 65536 if hwm == 1 else -1
    i.connect(push)
    o.connect(pull)
    connected(gw, 1, "push")
    connected(gw, 1, "pull")
    return gw, i, o


def upload(gw, body=b"x"):
    r = gw.http("POST", "/jobs", body)
    assert r.status == 202, r
    return r.headers["Location"]


@several
def test_limits_of_a_pipeline_change_at_work(gateway, zmq_context, workers):
    """Ids, results and streams are kept."""
    gw, i, o = jobs(gateway, zmq_context, workers, "results = 10m", "results_size = 1m", "queue = 10")
    ws = gw.ws("/jobs")
    done, waits = upload(gw, b"a"), upload(gw, b"b")
    ids = [zrecv(i)[0] for _ in range(2)]
    o.send_multipart([ids[0], b"A"])
    assert ws.recv() == f"{ids[0].decode()} A"
    reload(gw, ("results = 10m", "results = 20m"), ("queue = 10", "queue = 1"))
    assert gw.http("GET", done).body == b"A"
    o.send_multipart([ids[1], b"B"])
    assert ws.recv() == f"{ids[1].decode()} B"
    assert gw.http("GET", waits).body == b"B"
    reload(gw, ("results_size = 1m", "results_size = 1k"))
    upload(gw, b"c")
    o.send_multipart([zrecv(i)[0], b"C" * 1023])
    assert ws.recv().endswith("C")
    assert gw.http("GET", done).status == 410  # had to make room
    reload(gw, ("results = 20m", "results = 10ms"))
    poll(lambda: gw.http("GET", waits).status == 410)
    assert kept(gw)
    # a frame of a result may not grow beyond what the sink was opened with
    reload(gw, ("results_size = 1k", "results_size = 2m"))
    gw.wait_log("warn.* /jobs: results_size is larger now, but one frame .* 1048576 bytes")


@several
def test_uploads_of_the_old_configuration_are_pushed(gateway, zmq_context, workers):
    """What the old instance has accepted goes out before the new one has the endpoint."""
    gw, i, o = jobs(gateway, zmq_context, workers, "max_body = 4m", hwm=1)
    big, count = b"x" * 2_000_000, 40  # more than libzmq and TCP take: some wait
    for _ in range(count):
        upload(gw, big)
    reload(gw, ("framing = id", "framing = meta"))
    later = [gw.http("POST", "/jobs", b"later").status for _ in range(3)]
    for _ in range(count):
        job, body = zrecv(i)
        assert len(job) == 28 and body == big
    gw.wait_log("push: tcp://.* is free now and bound")
    assert later == [202] * 3
    for _ in range(3):
        head, body = zrecv(i)
        assert head.startswith(b'{"id":"') and body == b"later"
    assert gw.stop() == 0
    assert not any("discarded" in line for line in gw.log)


@several
def test_quit_pushes_what_was_accepted_and_takes_late_results(gateway, zmq_context, workers):
    gw, i, o = jobs(gateway, zmq_context, workers, "max_body = 4m", hwm=1)
    c = gw.connect()
    big = b"x" * 2_000_000
    for _ in range(30):
        upload(gw, big)
    c.send(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nlast")
    ws = gw.ws("/jobs")
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")
    c.send(b"upload")
    assert c.response("POST").status == 202  # its head was here before
    bodies = [zrecv(i)[1] for _ in range(31)]
    assert bodies == [big] * 30 + [b"lastupload"]
    assert ws.wait_closed() == 1001
    assert gw.stop(signal.SIGQUIT) == 0
    assert not any("discarded" in line for line in gw.log)


def test_what_nobody_takes_is_reported_when_time_is_up(gateway, zmq_context):
    gw, i, o = jobs(gateway, zmq_context, 2, "max_body = 4m", hwm=1)
    reload(gw, ("[gateway]", "[gateway]\nshutdown_timeout = 1s"))
    for _ in range(30):
        upload(gw, b"x" * 2_000_000)
    assert gw.stop(signal.SIGQUIT) == 0
    gw.wait_log(r"warn.* /jobs: time is up: .* \d+ messages that ZeroMQ has not taken are discarded")
    gw.wait_log(r"warn.* ZeroMQ still had messages when time was up")


# pair ------------------------------------------------------------------------

@several
def test_a_pair_keeps_its_client_or_starts_anew(gateway, zmq_context, workers):
    endpoint = free_endpoint()
    gw = gateway(config(workers, "[location /console]", "bridge = pair", f"pair = bind {endpoint}",
                        "client_queue = 64k"))
    s = zmq_context.socket(zmq.PAIR)
    s.connect(endpoint)
    connected(gw, 1, "pair")
    ws = gw.ws("/console")
    reload(gw, ("client_queue = 64k", "client_queue = 32k"))
    ws.send("hello")
    assert zrecv(s) == [b"hello"]
    reload(gw, ("client_queue = 32k", "client_queue = 1m"))
    gw.wait_log("warn.* /console: client_queue is larger now, but a message of the peer .* 65536")
    s.send(b"still here")
    assert ws.recv() == "still here" and kept(gw)
    # another endpoint beside the old one: the location starts anew
    reload(gw, (f"bind {endpoint}", f"bind {endpoint} {free_endpoint()}"))
    assert ws.wait_closed() == 1001
    gw.wait_log("pair: tcp://.* is free now and bound")
    connected(gw, 2, "pair")
    ws = gw.ws("/console")
    ws.send("again")
    assert zrecv(s) == [b"again"]


def test_quit_waits_for_the_peer_of_a_pair(gateway, zmq_context):
    endpoint = free_endpoint()
    gw = gateway(config(2, "[location /console]", "bridge = pair", f"pair = connect {endpoint}"))
    ws = gw.ws("/console")
    for i in range(100):
        ws.send(str(i))
    ws.ping()
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")
    s = zmq_context.socket(zmq.PAIR)
    s.bind(endpoint)
    assert [zrecv(s) for _ in range(100)] == [[b"%d" % i] for i in range(100)]
    assert ws.wait_closed() == 1001
    assert gw.stop(signal.SIGQUIT) == 0
    assert not any("discarded" in line for line in gw.log)
