"""Random requests, good and bad, whole and in pieces: nothing dies, and the books balance afterwards."""
import os
import random
import socket
import struct


METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "FOO"]
TARGETS = ["*", "/", "/echo", "/feed", "/feed?topic=A", "/feed?topic=%", "/jobs", "/jobs/", "/jobs/x", "/console",
           "/status", "/status/metrics", "/a/../..", "/%2e%2e/", "//x", "http://x/", "http://x", "/?" + "a" * 600,
           "/" + "b" * 1500, "/feed?topic=" + "t" * 700]
FIELDS = ["Content-Length: 0", "Content-Length: 5", "Content-Length: 70000", "Content-Length: 99999999999",
          "Transfer-Encoding: chunked", "Expect: 100-continue", "Expect: x", "Connection: close",
          "Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c",
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8",
          "Sec-WebSocket-Protocol: zgate.v1", "Sec-WebSocket-Protocol: a, b, zgate.v1", "Origin: http://evil",
          "Origin: http://x", "Origin: null", "Range: bytes=0-3", "Range: bytes=5-1", "If-None-Match: *",
          "X-Request-ID: abc", "X-Request-ID: \t", "Content-Type: multipart/form-data; boundary=b",
          "Accept: text/event-stream", "X: " + "y" * 3000]
SHAKE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
         "Sec-WebSocket-Version: 13"]
BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"fffff\r\n",
          b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nhey\r\n--b--\r\n',
          b"\x81\x85aaaa", b"\x81\x80aaaa\x89\x80aaaa\x88\x80aaaa", b"\x82\xfe\xff\xff", b"z" * 70000]


def request(dice):
    method, target, fields = dice.choice(METHODS), dice.choice(TARGETS), dice.sample(FIELDS, dice.randrange(4))
    if dice.random() < .25:
        method, fields = "GET", SHAKE + fields
    body = dice.choice(BODIES)
    if dice.random() < .5:  # framed as it should be
        fields = [f for f in fields if not f.startswith(("Content-L", "Transfer-E"))]
        fields.append("Transfer-Encoding: chunked" if body.endswith(b"0\r\n\r\n") else f"Content-Length: {len(body)}")
    host = ["Host: x"] if dice.random() < .95 else []
    lines = [f"{method} {target} HTTP/1.{dice.choice('1110')}", *host, *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def converse(dice, address):
    data = b"".join(request(dice) for _ in range(dice.randrange(1, 4)))
    if dice.random() < .2:
        at = dice.randrange(len(data))
        data = data[:at] + bytes([dice.randrange(256)]) + data[at + dice.randrange(3):]
    with socket.create_connection(address) as s:
        s.settimeout(.02)
        try:
            for piece in (data[:len(data) // 3], data[len(data) // 3:]) if dice.random() < .2 else (data,):
                s.sendall(piece)
                s.recv(65536)
            while s.recv(65536):
                pass
        except OSError:
            pass
        if dice.random() < .3:  # a reset instead of an end
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def balanced(counters):
    outcomes = sum(counters[k] for k in ("answered", "refused", "failed", "timed_out",
                                         "cancelled", "in_flight"))
    return counters["requests"] == outcomes


def test_random_requests(gateway, tmp_path):
    seed = int(os.environ.get("ZG_TEST_SEED", "1"))
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("hello")
    gw = gateway(f"""
        [gateway]
        header_timeout = 1s
        body_timeout = 1s
        [location /]
        bridge = static
        root = {tmp_path}/www
        [location /echo]
        bridge = reqrep
        req = connect tcp://127.0.0.1:9
        methods = GET POST
        [location /feed]
        bridge = pubsub
        sub = connect tcp://127.0.0.1:9
        pub = bind tcp://127.0.0.1:*
        [location /jobs]
        bridge = pipeline
        push = connect tcp://127.0.0.1:9
        pull = bind tcp://127.0.0.1:*
        framing = id
        [location /console]
        bridge = pair
        pair = connect tcp://127.0.0.1:9
    """)
    dice = random.Random(seed)
    for _ in range(1500):
        converse(dice, gw.address)
    assert gw.http("GET", "/").body == b"hello", f"seed {seed}"
    settled = gw.wait_status(lambda s: all(
        loc["counters"]["in_flight"] == (loc["path"] == "/status") and loc["counters"]["ws_open"] == 0
        for loc in s["locations"]))
    for loc in settled["locations"]:
        assert balanced(loc["counters"]), (seed, loc)
    assert sum(loc["counters"]["requests"] for loc in settled["locations"]) > 100
