"""bridge = static: what is served, how, and what never is."""
import os
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import FACTOR, GatewayFailed, zgate

BIG = random.Random(1).randbytes(3 << 20)  # over the 256 KiB that are sent from memory
SECRET = b"nobody may read this"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/index.html").write_bytes(SECRET)
    www = tmp_path / "www"
    (www / "sub" / ".git").mkdir(parents=True)
    (www / "a folder").mkdir()
    (www / "index.html").write_text("<h1>Hällo</h1>")
    (www / "sub/index.html").write_text("sub")
    (www / "sub/.git/config").write_bytes(SECRET)
    (www / ".hidden").write_bytes(SECRET)
    (www / "ten").write_text("0123456789")
    (www / "empty.txt").write_text("")
    (www / "big.bin").write_bytes(BIG)
    return www


@pytest.fixture
def site(gateway, root):
    return gateway(f"""
        [location /]
        bridge = static
        root = {root}

        [location /files]
        bridge = static
        root = {root}
        index = ten
    """)


def test_a_file_and_its_headers(site, root):
    r = site.http("GET", "/index.html")
    assert (r.status, r.body) == (200, "<h1>Hällo</h1>".encode())
    assert r.headers["Content-Type"] == "text/html; charset=utf-8"
    assert r.headers["X-Content-Type-Options"] == "nosniff"
    assert r.headers["Cache-Control"] == "no-cache"
    assert r.headers["Accept-Ranges"] == "bytes"
    assert r.headers["ETag"].strip('"').replace("-", "").isalnum()
    assert r.headers["Last-Modified"] == time.strftime(
        "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(os.stat(root / "index.html").st_mtime))
    assert site.http("GET", "/").body == r.body
    assert site.http("GET", "/?x=1").body == r.body
    assert site.http("GET", "/sub/").body == b"sub"
    assert site.http("GET", "/files/").body == b"0123456789"
    assert site.http("GET", "/files/sub/index.html").body == b"sub"


@pytest.mark.parametrize("name, kind", [
    ("x.css", "text/css; charset=utf-8"), ("x.JS", "text/javascript; charset=utf-8"),
    ("x.mjs", "text/javascript; charset=utf-8"), ("x.json", "application/json"),
    ("x.svg", "image/svg+xml"), ("x.png", "image/png"), ("x.jpeg", "image/jpeg"),
    ("x.txt", "text/plain; charset=utf-8"), ("x.wasm", "application/wasm"),
    ("x.woff2", "font/woff2"), ("x.tar.gz", "application/octet-stream"),
    ("html", "application/octet-stream"), ("x.", "application/octet-stream")])
def test_types(site, root, name, kind):
    (root / name).write_text("x")
    assert site.http("GET", f"/{name}").headers["Content-Type"] == kind


def test_names_with_any_byte(site, root):
    for name in ("a b", "ü", "100%", "q?x", "a#b", "a+b", "x;y", "back\\slash", "'quote\""):
        (root / name).write_text(name)
        path = "/" + "".join(f"%{b:02x}" for b in name.encode())
        assert site.http("GET", path).text == name
    with open(os.fsencode(root) + b"/\xff", "wb") as f:
        f.write(b"no utf-8")
    assert site.http("GET", "/%ff").body == b"no utf-8"


def test_head_is_get_without_the_body(site):
    for path in ("/ten", "/big.bin", "/empty.txt"):
        c = site.connect()
        c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
        get = c.response()
        c.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\n")
        head = c.response("HEAD")
        assert head.status == get.status == 200
        for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified"):
            assert head.headers[name] == get.headers[name]
        c.send("GET /ten HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().body == b"0123456789"


def test_large_and_empty_files(site):
    r = site.http("GET", "/big.bin")
    assert r.body == BIG
    assert r.headers["Content-Length"] == str(len(BIG))
    r = site.http("GET", "/empty.txt")
    assert (r.status, r.body, r.headers["Content-Length"]) == (200, b"", "0")


def test_pipelined_requests_are_answered_in_order(site):
    c = site.connect()
    c.send(b"".join(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % n
                    for n in (b"big.bin", b"ten", b"nothing", b"sub/", b"big.bin")))
    assert c.response().body == BIG
    assert c.response().body == b"0123456789"
    assert c.response().status == 404
    assert c.response().body == b"sub"
    assert c.response().body == BIG


# conditional requests ---------------------------------------------------------

def test_not_modified(site, root):
    r = site.http("GET", "/ten")
    etag, date = r.headers["ETag"], r.headers["Last-Modified"]
    fresh = [{"If-None-Match": etag}, {"If-None-Match": f'"x", W/{etag}'}, {"If-None-Match": "*"},
             {"If-Modified-Since": date}, {"If-None-Match": etag, "If-Modified-Since": "x"},
             {"If-Modified-Since": time.strftime("%A, %d-%b-%y %H:%M:%S GMT")},
             {"If-None-Match": etag, "Range": "bytes=0-1"}]
    for headers in fresh:
        r = site.http("GET", "/ten", headers=headers)
        assert (r.status, r.body) == (304, b""), headers
        assert r.headers["ETag"] == etag
        assert r.headers.get("Content-Length", "10") == "10"
    stale = [{"If-None-Match": '"x"'}, {"If-None-Match": '"x"', "If-Modified-Since": date},
             {"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"If-Modified-Since": "x"}]
    for headers in stale:
        assert site.http("GET", "/ten", headers=headers).status == 200, headers
    (root / "ten").write_text("9876543210")
    r = site.http("GET", "/ten", headers={"If-None-Match": etag})
    assert (r.status, r.body) == (200, b"9876543210")


def test_not_modified_keeps_the_connection(site):
    c = site.connect()
    c.send("GET /ten HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n"
           "GET /ten HTTP/1.1\r\nHost: x\r\n\r\n")
    assert c.response().status == 304
    assert c.response().body == b"0123456789"


@pytest.mark.parametrize("asked, status, body, said", [
    ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
    ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
    ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=7-99", 206, b"789", "bytes 7-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"),
    ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=9-99999999999999999999999999", 206, b"9", "bytes 9-9/10"),
    ("bytes=10-", 416, None, "bytes */10"),
    ("bytes=99999999999999999999999999-", 416, None, "bytes */10"),
    ("bytes=-0", 416, None, "bytes */10"),
    ("bytes=4-2", 200, b"0123456789", None),
    ("bytes=0-1,3-4", 200, b"0123456789", None),
    ("bytes=--1", 200, b"0123456789", None),
    ("bytes=", 200, b"0123456789", None),
    ("lines=1-2", 200, b"0123456789", None)])
def test_range(site, asked, status, body, said):
    r = site.http("GET", "/ten", headers={"Range": asked})
    assert r.status == status
    assert r.headers["Content-Range"] == said
    if body is None:
        assert r.json()["status"] == 416
    else:
        assert r.body == body


def test_range_of_a_large_file(site):
    n = len(BIG)
    for first, last in ((0, 99), (1, n - 1), (n - 300000, n - 1), (12345, 2000000)):
        r = site.http("GET", "/big.bin", headers={"Range": f"bytes={first}-{last}"})
        assert (r.status, r.body) == (206, BIG[first:last + 1])
        assert r.headers["Content-Range"] == f"bytes {first}-{last}/{n}"
    r = site.http("GET", "/empty.txt", headers={"Range": "bytes=0-"})
    assert (r.status, r.headers["Content-Range"]) == (416, "bytes */0")


def test_if_range(site, root):
    os.utime(root / "ten", (1698235200, 1698235200))  # a Wednesday: begins with W, as weak tags do
    r = site.http("GET", "/ten")
    etag, date = r.headers["ETag"], r.headers["Last-Modified"]
    assert date == "Wed, 25 Oct 2023 12:00:00 GMT"
    for value, status in ((etag, 206), (date, 206), (f"W/{etag}", 200), ('"x"', 200),
                          ("Wed, 25 Oct 2023 12:00:01 GMT", 200), ("x", 200)):
        r = site.http("GET", "/ten", headers={"Range": "bytes=0-1", "If-Range": value})
        assert r.status == status, value


# folders ----------------------------------------------------------------------

def test_a_folder_without_its_slash_is_redirected(site):
    for path, to in (("/sub", "/sub/"), ("/sub?a=1&b=%20", "/sub/?a=1&b=%20"),
                     ("/a%20folder", "/a%20folder/"), ("/files", "/files/"),
                     ("//sub", "/sub/"), ("/files//sub", "/files/sub/"), ("/x/../sub", "/sub/")):
        r = site.http("GET", path)
        assert (r.status, r.headers["Location"]) == (301, to), path
    assert site.http("GET", "/a%20folder/").status == 404  # no listing


def test_a_redirect_never_leads_to_another_host(site, root):
    (root / "evil.example").mkdir()
    (root / "\\evil.example").mkdir()
    for path in ("//evil.example", "///evil.example", "/%2fevil.example", "/.//evil.example"):
        assert site.http("GET", path).headers["Location"] == "/evil.example/"
    assert site.http("GET", "/%5cevil.example").headers["Location"] == "/%5Cevil.example/"


# what is not served -----------------------------------------------------------

@pytest.mark.parametrize("path", [
    "/../secret", "/..%2fsecret", "/..%2Fsecret", "/%2e%2e/secret", "/%2e%2e%2fsecret",
    "/sub/../../secret", "/sub/..%2f..%2fsecret", "/sub/%2e%2e/%2e%2e/secret", "/..%5csecret",
    "/..%252fsecret", "/files/../../secret", "/files..%2fsecret", "/files/..%2f..%2fsecret",
    "/./../secret", "//../secret", "/%00", "/ten%00", "/ten%00.html", "/%c0%ae%c0%ae/secret",
    "/.hidden", "/%2ehidden", "/sub/.git/config", "/sub/.git/", "/sub/.git", "/files/.hidden",
    "/ten/", "/ten/x", "/nothing", "/" + "x" * 300, "/" + "x/" * 3000, "/%", "/%zz", "/..", "/...",
    "/....//secret"], ids=lambda path: path[:30])
def test_hostile_paths(site, path):
    c = site.connect()
    c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    r = c.response()
    assert r.status in (400, 404), r
    assert SECRET not in r.body


def test_symbolic_links_stay_inside(site, root):
    (root / "good").symlink_to("ten")
    (root / "sub/up").symlink_to("../ten")
    (root / "folder").symlink_to("sub")
    assert site.http("GET", "/good").body == b"0123456789"
    assert site.http("GET", "/sub/up").body == b"0123456789"
    assert site.http("GET", "/folder/").body == b"sub"
    before = site.counters("/")["outside_root"]
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to(root.parent / "secret")
    (root / "inside-absolute").symlink_to(root / "ten")
    (root / "proc").symlink_to("/proc/self/root")
    (root / "elsewhere").symlink_to("../outside")
    (root / "sub/roundabout").symlink_to("../../www/ten")
    bad = ["/out", "/absolute", "/inside-absolute", "/proc", "/proc/etc/passwd", "/elsewhere",
           "/elsewhere/", "/elsewhere/index.html", "/sub/roundabout"]
    for path in bad:
        r = site.http("GET", path)
        assert r.status == 404, path
        assert SECRET not in r.body
    assert site.counters("/")["outside_root"] == before + len(bad)
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    for path in ("/loop", "/loop/x", "/dangling"):
        assert site.http("GET", path).status == 404


def test_only_regular_files_and_nothing_blocks(site, root):
    os.mkfifo(root / "fifo")
    os.mkfifo(root / "a folder/index.html")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(root / "socket"))
        started = time.monotonic()
        for _ in range(8):  # more than the thread pool has threads
            for path in ("/fifo", "/a%20folder/", "/socket"):
                assert site.http("GET", path).status == 404
        assert time.monotonic() - started < 5 * FACTOR
    assert site.http("GET", "/ten").status == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(site, root):
    (root / "ten").chmod(0)
    assert site.http("GET", "/ten").status == 403


def test_other_methods(site):
    for method in ("POST", "PUT", "DELETE"):
        r = site.http(method, "/ten", b"")
        assert r.status == 405
        assert r.headers["Allow"].split(", ")[:2] == ["GET", "HEAD"]


# many at once -----------------------------------------------------------------

def test_many_at_once(site):
    """Everybody gets the whole file, or is told to come back."""
    requests = 600
    conns = [site.connect() for _ in range(60)]
    for i in range(requests):
        conns[i % 60].send(f"GET /{'ten' if i % 3 else 'sub/'} HTTP/1.1\r\nHost: x\r\n\r\n")
    for i in range(requests):
        r = conns[i % 60].response()
        assert r.status == 503 and r.headers["Retry-After"] or \
            r.body == (b"0123456789" if i % 3 else b"sub"), r
    site.wait_status(lambda s: site.location("/", s)["counters"]["reading"] == 0)


def test_clients_that_leave_while_files_are_read(site):
    for i in range(150):
        c = site.connect(rcvbuf=4096)
        c.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n" * (1 + i % 3))
        if i % 2:
            c.reset()
        else:
            c.close()
    assert site.http("GET", "/big.bin").body == BIG
    site.wait_status(lambda s: site.location("/", s)["counters"]["reading"] == 0)


def test_stopping_while_files_are_read(site):
    conns = [site.connect() for _ in range(50)]
    for c in conns:
        c.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    assert site.stop() == 0


def test_a_file_that_changes_under_way(site, root):
    """Atomic replacement gives the old or the new file, never a mixture."""
    olds = [bytes([n]) * 100000 for n in range(4)]

    def replace(n):
        (root / f"new{n % 2}").write_bytes(olds[n % 4])
        os.rename(root / f"new{n % 2}", root / "ten")
    replace(0)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(site.http, "GET", "/ten") for _ in range(60)]
        for n in range(60):
            replace(n)
        assert all(a.result().body in olds for a in answers)


def test_a_large_file_that_is_cut_short(site, root):
    """What was promised cannot be sent any more; others are served."""
    (root / "big.bin").write_bytes(BIG * 4)
    c = site.connect(rcvbuf=4096)
    c.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    c.read_until(b"\r\n\r\n")
    os.truncate(root / "big.bin", 1000)
    assert len(site.http("GET", "/big.bin").body) == 1000


def test_an_answer_has_to_move(gateway, root):
    """A client that reads slowly gets all; one that stops, or a file cut short, ends after idle_timeout."""
    gw = gateway(f"""
        [gateway]
        idle_timeout = 1s
        [location /]
        bridge = static
        root = {root}
    """)
    (root / "large.bin").write_bytes(BIG * 4)
    asked = b"GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    stopped, cut = (gw.connect(rcvbuf=4096).send(asked % b"large.bin") for _ in range(2))
    for c in stopped, cut:
        c.read_until(b"\r\n\r\n")
    os.truncate(root / "large.bin", 1000)
    cut.sock.settimeout(10)
    while cut.sock.recv(1 << 16):
        pass
    # the one that stopped ends too: by the same timer, or by the kernel's (TCP_USER_TIMEOUT)
    gw.wait_status(lambda s: s["worker"]["connections_open"] == 1)
    assert gw.status()["worker"]["timeouts_idle"] in (1, 2)
    slow = gw.connect(rcvbuf=4096).send(asked % b"big.bin")
    got, pace, start = 0, threading.Event(), time.monotonic()
    while chunk := slow.sock.recv(1 << 16):
        got += len(chunk)
        pace.wait(got / len(BIG) * 2.5 - (time.monotonic() - start))  # the whole takes two idle_timeouts and more
    assert got > len(BIG)
    gw.wait_status(lambda s: s["worker"]["connections_open"] == 1)  # the one that asks


# configuration ----------------------------------------------------------------

@pytest.mark.parametrize("lines, complaint", [
    ("", r"root"),
    ("root = nowhere", r"cannot use .*/nowhere: No such file"),
    ("root = Makefile.in", r"Makefile.in is no folder"),
    ("root = html\nindex = a/b", r'index: "a/b" is no file name'),
    ("root = html\nindex = .profile", r'index: ".profile" is no file name')])
def test_configuration_errors(gateway, lines, complaint):
    with pytest.raises(GatewayFailed, match=rf"gateway.ini:\d+: \[location /x\].*{complaint}") as e:
        gateway("[location /x]\nbridge = static\n" + lines)
    assert e.value.code == 1


def test_the_index_may_be_listed(tmp_path):
    r = zgate("-L", "static")
    assert r.returncode == 0
    assert "root" in r.stdout and "index.html" in r.stdout
