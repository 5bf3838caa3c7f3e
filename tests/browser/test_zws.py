"""npm's jszmq in a real browser, as esbuild bundles it, against a real zgate."""
import os
import shutil
import subprocess

import pytest
import zmq
from harness import FACTOR, PATIENCE, ROOT, bind, free_port, zrecv
from selenium.webdriver.support.ui import WebDriverWait

MODULES = os.path.join(ROOT, "build/node/node_modules")
CONFIG = """
    [gateway]
    listen = 127.0.0.1:{port}

    [location /prices]
    bridge = pubsub
    sub    = connect {sub}
    pub    = connect {pub}

    [location /]
    bridge = static
    root   = {root}
"""
# `url` and `process` are Node's: jszmq wants the one only to bind, util the other to debug.
BUNDLE = ["--bundle", "--format=iife", "--log-level=error", "--define:global=window",
          "--define:process.env.NODE_DEBUG=undefined"]

pytestmark = pytest.mark.skipif(
    not shutil.which("esbuild") or not os.path.isdir(os.path.join(MODULES, "jszmq")),
    reason="./configure --install-deps brings esbuild and npm's jszmq")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a page that has jszmq as `zmq`."""
    folder = tmp_path_factory.mktemp("jszmq")
    (folder / "none.js").write_text("")
    (folder / "entry.js").write_text("window.zmq = require('jszmq');")
    (folder / "html").mkdir()
    (folder / "html/index.html").write_text("<!doctype html><title>jszmq</title><script src=jszmq.js></script>")
    subprocess.run(["esbuild", "entry.js", "--outfile=html/jszmq.js", f"--alias:url={folder}/none.js", *BUNDLE],
                   cwd=folder, env={**os.environ, "NODE_PATH": MODULES}, check=True)
    return folder / "html"


START = """
const url = location.origin.replace("http", "ws") + "/prices";
window.got = {};
for (const type of ["Sub", "XSub"]) {
    const s = new zmq[type]();
    got[type] = [];
    s.on("message", (...frames) => got[type].push(frames.map(f => f.toString("hex")).join(",")));
    s.connect(url);
    for (const topic of [[65], [255, 0], [...new TextEncoder().encode("€")]])
        if (type === "Sub")
            s.subscribe(zmq.Buffer.from(topic));
        else
            s.send(zmq.Buffer.from([1, ...topic]));
}
const all = new zmq.Sub();
got.all = [];
all.on("message", (...frames) => got.all.push(frames.map(f => f.toString("hex")).join(",")));
all.connect(url);
all.subscribe("");
const pub = new zmq.Pub();
let n = 0;
pub.connect(url);
setInterval(() => pub.send(["P", String(n++), zmq.Buffer.from([255])]), 10);
"""
TOPICS = [b"A", "€".encode(), b"\xff\0"]


def hex_of(frames):
    return ",".join(f.hex() for f in frames)


def test_jszmq(chromium, gateway, root, zmq_context):
    up, down = zmq_context.socket(zmq.XPUB), zmq_context.socket(zmq.SUB)
    down.subscribe(b"")
    config = CONFIG.format(port=free_port(), sub=bind(up), pub=bind(down), root=root)
    gw = gateway(config)


    def wait_for(condition):
        WebDriverWait(chromium, PATIENCE * FACTOR, 0.1).until(lambda _: condition())
    chromium.get(gw.url("/"))
    chromium.execute_script(START)
    seen = -1

    def received():
        return chromium.execute_script("return got")

    def subscribed():
        """All topics of all are in place."""
        for topic in TOPICS:
            up.send_multipart([topic, b"?", b"%d" % life])
        marks = {hex_of([t, b"?", b"%d" % life]) for t in TOPICS}
        return all(marks <= set(messages) for messages in received().values())

    for life in range(2):
        wait_for(subscribed)
        expected = [[b"A", b"1"], [b"\xff\0\1", b"", b"\0"], ["€".encode()], [b"A" * 70000], [b"A end"]]
        for frames in (*expected, [b"B"], [b"A", b"end"]):
            up.send_multipart(frames)
        wait_for(lambda: all(hex_of([b"A", b"end"]) in messages for messages in received().values()))
        for kind, messages in received().items():
            others = [hex_of([b"B"])] if kind == "all" else []
            assert messages[-len(expected) - len(others) - 1:] == [
                *map(hex_of, expected), *others, hex_of([b"A", b"end"])]
            assert "01" not in messages  # the gateway's subscription is for a Pub
        for _ in range(20):
            n = int(zrecv(down, PATIENCE * FACTOR)[1])
            assert n > seen
            seen = n
        if life == 0:
            assert gw.stop() == 0
            while down.poll(100):
                seen = int(down.recv_multipart()[1])
            chromium.execute_script("for (const kind in got) got[kind].length = 0")
            gw = gateway(config)
    chromium.get("about:blank")
