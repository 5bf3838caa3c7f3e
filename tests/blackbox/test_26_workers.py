"""workers = N: threads that accept from the same address, and bridges that behave as
if there were one. Which worker accepts is chance: so many connections, and what
must hold for each of them."""
import concurrent.futures
import hashlib
import json
import signal

import pytest
import websockets
import zmq

from harness import bind, free_endpoint, poll, zrecv

MANY = 24  # connections: with 2 or 4 workers each serves some

# Echoes what it gets. args: bind|connect, endpoint
ECHO = """
s = ctx.socket(zmq.REP)
getattr(s, args[0])(args[1])
print("ready")
while True:
    s.send_multipart(s.recv_multipart())
"""

# Takes a request, says so, and does no more.
STUCK = """
s = ctx.socket(zmq.REP)
getattr(s, args[0])(args[1])
print("ready")
s.recv()
print("got")
time.sleep(1000)
"""

several = pytest.mark.parametrize("workers", (1, 2, 4))
both = pytest.mark.parametrize("how", ("bind", "connect"))


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(2 * MANY) as executor:
        yield executor


def config(workers, *sections):
    return f"[gateway]\nworkers = {workers}\n" + "\n".join(sections)


def echo(how, endpoint, *more):
    return "\n".join(["[location /echo]", "bridge = reqrep", f"req = {how} {endpoint}", *more, ""])


def jobs(push, pull=None, *more):
    return "\n".join(["[location /jobs]", "bridge = pipeline", f"push = {push}",
                      *([f"pull = {pull}"] if pull else []), *more, ""])


def connected(gw, count, directive="req"):
    """Waits until so many peers have connected; each worker has its own connection
    to an endpoint that the gateway connects to."""
    poll(lambda: sum(f": {directive}: peer connected" in line for line in gw.log) >= count)


def with_echo(gateway, worker_process, workers, how, *more):
    endpoint = free_endpoint()
    gw = gateway(config(workers, echo(how, endpoint, *more)))
    worker_process(ECHO, "connect" if how == "bind" else "bind", endpoint)
    connected(gw, 1 if how == "bind" else workers)
    return gw


def stuck(gateway, worker_process, workers, how, *more):
    """A worker that answers nothing, as a process that can be killed."""
    endpoint = free_endpoint()
    gw = gateway(config(workers, echo(how, endpoint, *more)))
    p = worker_process(STUCK, "connect" if how == "bind" else "bind", endpoint)
    connected(gw, 1 if how == "bind" else workers)
    return gw, p


def silent(gateway, zmq_context, workers, how="bind", *more):
    """The gateway and a ROUTER that a test answers with."""
    endpoint = free_endpoint()
    s = zmq_context.socket(zmq.ROUTER)
    if how == "connect":
        s.bind(endpoint)
    gw = gateway(config(workers, echo(how, endpoint, *more)))
    if how == "bind":
        s.connect(endpoint)
    connected(gw, 1 if how == "bind" else workers)
    return gw, s


def post(body, path="/echo"):
    return (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def one_by_one(s, count):
    """What a ROUTER with REP's manners gets when it answers each request at once, until
    as many have come; the bodies."""
    bodies = []
    while len(bodies) < count:
        frames = zrecv(s)
        bodies.append(frames[-1])
        s.send_multipart(frames)
    return bodies


# reqrep ----------------------------------------------------------------------

@several
@both
def test_answers_are_not_crossed(gateway, worker_process, pool, workers, how):
    """Kept-alive connections, small bodies and large ones, and the heads of answers."""
    gw = with_echo(gateway, worker_process, workers, how, "max_body = 4m")

    def client(number):
        c = gw.connect()
        for i in range(6):
            body = b"%d/%d " % (number, i) + (b"x" * 1_000_000 if i == 3 else b"")
            c.send(post(body)[:-len(body)].replace(b"Host", b"X-Request-ID: c%d-%d\r\nHost" % (number, i)))
            c.send(body)
            r = c.response("POST")
            assert (r.status, r.body) == (200, body)
            assert r.headers["X-Request-ID"] == f"c{number}-{i}"
        return True
    assert all(pool.map(client, range(MANY)))


@several
@both
def test_pipelined_requests_are_answered_in_order(gateway, worker_process, workers, how):
    gw = with_echo(gateway, worker_process, workers, how)
    conns = [gw.connect() for _ in range(MANY)]
    for number, c in enumerate(conns):
        c.send(b"".join(post(b"%d/%d" % (number, i)) for i in range(5)))
    for number, c in enumerate(conns):
        assert [c.response("POST").body for _ in range(5)] == [b"%d/%d" % (number, i) for i in range(5)]


@both
def test_an_envelope_tells_the_same_wherever_the_request_came_in(gateway, zmq_context, pool, how):
    gw, s = silent(gateway, zmq_context, 2, how, "envelope = http", "methods = GET")
    answers = [pool.submit(gw.http, "GET", f"/echo/a%20b?n={i}", None,
                           {"X-One": str(i), "X-Request-ID": f"id{i}"}) for i in range(MANY)]
    for _ in range(MANY):
        *route, head, body = zrecv(s)
        head = json.loads(head)
        number = head["headers"]["x-one"]
        assert (head["method"], head["path"], head["query"]) == ("GET", "/echo/a b", f"n={number}")
        assert (head["id"], head["remote"], body) == (f"id{number}", "127.0.0.1", b"")
        reply = {"status": 201, "headers": {"X-Answer": number}}
        s.send_multipart([*route, json.dumps(reply).encode(), number.encode()])
    for i, answer in enumerate(answers):
        r = answer.result()
        assert (r.status, r.headers["X-Answer"], r.body) == (201, str(i), b"%d" % i)


@several
@both
def test_the_queue_is_the_locations(gateway, worker_process, pool, workers, how):
    """So many in flight or waiting, not so many on each worker."""
    gw, worker = stuck(gateway, worker_process, workers, how, "queue = 5")
    answers = [pool.submit(gw.http, "POST", "/echo", b"%d" % i) for i in range(MANY)]
    poll(lambda: sum(a.done() for a in answers) >= MANY - 5)
    refused = [a.result() for a in answers if a.done()]
    assert [(r.status, "queue is full: 5 " in r.json()["detail"]) for r in refused] == \
        [(503, True)] * (MANY - 5)
    assert all(r.headers["Retry-After"] for r in refused)
    assert gw.stop(signal.SIGTERM) == 0
    assert sorted(a.result().status for a in answers) == [503] * MANY
    assert worker.running


@both
def test_a_worker_dies_with_requests_of_several_workers(gateway, worker_process, pool, how):
    """502 for what it had, 503 at once as nobody is left, and the next one serves."""
    gw, worker = stuck(gateway, worker_process, 2, how, "timeout = 60s")
    answers = [pool.submit(gw.http, "POST", "/echo", b"%d" % i, timeout=60) for i in range(8)]
    worker.wait_line("got")
    endpoint = worker.process.args[-1]
    worker.kill()
    connections = 1 if how == "bind" else 2
    poll(lambda: sum("disconnected (0 left)" in line for line in gw.log) >= connections)
    poll(lambda: any(a.done() for a in answers))
    for r in [gw.http("POST", "/echo", b"x") for _ in range(MANY)]:
        assert r.status == 503 and endpoint in r.json()["detail"] and r.headers["Retry-After"]
    # what waited in the gateway goes to the successor
    worker_process(ECHO, "connect" if how == "bind" else "bind", endpoint)
    statuses = [a.result().status for a in answers]
    assert 1 <= statuses.count(502) <= connections, statuses
    for i, r in enumerate(a.result() for a in answers):
        # or it came when nobody was there any more
        assert r.status == 503 or (endpoint in r.json()["detail"] if r.status == 502 else
                                   (r.status, r.body) == (200, b"%d" % i))
    connected(gw, 2 if how == "bind" else 4)
    assert [gw.http("POST", "/echo", b"x").status for _ in range(MANY)] == [200] * MANY


def test_clients_leave_while_their_requests_are_away(gateway, zmq_context):
    gw, s = silent(gateway, zmq_context, 2)
    conns = [gw.connect().send(post(b"%d" % i)) for i in range(MANY)]
    first = zrecv(s)
    for c in conns[1:]:
        c.reset()
    conns[0].send(b"")
    s.send_multipart(first)
    # whose it was cannot be known here; what was not sent yet is sent no more
    c = gw.connect().send(post(b"new"))
    while (frames := zrecv(s))[-1] != b"new":
        s.send_multipart(frames)
    s.send_multipart(frames)
    assert c.response("POST").body == b"new"
    conns[0].close()
    assert gw.stop(signal.SIGQUIT) == 0  # at once: nothing is in flight
    assert not any("time is up" in line for line in gw.log)


@several
def test_half_closed_clients_get_their_answers(gateway, worker_process, workers):
    gw = with_echo(gateway, worker_process, workers, "bind")
    conns = [gw.connect().send(post(b"%d" % i)) for i in range(MANY)]
    for c in conns:
        c.half_close()
    for i, c in enumerate(conns):
        assert c.response("POST").body == b"%d" % i
        assert c.closed()


@several
def test_stop_while_requests_are_away(gateway, zmq_context, workers):
    gw, s = silent(gateway, zmq_context, workers)
    conns = [gw.connect().send(post(b"%d" % i)) for i in range(MANY)]
    zrecv(s)
    assert gw.stop(signal.SIGTERM) == 0
    for c in conns:
        data = c.read_to_end()
        assert not data or data.startswith(b"HTTP/1.1 503 "), data


@several
@both
def test_quit_answers_what_is_away(gateway, zmq_context, workers, how):
    gw, s = silent(gateway, zmq_context, workers, how)
    conns = [gw.connect().send(post(b"%d" % i)) for i in range(MANY)]
    first = zrecv(s)
    gw.signal(signal.SIGQUIT)
    gw.wait_log("SIGQUIT")
    s.send_multipart(first)
    bodies = [first[-1], *one_by_one(s, MANY - 1)]
    assert sorted(bodies) == sorted(b"%d" % i for i in range(MANY))
    for i, c in enumerate(conns):
        r = c.response("POST")
        assert (r.status, r.body) == (200, b"%d" % i)
    assert gw.stop(signal.SIGQUIT) == 0


@several
def test_reloads_while_requests_are_away(gateway, zmq_context, workers):
    """Nothing of the location has changed: it goes on as if nothing had happened."""
    gw, s = silent(gateway, zmq_context, workers)
    conns = [gw.connect().send(post(b"%d" % i)) for i in range(MANY)]
    first = zrecv(s)
    for n in range(3):
        before = len(gw.log)
        with open(gw.file, "a", encoding="utf-8") as f:
            f.write(f"\n[location /new{n}]\nbridge = status\n")
        gw.signal(signal.SIGHUP)
        gw.wait_log("reloaded", since=before)
    s.send_multipart(first)
    one_by_one(s, MANY - 1)
    for i, c in enumerate(conns):
        assert c.response("POST").body == b"%d" % i
    assert not any("disconnected" in line for line in gw.log)


# pair ------------------------------------------------------------------------

@several
@pytest.mark.parametrize("how", ("bind", "connect"))
def test_a_pair_is_one_client_in_all(gateway, zmq_context, workers, how):
    endpoint = free_endpoint()
    s = zmq_context.socket(zmq.PAIR)
    if how == "connect":
        s.bind(endpoint)
    gw = gateway(config(workers, f"[location /console]\nbridge = pair\npair = {how} {endpoint}\n"))
    if how == "bind":
        s.connect(endpoint)
    connected(gw, 1, "pair")
    for turn in range(3):
        ws = gw.ws("/console")
        for _ in range(MANY):
            with pytest.raises(websockets.InvalidStatusCode) as e:
                gw.ws("/console")
            assert e.value.status_code == 409
            assert gw.http("GET", "/console").status == 426
        for i in range(20):
            ws.send(f"{turn}/{i}")
            assert zrecv(s) == [b"%d/%d" % (turn, i)]
            s.send(b"\xff%d" % i)
            assert ws.recv() == b"\xff%d" % i
        ws.close()
        s.send(b"between")

        def again():
            try:
                return gw.ws("/console")
            except websockets.InvalidStatusCode as e:
                assert e.status_code == 409  # it has not heard of the close yet
                return None
        ws = poll(again)
        assert ws.recv() == "between"
        ws.close()
        poll(lambda: (w := again()) and (w.close() or True))
    assert sum("pair: peer connected" in line for line in gw.log) == 1
    assert gw.stop() == 0


# pipeline --------------------------------------------------------------------

@pytest.fixture
def job_worker(zmq_context):
    """job_worker(push, pull) -> a PULL and a PUSH socket, connected."""
    kept = []

    def connect(gw, push, pull):
        i, o = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
        kept.extend((i, o))
        o.connect(pull)
        i.connect(push)
        connected(gw, 1, "push")
        connected(gw, 1, "pull")
        return i, o
    return connect


@several
def test_ids_resolve_whichever_worker_is_asked(gateway, job_worker, pool, workers):
    push, pull = free_endpoint(), free_endpoint()
    gw = gateway(config(workers, jobs("bind " + push, "bind " + pull, "framing = id")))
    i, o = job_worker(gw, push, pull)
    streams = [gw.ws("/jobs") for _ in range(8)]
    for ws in streams:
        ws.ping()
    uploads = list(pool.map(lambda n: gw.http("POST", "/jobs", b"%d" % n), range(MANY)))
    assert [r.status for r in uploads] == [202] * MANY
    for r in uploads:
        assert [gw.http("GET", r.headers["Location"]).status for _ in range(3)] == [202] * 3
    expected = set()
    for _ in range(MANY):
        job, body = zrecv(i)
        o.send_multipart([job, b"done " + body])
        expected.add(f"{job.decode()} done {body.decode()}")
    for ws in streams:
        assert {ws.recv() for _ in range(MANY)} == expected
    for n, r in enumerate(uploads):
        for _ in range(3):
            found = gw.http("GET", r.headers["Location"])
            assert (found.status, found.body) == (200, b"done %d" % n)
    assert [gw.http("GET", "/jobs/" + "0" * 28).status for _ in range(MANY)] == [404] * MANY


@several
@both
def test_large_uploads_arrive_whole(gateway, zmq_context, pool, workers, how):
    """Chunked and not, over all workers to one PULL, bound or connecting."""
    endpoint = free_endpoint()
    s = zmq_context.socket(zmq.PULL)
    if how == "connect":
        s.bind(endpoint)
    gw = gateway(config(workers, jobs(f"{how} {endpoint}", None, "max_body = 8m", "queue_size = 256m")))
    if how == "bind":
        s.connect(endpoint)
    connected(gw, 1 if how == "bind" else workers, "push")
    bodies = [b"%d " % n * 300_000 for n in range(MANY)]

    def upload(n):
        body = bodies[n]
        pieces = (body[at:at + 100_000] for at in range(0, len(body), 100_000))
        return gw.http("PUT", "/jobs", pieces if n % 2 else body).status
    sent = pool.map(upload, range(MANY))
    got = [hashlib.sha256(b"".join(zrecv(s))).digest() for _ in range(MANY)]
    assert sorted(got) == sorted(hashlib.sha256(b).digest() for b in bodies)
    assert list(sent) == [202] * MANY


@pytest.mark.parametrize("workers", (2, 4))
def test_the_queue_of_uploads_is_the_locations(gateway, zmq_context, pool, workers):
    """Each worker pushes on a connection of its own, but they share the limit."""
    s = zmq_context.socket(zmq.PULL)
    s.rcvhwm, s.rcvbuf = 1, 65536
    endpoint = bind(s)
    gw = gateway(config(workers, jobs(f"connect {endpoint}", None, "queue = 4", "queue_size = 1g",
                                      "max_body = 2m")))
    connected(gw, workers, "push")
    body, accepted, refused = b"x" * 2_000_000, 0, 0
    # until all workers have filled their connections and the queue
    while refused < 4 * MANY:
        statuses = [r.status for r in pool.map(lambda _: gw.http("POST", "/jobs", body), range(8))]
        refused = refused + 8 if statuses == [503] * 8 else 0
        accepted += statuses.count(202)
        assert set(statuses) <= {202, 503}
    gw.signal(signal.SIGTERM)
    found = gw.wait_log(r"stopped")
    queued = sum(int(line.split(" uploads ")[0].rsplit(" ", 1)[1])
                 for line in gw.log if "uploads that waited" in line)
    assert found and queued == 4, accepted
    assert gw.stop() == 0
