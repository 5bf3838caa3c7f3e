"""logs: what is written about requests and WebSockets, whatever clients send, and
that neither a rotation nor a reload nor a log that takes nothing loses a line or
holds up a client."""
import json
import os
import re
import select
import signal
import subprocess
import threading
import time

import pytest

from harness import (BINARY, FACTOR, REP_WORKER, ROOT, SANITIZED, GatewayFailed, Process, bind,
                     complete, free_port, http_request, poll, zgate)

STATIC = """
[location /]
bridge = static
root = html
"""


def lines_of(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode("latin-1").splitlines()
    except FileNotFoundError:
        return []


def wait_lines(path, count, timeout=20):
    """The lines, once there are that many; more are a mistake."""
    poll(lambda: len(lines_of(path)) >= count, timeout)
    assert len(lines_of(path)) == count, lines_of(path)
    return lines_of(path)


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "access.log")


# formats ---------------------------------------------------------------------

def test_combined(gateway, log):
    gw = gateway(f"[gateway]\naccess_log = {log}\n" + STATIC)
    body = gw.http("GET", "/?a=%20b", headers={"Referer": "http://r/", "User-Agent": "me/1"}).body
    gw.http("HEAD", "/")
    gw.raw(b'GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
           b'User-Agent: a "quoted" \\ \xe9 \x80\ttab\r\n\r\n')
    gw.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX: \x01\r\n\r\n")
    lines = wait_lines(log, 4)
    stamp = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    for line, rest in zip(lines, (
            f'"GET /?a=%20b HTTP/1.1" 200 {len(body)} "http://r/" "me/1"', '"HEAD / HTTP/1.1" 200 0 "-" "-"',
            r'"GET /none HTTP/1.1" 404 \d+ "-" "a \\x22quoted\\x22 \\x5C \\xE9 \\x80\\x09tab"',
            r'"-" 400 \d+ "-" "-"')):
        rest = rest if "\\d" in rest else re.escape(rest)
        assert re.fullmatch(rf"127\.0\.0\.1 - - {stamp} {rest}", line), line
    assert os.stat(log).st_mode & 0o777 == 0o644 & ~os.umask(os.umask(0)) & 0o777


def test_json_is_valid_whatever_clients_send(gateway, log):
    gw = gateway(f"[gateway]\naccess_log = {log}\naccess_format = json\n" + STATIC)
    agents = [b"", b"\xff\xfe", b"\xc3", b"\xc3\xa9", b"\xed\xa0\x80", b'"},{"x":"', b"\\", b"a\tb",
              bytes(range(0x80, 0x100)), b"\xe2\x80\xa8", b"x" * 8000]
    for agent in agents:
        gw.raw(b"GET /n" + agent.replace(b"\t", b"")[:40].hex().encode() + b" HTTP/1.1\r\nHost: h\r\n"
               b"Connection: close\r\nReferer: " + agent + b"\r\nUser-Agent: " + agent + b"\r\n\r\n")
    gw.raw(b"\x16\x03\x01\x02\r\n\r\n")
    gw.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
    gw.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPUT /badlen HTTP/1.1\r\nHost: x\r\nContent-Length: z\r\n\r\n")
    wait_lines(log, len(agents) + 5)
    with open(log, "rb") as f:
        rows = [json.loads(line) for line in f.read().split(b"\n") if line]
    for agent, row in zip(agents, rows):
        shown = agent.decode("utf-8", "replace")
        assert row["status"] == 404 and row["outcome"] == "refused" and row["location"] == "/", row
        if len(agent) < 2000 and agent != bytes(range(0x80, 0x100)) and b"\xed" not in agent:
            assert (row["user_agent"] or "") == (row["referer"] or "") == shown, row
    assert rows[len(agents) - 1]["user_agent"] == "x" * 2048 + "..."
    strange, first, second, _, badlen = rows[len(agents):]
    assert (strange["status"], strange["method"], strange["uri"]) == (400, None, None)
    assert (first["status"], second["status"], second["uri"]) == (200, 400, "/second")
    assert second["location"] is None and second["request_id"]
    assert (badlen["status"], badlen["outcome"], badlen["uri"]) == (400, "refused", "/badlen")


def test_variables(gateway, log, worker_process, zmq_context):
    gw = gateway(f"""
        [gateway]
        access_log = {log}
        access_format = $request_id|$location|$bridge|$method|$path|$query|$status|$outcome|$bytes|$request_length|$request_time|$waiting_time|$worker_time|$host|$worker
        [location /echo]
        bridge = reqrep
        req = bind tcp://127.0.0.1:*
        timeout = 200ms
    """)
    r = gw.http("POST", "/echo", b"hello", {"X-Request-ID": "nobody-1"})
    assert r.status == 503
    worker_process(REP_WORKER, gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    gw.http("POST", "/echo/x?a=b&c", b"hello", {"X-Request-ID": "one-2", "Host": "h:1"})
    poll(lambda: any("one-2" in line for line in lines_of(log)))
    rows = {line.split("|")[0]: line.split("|") for line in lines_of(log)}
    refused, one = rows["nobody-1"], rows["one-2"]
    assert refused[1:10] == ["/echo", "reqrep", "POST", "/echo", "-", "503", "refused",
                             str(len(r.body)), "5"]
    assert refused[11:13] == ["-", "-"]
    assert one[1:10] == ["/echo", "reqrep", "POST", "/echo/x", "a=b&c", "200", "answered", "5", "5"]
    assert one[13:] == ["h:1", "0"]
    assert re.fullmatch(r"\d+\.\d{6}", one[10])
    if one[11] != "-":  # the bridge tells when a worker had it
        total, waiting, worker = (float(x) for x in one[10:13])
        assert worker > 0 and abs(total - waiting - worker) < 0.0001


@pytest.mark.parametrize("value, error", [
    ("common", '"common" is no format; write combined, json'),
    ("cobmined", '"cobmined" is no format; did you mean "combined"?'),
    ("$status $statsu", 'there is no variable $statsu; did you mean "status"?'),
    ("$status $zonk", "`zgate -L access_format` lists"),
    ("$status $", 'has a "$" without a name'),
])
def test_wrong_formats(tmp_path, value, error):
    path = tmp_path / "gateway.ini"
    path.write_text(complete(f"[gateway]\naccess_format = {value}\n" + STATIC))
    r = zgate("-t", "-p", ROOT, "-c", str(path))
    assert r.returncode == 1
    assert f"{path}:3: [gateway] access_format: " in r.stderr and error in r.stderr


def test_help_lists_variables():
    text = zgate("-L", "access_format").stdout
    for name in ("remote_addr", "request_id", "worker_time", "ws_close_code"):
        assert f"  ${name}\n" in text
    assert "combined" in zgate("-L", "gateway").stdout


# WebSockets, streams and clients that leave -------------------------------------------

WS = """
[location /ws]
bridge = pubsub
sub = bind tcp://127.0.0.1:*
"""


def test_a_websocket_is_one_line(gateway, log):
    gw = gateway(f"[gateway]\naccess_log = {log}\naccess_format = json\n" + WS)

    def last(count):
        return json.loads(wait_lines(log, count)[-1])
    with gw.ws("/ws?topic=a", subprotocols=["zgate.v1"], headers={"X-Request-ID": "ws-1"}) as ws:
        assert ws.recv_json()["op"] == "subscribed"
        ws.send_json({"op": "ping"})
        assert ws.recv_json()["op"] == "pong"
        assert lines_of(log) == []
    row = last(1)
    assert (row["status"], row["uri"], row["location"], row["request_id"], row["ws_protocol"]) == \
        (101, "/ws?topic=a", "/ws", "ws-1", "zgate.v1")
    assert (row["ws_received"], row["ws_sent"], row["ws_dropped"], row["ws_close_code"]) == (1, 2, 0, 1000)
    assert row["request_time"] > 0 and "websockets" in row["user_agent"]
    ws = gw.raw_ws("/ws")
    ws.frame(ws.TEXT, b"\xff")
    assert ws.close_code() == 1007
    ws.close()
    assert last(2)["ws_close_code"] == 1007
    gw.raw_ws("/ws").reset()
    assert last(3)["ws_close_code"] == 1006
    ws = gw.raw_ws("/ws")
    ws.frame(ws.CLOSE)
    ws.close_code()
    ws.close()
    assert last(4)["ws_close_code"] == 1005
    gw.raw(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    row = last(5)
    assert (row["status"], row["outcome"], row["uri"], row["ws_sent"]) == (400, "refused", "/ws", None)
    gw.raw_ws("/ws")
    gw.stop(signal.SIGQUIT)
    assert last(6)["ws_close_code"] == 1001


def test_a_stream_is_one_line(gateway, log):
    gw = gateway(f"[gateway]\naccess_log = {log}\naccess_format = json\n" + WS)
    c = gw.connect()
    c.send(b"GET /ws?topic=a HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nUser-Agent: me\r\n\r\n")
    assert b" 200 OK" in c.read_until(b"\r\n\r\n")
    assert lines_of(log) == []
    c.close()
    row = json.loads(wait_lines(log, 1)[0])
    assert (row["status"], row["uri"], row["location"], row["user_agent"], row["protocol"]) == \
        (200, "/ws?topic=a", "/ws", "me", "HTTP/1.1")
    assert row["ws_sent"] == 0 and row["outcome"] == "answered" and row["request_time"] > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_that_leave(gateway, log, zmq_context, workers):
    sock = zmq_context.socket(__import__("zmq").REP)
    gw = gateway(f"""
        [gateway]
        workers = {workers}
        access_log = {log}
        access_format = $path $status $outcome $bytes
        [location /echo]
        bridge = reqrep
        req = connect {bind(sock)}
    """)
    poll(lambda: gw.socket("/echo", "req")["peers"] >= 1)
    clients = []
    for i in range(8):
        c = gw.connect()
        c.send(b"POST /echo/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" % i)
        clients.append(c)
    partial = gw.connect()
    partial.send(b"POST /echo/body HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nhi")
    sock.poll(20000)
    gw.wait_counter("/echo", "requests", 1)
    for c in (*clients, partial):
        c.reset()
    wanted = sorted([f"/echo/{i} 499 cancelled 0" for i in range(8)] + ["/echo/body 499 cancelled 0"])
    poll(lambda: sorted(x for x in lines_of(log) if "/echo" in x) == wanted)


# targets ---------------------------------------------------------------------

def test_stdout_and_stderr(gateway):
    for word in ("stdout", "stderr"):
        gw = gateway(f"[gateway]\naccess_log = {word}\naccess_format = <$status $uri>\n" + STATIC)
        gw.http("GET", "/at-" + word)
        gw.wait_log(f"^<404 /at-{word}>$")


class Load:
    """Clients that ask on, on kept-alive connections, until they are told to stop."""

    def __init__(self, gw, clients=4):
        self.gw, self.asked, self.failed, self.stop = gw, 0, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def _run(self):
        asked = 0
        try:
            with self.gw.connect() as c:
                while not self.stop:
                    c.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert c.response().status == 404
                    asked += 1
        except Exception as e:  # told by end()
            self.failed.append(e)
        with self.lock:
            self.asked += asked

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join(20)
        assert not self.failed, self.failed
        return self.asked


def test_rotation_under_load(gateway, tmp_path, log):
    errors = str(tmp_path / "error.log")
    gw = gateway(f"[gateway]\nworkers = 2\naccess_log = {log}\naccess_format = $status $uri\n" + STATIC)
    load, old = Load(gw), []
    for i in range(5):
        poll(lambda: lines_of(log))
        old.append(f"{log}.{i}")
        os.rename(log, old[-1])
        since = len(gw.log)
        gw.signal(signal.SIGUSR1)
        gw.wait_log("logs are open again", since=since)
        poll(lambda: os.path.exists(log))
    asked = load.end()
    gw.stop()
    lines = [line for path in (*old, log) for line in lines_of(path)]
    assert set(lines) == {"404 /x"} and len(lines) == asked
    assert not os.path.exists(errors)


def test_error_log_reopens(gateway, tmp_path):
    path = tmp_path / "gateway.ini"
    log = tmp_path / "error.log"
    path.write_text(complete(f"[gateway]\nlisten = 127.0.0.1:0\nerror_log = {log}\n" +
                             STATIC))
    p = Process([BINARY, "-p", ROOT, "-c", str(path)])
    try:
        poll(lambda: "ready" in (log.read_text() if log.exists() else ""))
        os.rename(log, tmp_path / "old")
        p.signal(signal.SIGUSR1)
        poll(lambda: log.exists() and "logs are open again" in log.read_text())
        assert "ready" in (tmp_path / "old").read_text()
        # where no file can be made, the one before goes on
        os.rename(log, tmp_path / "kept")
        os.mkdir(log)
        p.signal(signal.SIGUSR1)
        poll(lambda: "the file opened before is written on" in (tmp_path / "kept").read_text())
        p.signal(signal.SIGTERM)
        assert p.wait() == 0
        assert "stopped" in (tmp_path / "kept").read_text().splitlines()[-1]
    finally:
        p.kill()


def test_log_that_takes_nothing_holds_up_nobody(gateway, log):
    os.mkfifo(log)
    gw = gateway(f"[gateway]\naccess_log = {log}\naccess_format = $status $user_agent\n" + STATIC)
    request = b"GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: " + b"a" * 2000 + b"\r\n\r\n"
    with gw.connect() as c:  # more than the pipe and the ring hold
        for _ in range(800):
            c.send(request)
            assert c.response().status == 404
        with open(log, "rb", buffering=0) as reader:
            got = b""
            while b"\n200 " not in got:  # what is written after the gap
                if select.select([reader], [], [], 0.05)[0]:
                    got += reader.read(65536)
                else:
                    gw.http("GET", "/")
                assert len(got) < 4 << 20
    lines = got.split(b"\n")
    assert all(x in (b"404 " + b"a" * 2000, b"200 -") for x in lines[:-1])
    # told when it begins, and when it is over
    missing = 800 - sum(x.startswith(b"404") for x in lines)
    poll(lambda: missing == sum(int(n) for n in re.findall(r"(\d+) lines of access_log were dropped",
                                                           "\n".join(gw.log))))


def test_a_full_disk_is_told(gateway, log):
    gw = gateway("[gateway]\naccess_log = /dev/full\naccess_format = $status $user_agent\n" + STATIC)
    request = b"GET /x HTTP/1.1\r\nHost: x\r\nUser-Agent: " + b"a" * 2000 + b"\r\n\r\n"
    with gw.connect() as c:
        assert c.send(request).response().status == 404
        gw.wait_log("error .*access_log cannot be written: No space left on device")
        for _ in range(600):  # more than the ring holds
            assert c.send(request).response().status == 404
    gw.wait_log(r"\d+ lines of access_log were dropped")
    assert sum("No space left" in line for line in gw.log) == 1, "once"
    gw.wait_status(lambda s: s["worker"]["access_lines_dropped"] > 0)
    rewrite(gw, ("/dev/full", log))
    gw.wait_log("reloaded")
    gw.http("GET", "/")
    poll(lambda: lines_of(log)[-1:] == ["200 -"])


def test_stuck_standard_error(tmp_path):
    """A full pipe at standard error: it serves and ends, and what it had to say
    comes when there is room."""
    path, port = tmp_path / "gateway.ini", free_port()
    path.write_text(complete(f"[gateway]\nlisten = 127.0.0.1:{port}\n" + STATIC))
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    full = 0
    while True:
        try:
            full += os.write(write_end, b"x" * 4095 + b"\n")
        except BlockingIOError:
            break
    os.set_blocking(write_end, True)
    p = subprocess.Popen([BINARY, "-p", ROOT, "-c", str(path)], stderr=write_end)
    os.close(write_end)
    try:
        def serves():
            try:
                return http_request(("127.0.0.1", port), "GET", "/").status == 200
            except OSError:
                return False
        poll(serves)
        text = b""
        while b"ready: listening" not in text:
            assert select.select([read_end], [], [], 20)[0], "the log never came"
            text += os.read(read_end, 65536)
        assert text.startswith(b"x" * 4095) and text.count(b"\n") == full // 4096 + 1
        p.terminate()
        assert p.wait(20) == 0
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        os.close(read_end)


@pytest.mark.skipif(SANITIZED, reason="the sanitizer ends it its own way")
def test_lines_survive_a_crash(gateway, log):
    gw = gateway(f"[gateway]\nworkers = 2\naccess_log = {log}\naccess_format = $status $uri\n" + STATIC)
    for _ in range(5):
        gw.http("GET", "/x")
    gw.signal(signal.SIGSEGV)
    assert gw.wait() == -signal.SIGSEGV
    gw.expected_exit = gw.code = -signal.SIGSEGV
    assert lines_of(log) == ["404 /x"] * 5


# repeats and reloads ---------------------------------------------------------

def test_repeats_are_held_back(gateway):
    gw = gateway("[gateway]\n" + STATIC)
    with open(gw.file, "a", encoding="utf-8") as f:
        f.write("\nzonk = 1\n")
    begun = time.monotonic()

    def told():
        gw.signal(signal.SIGHUP)
        return [x for x in gw.log if re.search(r" \d+ more lines like this in \d+ s are not shown: ", x)]
    poll(told, 30)
    shown = [x for x in gw.log if re.search(r"Z error \[main\] .*zonk: unknown directive", x)]
    spans = 1 + (time.monotonic() - begun) // 5
    assert 20 <= len(shown) <= 20 * spans


def rewrite(gw, *changes):
    with open(gw.file, encoding="utf-8") as f:
        text = f.read()
    for a, b in changes:
        assert a in text
        text = text.replace(a, b)
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(text)
    since = len(gw.log)
    gw.signal(signal.SIGHUP)
    return since


def test_reload_loses_no_line(gateway, tmp_path, log):
    gw = gateway(f"[gateway]\nworkers = 2\naccess_log = {log}\naccess_format = $status $uri\n" + STATIC)
    load = Load(gw)
    poll(lambda: lines_of(log))
    other = str(tmp_path / "other.log")
    gw.wait_log("reloaded", since=rewrite(gw, (log, other), ("$status $uri", "<$uri>")))
    poll(lambda: lines_of(other))
    before = len(lines_of(log))
    # a log that cannot be opened changes nothing
    since = rewrite(gw, (other, f"{tmp_path}/nowhere/x.log"), ("<$uri>", "no"))
    gw.wait_log("not reloaded", since=since)
    since = rewrite(gw, ("access_format = no\n", "access_format = >$uri<\n"))
    gw.wait_log("access_log: cannot open .*nowhere/x.log: No such file", since=since)
    gw.wait_log("not reloaded, everything stays as it was", since=since)
    count = len(lines_of(other))
    poll(lambda: len(lines_of(other)) > count)
    # and none is none
    gw.wait_log("reloaded", since=rewrite(gw, (f"access_log = {tmp_path}/nowhere/x.log", f"access_log = {other}")))
    gw.http("GET", "/x")
    asked = load.end() + 1
    gw.stop()
    old, new = lines_of(log), lines_of(other)
    assert len(old) >= before and len(old) + len(new) == asked
    # a line is written by the configuration of its worker at that moment
    assert set(old) <= {"404 /x", "</x>"} and set(new) <= {"</x>", ">/x<"} and ">/x<" in new


def test_access_log_comes_and_goes(gateway, log):
    gw = gateway("[gateway]\naccess_format = $status $uri\n" + STATIC)
    gw.http("GET", "/before")
    line = f"access_log = {log}\n"
    gw.wait_log("reloaded", since=rewrite(gw, ("[gateway]\n", "[gateway]\n" + line)))
    gw.http("GET", "/during")
    gw.wait_log("reloaded", since=rewrite(gw, (line, "")))
    gw.http("GET", "/after")
    poll(lambda: lines_of(log) == ["404 /during"])
    poll(lambda: log not in gw.open_fds().values())


def test_log_level_reloads(gateway):
    gw = gateway("[gateway]\nlog_level = info\naccess_log = stdout\naccess_format = <$uri>\n" + STATIC)
    rewrite(gw, ("log_level = info", "log_level = error"), ("<$uri>", ">$uri<"))

    def reloaded():
        gw.http("GET", "/x")
        return any(">/x<" in line for line in gw.log)
    poll(reloaded)
    since = rewrite(gw, ("[location /]", "zonk = 1\n[location /]"))
    gw.wait_log(" error .*zonk", since=since)
    assert not any(" info " in line for line in gw.log[since:])


def test_a_log_that_cannot_be_opened_fails_the_start(gateway):
    with pytest.raises(GatewayFailed) as e:
        gateway("[gateway]\naccess_log = /nowhere/access.log\n" + STATIC)
    assert e.value.code == 1 and "access_log: cannot open /nowhere/access.log: No such file" in str(e.value)
