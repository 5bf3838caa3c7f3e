"""The command line, configuration errors, starting and stopping."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest
import zmq

from harness import (BINARY, FACTOR, ROOT, Conn, GatewayFailed, Process, bind, complete, free_port, handshake,
                     poll, zgate, zrecv)


@pytest.fixture
def config(tmp_path):
    """Writes a file, returns its name."""
    def write(text, name="gateway.ini"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)
    return write


def test_version_and_help():
    for flag in "-v", "-V":
        r = zgate(flag)
        assert r.returncode == 0, r
        assert re.search(r"\bzgate\b\D*\d+\.\d+\.\d+", r.stdout + r.stderr)
    for library in "libzmq", "libwebsockets", "libmicrohttpd", "libuv":
        assert library in (r.stdout + r.stderr).lower(), "-V names the libraries"
    r = zgate("-h")
    assert r.returncode == 0 and r.stdout, "help that was asked for goes to standard output"
    for flag in "-p", "-c", "-g", "-t", "-T", "-L", "-v", "-V", "-h":
        assert flag in r.stdout


@pytest.mark.parametrize("args, named", [
    (("-x",), "-x"), (("-c",), "-c"), (("-p",), "-p"), (("-g", "nonsense"), "nonsense"), (("stray",), "stray"),
])
def test_bad_usage_is_named(args, named):
    r = zgate(*args)
    assert r.returncode not in (0, 99) and r.returncode > 0
    assert named in r.stderr


def test_missing_file_is_named(tmp_path):
    path = str(tmp_path / "nowhere.ini")
    for mode in ("-t",), ("-T",), ():
        r = zgate("-c", path, *mode)
        assert r.returncode == 1
        assert path in r.stderr and "No such file" in r.stderr


def test_default_file_is_conf_gateway_ini_under_the_prefix(config, tmp_path):
    config("[gateway]\nlisten = 127.0.0.1:0\nbogus = 1\n", "conf/gateway.ini")
    r = zgate("-p", str(tmp_path), "-t")
    assert r.returncode == 1 and "conf/gateway.ini:3: [gateway] bogus: " in r.stderr
    # a relative -c is relative to the prefix, as every path is
    config("[gateway]\nlisten = 127.0.0.1:0\nother = 1\n", "conf/second.ini")
    r = zgate("-p", str(tmp_path), "-c", "conf/second.ini", "-t")
    assert r.returncode == 1 and "conf/second.ini:3: [gateway] other: " in r.stderr


GOOD = """\
[gateway]
listen = 127.0.0.1:0, [::1]:0       ; a comment
max_connections = 77
header_timeout = 1500ms
max_body = 2m

[location /echo]
bridge = reqrep
req = connect tcp://127.0.0.1:1 tcp://127.0.0.1:2
req = bind tcp://127.0.0.1:*
timeout = 90s

[location = /one]
bridge = pubsub
sub = connect ipc:///tmp/zgate-nowhere
client_queue = 64k
overflow = disconnect

[location /status]
bridge = status
"""


def test_t_says_ok(config):
    path = config(GOOD)
    r = zgate("-t", "-c", path)
    assert r.returncode == 0, r
    assert path in r.stdout + r.stderr, "says what it tested"


def test_T_prints_what_is_in_effect(config):
    path = config(GOOD)
    first = zgate("-T", "-c", path, "-g", "gateway.max_connections=78", "-g", "location /echo.timeout=45s")
    assert first.returncode == 0, first
    text = first.stdout
    for line in ("max_connections = 78", "header_timeout = 1500ms", "max_body = 2m", "timeout = 45s",
                 "idle_timeout = 75s", "overflow = disconnect", "[location = /one]", "[location /echo]"):
        assert re.search(r"(?m)^\s*" + re.escape(line).replace(r"\ =\ ", r"\s*=\s*") + r"\s*(;.*)?$", text), line
    assert "tcp://127.0.0.1:1" in text and "tcp://127.0.0.1:2" in text and "bind tcp://127.0.0.1:*" in text
    # it is a configuration: printed again it is the same
    again = zgate("-T", "-c", config(text, "again.ini"))
    assert again.returncode == 0 and again.stdout == text


def test_L_lists_directives_with_help():
    every = zgate("-L")
    assert every.returncode == 0
    for name in ("listen", "workers", "include", "pid", "error_log", "log_level", "max_connections",
                 "header_timeout", "body_timeout", "idle_timeout", "max_header", "max_body",
                 "shutdown_timeout", "methods", "allow", "deny", "origins", "bridge", "req", "timeout",
                 "queue", "envelope", "content_type", "sub", "pub", "topics", "framing", "client_queue",
                 "overflow", "ping", "push", "pull", "results", "pair", "root", "index"):
        assert re.search(rf"\b{name}\b", every.stdout), name
    one = zgate("-L", "reqrep")
    assert one.returncode == 0 and "envelope" in one.stdout and "max_connections" not in one.stdout
    assert "30s" in one.stdout, "with defaults"
    bad = zgate("-L", "reqreq")
    assert bad.returncode == 1 and "reqreq" in bad.stderr


LONG = "x" * 5000


def numbered(text):
    """Takes the `; key` marks off the lines: {key: line number}, config."""
    marks, lines = {}, []
    for n, line in enumerate(text.splitlines(), 1):
        if "@" in line:
            line, _, mark = line.partition("@")
            marks.update((m, n) for m in mark.split())
        lines.append(line.rstrip())
    return marks, "\n".join(lines) + "\n"


def test_all_errors_in_one_run(config):
    marks, text = numbered("""\
[gateway]
listen = 127.0.0.1:0
worker = 1                        @unknown
max_connections = 10
max_connections = 20              @repeated
header_timeout = 5x               @unit
idle_timeout = 9999h              @range
max_header = 1                    @low
max_body = lots                   @size
log_level = loud                  @choice
listen = nonsense                 @listen

[location /a]                     @first
bridge = reqrep
req = connect tcp://127.0.0.1:5555

[location /a/]                    @twice
bridge = reqrep
req = connect tcp://127.0.0.1:5555

[location /b]
bridge = reqreq                   @bridge

[locatoin /c]                     @section
bridge = static

[location /d]
bridge = reqrep                   @nosocket

[location /e]
bridge = pubsub
sub = connect tcp:/127.0.0.1:5557 @endpoint
sub = attach tcp://127.0.0.1:5557 @verb
overflow = spill                  @overflow
allow = 300.1.2.3/8               @net
methods = GET FETCH               @method
no value here                     @novalue

[location /f]                     @nobridge

[location g]                      @noslash
bridge = status

[location /h]
bridge = pair
pair = connect tcp://127.0.0.1:1
topics = A                        @foreign
LONGLINE                          @long
[location /i]
bridge = pubsub                   @nosub
pub = bind tcp://127.0.0.1:*
""")
    path = config(text.replace("LONGLINE", "ping = " + LONG))
    r = zgate("-t", "-c", path)
    assert r.returncode == 1
    errors = [line for line in r.stderr.splitlines() if line.startswith(path + ":")]

    def error(mark, where, *words):
        at = f"{path}:{marks[mark]}: {where}"
        for line in errors:
            if line.startswith(at):
                found.add(line)
                for word in words:
                    assert word in line, f"{line!r} should say {word!r}"
                return
        missing.append(f"{at} ({mark})")
    found, missing = set(), []
    error("unknown", "[gateway] worker: ", 'did you mean "workers"?')
    error("repeated", "[gateway] max_connections: ", "4")  # the line of the first
    error("unit", "[gateway] header_timeout: ", '"5x"')
    error("range", "[gateway] idle_timeout: ")
    error("low", "[gateway] max_header: ")
    error("size", "[gateway] max_body: ", '"lots"')
    error("choice", "[gateway] log_level: ", '"loud"', "warn")
    error("listen", "[gateway] listen: ", '"nonsense"')
    error("twice", "[location /a]", str(marks["first"]))
    error("bridge", "[location /b] bridge: ", '"reqreq"', 'did you mean "reqrep"?')
    error("section", "[locatoin /c]", "did you mean")
    error("nosocket", "[location /d]", "req")
    error("endpoint", "[location /e] sub: ", "tcp:/127.0.0.1:5557")
    error("verb", "[location /e] sub: ", "attach", "connect", "bind")
    error("overflow", "[location /e] overflow: ", '"spill"', "drop_oldest", "disconnect")
    error("net", "[location /e] allow: ", "300.1.2.3/8")
    error("method", "[location /e] methods: ", "FETCH")
    error("novalue", "", "no value here", "=")
    error("nobridge", "[location /f]", "bridge")
    error("noslash", "[location g]")
    error("foreign", "[location /h] topics: ")
    error("long", "", "bytes")
    error("nosub", "[location /i]", "sub")
    assert not missing, f"no such errors: {missing}\nin:\n{r.stderr}"
    assert len(errors) == len(found), "further errors: " + "\n".join(sorted(set(errors) - found))
    # without -t it is the same, and nothing is opened
    again = zgate("-c", path)
    assert again.returncode == 1 and [l for l in again.stderr.splitlines() if l.startswith(path)] == errors


@pytest.mark.parametrize("override, words", [
    ("gateway.worker=1", ["[gateway] worker: ", 'did you mean "workers"?']),
    ("gateway.idle_timeout=soon", ["[gateway] idle_timeout: ", '"soon"']),
    ("location /nowhere.timeout=1s", ["/nowhere"]),
])
def test_bad_override(config, override, words):
    r = zgate("-t", "-c", config(GOOD), "-g", override)
    assert r.returncode == 1
    for word in words + ["-g"]:
        assert word in r.stderr


def test_include(config, tmp_path):
    path = config("[gateway]\nlisten = 127.0.0.1:0\ninclude = conf.d/*.ini\n[location /a]\nbridge = status\n")
    # a pattern that matches nothing is no error: the folder may fill later
    assert zgate("-t", "-p", str(tmp_path), "-c", path).returncode == 0
    config("[location /b]\nbridge = status\n", "conf.d/b.ini")
    config("[location /b]\nbridge = status\n\n[location /c]\nbridge = stattus\n", "conf.d/c.ini")
    r = zgate("-t", "-p", str(tmp_path), "-c", path)
    assert r.returncode == 1
    assert "conf.d/c.ini:1: [location /b]" in r.stderr and "b.ini:1" in r.stderr, "names both places"
    assert "conf.d/c.ini:5: [location /c] bridge: " in r.stderr
    # a file without a pattern has to be there
    path = config("[gateway]\nlisten = 127.0.0.1:0\ninclude = gone.ini\n")
    r = zgate("-t", "-p", str(tmp_path), "-c", path)
    assert r.returncode == 1 and "gateway.ini:3: [gateway] include: " in r.stderr and "gone.ini" in r.stderr


@pytest.mark.parametrize("bridge, directive, kind", [
    ("reqrep", "req", zmq.REP), ("pubsub", "pub", zmq.PUB), ("pubsub", "sub", zmq.SUB),
    ("pipeline", "push", zmq.PUSH), ("pipeline", "pull", zmq.PULL), ("pair", "pair", zmq.PAIR),
])
def test_endpoint_in_use_is_named(gateway, zmq_context, bridge, directive, kind):
    other = zmq_context.socket(kind)
    taken = bind(other)
    needed = {"pub": "sub = connect tcp://127.0.0.1:9\n", "pull": "push = connect tcp://127.0.0.1:9\n"}
    with pytest.raises(GatewayFailed) as e:
        gateway(f"[location /x]\nbridge = {bridge}\n{needed.get(directive, '')}{directive} = bind {taken}\n")
    assert e.value.code == 1
    line = next(l for l in e.value.log if taken in l)
    assert "in use" in line.lower() and "/x" in line and directive in line and " error " in line


def test_port_in_use_is_named(gateway):
    first = gateway()
    with pytest.raises(GatewayFailed) as e:
        gateway(f"[gateway]\nlisten = 127.0.0.1:{first.port}\n")
    assert e.value.code == 1
    line = next(l for l in e.value.log if f"127.0.0.1:{first.port}" in l)
    assert "in use" in line.lower()
    assert first.http("GET", "/status").status == 200


def test_every_address_is_announced_and_served(gateway, tmp_path):
    path = tmp_path / "z.sock"
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(10 * FACTOR)
    gw = gateway(f"[gateway]\nlisten = 127.0.0.1:0 [::1]:0\nlisten = unix:{path}\npid = {tmp_path}/z.pid\n",
                 env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert len(gw.ports) == 2 and all(gw.ports) and f"unix:{path}" in gw.addresses
    assert b"READY=1" in notify.recv(4096)
    assert (tmp_path / "z.pid").read_text() == f"{gw.pid}\n"
    for address in ("127.0.0.1", gw.ports[0]), ("::1", gw.ports[1]), str(path):
        with Conn(address) as c:
            c.send("GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert c.response().status == 200
    assert gw.stop() == 0
    assert not path.exists() and not (tmp_path / "z.pid").exists(), "leaves nothing behind"
    # a socket file left behind by a crash does not keep it from starting
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
    gateway(f"[gateway]\nlisten = 127.0.0.1:0\nlisten = unix:{path}\n")
    notify.close()


def test_error_log_file_and_levels(gateway, tmp_path):
    gw = gateway("[gateway]\nlog_level = debug\n")
    gw.http("GET", "/nowhere")
    gw.stop()
    for line in gw.log:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info |warn |error) ", line), line
    # into a file: standard error then stays silent once the log is open
    log = tmp_path / "logs"
    log.mkdir()
    path = tmp_path / "gateway.ini"
    path.write_text(complete("[gateway]\nerror_log = logs/error.log\n"))
    p = Process([BINARY, "-p", str(tmp_path), "-c", str(path)])
    try:
        line = poll(lambda: (log / "error.log").exists() and
                    re.search(r"ready: listening on 127\.0\.0\.1:\d+", (log / "error.log").read_text()),
                    10 * FACTOR)
        assert line
        p.signal(signal.SIGTERM)
        assert p.wait() == 0 and p.lines == []
    finally:
        p.kill()
    path.write_text(complete("[gateway]\nerror_log = nowhere/error.log\n"))
    r = zgate("-p", str(tmp_path), "-c", str(path))
    assert r.returncode == 1 and f"{tmp_path}/nowhere/error.log" in r.stderr


@pytest.mark.parametrize("master", ["no", "yes"])
def test_why_it_does_not_start_is_said_where_one_looks(tmp_path, config, master):
    """On standard error, also when the log is a file."""
    log = tmp_path / "error.log"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = f"127.0.0.1:{s.getsockname()[1]}"
        for text in (f"listen = {taken}\n", f"pid = {tmp_path}\n",
                     f"\n[location /r]\nbridge = reqrep\nreq = bind tcp://{taken}\n"):
            r = zgate("-c", config(complete(f"[gateway]\nmaster = {master}\nerror_log = {log}\n{text}")))
            assert r.returncode == 1 and len(r.stderr.splitlines()) == 1, r.stderr
            assert r.stderr.startswith("zgate: ") and (taken in r.stderr or "pid: " in r.stderr)
            assert r.stderr[len("zgate: "):] in log.read_text()


def test_standard_descriptors_that_are_closed(config, tmp_path):
    """No socket gets their numbers, and with it what is written to them; that
    nobody can read it is said."""
    log, path = tmp_path / "error.log", tmp_path / "z.sock"
    file = config(complete(f"[gateway]\nlisten = unix:{path}\nerror_log = {log}\naccess_log = stdout\n"))
    with subprocess.Popen(["/bin/sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', BINARY, "-c", file]) as p:
        try:
            poll(lambda: log.exists() and "ready: listening" in log.read_text(), 10 * FACTOR)
            for fd in range(3):
                assert os.readlink(f"/proc/{p.pid}/fd/{fd}") == "/dev/null"
            with Conn(str(path)) as c:
                assert c.send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n").response().status == 200
            poll(lambda: "access_log cannot be written: Bad file descriptor" in log.read_text())
        finally:
            p.terminate()
        assert p.wait(20) == 0


def test_a_fifo_nobody_writes_is_an_empty_file(config, tmp_path):
    os.mkfifo(tmp_path / "x.fifo")
    r = zgate("-t", "-c", config(complete(f"[gateway]\ninclude = {tmp_path}/*.fifo\n")), timeout=10 * FACTOR)
    assert (r.returncode, r.stderr) == (0, "")


BUSY = """
[gateway]
idle_timeout = 1h
header_timeout = 10m
shutdown_timeout = 30s

[location /echo]
bridge = reqrep
req    = bind tcp://127.0.0.1:*

[location /feed]
bridge = pubsub
sub    = bind tcp://127.0.0.1:*
"""


# Takes a request and never answers it.
SILENT = """
s = ctx.socket(zmq.REP)
s.connect(args[0])
s.recv()
print("got")
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_within_a_second(gateway, worker_process, number):
    gw = gateway(BUSY)
    # a worker that never answers, and clients in every state
    silent = worker_process(SILENT, gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    keepalive = gw.connect().send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert keepalive.response().status == 200
    gw.connect()
    gw.connect().send("GET /stat")
    gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    ws = gw.ws("/feed")
    assert silent.wait_line("got")
    began = time.monotonic()
    assert gw.stop(number, timeout=5 * FACTOR) == 0
    assert time.monotonic() - began < 1.0 * FACTOR
    assert ws.wait_closed() in (1001, 1006)


def listens(gw):
    try:
        gw.connect().close()
        return True
    except ConnectionRefusedError:
        return False


def test_quit_drains(gateway, worker_process, zmq_context):
    gw = gateway(BUSY)
    worker = worker_process("""
        s = ctx.socket(zmq.REP)
        s.connect(args[0])
        go = ctx.socket(zmq.PULL)
        print("at", go.bind_to_random_port("tcp://127.0.0.1"))
        body = s.recv()
        print("got")
        go.recv()
        s.send(b"done " + body)
        time.sleep(600)
    """, gw.endpoint("/echo", "req"))
    port = worker.wait_line(r"at (\d+)").group(1)
    gw.wait_peers("/echo", "req", 1)
    busy = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    kept = [gw.connect().send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
    assert [c.response().status for c in kept] == [200] * 3
    ws = gw.ws("/feed")
    assert worker.wait_line("got")
    gw.signal(signal.SIGQUIT)
    assert ws.wait_closed() == 1001
    # a kept connection may ask once more, and learns that it was the last time
    for path, status in (("ready", 503), ("live", 200)):
        r = kept.pop().send(f"GET /status/{path} HTTP/1.1\r\nHost: x\r\n\r\n").response()
        assert (r.status, r.headers["connection"]) == (status, "close"), path

    poll(lambda: not listens(gw))
    assert gw.running, "what is in flight is finished first"
    release = zmq_context.socket(zmq.PUSH)
    release.connect(f"tcp://127.0.0.1:{port}")
    release.send(b"go")
    r = busy.response()
    assert (r.status, r.body) == (200, b"done abc")
    assert gw.wait(5 * FACTOR) == 0
    assert kept.pop().closed()
    gw.code = 0


def test_quit_with_nothing_to_drain_and_second_signal(gateway, worker_process):
    idle = gateway(BUSY)
    began = time.monotonic()
    assert idle.stop(signal.SIGQUIT) == 0
    assert time.monotonic() - began < 1.0 * FACTOR
    # draining waits for a worker that never answers; TERM ends that
    gw = gateway(BUSY)
    silent = worker_process(SILENT, gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    busy = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    idle = gw.connect().send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle.response().status == 200 and silent.wait_line("got")
    gw.signal(signal.SIGQUIT)
    poll(lambda: not listens(gw))
    began = time.monotonic()
    assert gw.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 1.0 * FACTOR
    busy.close()


def test_shutdown_timeout_bounds_draining(gateway, worker_process):
    gw = gateway(BUSY.replace("30s", "1s"))
    silent = worker_process(SILENT, gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert silent.wait_line("got")
    began = time.monotonic()
    assert gw.stop(signal.SIGQUIT, timeout=10 * FACTOR) == 0
    assert time.monotonic() - began < 3.0 * FACTOR


def test_a_pid_file_that_cannot_be_written(gateway, tmp_path):
    with pytest.raises(GatewayFailed) as e:
        gateway(f"[gateway]\npid = {tmp_path}/nowhere/z.pid\n")
    assert e.value.code == 1
    assert any(f"{tmp_path}/nowhere/z.pid" in line and "No such file" in line for line in e.value.log)


def test_term_while_starting(tmp_path):
    """A signal that comes before it is ready is not forgotten."""
    (tmp_path / "gateway.ini").write_text(complete(BUSY))

    def caught(pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            return int(re.search(r"SigCgt:\s+(\w+)", f.read()).group(1), 16) >> (signal.SIGTERM - 1) & 1
    for _ in range(5):
        p = Process([BINARY, "-p", str(tmp_path), "-c", str(tmp_path / "gateway.ini")])
        try:
            poll(lambda: caught(p.pid), interval=0.0005)
            p.signal(signal.SIGTERM)
            assert p.wait(5 * FACTOR) == 0, p.lines
        finally:
            p.kill()


def test_port_is_free_at_once_after_a_stop(gateway):
    """Restarting on the same port works although connections linger in TIME_WAIT."""
    port = free_port()
    for _ in range(2):
        gw = gateway(f"[gateway]\nlisten = 127.0.0.1:{port}\n")
        c = gw.connect().send("GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().status == 200
        assert gw.stop() == 0


def test_no_descriptor_is_leaked(gateway, zmq_context):
    gw = gateway(BUSY)
    rep = zmq_context.socket(zmq.REP)
    rep.connect(gw.endpoint("/echo", "req"))
    gw.wait_peers("/echo", "req", 1)
    before = len(gw._settled_fds())
    for n in range(20):
        gw.connect().send("GET /sta").reset()
        gw.connect().close()
        half = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        assert gw.http("GET", "/nowhere").status == 404
        assert b" 400 " in gw.raw("BAD\r\n\r\n")
        ws = gw.raw_ws("/feed")
        gw.connect().send(handshake("/nowhere", gw.address)).reset()
        c = gw.connect().send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        rep.send(b"".join(zrecv(rep)))
        assert c.response().body == b"x"
        half.reset() if n % 2 else half.close()
        ws.reset() if n % 2 else ws.close()
        c.close()
    gw.clients = []
    poll(lambda: len(gw._settled_fds()) <= before, 5 * FACTOR)
    gw.wait_status(lambda s: gw.location("/feed", s)["counters"]["ws_open"] == 0)


def test_started_from_the_example_file():
    """conf/gateway.ini as it is in the tree."""
    r = zgate("-T", "-p", ".", cwd=ROOT)  # -t would want its ports
    assert r.returncode == 0, r
