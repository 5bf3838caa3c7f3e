"""bridge = pipeline: uploads to PUSH/PULL workers, and their results."""
import hashlib
import json

import pytest
import websockets
import zmq

from harness import poll, zrecv

BODY = """
    [location /jobs]
    bridge = pipeline
    push   = bind tcp://127.0.0.1:*
    pull   = bind tcp://127.0.0.1:*
"""
ID = BODY + "    framing = id\n"
META = BODY + "    framing = meta\n"
NO_SINK = """
    [location /jobs]
    bridge = pipeline
    push   = bind tcp://127.0.0.1:*
"""

# Takes uploads and pushes each frame back as it is; prints what it did.
ECHO_WORKER = """
i = ctx.socket(zmq.PULL); i.connect(args[0])
o = ctx.socket(zmq.PUSH); o.connect(args[1])
while True:
    frames = i.recv_multipart()
    print("got", frames[-1].decode("latin-1")[:60])
    o.send_multipart(frames)
"""


@pytest.fixture
def worker(zmq_context):
    """worker(gw) -> a PULL and a PUSH socket, connected to the location."""
    kept = []  # a socket that nobody refers to is closed

    def connect(gw, name="/jobs", hwm=1000, rcvbuf=-1):
        pull, push = zmq_context.socket(zmq.PULL), None
        pull.rcvhwm = hwm
        pull.rcvbuf = rcvbuf
        before = gw.socket(name, "push")["peers"]
        pull.connect(gw.endpoint(name, "push"))
        gw.wait_peers(name, "push", before + 1)
        if len(gw.location(name)["sockets"]) > 1:
            before = gw.socket(name, "pull")["peers"]
            push = zmq_context.socket(zmq.PUSH)
            push.connect(gw.endpoint(name, "pull"))
            gw.wait_peers(name, "pull", before + 1)
        kept.append((pull, push))
        return pull, push
    return connect


def upload(gw, body=b"x", path="/jobs", headers=None, method="POST"):
    r = gw.http(method, path, body, headers)
    assert r.status == 202, r
    assert r.headers["Content-Type"] == "application/json"
    return r


def form(*parts, end=b"--B--\r\n"):
    """(headers, body) of a form; a part: (disposition, content type or None, bytes)"""
    body = b""
    for disposition, content_type, data in parts:
        body += b"--B\r\nContent-Disposition: form-data; " + disposition + b"\r\n"
        if content_type:
            body += b"Content-Type: " + content_type + b"\r\n"
        body += b"\r\n" + data + b"\r\n"
    return {"Content-Type": "multipart/form-data; boundary=B"}, body + end


def refused_handshake(gw, path, **options):
    with pytest.raises(websockets.InvalidStatusCode) as e:
        gw.ws(path, **options)
    return e.value.status_code


def fill(gw, body, path="/jobs"):
    """Uploads until something waits in the gateway; how many were accepted."""
    count = 0
    while gw.counters("/jobs")["queued"] == 0:
        upload(gw, body, path)
        count += 1
        assert count < 200, "a worker that does not read takes everything"
    return count


# sharing --------------------------------------------------------------------

def test_two_workers_share_and_every_result_reaches_the_browser(gateway, worker_process):
    gw = gateway(BODY)
    ends = gw.endpoint("/jobs", "push"), gw.endpoint("/jobs", "pull")
    workers = [worker_process(ECHO_WORKER, *ends) for _ in range(2)]
    gw.wait_peers("/jobs", "push", 2)
    gw.wait_peers("/jobs", "pull", 2)
    with gw.ws("/jobs") as browser:
        sent = {f"upload {i}" for i in range(20)}
        for body in sent:
            upload(gw, body)
        assert {browser.recv() for _ in sent} == sent
    shares = [sum(line.startswith("got") for line in w.lines) for w in workers]
    assert sum(shares) == 20 and min(shares) > 0
    assert gw.counters("/jobs")["results"] == 20


def test_zgate_may_connect_instead(gateway, zmq_context):
    pull, push = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    a, b = (s.bind_to_random_port("tcp://127.0.0.1") for s in (pull, push))
    gw = gateway(f"""
        [location /jobs]
        bridge = pipeline
        push   = connect tcp://127.0.0.1:{a}
        pull   = connect tcp://127.0.0.1:{b}
    """)
    gw.wait_peers("/jobs", "push", 1)
    gw.wait_peers("/jobs", "pull", 1)
    with gw.ws("/jobs") as browser:
        upload(gw, b"Hello")
        push.send_multipart(zrecv(pull))
        assert browser.recv() == "Hello"


# framings -------------------------------------------------------------------

@pytest.mark.parametrize("body", [b"", b"Hello", b"\x00\xff\x80", b"x" * 1000000],
                         ids=["empty", "text", "binary", "large"])
def test_body_is_one_frame(gateway, worker, body):
    gw = gateway(NO_SINK)
    pull, _ = worker(gw)
    for method in "POST", "PUT":
        r = upload(gw, body, method=method)
        assert r.json() == {"id": r.json()["id"], "bytes": len(body), "status": "queued"}
        assert "Location" not in r.headers
        assert zrecv(pull) == [body]
    assert gw.counters("/jobs")["handed_over"] == 2


def test_a_chunked_body_is_one_frame(gateway, worker):
    gw = gateway(NO_SINK)
    pull, _ = worker(gw)
    assert upload(gw, iter([b"Hel", b"lo"])).json()["bytes"] == 5
    assert zrecv(pull) == [b"Hello"]


def test_id_comes_before_the_body(gateway, worker):
    gw = gateway(ID)
    pull, _ = worker(gw)
    r = upload(gw, b"Hello")
    assert zrecv(pull) == [r.json()["id"].encode(), b"Hello"]
    assert r.headers["Location"] == "/jobs/" + r.json()["id"]


def test_location_header_of_a_strange_path(gateway, worker):
    gw = gateway(ID.replace("/jobs", "/"))
    worker(gw, "/")
    r = upload(gw, path="/")
    assert r.headers["Location"] == "/" + r.json()["id"]


def test_meta_tells_what_the_client_told(gateway, worker):
    gw = gateway(META)
    pull, _ = worker(gw)

    def head(r, data):
        first, body = zrecv(pull)
        meta = json.loads(first.decode("utf-8"))
        assert list(meta) == ["id", "filename", "content_type", "bytes", "sha256"]
        assert body == data and meta["bytes"] == len(data) and meta["id"] == r.json()["id"]
        assert meta["sha256"] == hashlib.sha256(data).hexdigest()
        return meta["filename"], meta["content_type"]

    jpeg = {"Content-Type": "image/jpeg"}
    assert head(upload(gw, b"data"), b"data") == (None, None)
    assert head(upload(gw, b"", headers=jpeg), b"") == (None, "image/jpeg")
    r = upload(gw, b"1", "/jobs?filename=a%20%22b%22%5C%0A%C3%A9.jpg", jpeg)
    assert head(r, b"1") == ('a "b"\\\né.jpg', "image/jpeg")
    r = upload(gw, b"1", "/jobs?filename=caf%E9%FF.txt")
    assert head(r, b"1") == ("caf\ufffd\ufffd.txt", None)
    # curl -T photo.jpg http://.../jobs/
    assert head(upload(gw, b"1", "/jobs/photo.jpg", method="PUT"), b"1") == ("photo.jpg", None)
    headers, body = form((b'name="f"; filename="m\xfcll.txt"', b"text/plain", b"a\r\nb"))
    assert head(upload(gw, body, headers=headers), b"a\r\nb") == ("m\ufffdll.txt", "text/plain")
    headers, body = form(('name="f"; filename="ünï.txt"'.encode(), None, b"x"))
    assert head(upload(gw, body, headers=headers), b"x") == ("ünï.txt", None)


@pytest.mark.parametrize("query", ["filename=%zz", "filename=" + "x" * 1025],
                         ids=["escape", "long"])
def test_a_bad_filename_is_refused(gateway, worker, query):
    gw = gateway(META)
    worker(gw)
    r = gw.http("POST", "/jobs?" + query, b"x")
    assert r.status == 400 and "filename" in r.json()["detail"]


# forms ----------------------------------------------------------------------

def test_a_form_is_one_message_a_file(gateway, worker):
    gw = gateway(ID)
    pull, _ = worker(gw)
    headers, body = form((b'name="title"', None, b"no file"),
                         (b'name="f"; filename="a"', b"text/plain", b"first"),
                         (b'name="none"; filename=""', b"application/octet-stream", b""),
                         (b'name="g"; filename="b"', None, b"\x00\xff"))
    r = upload(gw, body, headers=headers)
    first, second = r.json()
    assert (first["bytes"], second["bytes"]) == (5, 2)
    assert zrecv(pull) == [first["id"].encode(), b"first"]
    assert zrecv(pull) == [second["id"].encode(), b"\x00\xff"]
    assert "Location" not in r.headers
    assert gw.counters("/jobs")["uploads"] == 2

    headers, body = form((b'name="f"; filename="a"', None, b"one"))
    r = upload(gw, body, headers=headers)
    assert r.headers["Location"] == "/jobs/" + r.json()["id"]
    assert zrecv(pull)[1] == b"one"


@pytest.mark.parametrize("parts, end", [
    ([(b'name="title"', None, b"no file")], b"--B--\r\n"),
    ([(b'name="f"; filename=""', None, b"")], b"--B--\r\n"),
    ([(b'name="f"; filename="a"', None, b"cut off")], b""),
    ([(b'name="f"; filename="a"', None, b"x"), (b'nonsense', None, b"x")], b"--B--\r\n"),
    ([], b"not a form"),
], ids=["fields", "no file chosen", "cut off", "malformed", "no form"])
def test_a_form_without_files_or_malformed_is_refused_whole(gateway, worker, parts, end):
    gw = gateway(ID)
    worker(gw)
    headers, body = form(*parts, end=end)
    r = gw.http("POST", "/jobs", body, headers)
    assert r.status == 400 and r.json()["detail"]
    assert gw.counters("/jobs")["uploads"] == 0 and gw.counters("/jobs")["pending"] == 0


# the queue ------------------------------------------------------------------

def test_without_a_worker_nothing_is_kept(gateway, zmq_context):
    gw = gateway(ID)
    r = gw.http("POST", "/jobs", b"x")
    assert r.status == 503 and r.headers["Retry-After"]
    assert gw.endpoint("/jobs", "push") in r.json()["detail"]
    counters = gw.counters("/jobs")
    assert counters["refused_no_worker"] == 1
    assert counters["uploads"] == counters["queued"] == counters["pending"] == 0


def test_the_queue_outlives_the_worker(gateway, worker):
    gw = gateway(ID + "    max_body = 2m\n")
    pull, push = worker(gw, hwm=1, rcvbuf=65536)
    body = b"x" * 2000000
    fill(gw, body)
    ids = [upload(gw, body).json()["id"] for _ in range(5)]
    pull.close()
    gw.wait_peers("/jobs", "push", 0)
    queued = gw.counters("/jobs")["queued"]
    assert queued >= 5
    assert gw.http("POST", "/jobs", b"x").status == 503
    pull, _ = worker(gw)
    got = [zrecv(pull) for _ in range(queued)]
    assert [g[0].decode() for g in got][-5:] == ids
    assert all(g[1] == body for g in got)
    after = gw.counters("/jobs")
    assert after["queued"] == after["queued_bytes"] == 0
    assert after["handed_over"] == after["uploads"]


def test_a_full_queue_refuses_all_of_a_form_or_nothing(gateway, worker):
    gw = gateway(ID + "    max_body = 2m\n    queue = 3\n")
    pull, _ = worker(gw, hwm=1, rcvbuf=65536)
    headers, four = form(*[(b'name="f"; filename="a"', None, b"small")] * 4)
    assert gw.http("POST", "/jobs", four, headers).status == 413
    assert gw.counters("/jobs")["uploads"] == 0
    body = b"x" * 2000000
    fill(gw, body)
    upload(gw, b"2")
    before = gw.counters("/jobs")
    assert before["queued"] == 2
    headers, two = form(*[(b'name="f"; filename="a"', None, b"small")] * 2)
    r = gw.http("POST", "/jobs", two, headers)
    assert r.status == 503 and r.headers["Retry-After"] and "full" in r.json()["detail"]
    after = gw.counters("/jobs")
    assert after["refused_full"] == 1
    for same in "queued", "queued_bytes", "uploads", "pending":
        assert after[same] == before[same]
    upload(gw, b"3")
    assert gw.http("POST", "/jobs", b"4").status == 503
    # once the worker reads, there is room again, and order is kept
    got = [zrecv(pull)[1] for _ in range(before["uploads"] + 1)]
    assert got[-2:] == [b"2", b"3"]
    upload(gw, b"5")
    assert zrecv(pull)[1] == b"5"


def test_the_queue_is_limited_in_bytes(gateway, worker):
    gw = gateway(BODY + "    max_body = 4m\n    queue_size = 3m\n")
    worker(gw, hwm=1, rcvbuf=65536)
    r = gw.http("POST", "/jobs", b"x" * (3 << 20 | 1))
    assert r.status == 413 and "queue_size" in r.json()["detail"]
    fill(gw, b"x" * 2000000)
    r = gw.http("POST", "/jobs", b"x" * 2000000)
    assert r.status == 503 and "full" in r.json()["detail"]
    assert gw.counters("/jobs")["queued_bytes"] == 2000000


def test_what_is_queued_at_the_stop_is_reported(gateway, worker):
    gw = gateway(BODY + "    max_body = 2m\n")
    worker(gw, hwm=1, rcvbuf=65536)
    fill(gw, b"x" * 2000000)
    upload(gw, b"y")
    assert gw.stop() == 0
    assert gw.wait_log(r"warn.* /jobs: \d+ uploads .* discarded")


# results by id --------------------------------------------------------------

def test_a_result_is_found_by_its_id(gateway, worker):
    gw = gateway(ID)
    pull, push = worker(gw)
    for frames, content_type in (([b"W\xc3\xb6rld"], "text/plain; charset=utf-8"),
                                 ([b"\xff", b"", b"\x00"], "application/octet-stream"),
                                 ([], "text/plain; charset=utf-8")):
        r = upload(gw, b"Hello")
        at = r.headers["Location"]
        pending = gw.http("GET", at)
        assert pending.status == 202
        assert pending.json() == {"id": r.json()["id"], "status": "pending"}
        id = zrecv(pull)[0]
        push.send_multipart([id, *frames])
        poll(lambda: gw.counters("/jobs")["pending"] == 0)
        done = gw.http("GET", at)
        assert (done.status, done.body) == (200, b"".join(frames))
        assert done.headers["Content-Type"] == content_type
        assert done.headers["X-Content-Type-Options"] == "nosniff"
        head = gw.http("HEAD", at)
        assert head.status == 200 and head.headers["Content-Length"] == str(len(done.body))
    assert gw.counters("/jobs")["kept_bytes"] == 6 + 2


def test_meta_results_are_matched_too(gateway, worker):
    gw = gateway(META)
    pull, push = worker(gw)
    at = upload(gw, b"Hello").headers["Location"]
    push.send_multipart([json.loads(zrecv(pull)[0])["id"].encode(), b"World"])
    assert poll(lambda: (r := gw.http("GET", at)).status == 200 and r).body == b"World"


def test_results_and_waits_expire(gateway, worker):
    gw = gateway(ID + "    results = 300ms\n")
    pull, push = worker(gw)
    waits, done = upload(gw), upload(gw)
    zrecv(pull)
    push.send_multipart([zrecv(pull)[0], b"result"])
    for r in waits, done:
        poll(lambda: gw.http("GET", r.headers["Location"]).status == 410)
    counters = gw.counters("/jobs")
    assert counters["expired"] == 2
    assert counters["pending"] == counters["kept_bytes"] == 0
    # one that comes too late matches nothing any more
    push.send_multipart([waits.json()["id"].encode(), b"late"])
    gw.wait_counter("/jobs", "unmatched_results", 1)
    assert gw.http("GET", waits.headers["Location"]).status == 410


def test_ids_that_were_never_issued(gateway, worker):
    gw = gateway(ID + ID.replace("/jobs", "/more"))
    worker(gw)
    worker(gw, "/more")
    id = upload(gw).json()["id"]
    forged = id[:-1] + ("0" if id[-1] != "0" else "1")
    for wrong in forged, id.upper() + "x", id[:27], id + "0", "0" * 28, "nonsense", "a/b", id + "/x":
        assert gw.http("GET", "/jobs/" + wrong).status == 404, wrong
    assert gw.http("GET", "/more/" + id).status == 404
    assert gw.http("GET", "/jobs/" + id).status == 202


def test_the_oldest_results_make_room(gateway, worker):
    gw = gateway(ID + "    results_size = 1k\n")
    pull, push = worker(gw)
    at = []
    for i in range(3):
        at.append(upload(gw).headers["Location"])
        push.send_multipart([zrecv(pull)[0], b"x" * 400])
        gw.wait_counter("/jobs", "results", i + 1)
    assert [gw.http("GET", a).status for a in at] == [410, 200, 200]
    # one that never fits drops no other
    at.append(upload(gw).headers["Location"])
    push.send_multipart([zrecv(pull)[0], b"x" * 1000, b"x" * 25])
    gw.wait_counter("/jobs", "results", 4)
    assert [gw.http("GET", a).status for a in at] == [410, 200, 200, 410]
    counters = gw.counters("/jobs")
    assert (counters["evicted"], counters["kept_bytes"]) == (2, 800)


def test_a_result_twice_and_one_nobody_asked_for(gateway, worker):
    gw = gateway(ID)
    pull, push = worker(gw)
    at = upload(gw).headers["Location"]
    id = zrecv(pull)[0]
    with gw.ws("/jobs") as browser:
        for frames in ([id, b"first"], [id, b"second"], [b"who?", b"third"]):
            push.send_multipart(frames)
            assert browser.recv() == b" ".join(frames).decode()
    assert gw.http("GET", at).body == b"first"
    counters = gw.counters("/jobs")
    assert (counters["duplicate_results"], counters["unmatched_results"]) == (1, 1)
    assert (counters["results"], counters["unheard_results"]) == (3, 0)


# the stream -----------------------------------------------------------------

def test_every_browser_gets_every_result(gateway, worker):
    gw = gateway(BODY)
    _, push = worker(gw)
    push.send(b"nobody there")
    gw.wait_counter("/jobs", "unheard_results", 1)
    with gw.ws("/jobs") as a, gw.ws("/jobs/") as b:
        for frames, expected in (([b"text \xc3\xa9"], "text é"), ([b"\xff\x00"], b"\xff\x00"),
                                 ([b""], ""), ([b"a", b"", b"b"], "a  b"),
                                 ([b"a", b"\xff"], b"a \xff"), ([b"x" * 300000], "x" * 300000)):
            push.send_multipart(frames)
            assert a.recv() == expected and b.recv() == expected
    assert gw.counters("/jobs")["unheard_results"] == 1


def test_the_stream_is_read_only(gateway, worker):
    gw = gateway(BODY)
    _, push = worker(gw)
    with gw.ws("/jobs") as bad, gw.ws("/jobs") as good:
        bad.send("hello")
        assert bad.wait_closed() == 1008
        assert bad.ws.close_reason == "this stream is read-only"
        push.send(b"still here")
        assert good.recv() == "still here"


def test_handshakes_that_are_refused(gateway, worker):
    gw = gateway(ID + NO_SINK.replace("/jobs", "/blind"))
    worker(gw)
    id = upload(gw).json()["id"]
    assert refused_handshake(gw, "/jobs/" + id) == 404
    assert refused_handshake(gw, "/blind") == 404
    assert refused_handshake(gw, "/jobs", subprotocols=["zgate.v1"]) == 400


# other answers --------------------------------------------------------------

def test_answers_to_other_requests(gateway, worker):
    gw = gateway(ID + NO_SINK.replace("/jobs", "/blind") + BODY.replace("/jobs", "/body"))
    for name in "/jobs", "/blind", "/body":
        worker(gw, name)
    r = gw.http("GET", "/jobs")
    assert r.status == 426 and r.headers["Upgrade"] == "websocket"
    assert gw.http("GET", "/blind").status == 404
    assert gw.http("DELETE", "/jobs").status == 405
    for method, path in ("POST", "/jobs/x"), ("PUT", "/jobs/a/b"):
        assert gw.http(method, path, b"x").status == 404
    for name, reason in ("/blind", "pull"), ("/body", "framing"):
        r = upload(gw, path=name)
        assert "Location" not in r.headers
        r = gw.http("GET", f"{name}/{r.json()['id']}")
        assert r.status == 404 and reason in r.json()["detail"]


def test_an_exact_location_keeps_no_results_by_id(gateway, worker):
    gw = gateway(ID.replace("[location /jobs]", "[location = /jobs]"))
    pull, push = worker(gw, "= /jobs")
    assert "Location" not in upload(gw).headers
    push.send_multipart(zrecv(pull))
    gw.wait_counter("= /jobs", "unheard_results", 1)
