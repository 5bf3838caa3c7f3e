"""html/zgate.js in a real browser, against a real zgate: its whole promise, with
connections that a proxy in between cuts, freezes or does not let be WebSockets."""
import json
import random
import selectors
import socket
import threading

import pytest
import zmq
from harness import FACTOR, PATIENCE, bind, free_port, poll, zrecv

PATIENT = 20 * FACTOR

# What the tests say to the browser begins with this. got: per name, what a callback got.
PRELUDE = """
const done = arguments[arguments.length - 1];
(async () => {
    const { connect } = await import("/zgate.js");
    const plain = (data) => typeof data === "string" ? data : [...data];
    const watch = (client, topic, name = topic) => {
        got[name] = [];
        return client.subscribe(topic, (m) => got[name].push(`${m.topic} ${plain(m.data)}`), {
            onGap: (missed) => got[name].push(missed),
            onError: (e) => got[name].push(`${e.code} ${e.permanent}`),
        });
    };
    const open = (path, options) => {
        window.client = connect(path, options);
        client.addEventListener("state", (e) => states.push(e.detail.state));
        client.addEventListener("error", (e) => errors.push(e.detail.message));
        return client;
    };
    const outcome = (promise) => promise.then(() => "done", (e) => e.code || e.message);
    BODY
})().then(done, (e) => done(`${e}\\n${e.stack}`));
"""


class Browser:
    """A page of the gateway's origin, empty but for what the tests do in it."""

    def __init__(self, driver, url):
        self.driver = driver
        driver.get(url + "zgate.js")
        driver.execute_script("window.got = {}; window.states = []; window.errors = [];")

    def run(self, body, *args):
        return self.driver.execute_async_script(PRELUDE.replace("BODY", body), *args)

    def join(self, *topics):
        """Watches them at /prices; the gateway sends them from now on."""
        self.run("""
            open("/prices");
            await Promise.all(TOPICS.map((t) => watch(client, t).ready));
            """.replace("TOPICS", json.dumps(topics)))

    def got(self, name):
        return self.driver.execute_script("return got[arguments[0]]", name)

    def read(self, name):
        return self.driver.execute_script(f"return {name}")

    def wait(self, name, *want):
        """What the callback of that name got, when it has got that last."""
        poll(lambda: (self.got(name) or [])[-len(want):] == list(want), PATIENT)
        return self.got(name)

    def hurry(self):
        """The network is back, as browsers tell: no long waiting."""
        self.driver.execute_script("dispatchEvent(new Event('online'))")


class Proxy:
    """Between browser and gateway: cuts connections after so many bytes, freezes
    them, takes none, or refuses WebSockets as some company's proxy does."""

    def __init__(self, target):
        self.target, self.refuses_ws, self.away, self.frozen = target, False, False, False
        self.cut_after = lambda: None  # bytes that a new WebSocket or stream is given
        self.cuts, self.pairs, self.ended = 0, {}, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.poller = selectors.DefaultSelector()
        self.poller.register(self.listener, selectors.EVENT_READ)
        self.wanted = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def cut(self):
        """Ends all connections."""
        self.wanted.set()
        poll(lambda: not self.wanted.is_set())

    def close(self):
        self.ended = True
        self.thread.join()

    def _run(self):
        while not self.ended:
            for key, _ in self.poller.select(0.02):
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj in self.pairs and not self.frozen:
                    self._pass(key.fileobj)
            if self.wanted.is_set():
                for sock in list(self.pairs):
                    self._drop(sock)
                self.wanted.clear()
        for sock in [*self.pairs, self.listener]:
            sock.close()

    def _accept(self):
        client = self.listener.accept()[0]
        if self.away:
            client.close()
            return
        server = socket.create_connection(self.target)
        left = [None]
        for a, b in ((client, server), (server, client)):
            self.pairs[a] = b, a is client, left
            self.poller.register(a, selectors.EVENT_READ)

    def _pass(self, sock):
        other, up, left = self.pairs[sock]
        try:
            data = sock.recv(65536)
            if up and data.startswith(b"GET /prices"):
                left[0] = self.cut_after()
                if self.refuses_ws and b"\nUpgrade: websocket" in data:
                    data = b""
            elif not up and left[0] is not None:
                data, left[0] = data[:left[0]], left[0] - len(data)
            if data:
                other.sendall(data)
            if not data or (left[0] is not None and left[0] <= 0):
                self.cuts += 1
                self._drop(sock)
        except OSError:
            self._drop(sock)

    def _drop(self, sock):
        if sock in self.pairs:
            for s in (sock, self.pairs[sock][0]):
                self.poller.unregister(s)
                del self.pairs[s]
                s.close()


class Place:
    """A gateway with a publisher, and what the gateway publishes."""

    def __init__(self, gateway, context, *lines, port=0):
        self.xpub, self.sub = context.socket(zmq.XPUB), context.socket(zmq.SUB)
        self.xpub.set_hwm(0)
        self.sub.subscribe(b"")
        self.config = "\n".join([
            "[gateway]", f"listen = 127.0.0.1:{port}", "[location /prices]", "bridge = pubsub",
            f"sub = connect {bind(self.xpub)}", f"pub = connect {bind(self.sub)}", *lines,
            "[location /]", "bridge = static", "root = html", ""])
        self.gateway = gateway
        self.start()

    def start(self):
        self.gw = self.gateway(self.config)
        self.gw.wait_peers("/prices", "sub", 1)

        def warm():  # until the subscription of self.sub has arrived
            assert self.gw.http("POST", "/prices?topic=warm", b"up").status == 202
            return self.sub.poll(50)
        poll(warm)
        while self.sub.poll(50):
            self.sub.recv()

    def told(self, what):
        """Waits for that subscription, b"\\1A", or its end, b"\\0A"."""
        while zrecv(self.xpub)[0] != what:
            pass

    def publish(self, *messages):
        for m in messages:
            self.xpub.send_multipart([f.encode() for f in m] if isinstance(m, list) else
                                     [m if isinstance(m, bytes) else m.encode()])


@pytest.fixture
def place(gateway, zmq_context):
    return lambda *lines, **options: Place(gateway, zmq_context, *lines, **options)


@pytest.fixture
def proxy():
    made = []

    def make(gw):
        made.append(Proxy(gw.address))
        return made[-1]
    yield make
    for p in made:
        p.close()


@pytest.fixture
def browser(chromium):
    yield lambda url: Browser(chromium, url)
    chromium.get("about:blank")


def test_subscribe_and_publish(place, browser):
    here = place()
    page = browser(here.gw.url())
    assert page.run("""
        open("/prices");
        const early = client.publish("X", "0"); // waits for the connection
        const subs = [watch(client, "A"), watch(client, "A", "A again"), watch(client, "AB"),
            watch(client, "C x")];
        window.subs = subs;
        await Promise.all(subs.map((s) => s.ready));
        return [client.state, client.transport, await outcome(early),
            await outcome(client.publish("X", "ü 1")),
            await outcome(client.publish("X", new Uint8Array([0, 255, 10]))),
            await outcome(client.publish("X", 7))];
        """) == ["open", "websocket", "done", "done", "done",
                 "publish() takes a topic, a string, and a string or bytes"]
    assert [zrecv(here.sub) for _ in range(3)] == [[b"X 0"], ["X ü 1".encode()], [b"X \0\xff\n"]]
    here.told(b"\1C x")
    here.publish("A 1", "B 2", ["AB", "3"], b"A \xff\0", "C x4", "C y5", "A 6")
    assert page.wait("A", "A 6") == ["A 1", "AB 3", "A 255,0", "A 6"] == page.got("A again")
    assert (page.got("AB"), page.got("C x")) == (["AB 3"], ["C x4"])
    # one of two leaves: the other stays; the last one leaves upstream too
    page.run("subs[0].unsubscribe(); subs[0].unsubscribe(); subs[2].unsubscribe();")
    here.told(b"\0AB")
    here.publish("AB 7")
    page.wait("A again", "AB 7")
    assert page.got("A")[-1] == "A 6" and page.got("AB") == ["AB 3"]
    page.run("subs[1].unsubscribe();")
    here.told(b"\0A")
    # a callback that throws, and one that unsubscribes in the middle
    page.run("""
        client.subscribe("D", () => { throw new Error("on purpose"); });
        const sub = client.subscribe("D", (m) => { got.once = [m.data]; sub.unsubscribe(); });
        await watch(client, "D").ready;""")
    here.publish("D 1", "D 2")
    assert page.wait("D", "D 1", "D 2") and page.got("once") == ["1"]
    assert page.run("""
        const last = client.publish("X", "9");
        client.close();
        return [await outcome(last), await outcome(client.publish("X", "10")),
            await outcome(watch(client, "A").ready), client.state];
        """) == ["unknown", "closed", "closed", "closed"]
    here.gw.wait_status(lambda s: here.gw.location("/prices", s)["counters"]["ws_open"] == 0)
    assert page.read("errors") == []


def test_in_a_worker(place, browser):
    here = place()
    page = browser(here.gw.url())
    page.run("""
        got.worker = [];
        const code = `import { connect } from "${location.origin}/zgate.js";
            const client = connect("${location.origin}/prices");
            const sub = client.subscribe("A", (m) => postMessage(m.data));
            sub.ready.then(() => postMessage("ready"));`;
        const file = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
        window.worker = new Worker(file, { type: "module" });
        worker.onmessage = (e) => got.worker.push(e.data);""")
    page.wait("worker", "ready")
    here.publish("A 1")
    page.wait("worker", "1")


def test_refusals_are_told(place, browser):
    here = place("topics = A, B")
    page = browser(here.gw.url())
    assert page.run("""
        open("/prices");
        const subs = [["C"], ["A"], ["A".repeat(600), "long"]].map((args) => watch(client, ...args));
        return Promise.all(subs.map((s) => outcome(s.ready)));
        """) == ["forbidden", "done", "bad_request"]
    here.publish("A 1")
    assert page.wait("A", "A 1") == ["A 1"]
    assert page.got("C") == ["forbidden true"] and page.got("long") == ["bad_request true"]
    # no such location: told, tried again
    page.run("open('/nowhere'); watch(client, 'A');")
    poll(lambda: any(e.startswith("404 ") for e in page.read("errors")), PATIENT)
    assert page.read("client.state") == "waiting"


def test_gateway_restart(place, browser):
    """The same port, another process: what was published in between is lost, and
    how much cannot be known."""
    here = place(port=free_port())
    page = browser(here.gw.url())
    page.join("A", "AB")
    here.publish("A 1")
    page.wait("A", "A 1")
    here.gw.stop()
    poll(lambda: page.read("client.state") == "waiting")
    here.publish("A 2")
    page.run("""
        watch(client, "B");
        got.published = [];
        client.publish("X", "late").then(() => got.published.push("done"),
            (e) => got.published.push(e.code));""")
    here.start()
    page.hurry()
    page.wait("published", "done")
    here.told(b"\1B")
    here.publish("A 3", "AB 4", "B 5")
    assert page.wait("A", "AB 4") == ["A 1", None, "A 3", "AB 4"]
    assert page.wait("AB", "AB 4") == [None, "AB 4"]
    assert page.wait("B", "B 5") == ["B 5"]
    assert page.read("states").count("open") == 2 and page.read("client.transport") == "websocket"


def test_offline(place, browser, proxy):
    here = place()
    between = proxy(here.gw)
    page = browser(between.url)
    page.run("open('/prices', { timeout: 300 }); await watch(client, 'A').ready;")
    between.away = True
    between.cut()
    assert page.run("return outcome(client.publish('X', '1'))") in ("offline", "unknown")
    assert page.run("return outcome(client.publish('X', '2'))") == "offline"
    between.away = False
    page.hurry()
    poll(lambda: page.run("return outcome(client.publish('X', '3'))") == "done", PATIENT)
    assert zrecv(here.sub)[0] in (b"X 1", b"X 3")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_resume_wherever_it_breaks(place, browser, proxy, seed):
    """Connections end after a random number of bytes, in the middle of frames and
    of what is resumed: every callback gets everything, once and in order."""
    here = place("history = 5000")
    between = proxy(here.gw)
    dice = random.Random(seed)
    page = browser(between.url)
    page.join("A", "AB", "B")
    between.cut_after = lambda: dice.choice([1, 129, 150, 300, 1000, 3000, 20000])
    between.cut()
    sent = [f"{('A', 'AB', 'B', 'C')[i % 4]} {i}" for i in range(1500)]
    for i in range(0, len(sent), 50):
        cuts, last = between.cuts, [m for m in sent[i:i + 50] if m[0] == "B"][-1]
        here.publish(*sent[i:i + 50])
        poll(lambda: page.hurry() or between.cuts > cuts or page.got("B")[-1:] == [last], PATIENT)
    for topic in ("A", "AB", "B"):
        expected = [m for m in sent if m.startswith(topic)]
        poll(lambda: page.hurry() or page.got(topic)[-1:] == expected[-1:], PATIENT, 0.05)
        assert page.got(topic) == expected
    assert between.cuts > 3


def test_gap_where_history_ends(place, browser, proxy):
    here = place("history = 10")
    between = proxy(here.gw)
    page = browser(between.url)
    page.join("A")
    here.publish("A 0")
    page.wait("A", "A 0")
    between.away = True
    between.cut()
    here.publish(*(f"A {i}" for i in range(1, 51)))
    here.gw.wait_counter("/prices", "received", 51)
    between.away = False
    page.hurry()
    assert page.wait("A", "A 50") == ["A 0", 40, *(f"A {i}" for i in range(41, 51))]


def test_many_topics_resume(place, browser, proxy):
    """More than a URL carries: the others resume one by one."""
    here = place("history = 5000")
    between = proxy(here.gw)
    page = browser(between.url)
    page.join(*(f"T{i}-" for i in range(600)))
    here.publish(*(f"T{i}- 0" for i in range(600)))
    page.wait("T599-", "T599- 0")
    between.away = True
    between.cut()
    here.publish(*(f"T{i}- {n}" for n in range(1, 4) for i in range(600)))
    here.gw.wait_counter("/prices", "received", 2400)
    between.cut_after = lambda: 60000  # in the middle of it, several times
    between.away = False
    poll(lambda: page.hurry() or between.cuts >= 3 or page.got("T599-")[-1] == "T599- 3",
         PATIENT, 0.05)
    between.cut_after = lambda: None
    between.cut()
    poll(lambda: page.hurry() or page.got("T599-")[-1] == "T599- 3", PATIENT, 0.05)
    here.publish(*(f"T{i}- 4" for i in range(600)))
    page.wait("T599-", "T599- 4")
    wrong = {k: v for k, v in page.read("got").items() if v != [f"{k} {n}" for n in range(5)]}
    assert not wrong


def test_silence_is_noticed(place, browser, proxy):
    """A connection over which nothing comes any more, as behind a dead network."""
    here = place("history = 100")
    between = proxy(here.gw)
    page = browser(between.url)
    page.run("open('/prices', { heartbeat: 400 }); await watch(client, 'A').ready;")
    here.publish("A 1")
    page.wait("A", "A 1")
    between.frozen = True
    here.publish("A 2")
    poll(lambda: page.read("client.state") != "open", PATIENT)
    between.frozen = False
    between.cut()
    page.hurry()
    assert page.wait("A", "A 2") == ["A 1", "A 2"]


def test_without_websockets(place, browser, proxy):
    """Server-Sent Events and POST do the same; a WebSocket does it again when it can."""
    here = place("history = 10")
    between = proxy(here.gw)
    between.refuses_ws = True
    page = browser(between.url)
    assert page.run("""
        open("/prices");
        window.subs = [watch(client, "A"), watch(client, "AB")];
        await Promise.all(subs.map((s) => s.ready));
        return [client.transport, await outcome(client.publish("X", "ü 1\\n2")),
            await outcome(client.publish("X", new Uint8Array([0, 255])))];
        """) == ["sse", "done", "done"]
    assert [zrecv(here.sub) for _ in range(2)] == [["X ü 1\n2".encode()], [b"X \0\xff"]]
    here.publish("A ü\n1\r\n", ["AB", "2 3"], b"A \xff", "B 4")
    assert page.wait("A", "A 255") == ["A ü\n1\r\n", "AB 2 3", "A 255"]
    assert page.got("AB") == ["AB 2 3"]
    # another topic, and one less
    page.run("subs[1].unsubscribe(); await watch(client, 'C').ready;")
    here.publish("AB 5", "C 6")
    page.wait("C", "C 6")
    assert page.got("A")[-1] == "AB 5" and page.got("AB") == ["AB 2 3"]
    # what was missed, and a gap where that is not all there
    between.away = True
    between.cut()
    here.publish("C 7", "D 8", "A 9")
    here.gw.wait_counter("/prices", "received", 9)
    between.away = False
    poll(lambda: page.hurry() or page.got("A")[-1] == "A 9", PATIENT, 0.05)
    assert page.got("C") == ["C 6", "C 7"] and page.got("A")[-2:] == ["AB 5", "A 9"]
    between.away = True
    between.cut()
    here.publish(*(f"A {i}" for i in range(10, 30)))
    here.gw.wait_counter("/prices", "received", 29)
    between.away = False
    poll(lambda: page.hurry() or page.got("A")[-1] == "A 29", PATIENT, 0.05)
    assert page.got("A")[-11:] == [10, *(f"A {i}" for i in range(20, 30))]
    between.refuses_ws = False
    between.cut()
    poll(lambda: page.hurry() or page.read("client.transport") == "websocket", PATIENT, 0.05)
    here.publish("A 30")
    assert page.wait("A", "A 30")[-2:] == ["A 29", "A 30"]


def test_refusals_without_websockets(place, browser, proxy):
    here = place("topics = A, B")
    between = proxy(here.gw)
    between.refuses_ws = True
    page = browser(between.url)
    assert page.run("""
        open("/prices");
        return Promise.all(["C", "A", "D", "B"].map((t) => outcome(watch(client, t).ready)));
        """) == ["forbidden", "done", "forbidden", "done"]
    here.publish("A 1", "B 2")
    page.wait("B", "B 2")
    # while the stream was opened anew without the refused ones, nobody listened: a gap
    # of unknown size may be told
    assert [m for m in page.got("A") if m is not None] == ["A 1"]
    assert page.got("C") == ["forbidden true"]
    assert page.run("return outcome(watch(client, 'E').ready)") == "forbidden"
    # publishing only: there is nothing to stream
    assert page.run("open('/prices'); return outcome(client.publish('X', '1'))") == "done"
    assert zrecv(here.sub) == [b"X 1"]
