"""html/ in a real browser, served by a real zgate with the demo's peers: each
form is used once, and the page can be used by keyboard and on a phone."""
import re

import pytest
import zmq
from harness import FACTOR, PATIENCE, free_endpoint, zrecv
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

CONFIG = """
    [location /api/echo]
    bridge = reqrep
    req    = connect {req}

    [location /prices]
    bridge = pubsub
    sub    = connect {sub}
    pub    = bind {pub}

    [location /jobs]
    bridge  = pipeline
    framing = id
    push    = bind {push}
    pull    = bind {pull}

    [location /console]
    bridge = pair
    pair   = connect {pair}

    [location /]
    bridge = static
    root   = html

    [location /status]
    bridge = status

    [demo]
    interval = {interval}
    rep  = bind {req}
    pub  = bind {sub}
    pull = connect {push}
    push = connect {pull}
    pair = bind {pair}
"""
SOCKETS = ("req", "sub", "pub", "push", "pull", "pair")


class Page:
    """The dashboard of a gateway, open in Chromium."""

    def __init__(self, driver, gw):
        self.driver, self.gw = driver, gw
        self.open()

    def open(self):
        self.driver.get(self.gw.url("/"))
        self.until(lambda: self.find("body[data-ready]"))

    def until(self, condition, timeout=PATIENCE * FACTOR):
        return WebDriverWait(self.driver, timeout, 0.05).until(lambda _: condition())

    def find(self, selector):
        """The first element, or None."""
        found = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return found[0] if found else None

    def card(self, path):
        return self.find(f'[id="at{path}"]')

    def part(self, path, selector):
        return self.card(path).find_element(By.CSS_SELECTOR, selector)

    def parts(self, path, selector):
        return self.card(path).find_elements(By.CSS_SELECTOR, selector)

    def labelled(self, path, label):
        """The control that a label names."""
        text = self.card(path).find_element(By.XPATH, f'.//label[normalize-space()="{label}"]')
        return self.card(path).find_element(By.ID, text.get_attribute("for"))

    def button(self, path, text):
        return self.card(path).find_element(By.XPATH, f'.//button[normalize-space()="{text}"]')

    def click(self, path, text):
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})",
                                   self.button(path, text))
        self.button(path, text).click()

    def type(self, path, label, text):
        control = self.labelled(path, label)
        control.clear()
        control.send_keys(text)
        return control

    def text(self, path, selector):
        found = self.parts(path, selector)
        return found[0].text if found else ""

    def connect(self, path):
        self.click(path, "Connect")
        self.until(lambda: self.button(path, "Disconnect"))

    def messages(self, path):
        return self.driver.execute_script(
            "return [...arguments[0].querySelectorAll('.messages .text')].map(e => e.textContent)",
            self.card(path))

    def complaints(self):
        """What the browser's console holds against the page."""
        return [e["message"] for e in self.driver.get_log("browser")
                if e["level"] in ("SEVERE", "WARNING")]

    def resize(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})


@pytest.fixture
def page(request, chromium, gateway):
    ends = {name: free_endpoint() for name in SOCKETS}
    gw = gateway(CONFIG.format(**ends, interval="10ms" if "capped" in request.node.name else "100ms"))
    gw.wait_status(lambda s: all(z["peers"] for l in s["locations"] for z in l["sockets"]
                                 if z["directive"] != "pub"))
    chromium.get_log("browser")
    opened = Page(chromium, gw)
    opened.ends = ends
    yield opened
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get("about:blank")


def test_what_is_served(page):
    for path in ("/api/echo", "/prices", "/jobs", "/console", "/", "/status"):
        assert page.card(path), path
    page.until(lambda: "1 peer connected" in page.text("/api/echo", ".sockets"))
    assert page.find("#health").text == "running"
    page.until(lambda: page.find("#figures dd").text.endswith("/s"))
    assert "curl -d Hello" in page.text("/api/echo", ".snippet pre")
    assert [a.get_attribute("href") for a in page.parts("/status", ".links a")] == [
        page.gw.url("/status" + below) for below in ("", "/metrics", "/live", "/ready")]
    assert not page.complaints()


def test_request(page):
    page.type("/api/echo", "Body", "Hello from a browser").send_keys(Keys.CONTROL, Keys.ENTER)
    page.until(lambda: "200" in page.text("/api/echo", ".outcome"))
    assert "Hello from a browser" in page.text("/api/echo", ".result .body")
    assert not page.complaints()


@pytest.mark.parametrize("way", ["raw", "zgate.js"])
def test_watch_topics(page, way):
    page.type("/prices", "Topics", "A")
    Select(page.labelled("/prices", "As")).select_by_value(way)
    page.connect("/prices")
    page.until(lambda: len([m for m in page.messages("/prices") if m.startswith("A")]) > 2)
    received = [m for m in page.messages("/prices") if not m.startswith("subscribed")]
    assert all(m.startswith("A") for m in received), received
    page.click("/prices", "Pause")
    page.click("/prices", "Clear")
    assert page.messages("/prices") == []
    page.click("/prices", "Resume")
    page.until(lambda: page.messages("/prices"))
    page.click("/prices", "Disconnect")
    page.until(lambda: page.button("/prices", "Connect"))
    assert not page.complaints()


def test_messages_are_capped(page):
    page.connect("/prices")
    page.until(lambda: int(re.match("[0-9,]+", page.text("/prices", ".stream .muted"))[0]
                           .replace(",", "")) > 600)
    assert 0 < len(page.messages("/prices")) <= 500


def test_publish(page, zmq_context):
    sub = zmq_context.socket(zmq.SUB)
    sub.subscribe("")
    sub.connect(page.ends["pub"])
    page.gw.wait_peers("/prices", "pub", 1)
    page.type("/prices", "Topic", "A")
    page.type("/prices", "Message", "Hello")
    page.click("/prices", "Publish")
    page.until(lambda: "202" in page.text("/prices", "form + form .state"))
    assert zrecv(sub) == [b"A Hello"]
    assert not page.complaints()


def test_upload_text_and_file(page, tmp_path):
    page.type("/jobs", "Or text", "typed").send_keys(Keys.CONTROL, Keys.ENTER)
    page.until(lambda: "202" in page.text("/jobs", ".uploads li .state"))
    page.until(lambda: page.text("/jobs", ".uploads li .body"))
    file = tmp_path / "photo.bin"
    file.write_bytes(bytes(range(256)) * 256)
    page.part("/jobs", "input[type=file]").send_keys(str(file))
    page.until(lambda: "photo.bin" in page.text("/jobs", ".uploads li"))
    page.until(lambda: page.text("/jobs", ".uploads li .body"))
    assert len(page.parts("/jobs", ".uploads li")) == 2
    page.until(lambda: len(page.messages("/jobs")) == 2)
    assert not page.complaints()


def test_drop_a_file(page):
    page.driver.execute_script("""
        const what = new DataTransfer();
        what.items.add(new File(["dropped"], "dropped.txt"));
        arguments[0].dispatchEvent(new DragEvent("drop", {dataTransfer: what, cancelable: true}));
        """, page.part("/jobs", ".drop"))
    page.until(lambda: "dropped.txt" in page.text("/jobs", ".uploads li"))
    page.until(lambda: "7 bytes" in page.text("/jobs", ".uploads li .body"))


def test_upload_too_large_is_explained(page, tmp_path):
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(3 << 20))
    page.part("/jobs", "input[type=file]").send_keys(str(file))
    page.until(lambda: page.find('.uploads .state[data-state="bad"]'))
    said = page.text("/jobs", ".uploads .state")
    assert "413" in said or "max_body" in said


def test_talk(page):
    page.connect("/console")
    page.type("/console", "Text", "Grüße").send_keys(Keys.ENTER)
    page.until(lambda: len(page.messages("/console")) > 1)
    assert all("Grüße" in m for m in page.messages("/console"))
    assert [e.get_attribute("class") for e in page.parts("/console", ".messages p")] == ["out", "in"]
    assert not page.complaints()


def test_second_talk_is_explained(page):
    with page.gw.ws("/console"):
        page.until(lambda: page.gw.counters("/console")["ws_open"] == 1)
        page.open()
        page.click("/console", "Connect")
        page.until(lambda: "409" in page.text("/console", ".state[aria-live]"))


def test_gateway_gone(page):
    page.gw.stop()
    page.until(lambda: page.find("#notice").is_displayed())
    assert "does not answer" in page.find("#notice").text
    assert page.find("#health").text == "not answering"


def test_phone(page):
    page.connect("/prices")
    page.until(lambda: len(page.messages("/prices")) > 2)
    page.click("/api/echo", "Send")
    page.until(lambda: "200" in page.text("/api/echo", ".outcome"))
    page.driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.resize(360, 740)
    width = "return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
    assert page.driver.execute_script(width) <= 360
    outside = page.driver.execute_script("""
        return [...document.querySelectorAll("main *, header *, nav *")].filter(e => {
            const box = e.getBoundingClientRect();
            const frame = e.closest(".card")?.getBoundingClientRect().right ?? 360;
            return box.width && box.right > frame + 1 && !e.closest("svg, .messages, pre");
        }).map(e => e.outerHTML.slice(0, 80))""")
    assert outside == []


def test_keyboard_reaches_everything(page):
    page.driver.execute_script("""
        window.seen = new Set();
        document.addEventListener("focusin", e => seen.add(e.target));""")
    total = page.driver.execute_script("""
        return document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]").length""")
    page.find("body").send_keys(Keys.TAB)
    for _ in range(total // 20 + 1):
        ActionChains(page.driver).send_keys(Keys.TAB * 20).perform()
    missed = page.driver.execute_script("""
        const controls = document.querySelectorAll("main :is(a, button, input, select, textarea, summary), nav a");
        return [...controls].filter(c => !c.disabled && c.checkVisibility() && !seen.has(c))
            .map(c => c.outerHTML.slice(0, 120))""")
    assert missed == []
    nameless = page.driver.execute_script("""
        return [...document.querySelectorAll("input, select, textarea")]
            .filter(c => !c.labels.length).map(c => c.outerHTML)""")
    assert nameless == []
