"""The browser for the page's tests, and the black-box tests' gateway for it."""
import os
import sys

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "blackbox"))
pytest.register_assert_rewrite("clients", "harness")

from harness import BINARY, gateway, time_limit, worker_process, zmq_context  # noqa: E402,F401

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--force-prefers-reduced-motion"]


def pytest_sessionstart(session):
    for program, remedy in ((BINARY, "run make first, or set ZGATE"),
                            (CHROMIUM, "install chromium"), (DRIVER, "install chromium-driver")):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not there: {remedy}", returncode=2)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()
