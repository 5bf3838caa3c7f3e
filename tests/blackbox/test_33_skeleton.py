"""modules/skeleton: what newcomers copy works, and wrong modules are refused."""
import os
import re
import shutil
import subprocess

import pytest
from harness import BINARY, ROOT, SANITIZED, GatewayFailed, zgate

MODULES = os.environ.get("ZGATE_MODULES") or os.path.join(os.path.dirname(BINARY), "modules")
SKELETON = os.path.join(MODULES, "skeleton.so")
SOURCE = os.path.join(ROOT, "modules/skeleton/skeleton.c")

CONFIG = """
    [gateway]
    load_module = {so}

    [location /hello]
    bridge = {name}
    {more}
"""


def config(so=SKELETON, name="skeleton", more=""):
    return CONFIG.format(so=so, name=name, more=more)


@pytest.fixture
def build(tmp_path):
    """Compiles a module, as configure's Makefile does."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")

    def make(name, source):
        (tmp_path / f"{name}.c").write_text(source)
        so = tmp_path / f"{name}.so"
        flags = ["-fsanitize=address,undefined"] if SANITIZED else []
        subprocess.run([*compiler.split(), "-std=gnu11", "-D_GNU_SOURCE", "-DZG_DYNAMIC", "-Wall", "-Wextra",
                        "-Werror", "-fPIC", "-shared", *flags, "-I", os.path.join(ROOT, "core"),
                        "-o", so, tmp_path / f"{name}.c"], check=True)
        return so
    return make


def source():
    with open(SOURCE, encoding="utf-8") as f:
        return f.read()


def test_it_greets(gateway):
    gw = gateway(config())
    r = gw.http("GET", "/hello/Ann")
    assert (r.status, r.text) == (200, "Hello, Ann! You are visitor 1.\n")
    assert r.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert gw.http("GET", "/hello").text == "Hello, stranger! You are visitor 2.\n"
    assert gw.http("GET", "/hello/a%20b/c").text == "Hello, a b/c! You are visitor 3.\n"
    assert gw.http("POST", "/hello", b"x").status == 405
    assert gw.counters("/hello")["greeted"] == 3
    assert b'zgate_skeleton_greeted_total{location="/hello",bridge="skeleton"} 3\n' in \
        gw.http("GET", "/status/metrics").body


def test_each_location_has_its_own_state(gateway):
    gw = gateway(config(more="""greeting = Good morning

    [location /bye]
    bridge = skeleton
    greeting = Goodbye
    """))
    assert gw.http("GET", "/hello/A").text == "Good morning, A! You are visitor 1.\n"
    assert gw.http("GET", "/bye/B").text == "Goodbye, B! You are visitor 1.\n"


def test_its_check_hook(gateway):
    with pytest.raises(GatewayFailed, match=r"gateway\.ini:\d+: \[location /hello\] greeting: is longer"):
        gateway(config(more="greeting = " + "x" * 101))


def test_a_copy_under_another_name(gateway, build):
    """As the README says."""
    so = build("mine", source().replace("skeleton", "mine"))
    gw = gateway(config(so, "mine"))
    assert gw.http("GET", "/hello/Ann").status == 200
    assert gw.counters("/hello")["greeted"] == 1


def test_another_abi_is_refused_with_both_numbers(gateway, build):
    so = build("old", re.sub(r"\.abi = \w+", ".abi = 4711", source()))
    with pytest.raises(GatewayFailed, match=r"4711") as e:
        gateway(config(so))
    assert e.value.code == 1
    assert any(re.search(r"4711.*\b2\b|\b2\b.*4711", l) for l in e.value.log)


@pytest.mark.parametrize("change, complaint", [
    (("zg_module_t ZG_MODULE(skeleton)", "zg_module_t another"), "zg_module"),
    (('.name = "skeleton"', '.name = "static"'), "static")])
def test_what_is_no_module_is_refused(gateway, build, change, complaint):
    assert change[0] in source()
    so = build("broken", source().replace(*change))
    with pytest.raises(GatewayFailed, match=complaint):
        gateway(config(so))


@pytest.mark.parametrize("name", ["nothing.so", "text.so"])
def test_a_file_that_is_not_there_or_no_library(gateway, tmp_path, name):
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(GatewayFailed, match=name):
        gateway(config(tmp_path / name))


def test_not_loaded_is_not_known(gateway):
    with pytest.raises(GatewayFailed, match=r"\[location /hello\].*skeleton"):
        gateway("[location /hello]\nbridge = skeleton")


def test_its_directive_is_printed(tmp_path):
    ini = tmp_path / "gateway.ini"
    ini.write_text(config().replace("    ", ""))
    r = zgate("-p", ROOT, "-c", str(ini), "-T")
    assert r.returncode == 0, r.stderr
    assert re.search(r"greeting *= *Hello", r.stdout)
