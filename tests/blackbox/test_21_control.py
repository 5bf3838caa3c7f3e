"""zgate -s: stop, quit, reload, reopen."""
import os
import socket
import threading

import pytest

from harness import PATIENCE, ROOT, free_port, zgate

TEXT = "[gateway]\nlisten = 127.0.0.1:0\npid = {}/z.pid\n"


@pytest.fixture(params=["no", "yes"])
def gw(gateway, tmp_path, request):
    """A zgate with a pid file, without and with a master."""
    return gateway(TEXT.format(tmp_path) + f"master = {request.param}\n\n[location /e]\nbridge = reqrep\n"
                   "req = bind tcp://127.0.0.1:*\n")


def s(gw, word, **options):
    return zgate("-p", ROOT, "-c", gw.file, "-s", word, **options)


def rewrite(gw, text):
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(text)


def control(tmp_path):
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(PATIENCE)
    c.connect(f"{tmp_path}/z.pid.ctl")
    return c


def test_reload_tells_the_outcome(gw):
    r = s(gw, "reload")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    gw.wait_log("reloaded")
    # what does not follow is said
    rewrite(gw, gw.config.replace("[gateway]\n", "[gateway]\nworkers = 2\n"))
    r = s(gw, "reload")
    assert r.returncode == 0 and r.stderr == ""
    assert "[gateway] workers has changed; this takes effect when zgate is started again" in r.stdout
    # every mistake, with its place; and nothing changes
    broken = gw.config + "\n[location /x]\nbridge = reqrep\nbogus = 1\n\n[location /y]\nbridge = nonsense\n"
    rewrite(gw, broken)
    lines = broken.splitlines()
    r = s(gw, "reload")
    assert r.returncode == 1
    for word in "bogus", "bridge = nonsense":
        number = 1 + next(i for i, line in enumerate(lines) if line.startswith(word))
        assert f"{gw.file}:{number}: " in r.stderr
    assert "everything stays as it was" in r.stderr
    assert gw.http("GET", "/status/live").status == 200 and gw.http("GET", "/x").status == 404


@pytest.mark.parametrize("what", ["port", "endpoint"])
def test_reload_tells_what_is_taken(gw, what):
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        rewrite(gw, gw.config.replace("127.0.0.1:0", f"127.0.0.1:0 127.0.0.1:{port}", 1) if what == "port" else
                gw.config + f"\n[location /x]\nbridge = reqrep\nreq = bind tcp://127.0.0.1:{port}\n")
        r = s(gw, "reload")
    assert r.returncode == 1 and f"127.0.0.1:{port}" in r.stderr and "Address already in use" in r.stderr
    rewrite(gw, gw.config)
    assert s(gw, "reload").returncode == 0


def test_reopen(gw):
    r = s(gw, "reopen")
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


@pytest.mark.parametrize("master", ["no", "yes"])
def test_reopen_tells_that_it_could_not(gateway, tmp_path, master):
    """A master passes the order on; the answer is still the gateway's own."""
    (tmp_path / "logs").mkdir()
    gw = gateway(TEXT.format(tmp_path) + f"access_log = {tmp_path}/logs/a.log\nmaster = {master}\n")
    assert s(gw, "reopen").returncode == 0
    os.rename(tmp_path / "logs", tmp_path / "old")
    r = s(gw, "reopen")
    assert r.returncode == 1 and "a log cannot be opened again" in r.stderr
    gw.wait_log("access_log: cannot open .*/logs/a.log again: No such file")
    os.rename(tmp_path / "old", tmp_path / "logs")
    assert s(gw, "reopen").returncode == 0


def test_stop_and_quit_wait_until_it_has_ended(gateway, tmp_path):
    for master in "no", "yes":
        for word in "stop", "quit":
            gw = gateway(TEXT.format(tmp_path) + f"master = {master}\n")
            # also when the file has become wrong since
            rewrite(gw, gw.config + "\n[location /x]\nbridge = nonsense\n")
            r = s(gw, word)
            assert (r.returncode, r.stderr) == (0, "")
            assert not os.path.exists(tmp_path / "z.pid") and not os.path.exists(tmp_path / "z.pid.ctl")
            assert gw.wait(PATIENCE) == 0
            gw.code = 0


def test_stop_ends_a_quit_that_takes_long(gateway, tmp_path):
    gw = gateway(TEXT.format(tmp_path) + "shutdown_timeout = 10m\n\n[location /e]\nbridge = reqrep\n"
                 "req = connect tcp://127.0.0.1:1\n")
    gw.connect().send(b"POST /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").response()
    results = []
    quitting = threading.Thread(target=lambda: results.append(s(gw, "quit", timeout=60)))
    quitting.start()
    gw.wait_log("finishing what has begun")
    assert s(gw, "reload").returncode == 1, "refused: it is on its way out"
    assert s(gw, "stop").returncode == 0
    quitting.join()
    assert results[0].returncode == 0 and gw.wait() == 0
    gw.code = 0


def test_none_runs(gateway, tmp_path):
    file = tmp_path / "g.ini"

    def refused(text, *what):
        file.write_text(text + "\n[location /]\nbridge = status\n")
        r = zgate("-c", str(file), "-s", "reload")
        assert r.returncode == 1 and all(w in r.stderr for w in what), r.stderr
    refused("[gateway]\n", "set `pid = FILE` in [gateway]", str(file))
    refused(TEXT.format(tmp_path), "none runs", "there is no pid file", f"{tmp_path}/z.pid")
    (tmp_path / "z.pid").write_text(f"{os.getpid()}\n")
    refused(TEXT.format(tmp_path), "none runs", "stale", f"process {os.getpid()}")
    r = zgate("-c", str(tmp_path / "nowhere.ini"), "-s", "stop")
    assert r.returncode == 1 and "nowhere.ini" in r.stderr
    r = zgate("-s", "restart")
    assert r.returncode == 2 and "write stop, quit, reload or reopen" in r.stderr


def test_one_that_does_not_answer_is_named(gateway, tmp_path):
    gw = gateway(TEXT.format(tmp_path))
    os.unlink(tmp_path / "z.pid.ctl")
    r = s(gw, "stop")
    assert r.returncode == 1 and f"process {gw.pid} cannot be asked" in r.stderr


def test_each_asker_gets_a_reload_that_began_after_it_asked(gateway, tmp_path):
    gw = gateway(TEXT.format(tmp_path))
    results, threads = [], []
    for _ in range(6):
        t = threading.Thread(target=lambda: results.append(s(gw, "reload").returncode))
        t.start()
        threads.append(t)
    for t in threads:
        t.join()
    assert results == [0] * 6
    assert 1 <= sum(line.endswith("reloaded") for line in gw.log) <= 6


def test_the_socket_is_the_operators_alone_and_hard_to_misuse(gateway, tmp_path):
    gw = gateway(TEXT.format(tmp_path))
    assert os.stat(tmp_path / "z.pid.ctl").st_mode & 0o777 == 0o600
    # nonsense, too much of it, and nothing at all
    for junk in b"nonsense\n", b"reload" + b"x" * 5000, b"\0\n", b"stop\0\n"[:4] + b"x\n":
        with control(tmp_path) as c:
            c.sendall(junk)
            answer = b""
            while not answer.endswith(b"failed\n"):
                answer += c.recv(4096)
            assert b"error this zgate knows stop, quit, reload and reopen\n" in answer
    # who says nothing has a place for a while only; there are eight
    idle = [control(tmp_path) for _ in range(8)]
    assert s(gw, "reload").returncode == 0, "waits for its turn"
    assert all(c.recv(10) == b"" for c in idle)
    # who leaves before the outcome
    with control(tmp_path) as c:
        c.sendall(b"reload\n")
    gw.wait_log("reloaded")
    assert s(gw, "reload").returncode == 0
