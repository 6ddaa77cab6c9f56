"""Who runs the hostile programs: the user the tests run as, and an ordinary one."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import agentnet
from agentnet.runtime.sandbox import SandboxLimits, SandboxResult, probe, run_python

NOBODY = 65534
ROOT = Path(agentnet.__path__[0]).parent
Run = Callable[..., SandboxResult]

#: Reads a run from stdin, prints its result; PRELUDE is code to run before, in the same process.
DRIVER = """
import dataclasses, json, os, sys
sys.path.insert(0, {root!r})
request = json.load(sys.stdin)
exec(request["prelude"])
from agentnet.errors import AgentnetError
from agentnet.runtime.sandbox import SandboxLimits, probe, run_python
if request["uid"] is not None:
    assert os.getuid() == request["uid"] and "CapEff:\\t" + "0" * 16 in open("/proc/self/status").read()
try:
    if request["code"] is None:
        out = dataclasses.asdict(probe())
    else:
        out = dataclasses.asdict(run_python(
            request["code"], limits=SandboxLimits(**request["limits"]), mode=request["mode"]
        ))
except AgentnetError as error:
    out = {{"raised": type(error).__name__, "message": str(error)}}
print(json.dumps(out))
"""

#: Generous on the clock, since the machine may be busy; the programs end sooner by themselves.
LIMITS = {"wall_s": 60.0, "cpu_s": 20.0}


def _drive(
    *,
    code: str | None,
    prelude: str = "",
    mode: str = "strict",
    limits: dict[str, object] | None = None,
    command: tuple[str, ...] = (),
    uid: int | None = None,
) -> dict[str, object]:
    """Run a program (or a probe, without code) from a process of its own."""
    request = {"code": code, "prelude": prelude, "mode": mode, "limits": limits or LIMITS, "uid": uid}
    done = subprocess.run(
        [*command, sys.executable, "-B", "-c", DRIVER.format(root=str(ROOT))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=200,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="session")
def drive() -> Callable[..., dict[str, object]]:
    """Run a program, or a probe, from a process of its own."""
    return _drive


def _blocked_at(path: Path) -> Path | None:
    """The topmost folder on the way to ``path`` that others may not enter."""
    for folder in [*reversed(path.parents), path]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def _ordinary_user_command() -> tuple[str, ...] | str:
    """The command that starts another as an ordinary user, or why there is none.

    Where the interpreter lies in a folder that others may not enter (root's home), a mount
    namespace of our own shows that folder as an empty one that holds the interpreter only.
    """
    tools = [shutil.which(name) for name in ("setpriv", "unshare", "mount")]
    if not all(tools):
        return "setpriv, unshare and mount (util-linux) are needed"
    needed = {Path(p).resolve() for p in (sys.base_prefix, sys.prefix, ROOT)}
    hidden = {path: top for path in needed if (top := _blocked_at(path)) is not None}
    if any(path == top for path, top in hidden.items()):
        return f"others may not enter {sorted(map(str, hidden))}"
    script = ["set -e", "t=$(mktemp -d)"]
    for index, path in enumerate(hidden):
        script += [f"mkdir $t/{index}", f"mount --bind '{path}' $t/{index}"]
    for top in sorted(set(hidden.values())):
        script.append(f"mount -t tmpfs -o mode=0755 none '{top}'")
    for index, path in enumerate(hidden):
        script += [f"mkdir -p '{path}'", f"mount --bind $t/{index} '{path}'", f"umount $t/{index}"]
    for index in range(len(hidden)):
        script.append(f"rmdir $t/{index}")
    script += ["rmdir $t", f'exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"']
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script), "sh")


@pytest.fixture(scope="session")
def ordinary_user() -> tuple[str, ...]:
    """The command prefix that makes an ordinary user of us; skips where that cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("not root: the other half of these tests already runs as an ordinary user")
    command = _ordinary_user_command()
    if isinstance(command, str):
        pytest.skip(f"no ordinary user can be had: {command}")
    trial = subprocess.run(
        [*command, sys.executable, "-c", "pass"], capture_output=True, text=True, cwd="/", check=False
    )
    if trial.returncode:
        pytest.skip(f"no ordinary user can be had: {trial.stderr.strip()}")
    return command


@pytest.fixture(scope="session")
def strict() -> None:
    """Skips, saying why, where the sandbox refuses to run; fails where it must not be missing."""
    status = probe()
    if not status.strict_ok:
        without_effect = any("did not hold" in layer.detail for layer in status.layers)
        if without_effect or os.environ.get("AGENTNET_REQUIRE_SANDBOX"):
            pytest.fail(f"the strict sandbox does not work: {status}")
        pytest.skip(f"the strict sandbox is not to be had here: {status.reason}")


@pytest.fixture(params=["this user", "ordinary user"])
def run(request: pytest.FixtureRequest, strict: None) -> Run:
    """Run a program in the sandbox, once as the tests' user (root in CI) and once as an ordinary one."""
    if request.param == "this user":

        def run_here(code: str, mode: str = "strict", **limits: object) -> SandboxResult:
            return run_python(code, mode=mode, limits=SandboxLimits(**{**LIMITS, **limits}))  # type: ignore[arg-type]

        return run_here
    command = request.getfixturevalue("ordinary_user")

    def run_there(code: str, mode: str = "strict", **limits: object) -> SandboxResult:
        answer = _drive(code=code, mode=mode, limits={**LIMITS, **limits}, command=command, uid=NOBODY)
        assert "raised" not in answer, answer
        return SandboxResult(**answer)  # type: ignore[arg-type]

    return run_there


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of the machine may read and write, as far as its mode goes."""
    folder = Path(tempfile.mkdtemp(prefix="agentnet-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
