"""zgate -t: what a start could not open is told beforehand, and nobody is disturbed."""
import os
import re
import socket

import pytest
import zmq

from harness import ROOT, bind, free_port, zgate, zrecv


@pytest.fixture
def tried(tmp_path):
    """Runs zgate -t on a configuration: its result, and the file's name."""
    def run(text, *args):
        path = tmp_path / "gateway.ini"
        path.write_text(text)
        r = zgate("-p", ROOT, "-c", str(path), "-t", *args)
        r.file = str(path)
        return r
    return run


@pytest.fixture
def listener():
    """A socket of another program that listens; its port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        yield s


def test_each_address_that_is_taken_is_one_line_with_its_holder(tried, listener, zmq_context, tmp_path):
    pull = zmq_context.socket(zmq.PULL)
    endpoint = bind(pull)
    path = str(tmp_path / "taken.sock")
    port = listener.getsockname()[1]
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        r = tried(f"""\
[gateway]
listen = 127.0.0.1:0
listen = 127.0.0.1:{port}
listen = unix:{path}

[location /]
bridge = pipeline
push = bind tcp://127.0.0.1:*
  {endpoint}
pull = bind ipc://{path}
""")
        assert os.path.exists(path), "a living socket is left where it is"
    me = rf"address already in use by \S+, pid {os.getpid()}; "
    assert r.returncode == 1
    lines = sorted(r.stderr.splitlines(), key=lambda l: int(re.search(r":(\d+): ", l)[1]))
    wanted = [(3, r"\[gateway\] listen", f"127.0.0.1:{port}"), (4, r"\[gateway\] listen", f"unix:{path}"),
              (9, r"\[location /\] push", endpoint), (10, r"\[location /\] pull", f"ipc://{path}")]
    assert len(lines) == len(wanted), r.stderr
    for line, (number, what, address) in zip(lines, wanted):
        assert re.match(rf"{re.escape(r.file)}:{number}: {what}: cannot bind {re.escape(address)}: {me}", line), line
    assert "good" not in r.stdout


def test_ipv6_and_interfaces(tried):
    with socket.socket(socket.AF_INET6) as v6, socket.socket() as v4:
        v6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        v6.bind(("::1", 0))
        v4.bind(("127.0.0.1", 0))
        for s in v6, v4:
            s.listen()
        first, second = v6.getsockname()[1], v4.getsockname()[1]
        r = tried(f"""\
[gateway]
listen = [::1]:{first}, [::1]:{second}

[location /]
bridge = pipeline
push = bind tcp://lo:{second}
pull = bind tcp://*:{second}
""")
    assert r.returncode == 1
    lines = sorted(r.stderr.splitlines())
    assert len(lines) == 3, r
    for line, (number, address) in zip(lines, [(2, f"[::1]:{first}"), (6, f"tcp://lo:{second}")]):
        assert re.match(rf"{re.escape(r.file)}:{number}: \[.*\] \w+: cannot bind {re.escape(address)}: address already "
                        rf"in use by \S+, pid {os.getpid()}; ", line), line
    assert f":7: [location /] pull: cannot bind tcp://*:{second}: this configuration binds it already, at" in lines[2]


def test_what_no_machine_can_bind(tried, tmp_path):
    port = free_port()
    plain = tmp_path / "plain"
    plain.write_text("kept")
    r = tried(f"""\
[gateway]
listen = 203.0.113.7:80
listen = 127.0.0.1:{port}
listen = nowhere.invalid:80
listen = unix:/nowhere/at/all.sock

[location /]
bridge = pipeline
push = bind tcp://localhost:5561
  tcp://*:{port}
pull = bind ipc://{plain}
""")
    assert r.returncode == 1
    for number, text in ((2, "cannot bind 203.0.113.7:80: this machine has no such address"),
                         (4, "cannot resolve nowhere.invalid:80: "),
                         (5, "cannot bind unix:/nowhere/at/all.sock: cannot make a file in /nowhere/at: No such"),
                         (9, 'cannot bind tcp://localhost:5561: "localhost" is neither an address nor'),
                         (10, f"cannot bind tcp://*:{port}: this configuration binds it already, at {r.file}:3: "),
                         (11, f"cannot bind ipc://{plain}: there is a file of that name which is no socket")):
        assert re.search(rf"(?m)^{re.escape(r.file)}:{number}: \[.*\] \w+: {re.escape(text)}", r.stderr), (text, r)
    assert len(r.stderr.splitlines()) == 6
    assert plain.read_text() == "kept"


def test_files(tried, tmp_path):
    r = tried(f"""\
[gateway]
listen = 127.0.0.1:0
error_log = {tmp_path}
pid = /nowhere/at/all.pid

[location /]
bridge = static
root = html
""")
    assert r.returncode == 1
    for number, text in ((3, f"error_log: cannot write {tmp_path}: it is a folder"),
                         (4, "pid: cannot write /nowhere/at/all.pid: cannot make a file in /nowhere/at: ")):
        assert f"{r.file}:{number}: [gateway] {text}" in r.stderr
    good = tmp_path / "new.log"
    r = tried(f"[gateway]\nlisten = 127.0.0.1:0\nerror_log = {good}\n[location /]\nbridge = static\nroot = html\n")
    assert r.returncode == 0 and not good.exists(), "nothing is made"


def test_a_name_that_does_not_resolve_is_a_warning(tried):
    r = tried("[gateway]\nlisten = 127.0.0.1:0\n[location /]\nbridge = reqrep\nreq = connect tcp://nowhere.invalid:1\n")
    assert r.returncode == 0 and r.stderr == ""
    assert f"{r.file}:5: [location /] req: warning: cannot resolve tcp://nowhere.invalid:1: " in r.stdout
    assert "the configuration is good" in r.stdout


def test_the_running_gateway_is_in_nobodys_way_and_feels_nothing(gateway, zmq_context, tmp_path):
    """Operators test before they reload."""
    ports = [free_port() for _ in range(2)]
    pid = tmp_path / "pid"
    gw = gateway(f"""
        [gateway]
        listen = 127.0.0.1:{ports[0]}
        pid    = {pid}

        [location /prices]
        bridge = pubsub
        sub    = bind tcp://127.0.0.1:{ports[1]}
    """)
    pub = zmq_context.socket(zmq.XPUB)
    pub.connect(f"tcp://127.0.0.1:{ports[1]}")
    gw.wait_peers("/prices", "sub", 1)
    client = gw.ws("/prices")
    assert zrecv(pub) == [b"\x01"]
    for _ in range(20):
        r = zgate("-p", ROOT, "-c", gw.file, "-t")
        assert (r.returncode, r.stderr) == (0, ""), r
    for address in f"127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}":
        assert f": {address} is held by the running gateway, pid {gw.pid}\n" in r.stdout
    status = gw.status()
    assert gw.socket("/prices", "sub", status)["peers"] == 1
    pub.send(b"A 1")
    assert client.recv() == "A 1"
    # without its pid file it is a stranger like any other, but a hint is given
    with open(gw.file, encoding="utf-8") as f:
        text = re.sub(r"(?m)^pid.*\n", "", f.read())
    other = tmp_path / "other.ini"
    other.write_text(text)
    r = zgate("-p", ROOT, "-c", str(other), "-t")
    assert r.returncode == 1
    assert f"address already in use by zgate, pid {gw.pid}; if that is this gateway at work, give it a `pid`" in r.stderr


def test_a_stale_socket_file_and_time_wait_are_no_trouble(tried, tmp_path):
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway's
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as c:
            s.accept()[0].close()  # the side that closes first has TIME_WAIT
            assert c.recv(1) == b""
    r = tried(f"[gateway]\nlisten = 127.0.0.1:{port}, unix:{path}\n[location /]\nbridge = static\nroot = html\n")
    assert (r.returncode, r.stderr) == (0, "")
    assert os.path.exists(path)
