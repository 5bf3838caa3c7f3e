"""Every request ends in exactly one outcome, under faults of all kinds at once:
workers that die, clients that leave, timeouts, bodies too large, reloads. The
books balance at every moment, and in the end they agree with what clients saw."""
import os
import random
import signal
import socket
import threading
from collections import Counter

from harness import FACTOR, Conn, poll

OUTCOMES = ("answered", "refused", "failed", "timed_out", "cancelled")
CLIENTS, STEPS = 8, 100

# Every now and then it drops its connections and what it has, or is slower than
# the timeout.
WORKER = """
import random
dice = random.Random(int(args[1]))

def begin():
    s = ctx.socket(zmq.REP)
    s.linger = 0
    while True:
        try:
            s.bind(args[0])
            return s
        except zmq.ZMQError:
            time.sleep(.001)  # the port is not free yet

s = begin()
while True:
    body = s.recv()
    luck = dice.random()
    if luck < .02:
        s.close(0)
        s = begin()
        continue
    time.sleep(.6 if luck < .03 else .004 * dice.random() if luck < .5 else 0)
    s.send(body)
"""

CONFIG = """
[gateway]
listen  = 127.0.0.1:0
workers = 2

[location /echo]
bridge   = reqrep
req      = connect {} {}
timeout  = 250ms
queue    = 20
max_body = 4k
ping     = {}

[location /feed]
bridge = pubsub
sub    = connect {}
pub    = bind {}

[location /files]
bridge = static
root   = html

[location /status]
bridge = status
"""


def head(method, path, size=None):
    length = "" if size is None else f"Content-Length: {size}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode()


class Client:
    """Random requests, and for each location what it saw of their outcomes:
    seen[location, status], and lost[location], those whose outcome it did not
    wait for; begun[location] are whole heads that it sent."""

    def __init__(self, dice, address):
        self.dice, self.address = dice, address
        self.seen, self.lost, self.begun, self.wrong = Counter(), Counter(), Counter(), []
        self.conn = None

    # one request each ---------------------------------------------------------

    def ask(self, location, data, check=None, method="POST", n=1):
        """Sends n requests and waits for each outcome."""
        conn = self.open()
        self.begun[location] += n
        try:
            conn.send(data)
        except OSError:
            pass  # refused before all was sent: the answer is there
        for i in range(n):
            try:
                r = conn.response(method)
            except (OSError, EOFError) as e:
                self.wrong.append((location, data[:60], repr(e)))
                self.lost[location] += n - i
                self.close()
                return
            self.seen[location, r.status] += 1
            if check and r.status == 200 and not check(r):
                self.wrong.append((location, data[:60], r))
            if r.headers.get("Connection") == "close":
                self.lost[location] += n - i - 1
                self.close()
                return

    def echo(self):
        body = os.urandom(self.dice.randrange(1, 3000))
        self.ask("/echo", head("POST", "/echo", len(body)) + body, lambda r: r.body == body)

    def pipelined(self):
        self.ask("/echo", (head("POST", "/echo", 1) + b"x") * 3, lambda r: r.body == b"x", n=3)

    def publish(self):
        self.ask("/feed", head("POST", "/feed?topic=A", 2) + b"hi")

    def file(self):
        method, path = self.dice.choice([("GET", "/files/index.html"), ("HEAD", "/files/style.css"),
                                         ("GET", "/files/none"), ("PUT", "/files/index.html")])
        self.ask("/files", head(method, path), method=method)

    def too_large(self):
        size = self.dice.choice([5000, 200_000])
        self.ask("/echo", head("POST", "/echo", size) + b"z" * size)
        self.close()

    def too_large_chunked(self):
        self.ask("/echo", b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                 b"fff\r\n" + b"z" * 4095 + b"\r\n" + b"ff\r\n" + b"z" * 255 + b"\r\n0\r\n\r\n")
        self.close()

    def half_close(self):
        """An answer that is quick enough still comes."""
        with self.fresh() as conn:
            self.begun["/echo"] += 1
            conn.send(head("POST", "/echo", 1) + b"h").half_close()
            try:
                self.seen["/echo", conn.response().status] += 1
            except (OSError, EOFError):
                self.lost["/echo"] += 1

    # those who leave ------------------------------------------------------------

    def leave_in_head(self):
        whole = head("POST", "/echo", 10)
        with self.fresh() as conn:
            conn.send(whole[:self.dice.randrange(1, len(whole) - 1)])
            self.part(conn)

    def leave_in_body(self):
        location = self.dice.choice(["/echo", "/feed"])
        with self.fresh() as conn:
            self.begun[location] += 1
            self.lost[location] += 1
            conn.send(head("POST", location, 1000) + b"b" * self.dice.randrange(999))
            self.part(conn)

    def leave_while_waiting(self):
        location = self.dice.choice(["/echo", "/echo", "/feed", "/files"])
        method = "GET" if location == "/files" else "POST"
        with self.fresh() as conn:
            self.begun[location] += 1
            self.lost[location] += 1
            conn.send(head(method, location + ("/" if method == "GET" else ""), 1) + b"w")
            if self.dice.random() < .5:
                conn.sock.settimeout(self.dice.random() * .05)
                try:
                    conn.sock.recv(1)
                except OSError:
                    pass
            self.part(conn)

    def part(self, conn):
        if self.dice.random() < .5:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    # ------------------------------------------------------------------------

    def fresh(self):
        return Conn(self.address)

    def open(self):
        if not self.conn:
            self.conn = self.fresh()
        return self.conn

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def run(self):
        steps = [self.echo] * 5 + [self.pipelined, self.publish, self.file, self.too_large,
                                   self.too_large_chunked, self.half_close, self.leave_in_head,
                                   self.leave_in_body, self.leave_while_waiting, self.leave_while_waiting]
        for _ in range(STEPS):
            self.dice.choice(steps)()
            if self.dice.random() < .2:
                self.close()
        self.close()


class Worker:
    """A worker that is started again whenever it has died."""

    def __init__(self, start, dice, endpoint):
        self.start, self.dice, self.endpoint = start, dice, endpoint
        self.again()

    def again(self):
        self.process = self.start(WORKER, self.endpoint, self.dice.randrange(1 << 30))

    def look(self, kill):
        if kill:
            self.process.kill()
        if not self.process.running:
            self.again()


def unbalanced(status):
    """The locations whose books do not balance."""
    return [(at["path"], at["counters"]) for at in status["locations"] + status["leaving"]
            if at["counters"]["requests"] !=
            sum(at["counters"][k] for k in OUTCOMES) + at["counters"]["in_flight"]]


def shrunk(before, after):
    """What only grows and did not: outcomes and requests of kept locations."""
    old = {(at["path"], at["exact"]): at["counters"] for at in before["locations"]}
    return [(at["path"], k, old[at["path"], at["exact"]][k], at["counters"][k])
            for at in after["locations"] if (at["path"], at["exact"]) in old
            for k in ("requests", *OUTCOMES) if at["counters"][k] < old[at["path"], at["exact"]][k]]


def of(seen, location, *wanted):
    """How many answers of these statuses, or classes of them (2: 2xx)."""
    return sum(n for (at, status), n in seen.items()
               if at == location and (status in wanted or status // 100 in wanted))


def compare(location, counters, times, seen, lost, begun):
    """The gateway's numbers against the clients': they differ by those who did
    not wait for their outcome, at most."""
    all_seen = of(seen, location, 1, 2, 3, 4, 5)
    assert counters["in_flight"] == 0
    assert all_seen <= counters["requests"] <= begun, location
    late = (408, 504)
    refused = of(seen, location, 4, 503) - of(seen, location, 408)
    for name, there in (("status_2xx", of(seen, location, 2)), ("status_3xx", of(seen, location, 3)),
                        ("status_4xx", of(seen, location, 4)), ("status_5xx", of(seen, location, 5)),
                        ("answered", of(seen, location, 2, 3)), ("timed_out", of(seen, location, *late)),
                        ("refused", refused), ("failed", of(seen, location, 500, 502))):
        if location == "/files" and name in ("answered", "refused"):
            continue  # a 404 of static's is either
        assert there <= counters[name] <= there + lost, (location, name)
    ended = sum(counters[k] for k in OUTCOMES if k != "cancelled")
    assert ended == sum(counters[f"status_{n}xx"] for n in (2, 3, 4, 5))
    assert times["request_time"]["count"] == ended
    assert times["worker_time"]["count"] <= times["waiting_time"]["count"] <= ended


def test_the_books_balance(gateway, worker_process):
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    ends = [f"tcp://127.0.0.1:{p}" for p in free_ports(4)]
    gw = gateway(CONFIG.format(ends[0], ends[1], "25s", ends[2], ends[3]))
    workers = [Worker(worker_process, dice, e) for e in ends[:2]]
    gw.wait_status(lambda s: [at["peers"] for at in gw.location("/echo", s)["sockets"]] == [2, 2])
    clients = [Client(random.Random(dice.randrange(1 << 32)), gw.address) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=c.run) for c in clients]
    for t in threads:
        t.start()
    before, looks, reloads = gw.status(), 0, 0
    while any(t.is_alive() for t in threads):
        status = gw.status()
        assert not unbalanced(status) and not shrunk(before, status)
        before, looks = status, looks + 1
        for w in workers:
            w.look(kill=dice.random() < .004)
        if dice.random() < .05 and reloads == status["reloads"]:
            with open(gw.file, "w", encoding="utf-8") as f:  # something changed: the location goes on
                f.write(CONFIG.format(ends[0], ends[1], dice.choice(["25s", "26s"]), ends[2], ends[3]))
            gw.signal(signal.SIGHUP)
            reloads += 1
    for t in threads:
        t.join()
    assert looks > 10
    assert not [w for c in clients for w in c.wrong], "a request that was waited for has no answer"
    status = gw.wait_status(lambda s: s["reloads"] == reloads and not s["leaving"] and all(
        at["counters"]["in_flight"] == (at["path"] == "/status") for at in s["locations"]))
    assert not unbalanced(status)
    seen, lost, begun = (sum((getattr(c, k) for c in clients), Counter()) for k in ("seen", "lost", "begun"))
    print(dict(seen), dict(lost), dict(begun))
    for name in ("/echo", "/feed", "/files"):
        at = gw.location(name, status)
        compare(name, at["counters"], at["times"], seen, lost[name], begun[name])
    echo = gw.counters("/echo")
    assert echo["waiting"] == 0 and echo["outstanding"] == 0
    assert of(seen, "/echo", 502) <= echo["worker_lost"]
    # what those still had whose clients left comes to nothing in the end, too
    poll(lambda: gw.counters("/echo")["abandoned"] == 0, 20 * FACTOR)


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports
