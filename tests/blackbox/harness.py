"""Black-box harness: a real zgate process, real ZeroMQ peers, real clients.

    from harness import zrecv, bind

    def test_echo(gateway, worker_process, zmq_context):
        gw = gateway('''
            [location /echo]
            bridge = reqrep
            req    = bind tcp://127.0.0.1:*
        ''')
        worker_process(REP_WORKER, gw.endpoint("/echo", "req"))
        gw.wait_peers("/echo", "req", 1)
        r = gw.http("POST", "/echo", b"Hello")
        assert (r.status, r.body) == (200, b"Hello")

gateway(config, *args, env={}, prefix=DIR, nofile=N) starts zgate and returns when it
is ready. The text is dedented; `listen = 127.0.0.1:0` and a /status location are
put in where the config has none. When the test ends, each gateway must exit 0 on
TERM, and the test FAILS when its log holds an alert or a sanitizer's report, or
when it leaked descriptors. See class Gateway for what it offers, clients.py for
the clients (Conn, Ws, RawWs), and below for ZeroMQ: zmq_context (fixture; linger
0, closed for you), bind(socket) -> endpoint, free_endpoint(), zrecv(socket),
worker_process(code, *args) (fixture): a Python script as a process of its own with
`zmq`, `sys`, `ctx` and `args` at hand, REP_WORKER among them.

No sleeps: wait_log, wait_status, wait_peers, wait_line, poll, recv with timeout.
Tests of the command line use zgate(*args) -> CompletedProcess.
"""
import os
import re
import resource
import signal
import socket
import subprocess
import textwrap
import threading
import time

import pytest
import zmq

from clients import PATIENCE, Conn, RawWs, Response, Ws, encode_frame, handshake, http_request, poll

__all__ = ["BINARY", "FACTOR", "PATIENCE", "REP_WORKER", "ROOT", "SANITIZED", "Conn", "Gateway",
           "GatewayFailed", "Process", "RawWs", "Response", "Ws", "bind", "complete", "encode_frame",
           "free_endpoint", "free_port", "handshake", "http_request", "poll", "zgate", "zrecv"]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("ZGATE") or os.path.join(ROOT, "build/plain/zgate"))


def _sanitized():
    try:
        with open(BINARY, "rb") as f:
            return b"__asan_init" in f.read()
    except OSError:
        return False


SANITIZED = _sanitized()
# Everything takes longer under AddressSanitizer; multiply deadlines with this.
FACTOR = 3 if SANITIZED else 1

REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "LeakSanitizer:", "runtime error:",
           "UndefinedBehaviorSanitizer", "WARNING: ThreadSanitizer")
# Descriptors that may be open at the end and were not at the ready line: one
# that libzmq has between two attempts to connect, one of libc's resolver.
FD_SLACK = 2


class GatewayFailed(Exception):
    """zgate ended before it was ready; .code and .log say how."""

    def __init__(self, code, log):
        super().__init__(f"zgate ended with {code} before it was ready:\n" + "\n".join(log))
        self.code, self.log = code, log


class Process:
    """A process whose output lines are collected by a thread."""

    def __init__(self, argv, env=None, cwd=None, nofile=None):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
        self.lines, self._more, self._ended = [], threading.Condition(), False
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=env, cwd=cwd, preexec_fn=limit if nofile else None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process.poll() is None

    def wait_line(self, regex, timeout=PATIENCE, since=0):
        """The match of the first line, from number since on, that the regex is
        found in. None if the process ended without one."""
        pattern, end = re.compile(regex), time.monotonic() + timeout
        with self._more:
            while True:
                while since < len(self.lines):
                    found = pattern.search(self.lines[since])
                    since += 1
                    if found:
                        return found
                if self._ended:
                    return None
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line with {regex!r} in {timeout} s:\n" +
                                         "\n".join(self.lines[-40:]))
                self._more.wait(left)

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=PATIENCE):
        """The exit code; all output has been read."""
        code = self.process.wait(timeout)
        self._thread.join(timeout)
        return code

    def kill(self):
        if self.running:
            self.process.kill()
        return self.wait()


class Gateway(Process):
    """zgate at work. .port, .ports, .url(path), .ws_url(path), .pid, .log (all lines)"""

    def __init__(self, config, *args, directory, env=None, prefix=ROOT, nofile=None):
        self.config = complete(textwrap.dedent(config))
        self.file = os.path.join(directory, "gateway.ini")
        self.directory = directory
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(self.config)
        full = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        full.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99")
        full.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        full.update(env or {})
        self.has_master = re.search(r"(?m)^\s*master\s*=\s*yes\b", self.config) is not None
        self.expected_exit, self.code, self.clients = 0, None, []
        super().__init__([BINARY, "-p", str(prefix), "-c", self.file, *args], full, directory, nofile)
        self.addresses = self._wait_ready()
        self.ports = [int(a.rsplit(":", 1)[1]) for a in self.addresses if not a.startswith("unix:")]
        self.port = self.ports[0] if self.ports else None
        self.fds_at_ready = self._settled_fds()

    def _wait_ready(self):
        wanted = sum(len(m.split(";")[0].replace(",", " ").split())
                     for m in re.findall(r"(?m)^\s*listen\s*=(.*)$", self.config))
        addresses, since = [], 0
        while len(addresses) < wanted:
            try:
                found = self.wait_line(r"ready: listening on (\S+)", 20 * FACTOR, since)
            except AssertionError:
                self.kill()
                raise
            if not found:
                raise GatewayFailed(self.wait(), self.log)
            addresses.append(found.group(1))
            since = max(i for i, l in enumerate(self.lines) if found.group(0) in l) + 1
        return addresses

    # what it says ------------------------------------------------------------

    @property
    def log(self):
        return list(self.lines)

    def wait_log(self, regex, timeout=PATIENCE, since=0):
        """The match of the first log line that holds regex. since: a number of
        lines to pass over, e.g. len(gw.log) from before."""
        found = self.wait_line(regex, timeout, since)
        assert found, f"zgate ended without logging {regex!r}:\n" + "\n".join(self.log[-40:])
        return found

    def status(self):
        """The JSON of /status."""
        r = self.http("GET", "/status")
        assert r.status == 200, r
        return r.json()

    def wait_status(self, predicate, timeout=PATIENCE):
        """The first /status for which predicate(status) is true."""
        last = []

        def check():
            last[:] = [self.status()]
            return predicate(last[0])
        try:
            poll(check, timeout)
        except AssertionError:
            raise AssertionError(f"/status did not come to it in {timeout} s: {last[0]}") from None
        return last[0]

    def location(self, name, status=None):
        """A location's part of /status: {"path","bridge","counters","sockets"};
        its name as in the config, "/x" or "= /x"; of the two "/x" is the former."""
        path = name.lstrip("= ")
        found = [at for at in (status or self.status())["locations"] if at["path"] == path]
        found.sort(key=lambda at: bool(at.get("exact")) != name.startswith("="))
        if found and (len(found) > 1 or found[0].get("exact") or not name.startswith("=")):
            return found[0]
        raise AssertionError(f"no location {name} in /status")

    def counters(self, name):
        return self.location(name)["counters"]

    def socket(self, name, directive, status=None):
        """A ZeroMQ socket's part of /status."""
        for s in self.location(name, status)["sockets"]:
            if s["directive"] == directive:
                return s
        raise AssertionError(f"no socket {directive} of {name} in /status")

    def endpoint(self, name, directive):
        """Where the location's socket really is, e.g. tcp://127.0.0.1:41235."""
        return re.search(r"\w+://[^\s,]+", str(self.socket(name, directive)["endpoints"])).group(0).strip("'\"]")

    def wait_peers(self, name, directive, count, timeout=PATIENCE):
        """Waits until exactly count peers are connected to that socket."""
        self.wait_status(lambda s: self.socket(name, directive, s)["peers"] == count, timeout)

    def wait_counter(self, name, counter, value, timeout=PATIENCE):
        """Waits until that counter of the location is at least value."""
        self.wait_status(lambda s: self.location(name, s)["counters"][counter] >= value, timeout)

    # clients -----------------------------------------------------------------

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def ws_url(self, path="/"):
        return f"ws://127.0.0.1:{self.port}{path}"

    def http(self, method, path, body=None, headers=None, timeout=PATIENCE):
        """One request on its own connection -> Response."""
        return http_request(self.address, method, path, body, headers, timeout)

    def _keep(self, client):
        self.clients.append(client)
        return client

    def connect(self, **options):
        """A raw connection (Conn); closed at the end of the test."""
        return self._keep(Conn(self.address, **options))

    def raw(self, data, timeout=PATIENCE):
        """Sends bytes; all bytes that come until the gateway closes, as it
        must. For requests that keep the connection open, use connect()."""
        with Conn(self.address) as c:
            return c.send(data).read_to_end(timeout)

    def ws(self, path, **options):
        """An open WebSocket (Ws); closed at the end of the test."""
        return self._keep(Ws(self.ws_url(path), **options))

    def raw_ws(self, path, headers=None, **options):
        """A WebSocket that can misbehave (RawWs)."""
        return self._keep(RawWs(self.address, path, headers, **options))

    # descriptors -------------------------------------------------------------

    @property
    def traffic_pid(self):
        """The process that serves: with `master = yes` the child of .pid."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
            children = f.read().split() if self.has_master else []
        return int(children[0]) if children else self.pid

    def open_fds(self):
        """{descriptor: what it is} from /proc"""
        fds = {}
        pid = self.traffic_pid
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                fds[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                pass
        return fds

    def _settled_fds(self):
        """The descriptors without TCP connections that have a living other
        end: those are clients' and peers' business."""
        fds = self.open_fds()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{self.pid}/net/{table}", encoding="ascii") as f:
                for row in f.readlines()[1:]:
                    _, local, remote, state, *rest = row.split()
                    ports = [int(a.rsplit(":", 1)[1], 16) for a in (local, remote)]
                    for fd in [fd for fd, what in fds.items() if what == f"socket:[{rest[5]}]"]:
                        if state in ("01", "02", "03"):  # ESTABLISHED, SYN_SENT, SYN_RECV
                            del fds[fd]
                        elif state != "0A":  # LISTEN
                            fds[fd] = f"TCP at port {ports[0]} from {ports[1]}, state {state}"
        return fds

    def check_fds(self):
        allowed = len(self.fds_at_ready) + FD_SLACK
        try:
            poll(lambda: len(self._settled_fds()) <= allowed, 5 * FACTOR, 0.05)
        except AssertionError:
            now = self._settled_fds()
            new = {k: v for k, v in now.items() if self.fds_at_ready.get(k) != v}
            raise AssertionError(f"{len(now)} descriptors are open, {len(self.fds_at_ready)} were "
                                 f"at the ready line; new ones: {new}") from None

    # end ---------------------------------------------------------------------

    def close_clients(self):
        for client in self.clients:
            try:
                client.close()
            except Exception:  # it may be in any state: a test may have broken it on purpose
                pass
        self.clients = []

    def stop(self, number=signal.SIGTERM, timeout=None):
        """Sends the signal; the exit code. Fails if zgate does not end."""
        if self.code is None:
            if self.running:
                self.signal(number)
            try:
                self.code = self.wait(timeout or 5 + 5 * (FACTOR > 1))
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)  # leaves a trace of where it hangs
                self.wait()
                raise AssertionError(f"zgate did not end on signal {number}:\n" +
                                     "\n".join(self.log[-40:])) from None
        return self.code

    def finish(self):
        """What every test ends with; the gateway fixture calls it."""
        problems = []
        self.close_clients()
        for step in (self.check_fds, self.stop) if self.running else (self.stop,):
            try:
                step()
            except AssertionError as e:
                problems.append(str(e))
            except OSError:  # /proc/PID has gone in the meantime; stop() tells
                pass
        self.kill()
        if self.code != self.expected_exit:
            problems.append(f"zgate ended with {self.code}, not {self.expected_exit}")
        if any(" alert " in line or any(r in line for r in REPORTS) for line in self.log):
            problems.append("the log holds an alert or a sanitizer's report")
        assert not problems, "; ".join(problems) + ":\n" + "\n".join(self.log[-150:])


def complete(text):
    """Adds a listen on port 0, and /status, to a config that has none."""
    if not re.search(r"(?m)^\s*listen\s*=", text):
        line = "listen = 127.0.0.1:0\n"
        if re.search(r"(?m)^\[gateway\]", text):
            text = re.sub(r"(?m)^\[gateway\].*\n?", lambda m: m.group(0).rstrip("\n") + "\n" + line,
                          text, count=1)
        else:
            text = "[gateway]\n" + line + "\n" + text
    if not re.search(r"(?m)^\s*bridge\s*=\s*status\b", text):
        text = text.rstrip("\n") + "\n\n[location /status]\nbridge = status\n"
    return text


def zgate(*args, timeout=PATIENCE, env=None, cwd=None):
    """Runs zgate to its end: .returncode .stdout .stderr (text)"""
    return subprocess.run([BINARY, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False, cwd=cwd, env={**os.environ, **(env or {})})


# ZeroMQ ----------------------------------------------------------------------

def bind(sock, host="127.0.0.1"):
    """Binds to a free port; the endpoint."""
    return f"tcp://{host}:{sock.bind_to_random_port(f'tcp://{host}')}"


def free_port():
    """A port nobody listens on right now."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_endpoint():
    return f"tcp://127.0.0.1:{free_port()}"


def zrecv(sock, timeout=PATIENCE):
    """The frames of the next message; TimeoutError if none comes."""
    if not sock.poll(int(timeout * 1000)):
        raise TimeoutError("no ZeroMQ message arrived")
    return sock.recv_multipart()


# Replies what it was sent; prints "ready", then each request. args: endpoint
REP_WORKER = """
s = ctx.socket(zmq.REP)
s.connect(args[0])
print("ready")
while True:
    frames = s.recv_multipart()
    print("got", frames[0][:60])
    s.send_multipart(frames)
"""

_PREAMBLE = "import sys, time, zmq\nctx = zmq.Context()\nargs = sys.argv[1:]\n"


# fixtures --------------------------------------------------------------------

@pytest.fixture
def gateway(tmp_path, request):
    started = request.node.gateways = []  # conftest.py shows their logs when the test fails

    def start(config="", *args, **options):
        directory = tmp_path / f"gateway{len(started)}"
        directory.mkdir()
        gw = Gateway(config, *args, directory=str(directory), **options)
        started.append(gw)
        return gw
    yield start
    problems = []
    for gw in reversed(started):
        try:
            gw.finish()
        except AssertionError as e:
            problems.append(str(e))
    assert not problems, "\n".join(problems)


@pytest.fixture
def worker_process():
    started = []

    def start(code, *args):
        p = Process(["/usr/bin/python3", "-u", "-c", _PREAMBLE + textwrap.dedent(code), *map(str, args)])
        started.append(p)
        return p
    yield start
    for p in started:
        p.kill()


@pytest.fixture
def zmq_context():
    context = zmq.Context()
    context.linger = 0
    yield context
    context.destroy(linger=0)


@pytest.fixture(autouse=True)
def time_limit():
    """No test hangs: after a minute (three under a sanitizer) it fails."""
    def expired(_number, _frame):
        raise AssertionError("the test took too long")
    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(60 * FACTOR)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
