"""Reload: a new cycle beside the old one. What did not change does not notice,
what changed drains, what cannot be opened changes nothing."""
import os
import signal
import socket
import textwrap

import pytest
import zmq
from harness import PATIENCE, SANITIZED, bind, complete, free_endpoint, free_port, poll
from load import Load

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def configure(gw, text):
    with open(gw.file, "w", encoding="utf-8") as f:
        f.write(complete(textwrap.dedent(text)))


def reload(gw, text=None, refused=None):
    """HUP with that configuration; waits until it holds. refused: a regex of
    why it must not."""
    since = len(gw.log)
    if text is not None:
        configure(gw, text)
    gw.signal(signal.SIGHUP)
    found = gw.wait_log(r"(not )?reloaded", since=since)
    assert bool(found.group(1)) == bool(refused), gw.log[since:]
    if refused:
        gw.wait_log(refused, since=since)
    return since


BOUND_WORKER = """
s = ctx.socket(zmq.REP)
print(s.bind_to_random_port("tcp://127.0.0.1"))
while True:
    s.send(s.recv())
"""


def echo(worker_process):
    """An endpoint with a REP worker that any number of gateway's workers may connect to."""
    return "tcp://127.0.0.1:" + worker_process(BOUND_WORKER).wait_line(r"\d+").group(0)


# ---- under load --------------------------------------------------------------

BASE = textwrap.dedent("""
    [gateway]
    workers = {workers}
    listen = 127.0.0.1:0
    {gateway}

    [location /echo]
    bridge = reqrep
    req = connect {rep}

    [location /prices]
    bridge = pubsub
    sub = connect {pub}

    [location /jobs]
    bridge = pipeline
    push = connect {pull}

    [location /files]
    bridge = static
    root = html
    {rest}
""")


def test_nobody_notices_a_reload_under_load(gateway, worker_process, zmq_context):
    under_load(gateway, worker_process, zmq_context, 1)


def test_nobody_notices_a_reload_under_load_with_two_workers(gateway, worker_process, zmq_context):
    under_load(gateway, worker_process, zmq_context, 2)


def under_load(gateway, worker_process, zmq_context, workers):
    """64 keep-alive clients post, 1,000 WebSockets receive, uploads are under way,
    while other locations, limits and addresses come, change and go."""
    clients = 200 if SANITIZED else 1000
    pub, pull, taken = (zmq_context.socket(t) for t in (zmq.XPUB, zmq.PULL, zmq.REP))
    pub.sndhwm = 0
    ends = {"rep": echo(worker_process), "pub": bind(pub), "pull": bind(pull), "workers": workers}
    taken_port = bind(taken).rsplit(":", 1)[1]

    def conf(gateway="", rest=""):
        return BASE.format(gateway=gateway, rest=rest, **ends)
    other = "[location /other]\nbridge = static\nroot = {}"
    steps = [
        (conf(rest=other.format("html")), None),
        (conf(rest=other.format("conf")), None),
        (conf(gateway="max_header = 8k\nidle_timeout = 60s"), None),
        (conf(gateway="log_level = debu"), "log_level"),
        (conf(gateway="listen = 127.0.0.1:" + taken_port), "listen.*in use"),
        (conf(gateway="error_log = no/such/folder/log"), "no/such/folder/log|error_log"),
        (conf(gateway="listen = 127.0.0.1:0\nmax_body = 2m", rest=other.format("html")), None),
        (conf(rest="[location /console]\nbridge = pair\npair = connect " + free_endpoint()), None),
        (conf(rest=f"[location /more]\nbridge = reqrep\nreq = connect {ends['rep']}\ntimeout = 5s"), None),
        (conf(), None),
    ]
    gw = gateway(conf())
    load = Load(gw.address)
    load.subscribe(clients, "/prices")
    assert pub.poll(PATIENCE * 1000) and pub.recv() == b"\x01"  # what is published now arrives
    load.post(64, "/echo")
    load.upload(8, "/jobs")
    poll(lambda: load.posted > 64 or load.failed)
    assert not load.failed
    sent = 0
    for text, refused in 2 * steps:
        for _ in range(3):
            pub.send(b"A %d" % sent)
            sent += 1
        before = load.posted
        configure(gw, text)
        since = len(gw.log)
        gw.signal(signal.SIGHUP)
        for _ in range(4):  # in the midst of it
            pub.send(b"A %d" % sent)
            sent += 1
        found = gw.wait_log(r"(not )?reloaded", since=since)
        assert bool(found.group(1)) == bool(refused), gw.log[since:]
        poll(lambda: load.posted > before + 64 or load.failed)
    load.finish()
    expected = [f"A {i}" for i in range(sent)]
    poll(lambda: all(len(s.frames()) >= sent for s in load.subscribers[-5:]))
    poll(lambda: gw.counters("/prices")["ws_delivered"] >= sent * clients)
    poll(lambda: all(len(s.messages()) == sent for s in load.subscribers), interval=0.2)
    assert not load.failed and load.uploaded > 0
    assert all(s.messages() == expected and s.closed_at is None for s in load.subscribers)
    counts = gw.counters("/prices")
    assert (counts["ws_opened"], counts["ws_open"], counts["ws_dropped"]) == (clients, clients, 0)
    counts = gw.counters("/echo")
    assert counts["answered"] == counts["requests"] == load.posted
    process = gw.status()
    assert (process["reloads"], process["reloads_failed"]) == (14, 6)
    load.close()


# ---- each kind of change -----------------------------------------------------

@WORKERS
def test_changed_drains_and_removed_closes(gateway, worker_process, zmq_context, workers):
    """A request in flight at a location that changed is answered by whoever had it;
    its WebSockets, and those of one that is removed, are closed with 1001."""
    rep = zmq_context.socket(zmq.ROUTER)
    other = zmq_context.socket(zmq.ROUTER)
    pub = zmq_context.socket(zmq.PUB)
    ends = {"rep": bind(rep), "other": bind(other), "pub": bind(pub), "pub2": bind(pub)}
    base = f"""
        [gateway]
        workers = {workers}
        [location /echo]
        bridge = reqrep
        req = connect {ends["rep"]}
        [location /changes]
        bridge = pubsub
        sub = connect {ends["pub"]}
        [location /goes]
        bridge = pubsub
        sub = connect {ends["pub"]}
        [location /stays]
        bridge = pubsub
        sub = connect {ends["pub"]}
    """
    rep_left = rep.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    gw = gateway(base)
    gw.wait_peers("/echo", "req", workers)
    kept = gw.connect()
    kept.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfirst")
    asked = rep.recv_multipart()
    upload = gw.connect()
    upload.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
    gw.wait_status(lambda s: gw.location("/echo", s)["counters"]["in_flight"] == 2)
    sockets = {path: [gw.raw_ws(path) for _ in range(4)] for path in ("/changes", "/goes", "/stays")}
    text = base.replace(ends["rep"], ends["other"]).replace(ends["pub"], ends["pub2"], 1)
    text = text.replace("[location /goes]", "[location /comes]")
    reload(gw, text)
    for path in ("/changes", "/goes"):
        for ws in sockets[path]:
            opcode, payload = ws.message()
            assert (opcode, payload[:2]) == (8, (1001).to_bytes(2, "big")), path
            assert b"changed or removed" in payload
            ws.close()
    # a new request goes to the new worker, on the same connection later, too
    gw.wait_peers("/echo", "req", workers)
    new = gw.connect()
    new.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecond")
    frames = other.recv_multipart()
    assert frames[-1] == b"second"
    other.send_multipart(frames)
    assert new.response().body == b"second"
    # what was in flight is the old one's to the end
    upload.send(b"half")
    rep.send_multipart(asked)
    frames = rep.recv_multipart()
    assert frames[-1] == b"halfhalf"
    rep.send_multipart(frames)
    assert (kept.response().body, upload.response().body) == (b"first", b"halfhalf")
    kept.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nthird")
    frames = other.recv_multipart()
    other.send_multipart(frames)
    assert kept.response().body == b"third"
    kept.send(b"GET /goes HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.response().status == 404
    for ws in sockets["/stays"]:
        ws.frame(9, b"?")
        assert ws.message() == (10, b"?")
    # and then it is gone: its connections have been closed
    assert rep_left.poll(PATIENCE * 1000)


@WORKERS
def test_what_drains_too_long_is_cut_off(gateway, zmq_context, workers):
    """shutdown_timeout after a reload, requests of what was given up are answered 503."""
    rep = zmq_context.socket(zmq.ROUTER)
    base = """
        [gateway]
        workers = {}
        shutdown_timeout = 300ms
        [location /echo]
        bridge = reqrep
        req = connect {}
    """
    gw = gateway(base.format(workers, bind(rep)))
    gw.wait_peers("/echo", "req", workers)
    waits, uploads = gw.connect(), gw.connect()
    waits.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na")
    uploads.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na")
    frames = rep.recv_multipart()
    gw.wait_counter("/echo", "in_flight", 2)
    since = reload(gw, base.format(workers, free_endpoint()))
    for c in (waits, uploads):
        r = c.response()
        assert r.status == 503 and "changed or removed" in r.json()["detail"], r
    gw.wait_log("/echo: time is up: ", since=since)
    rep.send_multipart(frames)  # to nobody
    assert gw.http("GET", "/status").status == 200


@WORKERS
def test_limits_reload_for_those_who_are_there(gateway, tmp_path, zmq_context, workers):
    """Rows of the core hold for kept connections and open WebSockets at once."""
    pub, into = zmq_context.socket(zmq.XPUB), zmq_context.socket(zmq.SUB)
    into.subscribe(b"")
    base = textwrap.dedent(f"""
        [gateway]
        workers = {workers}
        [location /x]
        bridge = pubsub
        sub = connect {bind(pub)}
        pub = connect {bind(into)}
        {{}}
    """)
    gw = gateway(base.format("max_body = 10"))
    # until the subscription of `into` has arrived
    poll(lambda: gw.http("POST", "/x?topic=B", b"") and into.poll(20))
    while into.poll(0):
        into.recv()
    kept = gw.connect()

    def ask(text):
        kept.send(text.replace("\n", "\r\n") + "\r\n\r\n")
        return kept.response()
    post = "POST /x?topic=A HTTP/1.1\nHost: x\nContent-Length: 20\n\n" + 16 * "b"
    assert ask(post).status == 413
    ws = gw.raw_ws("/x")
    reload(gw, base.format("max_body = 100"))
    assert ask(post).status == 202
    ws.frame(1, b"c" * 60, fin=False)
    ws.frame(0, b"c" * 20)
    got = sorted(into.recv() for _ in range(2))
    assert got == [b"A " + 16 * b"b" + b"\r\n\r\n", b"c" * 80]
    for rows, status in (("methods = GET", 405), ("deny = 127.0.0.1", 403), ("allow = 10.0.0.0/8", 403),
                         ("", 202)):
        reload(gw, base.format(rows))
        assert ask(post).status == status, rows
    foreign = post.replace("Host: x", "Host: x\nOrigin: http://other.example")
    assert ask(foreign).status == 403
    reload(gw, base.format("origins = http://other.example"))
    assert ask(foreign).status == 202
    reload(gw, base.format("ping = 1s"))
    assert ws.message()[0] == 9  # the WebSocket has never been closed
    assert gw.counters("/x")["ws_opened"] == 1


@WORKERS
def test_a_slow_client_gets_the_new_queue(gateway, zmq_context, workers):
    """client_queue and overflow of a WebSocket that is open already."""
    pub = zmq_context.socket(zmq.XPUB)
    pub.sndhwm = 0
    base = textwrap.dedent(f"""
        [gateway]
        workers = {workers}
        [location /x]
        bridge = pubsub
        sub = connect {bind(pub)}
        {{}}
    """)
    gw = gateway(base.format("client_queue = 64m"))
    slow = gw.raw_ws("/x", rcvbuf=4096)
    assert pub.poll(PATIENCE * 1000) and pub.recv() == b"\x01"
    for i in range(100):
        pub.send(b"%100000d" % i)
    gw.wait_counter("/x", "received", 100)
    assert gw.counters("/x")["ws_dropped"] == 0
    reload(gw, base.format("client_queue = 1m\noverflow = disconnect"))
    pub.send(b"%100000d" % 100)
    gw.wait_counter("/x", "ws_slow_closed", 1)
    assert slow.close_code() in (1006, 1008)


def test_addresses_come_and_go(gateway, tmp_path):
    """A listen address that goes serves who waits there and keeps its connections;
    one that comes is open when the reload is done."""
    path = tmp_path / "s"
    first, second = free_port(), free_port()
    base = "[gateway]\nworkers = 2\nlisten = {}\n[location /status]\nbridge = status\n"
    gw = gateway(base.format(f"127.0.0.1:{first}"))
    kept = gw.connect()
    kept.send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.response().status == 200
    waiting = [gw.connect() for _ in range(20)]
    reload(gw, base.format(f"127.0.0.1:{second} unix:{path}"))
    for c in [kept] + waiting:
        c.send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert c.response().status == 200
    with pytest.raises(ConnectionRefusedError):
        gw.connect()
    for family, address in ((socket.AF_INET, ("127.0.0.1", second)), (socket.AF_UNIX, str(path))):
        with socket.socket(family) as s:
            s.connect(address)
            s.sendall(b"GET /status/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert s.recv(12) == b"HTTP/1.1 200"
    reload(gw, base.format(f"127.0.0.1:{first}"))
    assert not path.exists()
    assert gw.http("GET", "/status").status == 200


def test_a_larger_head(gateway):
    """max_header: kept connections are served on, and told to come back."""
    base = "[gateway]\nworkers = 2\nmax_header = {}\n[location /status]\nbridge = status\n"
    gw = gateway(base.format("2k"))
    kept, large = gw.connect(), b"GET /status HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 4000 + b"\r\n\r\n"
    kept.send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.response().status == 200
    assert gw.connect().send(large).response().status == 431
    for size, status in (("16k", 200), ("1k", 431), ("16k", 200)):
        reload(gw, base.format(size))
        assert gw.connect().send(large).response().status == status
    kept.send(b"GET /status/live HTTP/1.1\r\nHost: x\r\n\r\n")
    r = kept.response()
    assert r.status == 200 and r.headers["Connection"] == "close"
    assert kept.closed()


def can_connect(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_sections_change_their_kind(gateway, tmp_path, zmq_context):
    """Another bridge, exact and prefix, order in the file, included files, -g, services,
    modules: each configuration serves what it says."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text("a")
    more = tmp_path / "more.ini"
    static = f"bridge = static\nroot = {tmp_path}/a\n"
    gateway_section = f"[gateway]\nworkers = 2\nlisten = 127.0.0.1:0\ninclude = {tmp_path}/*.ini\n"
    gateway_section += f"[location /z]\nbridge = pair\npair = connect {free_endpoint()}\n"
    gw = gateway(gateway_section + f"[location /x]\n{static}", "-g", "gateway.max_body=7")

    def status(path):
        return gw.http("GET", path).status
    assert (status("/x/"), status("/x/y")) == (200, 404)
    reload(gw, gateway_section + "[location /x]\nbridge = status\n")
    assert (status("/x"), status("/x/live")) == (200, 200)
    reload(gw, gateway_section + f"[location = /x/]\nbridge = status\n[location /x]\n{static}")
    more.write_text(f"[location /more]\n{static}[location /p]\nbridge = pubsub\n"
                    f"sub = connect {free_endpoint()}\npub = connect {free_endpoint()}\n")
    reload(gw)
    assert status("/more/") == 200
    r = gw.http("POST", "/p?topic=a", b"12345678")
    assert r.status == 413 and "7" in r.json()["detail"]  # -g still holds
    demo, client = free_endpoint(), zmq_context.socket(zmq.REQ)
    reload(gw, f"[location /x]\n{static}\n" + gateway_section + f"[demo]\nrep = bind {demo}\n")
    client.connect(demo)
    client.send(b"Hello")
    assert client.recv() == b"You said: Hello"
    reload(gw, gateway_section + f"[location /x]\n{static}")
    poll(lambda: not can_connect(int(demo.rsplit(":", 1)[1])))  # the service has gone
    more.unlink()
    reload(gw)
    assert (status("/x/"), status("/more/")) == (200, 404)


def test_a_module_is_loaded_and_unloaded(gateway):
    """Its code stays while an instance of it is at work."""
    modules = os.environ.get("ZGATE_MODULES") or os.path.join(os.path.dirname(os.environ["ZGATE"]), "modules")
    skeleton = os.path.join(modules, "skeleton.so")
    without = "[gateway]\nworkers = 2\nlisten = 127.0.0.1:0\n[location /status]\nbridge = status\n"
    loaded = without.replace("[location", f"load_module = {skeleton}\n[location", 1)
    gw = gateway(without)
    mapped = lambda: "skeleton.so" in open(f"/proc/{gw.pid}/maps").read()  # noqa: E731
    for _ in range(3):
        reload(gw, loaded + "[location /s]\nbridge = skeleton\n")
        assert gw.http("GET", "/s").status == 200 and mapped()
        ws = gw.connect()
        ws.send(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ws.response().status == 200
        reload(gw, loaded)
        ws.send(b"GET /s HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ws.response().status == 404
        reload(gw, without)
        poll(lambda: not mapped())


# ---- what is refused, and said -------------------------------------------------

@WORKERS
def test_a_failing_reload_changes_nothing(gateway, tmp_path, zmq_context, workers):
    taken = zmq_context.socket(zmq.REP)
    endpoint = bind(taken)
    port = endpoint.rsplit(":", 1)[1]
    base = f"[gateway]\nworkers = {workers}\nlisten = 127.0.0.1:0\n{{}}\n[location /status]" \
           f"\nbridge = status\n[location /z]\nbridge = pair\npair = connect {free_endpoint()}\n{{}}"
    gw = gateway(base.format("", ""))
    fds = len(gw.open_fds())
    for rows, section, why in (
            ("max_bdy = 1m", "", "did you mean"),
            (f"listen = 127.0.0.1:{port}", "", f"cannot listen on 127.0.0.1:{port}"),
            (f"error_log = {tmp_path}/missing/log", "", "error_log"),
            ("load_module = /no/such.so", "", "/no/such.so"),
            ("", f"[location /a]\nbridge = reqrep\nreq = bind {endpoint}\n", "in use"),
            ("", f"[location /a]\nbridge = pair\npair = bind {free_endpoint()}\n"
                 f"[location /b]\nbridge = pubsub\nsub = bind {endpoint}\n", "in use"),
            ("", f"[location /s]\nbridge = static\nroot = {tmp_path}/none\n", "root")):
        reload(gw, base.format(rows, section), refused=why)
        assert len(gw.status()["locations"]) == 2
    assert gw.status()["reloads_failed"] == 7
    poll(lambda: len(gw.open_fds()) <= fds + 2)
    reload(gw, base.format("", ""))


def test_what_cannot_be_reloaded_is_said(gateway, tmp_path):
    base = "[gateway]\nlisten = 127.0.0.1:0\nworkers = {}\n{}\n[location /status]\nbridge = status\n"
    gw = gateway(base.format(1, ""))
    since = reload(gw, base.format(2, f"pid = {tmp_path}/pid\nuser = nobody"))
    for name in ("workers", "pid", "user"):
        gw.wait_log(rf"\[gateway\] {name} has changed; .*started again", since=since)
    since = reload(gw, base.format(1, ""))
    assert not any("has changed" in line for line in gw.log[since:])


# ---- one after the other, and at once ------------------------------------------

@WORKERS
def test_many_reloads_at_once_and_a_stop(gateway, workers):
    """A storm of HUPs is one or two reloads; a TERM in it wins."""
    base = f"[gateway]\nworkers = {workers}\nlisten = 127.0.0.1:0\n[location /status]\nbridge = status\n"
    gw = gateway(base)
    for i in range(40):
        configure(gw, base + f"[location /s{i % 2}]\nbridge = static\nroot = html\n")
        gw.signal(signal.SIGHUP)
    gw.wait_log("reloaded")
    assert gw.http("GET", "/status").status == 200
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM,
                   signal.SIGINT, signal.SIGTERM):
        gw.signal(number)
    assert gw.wait() == 0
    gw.code = 0
