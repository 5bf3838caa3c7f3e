"""make install and make uninstall, the manual, completion, and a module built out of the tree."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from harness import BINARY, FACTOR, ROOT, Process, http_request, zgate

VARIANT = os.path.basename(os.path.dirname(BINARY))
ENV = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}


def make(*args, cwd=ROOT):
    r = subprocess.run(["make", *args], cwd=cwd, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=900, check=False)
    assert r.returncode == 0, r.stdout[-3000:] + r.stderr[-3000:]
    return r.stdout


def tree(top):
    return sorted(os.path.relpath(os.path.join(folder, name), top)
                  for folder, _, names in os.walk(top) for name in names)


def build_prefix():
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as f:
        return re.search(r"(?m)^prefix\s*=\s*(\S+)", f.read()).group(1)


@pytest.fixture(scope="module")
def destdir(tmp_path_factory):
    """What make install DESTDIR= puts there."""
    top = tmp_path_factory.mktemp("destdir")
    make("install", f"DESTDIR={top}", f"DEFAULT={VARIANT}")
    return str(top)


@pytest.fixture
def installed(destdir):
    """The folder of the prefix in it."""
    return destdir + build_prefix()


def run(*argv, env=None, **options):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False, env={**ENV, **(env or {})}, **options)


def pkg_config(destdir, *args):
    folder = destdir + build_prefix() + "/lib/pkgconfig"
    r = run("pkg-config", *args, "zgate", env={"PKG_CONFIG_LIBDIR": folder, "PKG_CONFIG_PATH": "",
                                             "PKG_CONFIG_SYSROOT_DIR": destdir})
    assert r.returncode == 0, r.stderr
    return r.stdout.split()


# what is put where ------------------------------------------------------------

def expected(installed):
    """Every file that an installation has."""
    with open(os.path.join(ROOT, "core/zgate.h"), encoding="utf-8") as f:
        headers = {"zgate.h", *re.findall(r'#include "(.*)"', f.read())}
    units = {name[:-3] for name in os.listdir(os.path.join(ROOT, "conf")) if re.search(r"\.(service|socket)\.in$", name)}
    modules = {name for name in os.listdir(os.path.join(os.path.dirname(BINARY), "modules")) if name.endswith(".so")}
    return {"bin/zgate", "conf/gateway.ini", "lib/pkgconfig/zgate.pc", "share/man/man8/zgate.8",
            "share/man/man5/gateway.ini.5", "share/bash-completion/completions/zgate",
            *(f"include/zgate/{h}" for h in headers), *(f"lib/systemd/system/{u}" for u in units),
            *(f"lib/zgate/modules/{m}" for m in modules),
            *(os.path.relpath(os.path.join(folder, name), ROOT)
              for folder, _, names in os.walk(os.path.join(ROOT, "html")) for name in names)}


def test_the_tree(destdir, installed):
    found, wanted = set(tree(installed)), expected(installed)
    assert tree(destdir) == sorted(os.path.relpath(os.path.join(installed, f), destdir) for f in found)
    assert wanted <= found
    assert {os.path.dirname(f).split("/zgate/")[0] for f in found - wanted} <= {"include"}, "headers of headers"
    for f in found:
        with open(os.path.join(installed, f), "rb") as file:
            text = file.read()
        mode = os.stat(os.path.join(installed, f)).st_mode & 0o777
        assert mode == (0o755 if f == "bin/zgate" else 0o644), f
        if not f.startswith(("bin/", "lib/zgate/modules/")):
            assert destdir.encode() not in text and ROOT.encode() not in text, f"{f} holds a path of the build"
            assert not f.startswith(("lib/", "share/man")) or not re.search(rb"@[a-z_]+@", text), f


def test_what_an_operator_has_changed_is_kept(tmp_path):
    install = "install", f"DESTDIR={tmp_path}", f"DEFAULT={VARIANT}"
    top = str(tmp_path) + build_prefix()
    make(*install)
    conf, page = os.path.join(top, "conf/gateway.ini"), os.path.join(top, "html/index.html")
    for name in conf, page:
        with open(name, "w", encoding="utf-8") as f:
            f.write("mine")
    mine = os.path.join(top, "lib/zgate/modules/mine.so")
    with open(mine, "w", encoding="utf-8") as f:
        f.write("mine")
    make(*install)
    with open(conf + ".default", encoding="utf-8") as f:
        assert "[gateway]" in f.read()
    for name in conf, page:
        with open(name, encoding="utf-8") as f:
            assert f.read() == "mine"
    make("uninstall", f"DESTDIR={tmp_path}")
    assert tree(top) == ["conf/gateway.ini", "html/index.html", "lib/zgate/modules/mine.so"]
    for name in conf, page, mine:
        os.unlink(name)
    make(*install)
    make("uninstall", f"DESTDIR={tmp_path}")
    assert tree(tmp_path) == []
    assert not os.path.exists(os.path.join(top, "include/zgate")) and not os.path.exists(os.path.join(top, "conf"))


# modules ------------------------------------------------------------------------

def test_the_headers_stand_alone(destdir, installed, tmp_path):
    """Strict C11, one by one, and nothing of the libraries behind them."""
    flags = pkg_config(destdir, "--cflags")
    assert f"-I{installed}/include/zgate" in flags and "-DZG_DYNAMIC" in flags and "-fPIC" in flags
    strict = "cc", *flags, "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"
    source = tmp_path / "a.c"
    includes = [f for f in tree(f"{installed}/include/zgate")]
    for name in includes:
        source.write_text(f"#include <{name}>\nextern int nothing;\n")
        for more in [], ["-D_GNU_SOURCE"]:
            r = run(*strict, *more, "-fsyntax-only", source)
            assert r.returncode == 0, f"{name} {more}: {r.stderr}"
    source.write_text("#include <zgate.h>\n")
    r = run(*strict, "-M", source)
    used = re.findall(r"/\S+\.h", r.stdout)
    assert not [h for h in used if not h.startswith(f"{installed}/include/zgate/") and
                re.search(r"zmq|microhttpd|libwebsockets|lws|uv|jansson|openssl|ini\.h", h)]
    assert all(f"{ROOT}/" not in h for h in used)
    assert {f"{installed}/include/zgate/{f}" for f in includes} == {h for h in used if h.startswith(installed)}, \
        "what is installed is what zgate.h includes"


@pytest.fixture
def out_of_tree(destdir, tmp_path):
    """Builds a copy of the skeleton as its README says, against what is installed only."""
    def build(change=lambda text: text):
        folder = tmp_path / "mine"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "modules/skeleton"), folder)
        os.rename(folder / "skeleton.c", folder / "mine.c")
        text = (folder / "mine.c").read_text().replace("skeleton", "mine")
        (folder / "mine.c").write_text(change(text))
        flags = pkg_config(destdir, "--cflags")
        assert ROOT not in " ".join(flags).replace(destdir, "")
        r = run("cc", *flags, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-o", "mine.so", "mine.c", cwd=folder)
        assert r.returncode == 0, r.stderr
        return folder / "mine.so"
    return build


@pytest.fixture
def start(tmp_path):
    """Starts an installed zgate; the process, and its port."""
    started = []

    def begin(binary, *args):
        p = Process([binary, *args], {**ENV, "ASAN_OPTIONS": "detect_leaks=1:exitcode=99"}, str(tmp_path))
        started.append(p)
        found = p.wait_line(r"ready: listening on \S+:(\d+)", 20 * FACTOR)
        return p, int(found.group(1)) if found else None
    yield begin
    for p in started:
        p.kill()


CONFIG = """\
[gateway]
listen = 127.0.0.1:0
load_module = {so}

[location /hello]
bridge = mine
greeting = Good morning
"""


def test_a_module_built_out_of_the_tree_serves(destdir, installed, out_of_tree, start, tmp_path):
    ini = tmp_path / "gateway.ini"
    ini.write_text(CONFIG.format(so=out_of_tree()))
    p, port = start(f"{installed}/bin/zgate", "-p", installed, "-c", str(ini))
    r = http_request(("127.0.0.1", port), "GET", "/hello/Ann")
    assert (r.status, r.text) == (200, "Good morning, Ann! You are visitor 1.\n")
    p.signal(signal.SIGTERM)
    assert p.wait() == 0, p.lines


def test_a_module_for_another_abi_is_refused(destdir, installed, out_of_tree, tmp_path):
    abi = pkg_config(destdir, "--variable=abi")[0]
    ini = tmp_path / "gateway.ini"
    ini.write_text(CONFIG.format(so=out_of_tree(lambda text: text.replace("ZG_MODULE_ABI", "ZG_MODULE_ABI + 1"))))
    r = run(f"{installed}/bin/zgate", "-p", installed, "-c", ini)
    assert r.returncode == 1
    assert f"built for module ABI {int(abi) + 1}, but this zgate has module ABI {abi};" in r.stderr
    assert f"{ini}:3: [gateway] load_module: " in r.stderr


# from a tarball, under a prefix of its own --------------------------------------

@pytest.fixture(scope="module")
def from_tarball(tmp_path_factory):
    """The release as a stranger gets it: unpacked, configured, installed."""
    if VARIANT != "plain":
        pytest.skip("once is enough, and plain is quicker")
    top = tmp_path_factory.mktemp("tarball")
    with open(os.path.join(ROOT, "configure"), encoding="utf-8") as f:
        version = re.search(r"(?m)^VERSION=(\S+)", f.read()).group(1)
    source = os.path.join(top, f"zgate-{version}")
    # a copy, as `make dist` leaves its tarball where it runs
    copy = os.path.join(top, "copy")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("build", ".git", "__pycache__", "*.tar.gz", ".run",
                                                              "bin", "config.log"))
    os.mkdir(os.path.join(copy, "build"))
    make("-o", "Makefile", "dist", cwd=copy)
    run("tar", "-xzf", os.path.join(copy, f"zgate-{version}.tar.gz"), "-C", top)
    prefix = os.path.join(top, "opt/x")
    r = run("./configure", f"--prefix={prefix}", "CFLAGS=-O0", cwd=source)
    assert r.returncode == 0, r.stdout + r.stderr
    make("-j2", cwd=source)
    make("install", cwd=source)
    return prefix


def test_a_release_runs_without_arguments(from_tarball, start):
    """Its own prefix is where it finds everything."""
    assert "bin/zgate" in tree(from_tarball)
    conf = os.path.join(from_tarball, "conf/gateway.ini")
    with open(conf, encoding="utf-8") as f:
        assert "[demo]" in f.read()
    with open(conf, "w", encoding="utf-8") as f:
        f.write("[gateway]\nlisten = 127.0.0.1:0\nload_module = lib/zgate/modules/skeleton.so\n"
                "[location /]\nbridge = static\nroot = html\n[location /hello]\nbridge = skeleton\n")
    p, port = start(f"{from_tarball}/bin/zgate")
    assert http_request(("127.0.0.1", port), "GET", "/hello").text.startswith("Hello, stranger!")
    with open(os.path.join(ROOT, "html/index.html"), "rb") as f:
        assert http_request(("127.0.0.1", port), "GET", "/").body == f.read()
    p.signal(signal.SIGTERM)
    assert p.wait() == 0, p.lines
    with open(f"{from_tarball}/share/man/man8/zgate.8", encoding="utf-8") as f:
        assert f"Pa {from_tarball}/conf/gateway.ini\n" in f.read()


# the manual -----------------------------------------------------------------------

def pages(installed):
    return [f"{installed}/share/man/man8/zgate.8", f"{installed}/share/man/man5/gateway.ini.5"]


def rendered(page):
    """The page as plain text, a paragraph a line."""
    r = run("mandoc", "-Tutf8", "-O", "width=400", page)
    assert r.returncode == 0, r.stderr
    text = re.sub(".\b", "", r.stdout)
    return [" ".join(line.split()) for line in text.splitlines()]


needs_mandoc = pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc")


@needs_mandoc
def test_the_manual_is_valid(installed):
    r = run("mandoc", "-Tlint", "-Wwarning", *pages(installed))
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


@needs_mandoc
def test_every_row_stands_in_the_manual(installed):
    """With its type, sentence, default and bounds, in the order of -L."""
    text = rendered(pages(installed)[1])
    listed = zgate("-L").stdout.replace("…", "...")
    rows = re.findall(r"(?m)^  (\w+) += (\S.*?)(?:  \((.*)\))?\n((?:      .*\n)+)", listed)
    assert len(rows) > 40
    for name, kind, bounds, doc in rows:
        sentence = " ".join(doc.split())
        wanted = f"{sentence} {bounds[0].upper()}{bounds[1:]}." if bounds else sentence
        at = [i for i, line in enumerate(text) if line == f"{name} = {kind}"]
        assert any(wanted in text[i + 1].replace("  ", " ") for i in at), (name, kind, wanted)
    counters = re.findall(r"(?m)^  (\w+) {2,}(\w[\w ]*)\n((?:      .*\n)+)", listed)
    assert len(counters) > 20
    for name, kind, doc in counters:
        at = [i for i, line in enumerate(text) if line == f"{name} ({kind})"]
        assert any(" ".join(doc.split()) in text[i + 1] for i in at), name


@needs_mandoc
def test_every_variable_of_the_access_log_stands_in_the_manual(installed):
    text = rendered(pages(installed)[1])
    variables = re.findall(r"(?m)^  \$(\w+)\n      (.*)$", zgate("-L", "access_format").stdout)
    assert len(variables) > 20
    for name, doc in variables:
        assert any(line == name and " ".join(doc.split()) in text[i + 1] or
                   line.startswith(f"{name} ") and doc in line for i, line in enumerate(text)), name


@needs_mandoc
def test_what_status_counts_stands_in_the_manual(gateway, installed):
    """Also what the process counts."""
    text = rendered(pages(installed)[1])
    status = gateway("[location /a]\nbridge = pubsub\nsub = bind tcp://127.0.0.1:*\n").status()
    names = {name for at in status["locations"] for name in at["counters"]}
    names |= set(status["worker"])
    assert len(names) > 30
    for name in names:
        assert any(re.fullmatch(rf"{name} \([\w ]+\)", line) for line in text), name


@needs_mandoc
def test_every_option_stands_in_the_manual_and_in_completion(installed):
    options = set(re.findall(r"(?<![\w-])-(\w)\b", zgate("-h").stdout))
    assert len(options) > 8
    text = "\n".join(rendered(pages(installed)[0]))
    with open(f"{installed}/share/bash-completion/completions/zgate", encoding="utf-8") as f:
        completion = f.read()
    for option in options:
        assert re.search(rf"(?m)^-{option}\b", text), option
        assert f"-{option} " in completion or f"-{option}'" in completion, option


# completion -------------------------------------------------------------------------

def complete(installed, *words):
    """What bash offers when the last word is being written."""
    script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_zgate "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    r = run("bash", "-c", script, "bash", f"{installed}/share/bash-completion/completions/zgate",
            f"{installed}/bin/zgate", *words, cwd=installed)
    assert (r.returncode, r.stderr) == (0, "")
    return r.stdout.split()


def test_completion(installed):
    assert set(complete(installed, "-")) >= {"-c", "-g", "-p", "-s", "-t", "-T", "-L", "-v", "-V", "-h"}
    assert complete(installed, "-s", "") == ["stop", "quit", "reload", "reopen"]
    assert complete(installed, "-s", "rel") == ["reload"]
    assert {"gateway", "location", "reqrep", "pubsub", "static", "demo"} <= set(complete(installed, "-L", ""))
    assert complete(installed, "-L", "req") == ["reqrep"]
    assert complete(installed, "-L", "acc") == ["access_format"]
    assert complete(installed, "-c", "conf/gate") == ["conf/gateway.ini"]
    assert complete(installed, "-p", "ht") == ["html"]
    assert complete(installed, "-g", "gateway.lis") == ["gateway.listen="]
    assert set(complete(installed, "-g", "")) >= {"gateway.", "demo."}
    every = set(re.findall(r"(?m)^  (\w+) += ", zgate("-L", "gateway").stdout))
    assert set(complete(installed, "-g", "gateway.")) == {f"gateway.{name}=" for name in every}
