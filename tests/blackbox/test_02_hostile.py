"""Hostile bytes on raw sockets: every attack gets a clear answer and harms
nobody. Request smuggling, bad heads, slowness, bad handshakes, bad frames."""
import re
import threading

import pytest
import zmq

from harness import FACTOR, Conn, RawWs, encode_frame, handshake, poll, zrecv

CONFIG = """
[gateway]
header_timeout = 1s
body_timeout = 1s
idle_timeout = 3s
max_header = 8k

[location /ok]
bridge = reqrep
req = bind tcp://127.0.0.1:*
methods = GET POST

[location /trap]
bridge = reqrep
req = bind tcp://127.0.0.1:*
methods = GET POST

[location /feed]
bridge = pubsub
sub = bind tcp://127.0.0.1:*
pub = bind tcp://127.0.0.1:*
max_body = 64k

[location /page]
bridge = static
root = files
"""


@pytest.fixture
def gw(gateway, tmp_path):
    """A gateway that must still serve, and have run no smuggled request, when
    the test is over."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "big").write_bytes(bytes(4 << 20))
    (tmp_path / "files" / "index.html").write_text("hello")
    g = gateway(CONFIG, prefix=tmp_path)
    yield g
    alive(g)
    assert g.counters("/trap")["requests"] == 0, "a smuggled request was run"


def alive(gw):
    assert gw.http("GET", "/status/live").status == 200
    assert gw.running


# What follows a head is bait: a request for /trap, which nobody may run.
TRAP = "POST /trap HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
CL = f"Content-Length: {len(TRAP)}\r\n"
TE = "Transfer-Encoding: chunked\r\n"

# name: (bytes, the statuses it may be answered with)
HEADS = {
    "CL and TE": (f"POST /ok HTTP/1.1\r\nHost: x\r\n{CL}{TE}\r\n0\r\n\r\n" + TRAP, {400}),
    "TE and CL": (f"POST /ok HTTP/1.1\r\nHost: x\r\n{TE}Content-Length: 5\r\n\r\n0\r\n\r\n" + TRAP, {400}),
    "CL twice": (f"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{CL}\r\n" + TRAP, {400}),
    "CL twice, equal": (f"POST /ok HTTP/1.1\r\nHost: x\r\n{CL}{CL}\r\n" + TRAP, {400}),
    "CL in a list": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0\r\n\r\n" + TRAP, {400}),
    "CL signed": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n" + TRAP, {400}),
    "CL negative": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" + TRAP, {400}),
    "CL hexadecimal": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 0x0\r\n\r\n" + TRAP, {400}),
    "CL with a blank": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 0 0\r\n\r\n" + TRAP, {400}),
    "CL empty": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n" + TRAP, {400}),
    "CL too long": (f"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: {2 ** 64}\r\n\r\n" + TRAP, {400, 413}),
    "TE unknown": ("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n" + TRAP, {501}),
    "TE not final": ("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + TRAP, {400, 501}),
    "TE chain": ("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + TRAP, {501}),
    "TE twice": (f"POST /ok HTTP/1.1\r\nHost: x\r\n{TE}{TE}\r\n0\r\n\r\n" + TRAP, {400, 501}),
    "TE hidden": ("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + TRAP, {501}),
    "TE with a tab": ("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + TRAP, {400}),
    "TE in quotes": ('POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "chunked"\r\n\r\n' + TRAP, {400, 501}),
    "TE in 1.0": (f"POST /ok HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n{TE}\r\n0\r\n\r\n" + TRAP, {400}),
    "TE and a blank": ("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + TRAP, {400}),
    "TE cut by a NUL": (
        "POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\0, gzip\r\n\r\n0\r\n\r\n" + TRAP, {400}),
    "CL cut by a NUL": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 5\0 6\r\n\r\nhello" + TRAP, {400}),
    "CL folded": ("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 5\r\n\r\nhello" + TRAP, {400}),
    "fold before a body": (
        f"POST /ok HTTP/1.1\r\nHost: x\r\nA: b\r\n Transfer-Encoding: chunked\r\n{CL}\r\n" + TRAP, {400}),
    "NUL before a body": (f"POST /ok HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n{CL}\r\n" + TRAP, {400}),
    "NUL in a target before a body": (f"POST /ok\0/../trap HTTP/1.1\r\nHost: x\r\n{CL}\r\n" + TRAP, {400}),
    "CL on a GET": ("GET /status HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx" + TRAP, {400}),
    "no Host": ("GET /ok HTTP/1.1\r\n\r\n" + TRAP, {400}),
    "Host twice": ("GET /ok HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "Host empty": ("GET /ok HTTP/1.1\r\nHost:\r\n\r\n" + TRAP, {400}),
    "Host with a path": ("GET /ok HTTP/1.1\r\nHost: x/trap\r\n\r\n" + TRAP, {400}),
    "Host with a user": ("GET /ok HTTP/1.1\r\nHost: me@x\r\n\r\n" + TRAP, {400}),
    "Host with a blank": ("GET /ok HTTP/1.1\r\nHost: x y\r\n\r\n" + TRAP, {400}),
    "Host and port": ("GET /ok HTTP/1.1\r\nHost: x:99999\r\n\r\n" + TRAP, {400}),
    "name empty": ("GET /ok HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n" + TRAP, {400}),
    "name with brackets": ("GET /ok HTTP/1.1\r\nHost: x\r\nA[1]: y\r\n\r\n" + TRAP, {400}),
    "no colon": ("GET /ok HTTP/1.1\r\nHost: x\r\nhello\r\n\r\n" + TRAP, {400}),
    "folded": ("GET /ok HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n" + TRAP, {400}),
    "folded Host": ("GET /ok HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "control byte in a value": ("GET /ok HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n" + TRAP, {400}),
    "DEL in a value": ("GET /ok HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n" + TRAP, {400}),
    "NUL in a value": ("GET /ok HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n" + TRAP, {400}),
    "NUL in a name": ("GET /ok HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n" + TRAP, {400}),
    "NUL in the target": ("GET /ok\0/../trap HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "control byte in the target": ("GET /o\x02k HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "bytes over 127 in the target": ("GET /ök HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400, 404}),
    "no target": ("GET HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "blanks in the target": ("GET /o k HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "two blanks": ("GET  /ok HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "relative target": ("GET ok HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "other scheme": ("GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "method empty": (" /ok HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "method with brackets": ("GE(T /ok HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "method too long": ("A" * 200 + " /ok HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {400, 405, 501}),
    "version 1.2": ("GET /ok HTTP/1.2\r\nHost: x\r\n\r\n" + TRAP, {505}),
    "version 2.0": ("GET /ok HTTP/2.0\r\nHost: x\r\n\r\n" + TRAP, {505}),
    "version garbled": ("GET /ok HTTP/1.1x\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "version in lower case": ("GET /ok http/1.1\r\nHost: x\r\n\r\n" + TRAP, {400}),
    "bad Expect": ("POST /ok HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 0\r\n\r\n" + TRAP, {417}),
    "150 fields": ("GET /ok HTTP/1.1\r\nHost: x\r\n" + "a: b\r\n" * 150 + "\r\n" + TRAP, {431}),
    "head too long": ("GET /ok HTTP/1.1\r\nHost: x\r\nA: " + "b" * 9000 + "\r\n\r\n" + TRAP, {431}),
    "many long fields": ("GET /ok HTTP/1.1\r\nHost: x\r\n" + ("A: " + "b" * 900 + "\r\n") * 10 + "\r\n" + TRAP, {431}),
    "line too long": ("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n" + TRAP, {414}),
}

# A connection's first head is judged from its bytes. Of later ones libmicrohttpd
# 0.9.75 has read them, and shows lines. Some it refuses by itself, with its own
# page or none; that the connection ends is then what counts.
ITS_OWN = {
    "CL in a list", "CL signed", "CL negative", "CL hexadecimal", "CL with a blank", "CL empty", "CL too long",
    "no Host", "no colon", "NUL in a name", "no target", "blanks in the target", "method empty",
    "version 2.0", "version garbled", "version in lower case",
}
# Some it cleans up without a sign: folds, NULs and what follows them, blanks.
# Where a body follows, what hides something is refused (see HEADS); where none
# does, they are served as what is left of them.
CLEANED = {"name empty", "folded", "CL folded", "NUL in a value", "NUL in the target", "two blanks"}

# Line ends that are not CR LF: refused in a first request; in a later one RFC
# 9112, 2.2 permits to take them.
LINE_ENDS = {
    "bare LF": "GET /ok HTTP/1.1\nHost: x\n\n",
    "one bare LF": "GET /ok HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "bare CR": "GET /ok HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 5\r\n\r\n",
    "CR CR LF": "GET /ok HTTP/1.1\r\r\nHost: x\r\r\n\r\r\n",
}
GREETING = "GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n"


def check_refused(c, name, statuses, ours=True):
    """What is wrong with the refusal, or None. ours: the answer is our own."""
    try:
        r = c.response()
    except (EOFError, ConnectionResetError) as e:
        return f"{name}: no answer, {e!r}" if ours else None
    if r.status not in statuses:
        return f"{name}: {r}"
    if not ours:
        return None if b"/trap" not in c.read_to_end() else f"{name}: further answers"
    if r.headers["Content-Type"] != "application/problem+json" or r.json()["status"] != r.status:
        return f"{name}: no problem+json: {r}"
    if (r.headers["Connection"] or "").lower() != "close":
        return f"{name}: does not say that it closes: {r}"
    try:
        return None if c.closed() else f"{name}: stays open"
    except AssertionError as e:
        return f"{name}: {e}"


def test_bad_heads_are_refused(gw):
    wrong = []
    for name, (data, statuses) in HEADS.items():
        wrong.append(check_refused(gw.connect().send(data), name, statuses))
    for name, data in LINE_ENDS.items():
        wrong.append(check_refused(gw.connect().send(data + TRAP), name, {400}))
    wrong = [w for w in wrong if w]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("how", ["after an answer", "pipelined"])
def test_bad_heads_are_refused_on_a_kept_alive_connection(gw, how):
    wrong = []
    for name, (data, statuses) in HEADS.items():
        c = gw.connect()
        if name in CLEANED:
            data = data.removesuffix(TRAP)
        if how == "pipelined":
            c.send(GREETING + data)
            assert c.response().status == 200, name
        else:
            assert c.send(GREETING).response().status == 200
            c.send(data)
        if name in CLEANED:  # 503: no worker is there
            wrong.append(None if c.response().status in statuses | {503} else f"{name}: refused oddly")
        else:
            wrong.append(check_refused(c, name, statuses, name not in ITS_OWN))
        c.close()
    wrong = [w for w in wrong if w]
    assert not wrong, "\n".join(wrong)


def test_line_ends_on_a_kept_alive_connection(gw):
    for data in LINE_ENDS.values():
        c = gw.connect().send(GREETING)
        assert c.response().status == 200
        c.send(data)
        try:
            first = c.response(timeout=5 * FACTOR)
            assert first.status in (200, 400, 503)
        except (EOFError, TimeoutError):
            pass
        c.close()


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),          # a TLS client's hello
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # HTTP/2
    b"GET /ok\r\n",                                                        # HTTP/0.9
    b"GET /ok\r\n\r\n",
    b"\x00" * 100, b"\xff" * 100, b"\r\n\r\n\r\n\r\n", b"\n", b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + bytes(48),       # a ZeroMQ peer's greeting
    b"USER root\r\n", b"EHLO x\r\n", b"*1\r\n$4\r\nPING\r\n", b"{\"a\":1}\r\n",
    b"A" * 100000,
], ids=lambda d: repr(d[:12]))
def test_other_protocols(gw, data):
    c = gw.connect()
    try:
        c.send(data)
        answer = c.read_to_end()
    except ConnectionError:
        return  # the gateway was quicker than we
    status = int(re.match(rb"HTTP/1.1 (\d+) ", answer).group(1))
    assert status == (505 if data.startswith(b"PRI") else 414 if data[:3] == b"AAA" else 400)
    if data[0] == 0x16:
        assert b"TLS" in answer or b"https" in answer, "says what is wrong to whoever looks"


def dribble(c, data, timeout):
    """Sends a byte every tenth of a second until an answer or the end comes;
    the answer (b"": closed without)."""
    for i in range(int(timeout * 10)):
        try:
            c.send(data[i:i + 1])
            if not c._fill(0.1):
                return b""
            return c.read_to_end()
        except TimeoutError:
            pass
        except ConnectionError:
            return b""
    raise AssertionError(f"still open after {timeout} s")


def test_slow_heads(gw):
    """header_timeout is for the whole head: bytes now and then do not help."""
    head = b"GET /status/live HTTP/1.1\r\nHost: x\r\nPadding: " + b"x" * 1000
    results = []
    slow, silent, later = gw.connect(), gw.connect(), gw.connect().send(GREETING)
    assert later.response().status == 200

    def first():
        results.append(dribble(slow, head, 5 * FACTOR).startswith(b"HTTP/1.1 408 "))
    thread = threading.Thread(target=first)
    thread.start()
    half = gw.connect().send("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Le")
    r = half.response(timeout=5 * FACTOR)
    assert r.status == 408 and r.json()["status"] == 408 and half.closed()
    assert silent.closed(), "one that says nothing is closed, too"
    # and the same for a later request of the connection
    answer = dribble(later, head, 10 * FACTOR)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    thread.join()
    assert results == [True]
    # a WebSocket handshake is a head, too
    r = gw.connect().send(handshake("/feed", gw.address)[:-2]).response()
    assert r.status == 408


def test_heads_byte_by_byte(gw):
    for data in (GREETING.encode(), b"GET /status/live HTTP/1.0\r\n\r\n"):
        c = gw.connect()
        for i in range(len(data)):
            c.send(data[i:i + 1])
        assert c.response().status == 200
    c = gw.connect()
    data = handshake("/feed", gw.address) + encode_frame(RawWs.PING, b"hi")
    for i in range(len(data)):
        c.send(data[i:i + 1])
    assert c.response().status == 101
    assert c.read(4) == b"\x8a\x02hi"
    # a frame that comes in one piece with the handshake is not lost
    c = gw.connect().send(handshake("/feed", gw.address) + encode_frame(RawWs.PING, b"hi"))
    assert c.response().status == 101
    assert c.read(4) == b"\x8a\x02hi"


def test_slow_bodies(gw):
    for framing, part in (("Content-Length: 100000", "x" * 10), ("Transfer-Encoding: chunked", "a\r\nxxxx"),
                          ("Transfer-Encoding: chunked", ""), ("Content-Length: 1", "")):
        c = gw.connect().send(f"POST /ok HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{part}")
        r = c.response(timeout=6 * FACTOR)
        assert r.status == 408 and r.json()["status"] == 408 and c.closed()
    # a byte now and then is progress, but below any useful rate
    c = gw.connect().send("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    answer = dribble(c, b"x" * 1000, 20 * FACTOR)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    poll(lambda: gw.counters("/ok")["in_flight"] == 0)


def rss(gw):
    with open(f"/proc/{gw.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) << 10


def test_clients_that_never_read(gw):
    """They cost a bounded amount of memory, and are cut off after idle_timeout."""
    assert gw.http("GET", "/page/big").status == 200
    before = rss(gw)
    clients = [gw.connect(rcvbuf=4096) for _ in range(20)]
    for c in clients:
        c.send("GET /page/big HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
    deaf = gw.raw_ws("/feed", rcvbuf=4096)
    alive(gw)
    status = gw.wait_status(lambda s: s["worker"]["connections_open"] <= 2, 15 * FACTOR)
    assert status
    assert rss(gw) - before < (64 << 20) * FACTOR
    deaf.close()


def test_aborted_uploads(gw, zmq_context):
    rep = zmq_context.socket(zmq.REP)
    rep.connect(gw.endpoint("/ok", "req"))
    gw.wait_peers("/ok", "req", 1)
    for n in range(30):
        c = gw.connect()
        if n % 3:
            c.send("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + "x" * (n * 1000))
        else:
            c.send("POST /ok HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + "x" * (n * 100))
        c.reset() if n % 2 else c.close()
    poll(lambda: gw.counters("/ok")["in_flight"] == 0)
    # half a body never reaches a worker; the next whole one is what it sees
    c = gw.connect().send("POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nwhole")
    assert zrecv(rep) == [b"whole"]
    rep.send(b"done")
    assert c.response().body == b"done"


def test_bad_handshakes_get_a_plain_answer(gw):
    def try_(path="/feed", statuses=(400,), data=None, drop=(), **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        c = gw.connect().send(data or handshake(path, gw.address, headers, drop))
        r = c.response()
        assert r.status in statuses, (path, headers, drop, data, r)
        assert r.headers["Content-Type"] == "application/problem+json" and r.json()["detail"]
        assert "Upgrade" not in r.headers or r.status == 426
        assert c.closed()
        return r
    good = handshake("/feed", gw.address).decode()
    try_(data=good.replace("GET", "POST"), statuses=(400, 405))
    try_(data=good.replace("HTTP/1.1", "HTTP/1.0"))
    for version in "12", "8", "0", "14", "255":
        r = try_(statuses=(426,), Sec_WebSocket_Version=version)
        assert r.headers["Sec-WebSocket-Version"] == "13"
    try_(drop=["Sec-WebSocket-Version"], statuses=(400, 426))
    try_(drop=["Sec-WebSocket-Key"])
    for key in "", "short", "x" * 24, "!" * 22 + "==", "A" * 44:
        try_(Sec_WebSocket_Key=key)
    try_(data=good[:-2] + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    try_(data=good[:-2] + "Content-Length: 5\r\n\r\nhello")
    try_(data=good[:-2] + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    try_(Connection="close")
    try_(drop=["Host"])
    for path in "/nowhere", "/fee", "/feeds", "/":
        try_(path, statuses=(404,))
    for path in "/ok", "/page", "/status":  # no WebSocket there
        try_(path, statuses=(400, 404, 405, 426))
    for protocol in "nonsense", "zgate.v2", "zgate.v1x", "a, b":
        try_(Sec_WebSocket_Protocol=protocol)
    # an Upgrade to something else is ignored, as RFC 9110, 7.8 says
    c = gw.connect().send("GET /status/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert c.response().status == 200
    # what is well but unusual
    for headers in ({"Connection": "keep-alive, Upgrade"}, {"Upgrade": "WebSocket"},
                    {"Sec-WebSocket-Protocol": "other, zgate.v1"}, {"Sec-WebSocket-Extensions": "x-unknown; a=b"},
                    {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}):
        ws = gw.raw_ws("/feed", headers)
        assert ws.answer.headers.get("Sec-WebSocket-Protocol") == (
            "zgate.v1" if "Sec-WebSocket-Protocol" in headers else None)
        ws.frame(RawWs.PING, b"x")
        assert ws.message() == (RawWs.PONG, b"x")
        ws.close()
    # and one on a kept-alive connection: either it opens, or it is refused in words
    c = gw.connect().send(GREETING)
    assert c.response().status == 200
    assert c.send(handshake("/feed", gw.address)).response().status in (101, 400, 426)


# Any close frame, or the end of the connection.
ENDS = range(65536)
BAD_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xc3", b"\xce\xba\xe1\xbd", b"\xfe\xff")


def test_bad_frames_close_with_the_right_code(gw):
    F = encode_frame
    big = b"x" * 65537
    cases = [
        ("reserved opcode 3", F(3, b"x"), 1002), ("reserved opcode 7", F(7, b""), 1002),
        ("reserved opcode 11", F(11, b""), 1002), ("reserved opcode 15", F(15, b"x"), 1002),
        ("RSV1", F(1, b"x", rsv=4), 1002), ("RSV2", F(1, b"x", rsv=2), 1002), ("RSV3", F(2, b"x", rsv=1), 1002),
        ("fragmented ping", F(9, b"x", fin=False), 1002), ("continuation of nothing", F(0, b"x"), 1002),
        ("text inside text", F(1, b"a", fin=False) + F(1, b"b"), 1002),
        ("close 999", F(8, b"\x03\xe7"), 1002), ("close 1005", F(8, b"\x03\xed"), 1002),
        ("close 1006", F(8, b"\x03\xee"), 1002),
        ("text over max_body", F(1, big), 1009), ("binary over max_body", F(2, big), 1009),
        ("fragments over max_body", F(2, big[:40000], fin=False) + F(0, big[:40000]), 1009),
        ("a terabyte announced", b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"abcdxxxx", 1009),
        # libwebsockets 4.1.6 closes these without a close frame, or echoes the code
        ("ping of 126 bytes", F(9, b"x" * 126), ENDS), ("close of one byte", F(8, b"\x03"), ENDS),
        ("close 5000", F(8, b"\x13\x88"), ENDS), ("close, bad reason", F(8, b"\x03\xe8\xff"), ENDS),
        ("2^63 bytes announced", b"\x82\xff" + b"\x80" + bytes(7) + b"abcd", ENDS),
    ]
    cases += [(f"invalid UTF-8 {bad!r}", F(1, bad), 1007) for bad in BAD_UTF8]
    cases += [("invalid UTF-8 across fragments", F(1, b"ok \xe2\x82", fin=False) + F(0, b"x"), 1007),
              ("UTF-8 cut at the end", F(1, b"\xe2", fin=False) + F(0, b"\x82"), 1007)]
    wrong = []
    bystander = gw.ws("/feed")
    for name, data, code in cases:
        ws = gw.raw_ws("/feed").send(data)
        try:
            got = ws.close_code(2 * FACTOR)
        except TimeoutError:
            got = "nothing"
        if got not in (code if code is ENDS else (code,)):
            wrong.append(f"{name}: {got}, not {code}")
        ws.close()
        bystander.ping()
    assert not wrong, "\n".join(wrong)
    bystander.close()
    poll(lambda: gw.counters("/feed")["ws_open"] == 0)


def test_unmasked_frames(gw):
    """RFC 6455, 5.1 wants the connection closed; libwebsockets 4.1.6 takes
    them, which harms only who sends them. Either will do."""
    ws = gw.raw_ws("/feed").frame(1, b"hello", mask=False).frame(RawWs.PING, b"still here")
    assert ws.message() in ((RawWs.PONG, b"still here"), (RawWs.CLOSE, b"\x03\xea"))


def test_good_but_unusual_frames(gw, zmq_context):
    sub = zmq_context.socket(zmq.SUB)
    sub.connect(gw.endpoint("/feed", "pub"))
    sub.subscribe(b"")
    gw.wait_peers("/feed", "pub", 1)
    probe = gw.ws("/feed")
    # the subscription has arrived once a probe comes through
    poll(lambda: probe.send("probe") or sub.poll(100))
    while sub.poll(200):
        assert zrecv(sub) == [b"probe"]
    ws = gw.raw_ws("/feed")
    # a message in 10,000 fragments, pings between them
    for i in range(10000):
        ws.frame(1 if i == 0 else 0, b"%d," % (i % 10), fin=False)
        if i % 1000 == 0:
            ws.frame(RawWs.PING, b"%d" % i)
            assert ws.message() == (RawWs.PONG, b"%d" % i)
    ws.frame(0, b"")
    assert zrecv(sub) == [b"".join(b"%d," % (i % 10) for i in range(10000))]
    # characters cut anywhere, an empty message in empty fragments, max_body exactly
    text = "aé€𝄞".encode()
    for i in range(len(text)):
        ws.frame(1 if i == 0 else 0, text[i:i + 1], fin=i == len(text) - 1)
    assert zrecv(sub) == [text]
    ws.frame(2, b"\x00\xff" * 32768)
    assert zrecv(sub) == [b"\x00\xff" * 32768]
    # a frame byte by byte
    for byte in encode_frame(1, b"slowly"):
        ws.send(bytes([byte]))
    assert zrecv(sub) == [b"slowly"]
    # an unasked pong is ignored, a close is answered with its code
    ws.frame(RawWs.PONG, b"what?").frame(RawWs.PING, b"p" * 125)
    assert ws.message() == (RawWs.PONG, b"p" * 125)
    ws.frame(RawWs.CLOSE, b"\x03\xe8bye")
    assert ws.close_code() == 1000 and ws.closed()


def test_websockets_that_vanish(gw, zmq_context):
    pub = zmq_context.socket(zmq.PUB)
    pub.connect(gw.endpoint("/feed", "sub"))
    survivor = gw.ws("/feed")
    gw.wait_peers("/feed", "sub", 1)
    for n in range(30):
        ws = gw.raw_ws("/feed")
        if n % 4 == 0:
            ws.frame(1, b"half a mess", fin=False)
        elif n % 4 == 1:
            ws.send(encode_frame(1, b"x" * 1000)[:100])
        elif n % 4 == 2:
            ws.frame(RawWs.CLOSE, b"\x03\xe8")
        ws.reset() if n % 2 else ws.close()
        pub.send(b"tick")
    gw.wait_status(lambda s: gw.location("/feed", s)["counters"]["ws_open"] == 1)
    poll(lambda: pub.send(b"last") or survivor.recv(5) == "last")


def test_a_peer_that_is_no_websocket_after_the_handshake(gw):
    for rubbish in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 1000, b"\xff" * 1000, bytes(range(256)) * 10:
        ws = gw.raw_ws("/feed").send(rubbish)
        assert ws.close_code() in (1002, 1007, 1009, 1006)
        ws.close()


def test_http_at_a_zeromq_endpoint(gw, zmq_context):
    """A browser that is pointed at a bound ZeroMQ endpoint disturbs nobody."""
    port = int(gw.endpoint("/ok", "req").rsplit(":", 1)[1])
    for _ in range(5):
        with Conn(("127.0.0.1", port)) as c:
            c.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            alive(gw)
    rep = zmq_context.socket(zmq.REP)
    rep.connect(gw.endpoint("/ok", "req"))
    gw.wait_peers("/ok", "req", 1)
    for n in range(5):
        ours = gw.connect().send(f"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{n}")
        assert zrecv(rep) == [b"%d" % n]
        rep.send(b"2")
        assert ours.response().body == b"2"
