"""Fixtures of the black-box tests; harness.py says how to use them."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
pytest.register_assert_rewrite("clients", "harness", "publishing")

from harness import BINARY, gateway, time_limit, worker_process, zmq_context  # noqa: E402,F401
from publishing import publisher  # noqa: E402,F401


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} is not there: run make first, or set ZGATE", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    for gw in getattr(item, "gateways", []) if report.failed and call.when == "call" else []:
        report.sections.append((f"log of zgate {gw.pid}", "\n".join(gw.log[-60:])))
