"""HTTP in general: routing, framing, methods, errors, ids, addresses, origins."""
import re
import threading

import pytest
import zmq

from harness import FACTOR, PATIENCE, handshake, poll


class Echoes:
    """REP peers in a thread, one a location: each answers NAME:BODY."""

    def __init__(self):
        self.context, self.stopping = zmq.Context(), threading.Event()
        self.thread = None

    def start(self, endpoints):
        self.thread = threading.Thread(target=self._run, args=(endpoints,), daemon=True)
        self.thread.start()

    def _run(self, endpoints):
        poller, names = zmq.Poller(), {}
        for name, endpoint in endpoints.items():
            s = self.context.socket(zmq.REP)
            s.connect(endpoint)
            poller.register(s, zmq.POLLIN)
            names[s] = name.encode()
        while not self.stopping.is_set():
            for s, _ in poller.poll(50):
                s.send(names[s] + b":" + b"".join(s.recv_multipart()))
        self.context.destroy(linger=0)

    def stop(self):
        self.stopping.set()
        if self.thread:
            self.thread.join(PATIENCE)


@pytest.fixture
def echoes(gateway):
    """Starts a gateway whose locations each have a REP worker that answers
    with the location's name; extra: directives for all of them."""
    peers = Echoes()

    def start(names, gateway_lines="", extra="", more=""):
        text = f"[gateway]\n{gateway_lines}\n"
        for name in names:
            text += f"[location {name}]\nbridge = reqrep\nreq = bind tcp://127.0.0.1:*\n{extra}\n"
        gw = gateway(text + more)
        peers.start({name: gw.endpoint(name, "req") for name in names})
        for name in names:
            gw.wait_peers(name, "req", 1)
        return gw
    yield start
    peers.stop()


def problem(r, status):
    """Checks an error answer's form; returns its members."""
    assert r.status == status, r
    assert r.headers["Content-Type"].split(";")[0] == "application/problem+json"
    members = r.json()
    assert members["status"] == status
    assert members["title"] and members["title"] == r.reason
    assert members["detail"]
    assert members["request_id"] == r.headers["X-Request-ID"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", members["request_id"])
    if status in (429, 503):
        assert int(r.headers["Retry-After"]) >= 1
    return members


def test_router(echoes):
    gw = echoes(["/", "/a", "/a/b", "= /a/x", "/ä/ö", "/end"])
    for path, name in {
        "/": "/", "/z": "/", "/a": "/a", "/a/": "/a", "/ab": "/", "/A": "/", "/a/b": "/a/b", "/a/bc": "/a",
        "/a/b/": "/a/b", "/a/b/c": "/a/b", "/a/x": "= /a/x", "/a/x/y": "/a", "/a/xy": "/a",
        "/a//b": "/a/b", "//a/b": "/a/b", "/a/%62": "/a/b", "/a%2fb": "/a/b", "/a/b/../c": "/a",
        "/a/./b/.": "/a/b", "/a/b/..": "/a", "/x/../../a": 400, "/../a": 400, "/a%00": 400, "/a%0": 400,
        "/a%zz": 400, "/%C3%A4/%C3%B6/x": "/ä/ö", "/a?/a/b": "/a", "/a?x=%zz": "/a", "/endless": "/",
    }.items():
        r = gw.http("POST", path, b"")
        if isinstance(name, int):
            problem(r, name)
        else:
            assert (path, r.status, r.text) == (path, 200, name + ":")
    # absolute-form, as proxies send it; the target's host goes before Host
    c = gw.connect().send("POST http://other.example/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert c.response().text == "/a/b:"


def test_no_location_matches(echoes):
    gw = echoes(["/only"])
    members = problem(gw.http("GET", "/nowhere/at%20all"), 404)
    assert "/nowhere/at" in members["detail"]
    problem(gw.http("POST", "/onl", b"x"), 404)
    problem(gw.http("POST", "/only2", b"x"), 404)


def test_keep_alive_and_close(echoes):
    gw = echoes(["/e"])
    post = "POST /e HTTP/1.{}\r\nHost: x\r\n{}Content-Length: 2\r\n\r\nhi"
    for minor, connection, stays in ((1, "", True), (1, "Connection: keep-alive\r\n", True),
                                     (1, "Connection: close\r\n", False), (1, "connection: Foo, CLOSE\r\n", False),
                                     (0, "", False), (0, "Connection: Keep-Alive\r\n", True)):
        c = gw.connect()
        for _ in range(3 if stays else 1):
            r = c.send(post.format(minor, connection)).response()
            assert (r.status, r.body) == (200, b"/e:hi")
            assert r.version == "HTTP/1.1"
            if stays and minor == 0:
                assert r.headers["Connection"].lower() == "keep-alive"
        if not stays:
            assert c.closed() and r.headers["Connection"].lower() == "close"
    # errors of a request that was framed well leave the connection open
    c = gw.connect()
    for request, status in (("GET /no HTTP/1.1\r\nHost: x\r\n\r\n", 404), ("GET /e HTTP/1.1\r\nHost: x\r\n\r\n", 405),
                            ("POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", 404),
                            (post.format(1, ""), 200)):
        assert c.send(request).response().status == status
    # an empty line before a request is passed over (RFC 9112, 2.2)
    assert gw.connect().send("\r\n" + post.format(1, "")).response().status == 200


def test_idle_connections_are_closed(gateway):
    gw = gateway("[gateway]\nidle_timeout = 1s\nheader_timeout = 1s\n")
    c = gw.connect().send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert c.response().status == 200
    assert c.closed(6 * FACTOR)
    assert gw.connect().closed(6 * FACTOR), "one that never says anything, too"


def test_pipelining_answers_in_order(echoes):
    gw = echoes(["/e", "/f"])
    requests, wanted = b"", []
    for n in range(40):
        body = b"%d" % n * (n + 1)
        kind = n % 5
        if kind == 0:
            requests += b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            wanted.append((200, b"/e:" + body))
        elif kind == 1:
            requests += b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            requests += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            wanted.append((200, b"/f:" + body))
        elif kind == 2:
            requests += b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
            wanted.append((404, None))
        elif kind == 3:
            requests += b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n"
            wanted.append((200, None))
        else:
            requests += b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
            wanted.append((200, b"/e:"))
    c = gw.connect().send(requests)
    for status, body in wanted:
        r = c.response()
        assert r.status == status and body in (None, r.body)
    # the same, arriving in pieces that end anywhere
    c = gw.connect()
    for at in range(0, len(requests), 97):
        c.send(requests[at:at + 97])
    for status, body in wanted:
        r = c.response()
        assert r.status == status and body in (None, r.body)


def test_chunked_bodies(echoes):
    gw = echoes(["/e"], extra="max_body = 64k")
    head = "POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {}\r\n\r\n"
    for coding, body, wanted in (
            ("chunked", "5\r\nhello\r\n0\r\n\r\n", b"hello"),
            ("Chunked", "5;name=value;q=\"a;b\"\r\nhello\r\n0;last\r\n\r\n", b"hello"),
            ("chunked", "00000a\r\n0123456789\r\n1\r\n!\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n", b"0123456789!"),
            ("chunked", "A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            ("chunked", "0\r\n\r\n", b""),
            ("chunked", "1\r\nx\r\n" * 1000 + "0\r\n\r\n", b"x" * 1000)):
        c = gw.connect().send(head.format(coding)).send(body)
        r = c.response()
        assert (r.status, r.body) == (200, b"/e:" + wanted)
        # the framing was understood if the next request is
        assert c.send("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n.").response().body == b"/e:."
    for bad in ("x\r\nhello\r\n", "-1\r\nhello\r\n", "5\r\nhello!\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
                "0x5\r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\nhello", "\r\n"):
        answer = gw.raw(head.format("chunked") + bad)
        assert answer[9:13] in (b"400 ", b"413 ") and b"/e:" not in answer, (bad, answer)


def test_bodies_in_pieces_and_large(echoes):
    gw = echoes(["/e"], extra="max_body = 8m")
    c = gw.connect().send("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n")
    for letter in "abcdefghijklmnopqrstuvwxyz":
        c.send(letter)
    assert c.response().body == b"/e:abcdefghijklmnopqrstuvwxyz"
    big = bytes(range(256)) * 4 * 1024 * 8  # 8 MiB
    assert gw.http("POST", "/e", big).body == b"/e:" + big
    r = gw.http("POST", "/e", (big[i:i + 70001] for i in range(0, len(big), 70001)))
    assert r.body == b"/e:" + big


def test_expect_100_continue(echoes):
    gw = echoes(["/e"], extra="max_body = 1k")
    head = "POST {} HTTP/1.{}\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n"
    c = gw.connect()
    for _ in range(2):  # also on a kept-alive connection
        assert c.send(head.format("/e", 1, 3)).response().status == 100
        r = c.send("abc").response()
        assert (r.status, r.body) == (200, b"/e:abc")
    # whoever sends the body at once gets his answer, too
    r = gw.connect().send(head.format("/e", 1, 3) + "abc").response()
    assert r.status == 100 or r.body == b"/e:abc"
    # no 100 where the body is not wanted
    problem(gw.connect().send(head.format("/e", 1, 1025)).response(), 413)
    problem(gw.connect().send(head.format("/no", 1, 3)).response(), 404)
    problem(gw.connect().send(head.format("/status", 1, 3)).response(), 405)
    # HTTP/1.0 knows no 100
    assert gw.connect().send(head.format("/e", 0, 3) + "abc").response().body == b"/e:abc"
    problem(gw.connect().send(head.format("/e", 1, 3).replace("100-continue", "a miracle")).response(), 417)


ALL_KINDS = """
[location /pubsub]
bridge = pubsub
sub = connect tcp://127.0.0.1:9
pub = bind tcp://127.0.0.1:*
[location /feed]
bridge = pubsub
sub = connect tcp://127.0.0.1:9
[location /jobs]
bridge = pipeline
push = bind tcp://127.0.0.1:*
[location /sink]
bridge = pipeline
push = bind tcp://127.0.0.1:*
pull = bind tcp://127.0.0.1:*
framing = id
[location /pair]
bridge = pair
pair = bind tcp://127.0.0.1:*
[location /static]
bridge = static
root = html
[location /any]
bridge = reqrep
req = bind tcp://127.0.0.1:*
methods = GET POST PUT DELETE PATCH
"""


def test_head_and_options_everywhere(echoes):
    gw = echoes(["/e"], more=ALL_KINDS)
    for path in ("/e", "/pubsub", "/feed", "/jobs", "/sink", "/pair", "/static", "/status", "/any", "/status/live"):
        c = gw.connect().send(f"OPTIONS {path} HTTP/1.1\r\nHost: x\r\n\r\n")
        r = c.response("OPTIONS")
        assert r.status in (200, 204), (path, r)
        allow = set(re.split(r",\s*", r.headers["Allow"]))
        assert {"HEAD", "OPTIONS"} <= allow, (path, allow)
        assert r.headers["X-Request-ID"]
        # HEAD is GET without the body; the connection goes on, so no body came
        c.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")
        head = c.response("HEAD", 10 * FACTOR)
        if "GET" in allow:
            c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert c.response("GET").status == head.status, path
        else:
            assert head.status == 200 and set(re.split(r",\s*", head.headers["Allow"])) == allow
        c.send("GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().status == 200
    for path, wanted in (("/e", {"HEAD", "POST", "OPTIONS"}), ("/status", {"GET", "HEAD", "OPTIONS"}),
                         ("/static", {"GET", "HEAD", "OPTIONS"}),
                         ("/any", {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})):
        r = gw.http("OPTIONS", path)
        assert set(re.split(r",\s*", r.headers["Allow"])) == wanted, path
    assert gw.connect().send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").response().status in (200, 204)
    for body in "Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n":
        # it has no location that could take one: this once crashed
        assert gw.connect().send("OPTIONS * HTTP/1.1\r\nHost: x\r\n" + body).response().status == 400
    # HEAD tells the size that GET would have
    got, head = gw.http("GET", "/status/live"), gw.http("HEAD", "/status/live")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(got.body)))
    r = gw.http("HEAD", "/nowhere")
    assert r.status == 404 and r.body == b"" and int(r.headers["Content-Length"]) > 0


def test_405_names_what_is_allowed(echoes):
    gw = echoes(["/e"], more=ALL_KINDS)
    for method, path, wanted in (("GET", "/e", {"HEAD", "POST", "OPTIONS"}),
                                 ("DELETE", "/e", {"HEAD", "POST", "OPTIONS"}),
                                 ("POST", "/status", {"GET", "HEAD", "OPTIONS"}),
                                 ("PUT", "/static", {"GET", "HEAD", "OPTIONS"})):
        r = gw.http(method, path, None if method == "GET" else b"x")
        members = problem(r, 405)
        assert method in members["detail"]
        assert set(re.split(r",\s*", r.headers["Allow"])) == wanted
    r = gw.http("POST", "/feed", b"x")  # pubsub without pub
    problem(r, 405)
    assert "POST" not in r.headers["Allow"]
    # methods are case-sensitive, unknown ones are not served
    for method in "post", "FROB", "TRACE":
        r = gw.connect().send(f"{method} /e HTTP/1.1\r\nHost: x\r\n\r\n").response()
        assert r.status in (405, 501)
        problem(r, r.status)
    for bad in "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", "CONNECT /e HTTP/1.1\r\nHost: x\r\n\r\n":
        assert re.match(rb"HTTP/1.1 (400|405|501) ", gw.raw(bad))


def test_max_body(echoes):
    gw = echoes(["/e", "/small"], gateway_lines="max_body = 2k", more="")
    limits = {"/e": 2048, "/small": 2048}
    for path, limit in limits.items():
        assert gw.http("POST", path, b"x" * limit).status == 200
        problem(gw.http("POST", path, b"x" * (limit + 1)), 413)
        assert gw.http("POST", path, [b"x" * (limit // 2)] * 2).status == 200
        # what is over is refused at once, by Content-Length without a byte of the body ...
        c = gw.connect().send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
        members = problem(c.response(), 413)
        assert str(limit) in members["detail"] or "2k" in members["detail"]
        assert c.closed()
        # ... and chunked as soon as it is
        c = gw.connect().send(f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.send("800\r\n" + "x" * limit + "\r\n1\r\nx\r\n")
        problem(c.response(), 413)
        assert c.closed()
    # a request over the limit never reaches the worker
    assert gw.counters("/e")["requests"] >= 5
    assert gw.http("POST", "/e", b"after").body == b"/e:after"


def test_max_body_of_a_location_goes_before_the_gateways(echoes):
    gw = echoes(["/e"], gateway_lines="max_body = 1k", extra="max_body = 3k")
    assert gw.http("POST", "/e", b"x" * 3072).status == 200
    problem(gw.http("POST", "/e", b"x" * 3073), 413)


def test_problems_have_one_form(echoes):
    gw = echoes(["/e"], more=ALL_KINDS)
    problem(gw.http("GET", "/nowhere"), 404)
    problem(gw.http("POST", "/any", b"x"), 503)
    for bad, status in (("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
                        ("POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501)):
        c = gw.connect().send(bad)
        r = c.response()
        problem(r, status)
        assert r.headers["Connection"].lower() == "close" and c.closed()
    # what the client sent is quoted as JSON, and is not taken for HTML
    r = gw.http("GET", "/%22%3Cscript%3E%0d%0aX:y/%ff")
    problem(r, 404)
    assert "X" not in r.headers


def test_request_id(echoes):
    gw = echoes(["/e"])
    made = set()
    for given, taken in (("abc.DEF-123_x", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False),
                         ("ü", False), ("a/b", False), (None, False)):
        lines = "" if given is None else f"X-Request-ID: {given}\r\n"
        for request in (f"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n{lines}\r\n.",
                        f"GET /no HTTP/1.1\r\nHost: x\r\n{lines}\r\n",
                        f"GET /e HTTP/1.1\r\nHost: x\r\n{lines}\r\n",
                        f"OPTIONS /e HTTP/1.1\r\nHost: x\r\n{lines}\r\n"):
            got = gw.connect().send(request).response().headers["X-Request-ID"]
            if taken:
                assert got == given
            else:
                assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", got)
                made.add(got)
    assert len(made) == 6 * 4, "each made id is another"
    # refused handshakes have one, too
    r = gw.connect().send(handshake("/no", gw.address, {"X-Request-ID": "mine"})).response()
    assert r.status == 404 and r.headers["X-Request-ID"] == "mine" and problem(r, 404)


def test_allow_and_deny(gateway):
    gw = gateway("""
        [location /open]
        bridge = status
        [location /closed]
        bridge = status
        deny = all
        [location /me]
        bridge = status
        allow = 10.0.0.0/8, 127.0.0.1
        deny = all
        [location /others]
        bridge = status
        allow = 10.0.0.0/8
        allow = fe80::/10
        deny = all
        [location /denied]
        bridge = status
        deny = 127.0.0.0/8 ::1
        [location /but]
        bridge = status
        allow = 127.0.0.0/8
        deny = 127.0.0.1
        [location /feed]
        bridge = pubsub
        sub = connect tcp://127.0.0.1:9
        deny = all
        [location /status]
        bridge = status
    """)
    for path, status in (("/open", 200), ("/closed", 403), ("/me", 200), ("/others", 403), ("/denied", 403),
                         ("/but", 403)):
        r = gw.http("GET", path)
        assert (path, r.status) == (path, status)
        if status == 403:
            assert "127.0.0.1" in problem(r, 403)["detail"]
    r = gw.connect().send(handshake("/feed", gw.address)).response()
    problem(r, 403)
    # what a client says of itself does not count
    assert gw.http("GET", "/others", headers={"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1"}).status == 403


ORIGINS = """
[location /same]
bridge = reqrep
req = bind tcp://127.0.0.1:*
methods = GET POST PUT DELETE PATCH
[location /listed]
bridge = reqrep
req = bind tcp://127.0.0.1:*
methods = GET POST PUT DELETE PATCH
origins = http://good.example https://other.example:8443
[location /anyone]
bridge = reqrep
req = bind tcp://127.0.0.1:*
methods = GET POST PUT DELETE PATCH
origins = *
"""

GOOD, OTHER, EVIL = "http://good.example", "https://other.example:8443", "http://evil.example"


def test_origins_of_requests(gateway):
    gw = gateway(ORIGINS)
    own = f"http://127.0.0.1:{gw.port}"
    passes = {  # that there is no worker (503) says that the origin was let through
        "/same": {None: 1, own: 1, own.replace("http", "https"): 1, GOOD: 0, "null": 0, "": 0,
                  f"http://127.0.0.1:{gw.port + 1}": 0, f"http://localhost:{gw.port}": 0, "http://127.0.0.1": 0,
                  own + ".evil.example": 0, f"http://evil.example/127.0.0.1:{gw.port}": 0,
                  f"http://127.0.0.1:{gw.port}@evil.example": 0, f"127.0.0.1:{gw.port}": 0},
        "/listed": {None: 1, own: 1, GOOD: 1, OTHER: 1, "HTTP://Good.Example": 1, "https://good.example": 0,
                    "http://good.example:8080": 0, "https://other.example": 0, "http://good.example.evil.example": 0,
                    "http://xgood.example": 0, "http://a.good.example": 0, "null": 0, EVIL: 0, "*": 0,
                    GOOD + " " + EVIL: 0},
        "/anyone": {None: 1, own: 1, EVIL: 1, "null": 1},
    }
    for path, cases in passes.items():
        for origin, passed in cases.items():
            headers = {} if origin is None else {"Origin": origin}
            for method in "POST", "PUT", "DELETE", "PATCH":
                r = gw.http(method, path, b"x", headers)
                assert (path, origin, method, r.status) == (path, origin, method, 503 if passed else 403)
                if not passed:
                    assert "origin" in problem(r, 403)["detail"].lower()
                    assert "Access-Control-Allow-Origin" not in r.headers
            # GET changes nothing: the browser keeps the answer from the foreign page
            r = gw.http("GET", path, None, headers)
            assert r.status == 503
    # the name in Host is what counts, without regard to case
    post = "POST /same HTTP/1.1\r\nHost: {}\r\nOrigin: {}\r\nContent-Length: 0\r\n\r\n"
    for host, origin, status in (("a.example", "http://a.example", 503), ("A.Example", "http://a.EXAMPLE", 503),
                                 ("a.example:81", "http://a.example:81", 503), ("a.example", "http://b.example", 403),
                                 ("[::1]:8080", "http://[::1]:8080", 503), ("a.example", "https://a.example", 503),
                                 ("a.example:81", "http://a.example", 403)):
        assert gw.connect().send(post.format(host, origin)).response().status == status, (host, origin)


def test_cors_headers(gateway):
    gw = gateway(ORIGINS)
    for path, origin, listed in (("/listed", GOOD, True), ("/listed", OTHER, True), ("/listed", EVIL, False),
                                 ("/same", EVIL, False), ("/anyone", EVIL, True)):
        for method in "GET", "POST":
            r = gw.http(method, path, b"x" if method == "POST" else None, {"Origin": origin})
            allowed = r.headers["Access-Control-Allow-Origin"]
            if not listed:
                assert allowed is None
                continue
            assert allowed == origin or (path == "/anyone" and allowed == "*")
            if allowed != "*":  # or caches mix answers up
                assert "origin" in r.headers["Vary"].lower()
            assert "Access-Control-Allow-Credentials" not in r.headers or allowed != "*"
        # the preflight (Fetch standard, 4.8)
        r = gw.http("OPTIONS", path, None, {"Origin": origin, "Access-Control-Request-Method": "PUT",
                                            "Access-Control-Request-Headers": "content-type,x-request-id"})
        if listed:
            assert r.status in (200, 204)
            assert r.headers["Access-Control-Allow-Origin"] in (origin, "*" if path == "/anyone" else origin)
            assert "PUT" in r.headers["Access-Control-Allow-Methods"]
            names = r.headers["Access-Control-Allow-Headers"].lower()
            assert names == "*" or {"content-type", "x-request-id"} <= set(re.split(r",\s*", names))
        else:
            assert "Access-Control-Allow-Origin" not in r.headers
            assert "Access-Control-Allow-Methods" not in r.headers


def test_origins_of_websockets(gateway):
    gw = gateway("""
        [location /same]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
        [location /listed]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
        origins = http://good.example
        [location /anyone]
        bridge = pubsub
        sub = bind tcp://127.0.0.1:*
        origins = *
    """)
    own = f"http://127.0.0.1:{gw.port}"
    for path, origin, status in (("/same", None, 101), ("/same", own, 101), ("/same", EVIL, 403),
                                 ("/same", "null", 403),
                                 ("/same", f"http://127.0.0.1:{gw.port + 1}", 403), ("/listed", GOOD, 101),
                                 ("/listed", own, 101), ("/listed", EVIL, 403), ("/anyone", EVIL, 101)):
        c = gw.connect().send(handshake(path, gw.address, {"Origin": origin} if origin else None))
        r = c.response()
        assert (path, origin, r.status) == (path, origin, status)
        if status == 403:
            assert "origin" in problem(r, 403)["detail"].lower()
        c.close()
    poll(lambda: gw.counters("/same")["ws_open"] == 0)
    assert gw.counters("/same")["ws_refused"] == 3 and gw.counters("/same")["ws_opened"] == 2


def test_a_client_that_half_closes(echoes):
    """Whoever has said all may shut his side down: what is answered at once
    reaches him. (Where a worker is asked, it may count as gone, as in nginx.)"""
    gw = echoes(["/e"])
    c = gw.connect().send("GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
    c.half_close()
    assert c.response().status == 200
    assert c.closed()
    c = gw.connect().send("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nlast")
    c.half_close()
    assert c.read_to_end()[-7:] in (b"/e:last", b"")
    poll(lambda: gw.counters("/e")["in_flight"] == 0)


def test_counts_are_right(echoes):
    gw = echoes(["/e"])
    for _ in range(5):
        assert gw.http("POST", "/e", b"12345").status == 200
    gw.http("GET", "/e")
    counts = gw.counters("/e")
    assert counts["requests"] == 6 and counts["status_2xx"] == 5 and counts["status_4xx"] == 1
    assert counts["in_flight"] == 0
    assert counts["bytes_in"] == 25 and counts["bytes_out"] >= 5 * len("/e:12345")
