"""Under systemd: what it is told, the watchdog, sockets that it passes."""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import BINARY, FACTOR, PATIENCE, ROOT, Process, complete, free_port, http_request, zgate

TEXT = "[gateway]\nlisten = 127.0.0.1:0\nmaster = {}\n"
CRASHES = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:handle_segv=0"}
masters = pytest.mark.parametrize("master", ["no", "yes"])


class Notify:
    """What systemd would hear: datagrams, and who sent them."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(path)
        self.env = {"NOTIFY_SOCKET": path}
        self.senders = set()

    def next(self, timeout=PATIENCE):
        self.sock.settimeout(timeout)
        data, ancillary, _, _ = self.sock.recvmsg(4096, 64)
        self.senders.add(int.from_bytes(ancillary[0][2][:4], "little"))
        return data.decode()

    def until(self, regex, timeout=PATIENCE):
        """All messages up to the first that the regex is found in."""
        seen, end = [], time.monotonic() + timeout
        while not seen or not re.search(regex, seen[-1]):
            assert time.monotonic() < end, f"no {regex!r} in {seen}"
            seen.append(self.next(timeout))
        return seen

    def drain(self):
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.recv(4096)


@pytest.fixture
def notify(tmp_path):
    n = Notify(f"{tmp_path}/notify")
    yield n
    n.sock.close()


@masters
def test_what_it_tells(gateway, notify, master):
    gw = gateway(TEXT.format(master), env={**notify.env, **CRASHES})
    assert notify.until("READY")[-1] == "READY=1"
    assert f"127.0.0.1:{gw.port}" in notify.until("STATUS=serving")[-1]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    gw.signal(signal.SIGHUP)
    told = notify.until("READY=1")
    assert (found := re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", told[0]))
    assert before <= int(found.group(1)) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    # a reload that fails is over as well, and the status says so
    with open(gw.file, "a", encoding="utf-8") as f:
        f.write("[nonsense]\n")
    gw.signal(signal.SIGHUP)
    told = notify.until("READY=1")
    assert "RELOADING=1" in told[-2] and "STATUS=the last reload failed" in told[-1]
    if master == "yes":
        os.kill(gw.traffic_pid, signal.SIGSEGV)
        told = notify.until("READY=1")
        assert any("STATUS=the gateway was killed by SIGSEGV" in t for t in told)
    gw.signal(signal.SIGQUIT)
    assert "STOPPING=1" in notify.until("STOPPING")[-1]
    assert gw.wait() == 0
    gw.code = 0
    assert notify.senders == {gw.pid}, "the main process alone is listened to"


# ---- the watchdog

@contextlib.contextmanager
def stopped(pid):
    """Stops the process's workers, with ptrace."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    seize, interrupt, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    held = []
    try:
        for tid in (int(t) for t in os.listdir(f"/proc/{pid}/task")):
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as f:
                if not f.read().startswith("worker "):
                    continue
            if libc.ptrace(seize, tid, None, None) != 0:
                pytest.skip("ptrace is not allowed here")
            held.append(tid)
            libc.ptrace(interrupt, tid, None, None)
            os.waitpid(tid, wall)
        yield
    finally:
        for tid in held:
            libc.ptrace(detach, tid, None, None)


@masters
def test_a_worker_that_hangs_stops_the_watchdog(gateway, notify, master):
    gw = gateway(TEXT.format(master) + "workers = 2\n", env={**notify.env, "WATCHDOG_USEC": "400000"})
    for _ in range(3):
        notify.until("WATCHDOG=1")
    with stopped(gw.traffic_pid):
        gw.wait_log(r"worker \d has not answered for 200 ms")
        notify.drain()
        with pytest.raises(TimeoutError):
            notify.next(1.5)
    notify.until("WATCHDOG=1")
    assert gw.http("GET", "/status/live").status == 200


def test_the_master_keeps_the_watchdog_quiet_between_two_crashes(gateway, notify):
    gw = gateway(TEXT.format("yes"), env={**notify.env, **CRASHES, "WATCHDOG_USEC": "200000"})
    for delay in "at once", "in 250 ms", "in 500 ms":
        notify.drain()
        since = len(gw.log)
        os.kill(gw.traffic_pid, signal.SIGSEGV)
        gw.wait_log(delay, since=since)
        told = notify.until("READY=1")
        gw.wait_log("ready: listening", since=since)
    assert told.count("WATCHDOG=1") >= 3


def test_a_watchdog_for_another_process_is_not_ours(gateway, notify):
    gateway(TEXT.format("no"), env={**notify.env, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    notify.until("STATUS=serving")
    with pytest.raises(TimeoutError):
        notify.next(0.5)


# ---- sockets that were passed

# Listens at each address, and becomes zgate with that from descriptor 3 on.
LAUNCHER = """
import os, socket, sys
count = int(sys.argv[1])
names, command = sys.argv[2:2 + count], sys.argv[2 + count:]
socks = []
for name in names:
    path = name.startswith("/")
    s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    if not path:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(name if path else ("127.0.0.1", int(name)))
    s.listen()
    socks.append(s)
copies = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(socks)]
for i, fd in enumerate(copies):
    os.dup2(fd, 3 + i, inheritable=True)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join("x" * count))
os.closerange(3 + count, 200)
os.execv(command[0], command)
"""


@masters
def test_sockets_that_were_passed(tmp_path, master):
    used, other, path = free_port(), free_port(), tmp_path / "s"
    file = tmp_path / "g.ini"
    own = free_port()
    file.write_text(complete(f"[gateway]\nlisten = 127.0.0.1:{used} unix:{path} 127.0.0.1:{own}\nworkers = 2\n"
                             f"pid = {tmp_path}/z.pid\nmaster = {master}\n"))
    p = Process(["/usr/bin/python3", "-c", LAUNCHER, "3", str(used), str(path), str(other),
                 BINARY, "-p", ROOT, "-c", str(file)], env={**os.environ, **CRASHES})
    try:
        for address in f"127.0.0.1:{used}", f"unix:{path}", f"127.0.0.1:{own}":
            assert p.wait_line(f"ready: listening on {re.escape(address)}", 20 * FACTOR)
        assert p.wait_line(rf"warn .*descriptor 5 was passed to listen \(127.0.0.1:{other}\), but no `listen` names it")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", other))
        inode = os.stat(path).st_ino
        for _ in range(10):
            assert http_request(("127.0.0.1", used), "GET", "/status/live").status == 200
            assert http_request(("127.0.0.1", own), "GET", "/status/live").status == 200
        assert zgate("-p", ROOT, "-c", str(file), "-s", "reload").returncode == 0
        assert http_request(("127.0.0.1", used), "GET", "/status/live").status == 200
        assert os.stat(path).st_ino == inode
        p.signal(signal.SIGTERM)
        assert p.wait() == 0
        assert path.exists(), "it is whose who made it"
    finally:
        p.kill()


# ---- the unit

def test_the_unit_is_one_that_systemd_reads(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for name in "zgate.service", "zgate.socket":
        with open(f"{ROOT}/conf/{name}.in", encoding="utf-8") as f:
            text = f.read().replace("@prefix@/bin/zgate", BINARY).replace("@prefix@", ROOT)
        (tmp_path / name).write_text(text)
    r = subprocess.run(["systemd-analyze", "verify", f"{tmp_path}/zgate.service", f"{tmp_path}/zgate.socket"],
                       capture_output=True, text=True, check=False, timeout=PATIENCE * FACTOR)
    wrong = [line for line in r.stderr.splitlines() if "zgate." in line and "notify-reload" not in line]
    assert not wrong, r.stderr
