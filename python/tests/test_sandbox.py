"""The layers that a process puts on itself; each attempt runs in a process of its own."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn

from netwright.sandbox import answer_folders

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the filters are of Linux on x86_64 and aarch64",
)

PACKAGE = Path(__file__).parent.parent

SCRIPT = """
import json, os, sys, threading
sys.path.insert(0, {package!r})
from netwright.sandbox import confine
layers = confine(memory=256 << 20, threads=1, devices=[])
try:
    {attempt}
    outcome = "done"
except BaseException as error:
    outcome = type(error).__name__
print(json.dumps([layers, outcome]))
"""


def attempt(code: str) -> tuple[list[str], str]:
    script = SCRIPT.format(package=str(PACKAGE), attempt=code.replace("\n", "\n    "))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    layers, outcome = json.loads(done.stdout)
    return layers, outcome


def test_names_the_layers_that_hold() -> None:
    layers, outcome = attempt("pass")
    assert layers[-1] == "rlimits"
    assert "seccomp" in layers
    assert outcome == "done"


def test_run_as_a_program_it_names_them_too() -> None:
    command = [sys.executable, "-m", "netwright.sandbox"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE)
    assert json.loads(done.stdout) == attempt("pass")[0]


@pytest.mark.parametrize(
    "code",
    [
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "os.kill(os.getpid(), 0)",
        "__import__('socket').socket()",
        "__import__('socket').socketpair()",
        "os.memfd_create('x')",
        "os.sched_setaffinity(0, {0})",
        "os.setpriority(os.PRIO_PROCESS, 0, 5)",
        "__import__('resource').prlimit(os.getppid(), 0)",
        "__import__('fcntl').fcntl(os.pipe()[0], 8, os.getppid())",
        "open('/dev/shm/netwright-test', 'w')",
        "open('/tmp/netwright-test', 'x')",
        "open(os.path.expanduser('~/netwright-test'), 'a')",
        "os.mkdir('/tmp/netwright-test')",
        "os.chmod('/tmp', 0o777)",
    ],
)
def test_refused(code: str) -> None:
    assert attempt(code)[1] == "PermissionError"


@pytest.mark.parametrize(
    "code",
    [
        "t = threading.Thread(target=lambda: None); t.start(); t.join()",
        "os.getpid(), os.getppid(), os.cpu_count(), os.urandom(4)",
        "import decimal, sqlite3, concurrent.futures",
        "open('/proc/self/status').read()",
        "open('/dev/null').read()",
        "r, w = os.pipe(); os.write(w, b'x'); os.read(r, 1)",
        "bytearray(100 << 20)",
    ],
)
def test_still_works(code: str) -> None:
    assert attempt(code)[1] == "done"


def test_memory_is_limited() -> None:
    assert attempt("bytearray(512 << 20)")[1] == "MemoryError"


def test_home_and_system_secrets_cannot_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    layers, outcome = attempt(f"open({str(secret)!r}).read()")
    if "landlock" not in layers:
        pytest.skip("this kernel has no Landlock")
    assert outcome == "PermissionError"
    assert attempt("os.listdir(os.path.expanduser('~'))")[1] == "PermissionError"
    assert attempt("open('/etc/shadow').read()")[1] == "PermissionError"


def test_of_the_labels_that_scikit_learn_carries_only_the_names_can_be_read() -> None:
    data = Path(sklearn.__file__).parent / "datasets" / "data"
    layers, outcome = attempt(f"open({str(data / 'digits.csv.gz')!r}, 'rb')")
    if "landlock" not in layers:
        pytest.skip("this kernel has no Landlock")
    assert outcome == "PermissionError"
    assert attempt(f"os.listdir({str(data.parent)!r})")[1] == "done"
    assert attempt(f"open({str(data.parent / '__init__.py')!r})")[1] == "done"
    assert attempt("import sklearn.linear_model, sklearn.datasets")[1] == "done"


def test_folders_with_labels_are_found_behind_a_symlink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "real" / "sklearn" / "datasets" / "data"
    data.mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "link")])
    linked = tmp_path / "link" / "sklearn" / "datasets" / "data"
    assert set(answer_folders()) >= {str(linked), str(data)}


def test_an_abort_ends_only_itself() -> None:
    script = SCRIPT.format(package=str(PACKAGE), attempt="os.abort()")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -6
