"""What a program may do, how its end is told, and that nothing of it is left behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agentnet.errors import InvalidInput, LimitError, SandboxError
from agentnet.runtime.sandbox import SandboxLimits, arun_python, run_python

LIMITS = SandboxLimits(wall_s=60, cpu_s=20)
ENDLESS = "import time\nwhile True: time.sleep(1)"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(params=["strict", "unsafe"])
def mode(request):
    if request.param == "strict":
        request.getfixturevalue("strict")
    return request.param


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("print(6 * 7)", "42"),
        ("print('not this')\nanswer = 42", "42"),
        ("answer = None\nprint(' this \\n')", "this"),
        ("answer = ''", ""),
        ("pass", None),
        ("print('ü€😀')", "ü€😀"),
        ("import sys\nprint(sys.stdin.read()[::-1])", "olleh"),
        ("import sys\nprint('partly')\nsys.exit()", "partly"),
        ("if __name__ == '__main__': print('main')", "main"),
        ("import sys\nprint(sys.argv)", "['']"),
        ("import os\nos.write(1, b'\\xff')", "\ufffd"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nanswer = P(3)",
            "P(x=3)",
        ),
        ("import hashlib, decimal, sqlite3, zoneinfo, re, json\nprint(decimal.Decimal('0.1') * 3)", "0.3"),
    ],
)
def test_the_value_is_the_answer_or_what_is_printed(mode, code, value):
    result = run_python(code, limits=LIMITS, mode=mode, stdin="hello")
    assert (result.status, result.value, result.exit_code) == ("ok", value, 0), result


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('before')\n1 / 0", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError"),
        ("print('\udc80')", "surrogates not allowed"),
        ("x = 1\0", "null bytes"),
        ("raise SystemExit('that is why')", "that is why"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import numpy", "ModuleNotFoundError"),
        ("class E:\n    def __str__(self): raise ValueError('no text')\nanswer = E()", "no text"),
        ("answer = 10 ** 5000", "Exceeds the limit"),
        ("import asyncio, agentnet", "No module named 'agentnet'"),
    ],
)
def test_an_error_is_told_and_has_no_value(mode, code, message):
    result = run_python(code, limits=LIMITS, mode=mode)
    assert (result.status, result.value, result.exit_code) == ("error", None, 1), result
    assert message in result.stderr
    assert "child.py" not in result.stderr


def test_an_exit_code_is_kept(mode):
    assert run_python("raise SystemExit(7)", limits=LIMITS, mode=mode).exit_code == 7


def test_a_crash_is_told(mode):
    result = run_python("import os\nos.abort()", limits=LIMITS, mode=mode)
    assert (result.status, result.exit_code) == ("killed", -6)


def test_a_program_of_a_megabyte_and_as_much_input(mode):
    code = f"import sys\nx = {'a' * 1_000_000!r}\nprint(len(x), len(sys.stdin.read()))"
    result = run_python(code, limits=LIMITS, mode=mode, stdin="b" * 1_000_000)
    assert result.value == "1000000 1000000"


def test_input_that_nobody_reads_is_no_error(mode):
    assert run_python("print(1)", limits=LIMITS, mode=mode, stdin="b" * 1_000_000).value == "1"


def test_a_program_may_close_its_output(mode):
    code = (
        "import os\nprint('said', flush=True)\nos.close(1)\nos.close(2)\nos.close(0)\nx = sum(range(10**6))"
    )
    assert run_python(code, limits=LIMITS, mode=mode).value == "said"


def test_files_in_its_own_folder_where_there_is_a_private_one(strict):
    code = (
        "import os, tempfile, sqlite3\n"
        "try:\n"
        "    open('a.txt', 'w').write('kept')\n"
        "except PermissionError:\n"
        "    print('no private folder')\n"
        "else:\n"
        "    os.mkdir('d'); os.rename('a.txt', 'd/b.txt')\n"
        "    with tempfile.TemporaryFile() as f: f.write(b'x')\n"
        "    print(open('d/b.txt').read())"
    )
    assert run_python(code, limits=LIMITS).value in {"kept", "no private folder"}


@pytest.mark.parametrize(
    "bad",
    [
        {"cpu_s": 0},
        {"wall_s": -1},
        {"wall_s": math.nan},
        {"cpu_s": math.inf},
        {"memory_mb": 10},
        {"memory_mb": 256.5},
        {"output_kb": True},
        {"file_mb": "1"},
    ],
)
def test_limits_that_make_no_sense(bad):
    with pytest.raises(LimitError, match=next(iter(bad))):
        SandboxLimits(**bad)


def test_arguments_that_make_no_sense():
    with pytest.raises(InvalidInput, match="mode"):
        run_python("1", mode="lax")
    with pytest.raises(InvalidInput, match="text"):
        run_python(b"1")


async def test_many_at_once_do_not_mix():
    results = await asyncio.gather(
        *(arun_python(f"print({n} ** 2)", limits=LIMITS, mode="unsafe") for n in range(12))
    )
    assert [result.value for result in results] == [str(n * n) for n in range(12)]


async def test_the_blocking_twin_works_inside_an_event_loop():
    assert run_python("print(1)", limits=LIMITS, mode="unsafe").value == "1"


def children(parent: int) -> set[int]:
    """Process numbers of the children of a process, zombies among them."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.add(int(entry.name))
    return found


async def new_child(parent: int, before: set[int]) -> int:
    for _ in range(6000):
        if fresh := children(parent) - before:
            return fresh.pop()
        await asyncio.sleep(0.005)
    raise AssertionError("no process was started")


@linux
async def test_cancelling_ends_the_process_and_leaves_no_zombie(mode, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = children(os.getpid())
    task = asyncio.create_task(arun_python(ENDLESS, limits=LIMITS, mode=mode))
    pid = await new_child(os.getpid(), before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pid}").exists()
    assert list(tmp_path.iterdir()) == []


@linux
async def test_a_timeout_of_asyncio_ends_the_process_too():
    before = children(os.getpid())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await arun_python(ENDLESS, limits=LIMITS, mode="unsafe")
    assert children(os.getpid()) <= before


async def test_a_run_cancelled_while_it_waits_for_its_turn_never_starts(tmp_path):
    """One worker, held by another job: the run is given up at once, and not run later."""
    release, witness = threading.Event(), tmp_path / "witness"
    worker = concurrent.futures.ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(worker)
    holder = loop.run_in_executor(None, release.wait)
    waiting = asyncio.create_task(arun_python(f"open({str(witness)!r}, 'w')", limits=LIMITS, mode="unsafe"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not holder.done()
    release.set()
    await holder
    await loop.run_in_executor(None, int)  # the worker is past the run that was given up
    assert not witness.exists()


@linux
def test_the_process_does_not_outlive_its_parent(strict, tmp_path):
    """Killed without warning, as by the kernel for want of memory."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from agentnet.runtime.sandbox import *\n"
            f"run_python({'print(1)' + chr(10) + ENDLESS!r}, limits=SandboxLimits(wall_s=600))",
        ],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TMPDIR": str(tmp_path)},  # an empty folder is left behind
    )
    try:
        child = asyncio.run(new_child(parent.pid, set()))
        # Confined, it is tied to its parent by the kernel; before, it ends with its input.
        status = Path(f"/proc/{child}/status")
        assert wait_until(lambda: "Seccomp:\t2" in status.read_text())
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not _alive(child))


@linux
def test_what_an_unsafe_program_starts_ends_with_it():
    code = "import subprocess, sys\np = subprocess.Popen(['sleep', '600'])\nprint(p.pid)"
    result = run_python(code, limits=LIMITS, mode="unsafe")
    assert result.status == "ok"
    assert result.wall_s < 30
    assert wait_until(lambda: not _alive(int(result.value)))


def wait_until(condition) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_interpreter_that_does_not_start(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SandboxError, match="/nowhere/python cannot be started"):
        run_python("1", mode="unsafe")
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(SandboxError, match="no Python interpreter"):
        run_python("1", mode="unsafe")


def test_an_interpreter_that_is_none(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxError, match="before the program began"):
        run_python("1", mode="unsafe")


def test_results_are_plain_values():
    result = run_python("print(1)", limits=LIMITS, mode="unsafe")
    with pytest.raises(AttributeError):
        result.status = "error"  # type: ignore[misc]
    assert json.dumps(result.stdout) == '"1\\n"'
    assert result.cpu_s > 0
    assert 0 < result.wall_s < 60
