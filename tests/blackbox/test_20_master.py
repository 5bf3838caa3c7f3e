"""The process: the master and its child, users, listening sockets, the pid file."""
import datetime
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import tempfile
import threading

import pytest

from harness import (BINARY, FACTOR, PATIENCE, ROOT, Conn, GatewayFailed, Process, complete, free_port,
                     http_request, poll, zgate)

MASTER = "[gateway]\nlisten = 127.0.0.1:0\nmaster = yes\n"
# A crash on purpose must look like one: no sanitizer's report, no core file.
CRASHES = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:handle_segv=0"}
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def listening(port, host="0100007F"):
    """How many sockets listen at the port."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    return sum(r[1] == f"{host}:{port:04X}" and r[3] == "0A" for r in rows)


def at(line):
    return datetime.datetime.fromisoformat(line.split()[0].replace("Z", "+00:00"))


def crash(gw):
    """SIGSEGV to the process that serves, and the next one is ready. The lines of it."""
    since, pid = len(gw.log), gw.traffic_pid
    os.kill(pid, signal.SIGSEGV)
    gw.wait_log(r"\[master\].*was killed by SIGSEGV", since=since)
    gw.wait_log(r"\[main\] ready: listening", since=since)
    poll(lambda: gw.traffic_pid not in (pid, gw.pid))
    return gw.log[since:]


class Clients:
    """Threads that connect and ask without a pause; what went wrong is in .wrong."""

    def __init__(self, gw, threads=4):
        self.address, self.wrong, self.answers, self._go = gw.address, [], 0, True
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for t in self._threads:
            t.start()

    def _run(self):
        while self._go:
            try:
                with socket.create_connection(self.address, PATIENCE) as s:
                    self._ask(s)
            except OSError as e:  # nobody may be refused
                self.wrong.append(f"connect: {e}")

    def _ask(self, s):
        try:
            s.sendall(b"GET /status/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.answers += b" 200 " in s.recv(4096)
        except OSError:  # that was with the process that crashed
            pass

    def stop(self):
        self._go = False
        for t in self._threads:
            t.join()


def test_a_crash_refuses_nobody_and_is_over_at_once(gateway):
    gw = gateway(MASTER + "workers = 2\n", env=CRASHES)
    clients = Clients(gw)
    poll(lambda: clients.answers > 50)
    before, master = clients.answers, gw.pid
    lines = crash(gw)
    poll(lambda: clients.answers > before + 50)
    clients.stop()
    assert not clients.wrong
    fallen = next(line for line in lines if "was killed by SIGSEGV" in line)
    starts = next(line for line in lines if re.search(r"\[main\] process \d+ starts", line))
    ready = next(line for line in lines if "ready: listening" in line)
    assert "[master]" in fallen and fallen.endswith("the next starts at once")
    assert at(starts) - at(fallen) < datetime.timedelta(milliseconds=100 * FACTOR), "respawned within 100 ms"
    assert f"127.0.0.1:{gw.port}" in ready, "at the same port"
    assert gw.pid == master and len(children(master)) == 1, "no zombie is left"


def test_crashes_in_a_row_are_answered_more_slowly(gateway):
    gw = gateway(MASTER, env=CRASHES)
    waits = []
    for _ in range(3):
        line = next(line for line in crash(gw) if "was killed by" in line)
        found = re.search(r"the next starts in (\d+) ms", line)
        waits.append(int(found.group(1)) if found else 0)
    assert waits == [0, 250, 500]
    assert gw.http("GET", "/status/live").status == 200
    # in between, a stop is obeyed at once, though there is nobody to pass it on to
    os.kill(gw.traffic_pid, signal.SIGSEGV)
    gw.wait_log(r"the next starts in 1000 ms")
    assert gw.stop() == 0


def test_the_first_child_decides_whether_it_runs_at_all(gateway):
    port = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        with pytest.raises(GatewayFailed) as e:
            gateway(MASTER + f"[location /e]\nbridge = reqrep\nreq = bind tcp://127.0.0.1:{port}\n")
    assert e.value.code == 1
    assert any(f"tcp://127.0.0.1:{port}" in line and "[main]" in line for line in e.value.log)
    assert not any("the next starts" in line for line in e.value.log)


def test_signals_are_passed_on(gateway):
    gw = gateway(MASTER + "error_log = /dev/stderr\n")
    for number, text in (signal.SIGHUP, "reloaded"), (signal.SIGUSR1, "SIGUSR1: reopening the logs"):
        gw.signal(number)
        gw.wait_log(text)
    child = gw.traffic_pid
    assert gw.stop(signal.SIGQUIT) == 0
    assert not alive(child) and any("SIGQUIT" in line for line in gw.log)
    # told to the child itself, it is not a crash either
    gw = gateway(MASTER)
    os.kill(gw.traffic_pid, signal.SIGTERM)
    assert gw.wait() == 0 and not any("the next starts" in line for line in gw.log)
    gw.code = 0


def test_a_master_that_dies_takes_the_child_along(gateway):
    gw = gateway(MASTER)
    child = gw.traffic_pid
    os.kill(gw.pid, signal.SIGKILL)
    poll(lambda: not alive(child), 5 * FACTOR)
    gw.expected_exit = -signal.SIGKILL
    assert listening(gw.port) == 0


def test_who_stops_listening_refuses_while_it_drains(gateway):
    """The master lets go of its sockets too, so that nobody waits in their queues in vain."""
    gw = gateway(MASTER + "shutdown_timeout = 10s\n\n[location /e]\nbridge = reqrep\n"
                 "req = connect tcp://127.0.0.1:1\n")
    c = gw.connect()
    c.send(b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    gw.wait_status(lambda s: True)
    gw.signal(signal.SIGQUIT)
    poll(lambda: listening(gw.port) == 0)
    with pytest.raises(ConnectionRefusedError):
        Conn(gw.address)
    assert gw.stop() == 0


def test_what_a_reload_opened_outlives_a_crash(gateway, tmp_path):
    path = tmp_path / "s"
    gw = gateway(MASTER + "workers = 2\n", env=CRASHES)
    first, second = gw.port, free_port()
    held = len(os.listdir(f"/proc/{gw.pid}/fd"))
    text = gw.config.replace("listen = 127.0.0.1:0", f"listen = 127.0.0.1:{second} unix:{path}")
    rewrite(gw, text)
    gw.signal(signal.SIGHUP)
    gw.wait_log(r"\[main\] reloaded")
    poll(lambda: listening(first) == 0)
    inode = os.stat(path).st_ino
    crash(gw)
    assert listening(second) == 2 and os.stat(path).st_ino == inode, "the same sockets"
    assert http_request(("127.0.0.1", second), "GET", "/status/live").status == 200
    # one that goes: its file as well
    rewrite(gw, text.replace(f" unix:{path}", ""))
    gw.signal(signal.SIGHUP)
    poll(lambda: not path.exists())
    poll(lambda: len(os.listdir(f"/proc/{gw.pid}/fd")) == held)
    assert gw.stop() == 0 and listening(second) == 0


def rewrite(gw, text):
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(text)


def test_a_broken_file_does_not_keep_it_from_coming_back(gateway):
    gw = gateway(MASTER, env=CRASHES)
    rewrite(gw, gw.config + "\n[location /x]\nbridge = nonsense\n")
    lines = crash(gw)
    assert any(f"{gw.file}:" in line and "nonsense" in line for line in lines), "the mistake is told"
    assert any("starting with the configuration that worked before" in line for line in lines)
    assert gw.http("GET", "/status/live").status == 200
    # one that is good to read, and cannot be opened
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        taken = s.getsockname()[1]
        rewrite(gw, gw.config + f"\n[location /x]\nbridge = reqrep\nreq = bind tcp://127.0.0.1:{taken}\n")
        since = len(gw.log)
        crash(gw)
    assert any("before it was ready" in line for line in gw.log[since:])
    assert gw.http("GET", "/status/live").status == 200


# ---- listening sockets

@pytest.mark.parametrize("workers", [1, 3])
def test_a_socket_for_each_worker_and_none_for_a_second_zgate(gateway, workers):
    gw = gateway(f"[gateway]\nlisten = 127.0.0.1:0 127.0.0.1:0\nworkers = {workers}\n")
    assert [listening(p) for p in gw.ports] == [workers, workers]
    gw.signal(signal.SIGHUP)
    gw.wait_log("reloaded")
    assert [listening(p) for p in gw.ports] == [workers, workers]
    with pytest.raises(GatewayFailed) as e:
        gateway(f"[gateway]\nlisten = 127.0.0.1:{gw.port}\nworkers = {workers}\n")
    assert e.value.code == 1 and any(f"127.0.0.1:{gw.port}: Address already in use" in l for l in e.value.log)
    # every worker accepts: of 64 connections each has some, with a chance of 1 in 10^11 not to
    clients = [gw.connect() for _ in range(64)]
    for c in clients:
        c.send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().status == 200


def test_a_unix_socket_is_shared_by_all_workers(gateway, tmp_path):
    gw = gateway(f"[gateway]\nlisten = 127.0.0.1:0 unix:{tmp_path}/s\nworkers = 3\n")
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{tmp_path}/s")
            s.sendall(b"GET /status/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            s.settimeout(PATIENCE)
            assert b" 200 " in s.recv(4096)
    gw.stop()
    assert not os.path.exists(f"{tmp_path}/s")


# ---- the pid file

@pytest.mark.parametrize("master", ["no", "yes"])
def test_the_pid_file_is_of_one_zgate(gateway, tmp_path, master):
    text = f"[gateway]\nlisten = 127.0.0.1:0\nmaster = {master}\npid = {tmp_path}/z.pid\n"
    (tmp_path / "z.pid").write_text("1\n")  # of one that crashed
    gw = gateway(text)
    assert (tmp_path / "z.pid").read_text() == f"{gw.pid}\n"
    with pytest.raises(GatewayFailed) as e:
        gateway(text)
    assert any(f"{tmp_path}/z.pid belongs to process {gw.pid}" in line for line in e.value.log)
    assert (tmp_path / "z.pid").read_text() == f"{gw.pid}\n"
    assert gw.stop() == 0 and not list(tmp_path.glob("z.pid*"))


# ---- users

def identity(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        found = dict(line.split(":", 1) for line in f)
    return {k: found[k].split() for k in ("Uid", "Gid", "Groups", "CapEff")}


@pytest.fixture
def open_path():
    """A folder that other users reach; pytest's own are closed to them."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="zgate-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@root_only
@pytest.mark.parametrize("master", ["no", "yes"])
def test_it_becomes_the_user_for_good(open_path, master):
    tmp_path, nobody = open_path, pwd.getpwnam("nobody")
    log = tmp_path / "error.log"
    port = next(p for p in range(700, 1024) if not listening(p) and not listening(p, "00000000"))
    text = (f"[gateway]\nlisten = 127.0.0.1:{port}\nmaster = {master}\nuser = nobody\n"
            f"pid = {tmp_path}/z.pid\nerror_log = {log}\n\n[location /status]\nbridge = status\n")
    file = tmp_path / "g.ini"
    file.write_text(text)
    p = Process([BINARY, "-p", ROOT, "-c", str(file)], env={**os.environ, **CRASHES})
    try:
        poll(lambda: log.exists() and "ready: listening" in log.read_text(), 20 * FACTOR)
        serves = children(p.pid)[0] if master == "yes" else p.pid
        who = identity(serves)
        assert who["Uid"] == [str(nobody.pw_uid)] * 4 and who["Gid"] == [str(nobody.pw_gid)] * 4
        assert "0" not in who["Groups"] and int(who["CapEff"][0], 16) == 0
        assert log.stat().st_uid == nobody.pw_uid, "so that it can be reopened"
        assert os.stat(f"/proc/{serves}/fd").st_uid == nobody.pw_uid, "it can still look at itself"
        # what needs root does not work any more in a reload, and nothing changes
        other = next(p for p in range(port + 1, 1024) if not listening(p) and not listening(p, "00000000"))
        file.write_text(text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}"))
        told = zgate("-p", ROOT, "-c", str(file), "-s", "reload")
        assert told.returncode == 1 and f"127.0.0.1:{other}: Permission denied" in told.stderr
        assert http_request(("127.0.0.1", port), "GET", "/status/live").status == 200
        file.write_text(text)
        if master == "yes":
            assert identity(p.pid)["Uid"][0] == "0"
            os.kill(serves, signal.SIGSEGV)
            poll(lambda: log.read_text().count("ready: listening") == 2, 5 * FACTOR)
            assert identity(children(p.pid)[0])["Uid"][0] == str(nobody.pw_uid)
            os.kill(p.pid, signal.SIGKILL)  # also after the user has changed
            poll(lambda: listening(port) == 0, 5 * FACTOR)
        else:
            log.rename(tmp_path / "old.log")
            tmp_path.chmod(0o777)  # the user may make the new one
            assert zgate("-p", ROOT, "-c", str(file), "-s", "reopen").returncode == 0
            assert log.exists()
            assert zgate("-p", ROOT, "-c", str(file), "-s", "stop").returncode == 0
            assert p.wait() == 0
    finally:
        p.kill()


@root_only
def test_user_and_group_are_looked_up_when_the_configuration_is(tmp_path):
    file = tmp_path / "g.ini"
    file.write_text("[gateway]\nuser = nosuch\ngroup = nosuchgroup\n\n[location /]\nbridge = status\n")
    r = zgate("-t", "-c", str(file))
    assert r.returncode == 1
    assert f'{file}:2: [gateway] user: there is no user "nosuch"' in r.stderr
    assert f'{file}:3: [gateway] group: there is no group "nosuchgroup"' in r.stderr
    file.write_text("[gateway]\ngroup = nogroup\n\n[location /]\nbridge = status\n")
    r = zgate("-t", "-c", str(file))
    assert r.returncode == 1 and f"{file}:2: [gateway] group: needs `user` beside it" in r.stderr
