"""reqrep: HTTP requests to REQ/REP workers, and what becomes of every one of
them when workers are slow, leave, or answer nonsense."""
import concurrent.futures
import json
import struct
import time

import pytest
import zmq

from harness import FACTOR, REP_WORKER, GatewayFailed, bind, free_endpoint, poll, zrecv

OUTCOMES = ("answered", "timed_out", "worker_lost", "no_worker", "queue_full", "cancelled",
            "bad_replies", "waiting", "outstanding")

# Sleeps args[1] seconds over each request, then answers "World " and the request.
SLOW_WORKER = """
s = ctx.socket(zmq.REP)
s.connect(args[0])
print("ready")
while True:
    request = s.recv()
    time.sleep(float(args[1]))
    s.send(b"World " + request)
"""

# Takes one request and is gone.
FALLING_WORKER = """
s = ctx.socket(zmq.REP)
s.connect(args[0])
print("ready")
print("got", s.recv())
"""


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(64) as executor:
        yield executor


def location(endpoints, *lines):
    return "\n".join(["[location /echo]", "bridge = reqrep", f"req = {endpoints}", *lines, ""])


def post(pool, gw, body, path="/echo"):
    return pool.submit(gw.http, "POST", path, body)


def settled(gw, requests):
    """Each request ended in exactly one counted outcome."""
    now = {}

    def check():
        now.update(gw.counters("/echo"))
        return now["outstanding"] == now["waiting"] == 0
    poll(check)
    assert sum(now[o] for o in OUTCOMES) == requests, now
    return now


def rep(zmq_context, kind=zmq.REP):
    s = zmq_context.socket(kind)
    return s, bind(s)


def test_echo_and_content_type(gateway, worker_process):
    gw = gateway(location("bind tcp://127.0.0.1:*"))
    worker_process(REP_WORKER, gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    for body, kind in ((b"Hello", "text/plain; charset=utf-8"), (b"", "text/plain; charset=utf-8"),
                       ("käse".encode(), "text/plain; charset=utf-8"),
                       (b"\xff\x00\x01", "application/octet-stream"),
                       (b"x" * 900_000, "text/plain; charset=utf-8")):
        r = gw.http("POST", "/echo", body)
        assert (r.status, r.body, r.headers["Content-Type"]) == (200, body, kind)
    assert settled(gw, 5)["answered"] == 5


def test_content_type_configured(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint, "content_type = application/json"))
    gw.wait_peers("/echo", "req", 1)
    answer = post(pool, gw, b"x")
    zrecv(s)
    s.send(b"{}")
    assert answer.result().headers["Content-Type"] == "application/json"


def test_frames_of_a_reply_are_joined(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint))
    gw.wait_peers("/echo", "req", 1)
    answer = post(pool, gw, b"x")
    assert zrecv(s) == [b"x"]
    s.send_multipart([b"one ", b"", b"two"])
    assert answer.result().body == b"one two"


def test_query_of_a_get_is_the_body(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint, "methods = GET POST"))
    gw.wait_peers("/echo", "req", 1)
    answer = pool.submit(gw.http, "GET", "/echo?a=1&b=%20")
    assert zrecv(s) == [b"a=1&b=%20"]
    s.send(b"yes")
    assert answer.result().body == b"yes"


def test_methods_default_to_post(gateway):
    gw = gateway(location("bind tcp://127.0.0.1:*"))
    assert gw.http("GET", "/echo").status == 405


def test_twenty_clients_of_a_slow_worker(gateway, worker_process, pool):
    gw = gateway(location("bind tcp://127.0.0.1:*"))
    worker_process(SLOW_WORKER, gw.endpoint("/echo", "req"), 0.1)
    gw.wait_peers("/echo", "req", 1)
    answers = {i: post(pool, gw, b"%d" % i) for i in range(20)}
    for i, answer in answers.items():
        assert (answer.result().status, answer.result().body) == (200, b"World %d" % i)
    assert settled(gw, 20)["answered"] == 20


def test_many_clients_two_workers_nothing_crossed(gateway, worker_process, pool):
    gw = gateway(location("bind tcp://127.0.0.1:*"))
    for _ in range(2):
        worker_process(REP_WORKER, gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 2)
    answers = {i: post(pool, gw, b"%d" % i) for i in range(400)}
    for i, answer in answers.items():
        assert (answer.result().status, answer.result().body) == (200, b"%d" % i)
    assert settled(gw, 400)["answered"] == 400


def test_slow_worker_holds_one_request_and_order_is_kept(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint))
    gw.wait_peers("/echo", "req", 1)
    answers = []
    for i in range(5):
        answers.append(post(pool, gw, b"%d" % i))
        gw.wait_status(lambda s: sum(gw.location("/echo", s)["counters"][c]
                                     for c in ("waiting", "outstanding")) == i + 1)
    assert gw.counters("/echo")["outstanding"] == 1
    assert gw.counters("/echo")["waiting"] == 4
    for i in range(5):
        assert zrecv(s) == [b"%d" % i]
        s.send(b"ok")
        assert answers[i].result().body == b"ok"
    settled(gw, 5)


def test_second_endpoint_shares_the_load(gateway, zmq_context, pool):
    (a, at_a), (b, at_b) = rep(zmq_context), rep(zmq_context)
    gw = gateway(location(f"connect {at_a} {at_b}"))
    gw.wait_status(lambda s: sum(x["peers"] for x in gw.location("/echo", s)["sockets"]) == 2)
    answers = [post(pool, gw, b"1"), post(pool, gw, b"2")]
    assert sorted(zrecv(a) + zrecv(b)) == [b"1", b"2"]
    a.send(b"from a")
    b.send(b"from b")
    assert sorted(x.result().body for x in answers) == [b"from a", b"from b"]


def test_no_worker(gateway):
    endpoint = free_endpoint()
    gw = gateway(location("connect " + endpoint))
    r = gw.http("POST", "/echo", b"x")
    assert r.status == 503 and r.headers["Retry-After"]
    assert r.headers["Content-Type"] == "application/problem+json"
    assert endpoint in r.json()["detail"]
    assert settled(gw, 1)["no_worker"] == 1


def test_worker_starts_later_and_comes_back(gateway, zmq_context, pool):
    endpoint = free_endpoint()
    gw = gateway(location("connect " + endpoint))
    for i in range(2):
        s = zmq_context.socket(zmq.REP)
        s.bind(endpoint)
        gw.wait_peers("/echo", "req", 1)
        answer = post(pool, gw, b"x")
        zrecv(s)
        s.send(b"%d" % i)
        assert answer.result().body == b"%d" % i
        s.close()
        gw.wait_peers("/echo", "req", 0)


def test_worker_goes_with_a_request(gateway, zmq_context, pool):
    endpoint = free_endpoint()
    gw = gateway(location("connect " + endpoint))
    s = zmq_context.socket(zmq.REP)
    s.bind(endpoint)
    gw.wait_peers("/echo", "req", 1)
    first = post(pool, gw, b"first")
    zrecv(s)
    second = post(pool, gw, b"second")
    gw.wait_counter("/echo", "waiting", 1)
    s.close()
    r = first.result()
    assert r.status == 502 and endpoint in r.json()["detail"]
    assert not second.done()
    s = zmq_context.socket(zmq.REP)
    s.bind(endpoint)
    assert zrecv(s) == [b"second"]  # it waited for the next worker
    s.send(b"late but well")
    assert second.result().body == b"late but well"
    now = settled(gw, 2)
    assert (now["worker_lost"], now["answered"]) == (1, 1)


def test_process_dies_with_a_request(gateway, worker_process, pool):
    gw = gateway(location("bind tcp://127.0.0.1:*"))
    endpoint = gw.endpoint("/echo", "req")
    worker_process(FALLING_WORKER, endpoint)
    gw.wait_peers("/echo", "req", 1)
    assert gw.http("POST", "/echo", b"x").status == 502
    gw.wait_peers("/echo", "req", 0)
    assert gw.http("POST", "/echo", b"x").status == 503
    worker_process(REP_WORKER, endpoint)
    gw.wait_peers("/echo", "req", 1)
    assert gw.http("POST", "/echo", b"x").body == b"x"
    settled(gw, 3)


def test_one_of_two_bound_workers_dies(gateway, worker_process, zmq_context, pool):
    gw = gateway(location("bind tcp://127.0.0.1:*", f"timeout = {2 * FACTOR}s"))
    endpoint = gw.endpoint("/echo", "req")
    s = zmq_context.socket(zmq.REP)
    s.connect(endpoint)
    worker_process(FALLING_WORKER, endpoint)
    gw.wait_peers("/echo", "req", 2)
    answers = [post(pool, gw, b"1"), post(pool, gw, b"2")]
    gw.wait_peers("/echo", "req", 1)
    zrecv(s)
    s.send(b"mine")
    # the request that died with the other must not hold up the one that lives
    more = post(pool, gw, b"3")
    zrecv(s, 1)
    s.send(b"more")
    assert more.result().body == b"more"
    assert sorted(a.result().status for a in answers) == [200, 504]
    settled(gw, 3)


def test_queue_full(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint, "queue = 2"))
    gw.wait_peers("/echo", "req", 1)
    answers = [post(pool, gw, b"x") for _ in range(2)]
    gw.wait_counter("/echo", "waiting", 1)
    r = gw.http("POST", "/echo", b"x")
    assert r.status == 503 and r.headers["Retry-After"] and "queue" in r.json()["detail"]
    for answer in answers:
        zrecv(s)
        s.send(b"ok")
    assert [a.result().status for a in answers] == [200, 200]
    assert settled(gw, 3)["queue_full"] == 1


def test_timeout_says_who_was_slow_and_late_replies_are_dropped(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint, "timeout = 400ms"))
    gw.wait_peers("/echo", "req", 1)
    first, second = post(pool, gw, b"first"), post(pool, gw, b"second")
    details = sorted(a.result().json()["detail"] for a in (first, second))
    assert [a.result().status for a in (first, second)] == [504, 504]
    assert "No worker took" in details[0] and "400ms" in details[0]
    assert endpoint in details[1] and "400ms" in details[1]
    zrecv(s)
    s.send(b"too late")
    gw.wait_counter("/echo", "late_replies", 1)
    third = post(pool, gw, b"third")
    assert zrecv(s) == [b"third"]
    s.send(b"in time")
    assert third.result().body == b"in time"
    assert settled(gw, 3)["timed_out"] == 2


def test_client_leaves(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint))
    gw.wait_peers("/echo", "req", 1)
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    with gw.connect() as held, gw.connect() as waiting:
        held.send(request + b"held")
        assert zrecv(s) == [b"held"]
        waiting.send(request + b"wait")
        gw.wait_counter("/echo", "waiting", 1)
        stays = post(pool, gw, b"stays")
        gw.wait_counter("/echo", "waiting", 2)
    gw.wait_counter("/echo", "cancelled", 2)
    now = gw.counters("/echo")
    assert (now["waiting"], now["outstanding"], now["abandoned"]) == (1, 0, 1)
    s.send(b"for nobody")
    assert zrecv(s) == [b"stays"]  # what waited for a client that left is never sent
    s.send(b"for you")
    assert stays.result().body == b"for you"
    now = settled(gw, 3)
    assert (now["late_replies"], now["abandoned"]) == (1, 0)


def test_abandoned_requests_count_against_the_queue(gateway, zmq_context):
    s, endpoint = rep(zmq_context, zmq.ROUTER)
    gw = gateway(location("connect " + endpoint, "queue = 3", "timeout = 2s"))
    gw.wait_peers("/echo", "req", 1)
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    for i in range(3):
        c = gw.connect()
        c.send(request)
        if i == 0:
            s.send_multipart(zrecv(s))  # shows that it is a ROUTER, which may have many
            assert c.response().status == 200
            c.send(request)
        zrecv(s)
        c.reset()
    gw.wait_counter("/echo", "abandoned", 3)
    assert gw.http("POST", "/echo", b"x").status == 503
    gw.wait_status(lambda s: gw.location("/echo", s)["counters"]["abandoned"] == 0)
    assert settled(gw, 5)["queue_full"] == 1


def test_router_gets_all_there_are(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context, zmq.ROUTER)
    gw = gateway(location("connect " + endpoint))
    gw.wait_peers("/echo", "req", 1)
    answers = [post(pool, gw, b"%d" % i) for i in range(10)]
    s.send_multipart(zrecv(s))
    held = [zrecv(s) for _ in range(9)]
    for frames in reversed(held):
        s.send_multipart(frames)
    for i, answer in enumerate(answers):
        assert answer.result().body == b"%d" % i
    settled(gw, 10)


def test_nonsense_from_a_peer(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context, zmq.ROUTER)
    other, at_other = rep(zmq_context, zmq.ROUTER)
    gw = gateway(location(f"connect {endpoint} {at_other}"))
    gw.wait_status(lambda s: sum(x["peers"] for x in gw.location("/echo", s)["sockets"]) == 2)
    answers = [post(pool, gw, b"1"), post(pool, gw, b"2")]
    (peer, id1, empty, body1), (peer2, id2, _, _) = zrecv(s), zrecv(other)
    assert len(id1) == 8 and empty == b""
    s.send_multipart([peer, b"what?"])
    s.send_multipart([peer, b""])
    s.send_multipart([peer, id2, b"", b"forged"])  # another socket's request
    for i in (0, 1, 2 ** 32 + 9, 2 ** 64 - 1):
        s.send_multipart([peer, struct.pack("=Q", i), b"", b"x"])
    gw.wait_counter("/echo", "late_replies", 4)
    gw.wait_counter("/echo", "malformed_replies", 3)
    s.send_multipart([peer, id1, b"no delimiter"])
    other.send_multipart([peer2, id2, b"", b"well"])
    s.send_multipart([peer, id1, b"", b"twice"])
    got = sorted((a.result().status, a.result().body) for a in answers)
    assert got[0] == (200, b"well") and got[1][0] == 502 and b"empty" in got[1][1]
    gw.wait_counter("/echo", "late_replies", 5)
    assert settled(gw, 2)["bad_replies"] == 1
    assert body1 in (b"1", b"2")


# ---- envelope = http ----

@pytest.fixture
def http_worker(gateway, zmq_context, pool):
    """(gateway, worker, ask): ask(reply frames, …) -> (frames received, Response)"""
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint, "envelope = http", "methods = GET POST PUT"))
    gw.wait_peers("/echo", "req", 1)

    def ask(reply, method="POST", path="/echo", body=b"x", headers=None):
        answer = pool.submit(gw.http, method, path, body, headers)
        frames = zrecv(s)
        s.send_multipart(reply)
        return frames, answer.result()
    return gw, s, ask


def test_http_envelope(http_worker):
    gw, _, ask = http_worker
    head = {"status": 201, "headers": {"Location": "/x", "Set-Cookie": ["a=1", "b=2"],
                                       "content-type": "text/css"}}
    frames, r = ask([json.dumps(head).encode(), b"bo", b"dy"], "PUT", "/echo/a%20b?q=%41&z", b"data",
                    {"X-Request-ID": "my-id", "X-Many": "one"})
    got = json.loads(frames[0])
    assert frames[1:] == [b"data"]
    assert (got["id"], got["method"], got["path"], got["query"], got["remote"]) == \
        ("my-id", "PUT", "/echo/a b", "q=%41&z", "127.0.0.1")
    assert got["headers"]["x-many"] == "one" and got["headers"]["content-length"] == "4"
    assert (r.status, r.body, r.headers["Location"], r.headers["Content-Type"]) == \
        (201, b"body", "/x", "text/css")
    assert r.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert r.headers["X-Request-ID"] == "my-id"


def test_http_envelope_odd_headers(http_worker):
    gw, s, _ = http_worker
    with gw.connect() as c:
        c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-b: \xff\xc3\xa4\xed\xa0\x80\r\nX-a: 2\r\n"
               b"X-Q: \"\\\r\nContent-Length: 0\r\n\r\n")
        got = json.loads(zrecv(s)[0])["headers"]
        assert got["x-a"] == "1, 2" and got["x-q"] == '"\\'
        assert got["x-b"] == "\ufffdä\ufffd\ufffd\ufffd"
        s.send(b"alone")
        r = c.response()
        assert (r.status, r.body) == (200, b"alone")


def test_http_envelope_defaults_and_bounds(http_worker):
    _, _, ask = http_worker
    for reply, status, body in (([b"{}", b"x"], 200, b"x"), ([b'{"status":599}', b"x"], 599, b"x"),
                                ([b'{"status":204}', b""], 204, b""),
                                ([b'{"status":404,"other":1}', b""], 404, b"")):
        r = ask(reply)[1]
        assert (r.status, r.body) == (status, body), reply


@pytest.mark.parametrize("head, why", [
    (b"", "JSON"), (b"nonsense", "JSON"), (b"[]", "object"), (b"\xff", "JSON"), (b'{"status":200', "JSON"),
    (b'{"status":"200"}', "integer"), (b'{"status":100}', "200 to 599"), (b'{"status":600}', "200 to 599"),
    (b'{"status":-9223372036854775808}', "200 to 599"), (b'{"headers":[]}', "headers"),
    (b'{"headers":{"X":1}}', "no string"), (b'{"headers":{"X":[1]}}', "no string"),
    (b'{"headers":{"X Y":"1"}}', "header name"), (b'{"headers":{"":"1"}}', "header name"),
    (b'{"headers":{"X":"a\\r\\nB: c"}}', "control"), (b'{"headers":{"X":" a"}}', "white space"),
    (b'{"headers":{"Connection":"close"}}', "Connection"),
    (b'{"headers":{"transfer-encoding":"chunked"}}', "Transfer-Encoding"),
    (b'{"headers":{"CONTENT-LENGTH":"1"}}', "Content-Length"),
    (b'{"headers":{"X-Request-ID":"1"}}', "X-Request-ID"),
    (b'{"status":200,"status":201}', "JSON"), (b'{"status":204}', "no body"),
    (b'{"a":"' + b"x" * 65536 + b'"}', "65536"), (b"[" * 5000, "JSON"),
])
def test_http_envelope_bad_heads(http_worker, head, why):
    gw, _, ask = http_worker
    r = ask([head, b"body"])[1]
    assert r.status == 502 and why in r.json()["detail"], r
    assert settled(gw, 1)["bad_replies"] == 1


def test_reply_over_the_limit(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint, "max_reply = 1k"))
    gw.wait_peers("/echo", "req", 1)
    answer = post(pool, gw, b"x")
    zrecv(s)
    s.send_multipart([b"x" * 1000, b"y" * 1000])
    assert answer.result().status == 502 and "max_reply" in answer.result().json()["detail"]
    answer = post(pool, gw, b"x")
    zrecv(s)
    s.send(b"x" * 2000)  # libzmq cuts the peer off
    assert answer.result().status == 502
    settled(gw, 2)


# ---- as a whole ----

def test_stop_with_requests_in_flight(gateway, zmq_context, pool):
    s, endpoint = rep(zmq_context)
    gw = gateway(location("connect " + endpoint))
    gw.wait_peers("/echo", "req", 1)
    with gw.connect() as a, gw.connect() as b:
        for c in (a, b):
            c.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        zrecv(s)
        gw.wait_counter("/echo", "waiting", 1)
        before = time.monotonic()
        assert gw.stop() == 0
        assert time.monotonic() - before < 2 * FACTOR


@pytest.mark.parametrize("line", ["content_type = nonsense", "timeout = 0ms", "queue = 0",
                                  "envelope = soap", "max_reply = 0"])
def test_bad_configuration_is_named(gateway, line):
    with pytest.raises(GatewayFailed) as failed:
        gateway(location("connect tcp://127.0.0.1:1", line))
    assert line.split()[0] + ":" in "\n".join(failed.value.log)


def test_endpoint_in_use_is_named(gateway, zmq_context):
    _, endpoint = rep(zmq_context)
    with pytest.raises(GatewayFailed) as failed:
        gateway(location("bind " + endpoint))
    assert endpoint in "\n".join(failed.value.log)
