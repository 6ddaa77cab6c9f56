"""Find out which layers of the sandbox hold on this machine, by trying to break them."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from agentnet.errors import SandboxError
from agentnet.runtime.sandbox.process import Control
from agentnet.runtime.sandbox.report import Report
from agentnet.runtime.sandbox.runner import execute, to_result
from agentnet.runtime.sandbox.types import Layer, SandboxLimits, SandboxStatus

#: Without these the program is not run; the others come on top where the machine allows them.
REQUIRED = ("no_new_privs", "landlock", "rlimits", "seccomp")
OPTIONAL = ("namespaces", "private_folder", "no_capabilities")

_ATTEMPTS = """
import json, os, resource, socket
def denied(attempt):
    try:
        attempt()
    except PermissionError:
        return True
    except OSError:
        return False
    return False
answer = json.dumps({
    "seccomp": all(map(denied, (
        os.fork, socket.socket, lambda: os.execv("/bin/true", ["true"]),
    ))),
    "landlock": denied(lambda: open(FOREIGN_FILE).close()) and denied(lambda: os.listdir("/")),
    "rlimits": resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY,
    "clean_start": set(os.environ) == {"HOME", "TMPDIR"} and os.listdir(".") == [],
})
"""


def probe() -> SandboxStatus:
    """Run a program in the sandbox that tries what it must not, and say which layers held.

    Takes as long as one run and never raises. Nothing is cached: keep the value if you need it.

    >>> {layer.name for layer in probe().layers} >= {"seccomp", "landlock", "namespaces"}
    True
    """
    limits = SandboxLimits(wall_s=30.0)
    code = f"FOREIGN_FILE = {str(Path(__file__))!r}\n{_ATTEMPTS}"
    report, tried, reason = None, {}, ""
    try:
        ended, report = execute(code, limits, "strict", "", Control())
        result = to_result(ended, report, limits=limits)
        if result.status == "ok":
            tried = {str(k): bool(v) for k, v in json.loads(result.value or "{}").items()}
        else:
            reason = f"the trial program ended with {result.status}: {result.stderr[-300:].strip()}"
    except (SandboxError, ValueError, AttributeError) as error:
        reason = str(error)
    layers = _layers(report, tried)
    missing = [layer.name for layer in layers if not layer.holds and layer.name in tried]
    if missing and not reason:
        reason = f"set, but without effect: {', '.join(missing)}"
    return SandboxStatus(
        platform=f"{platform.system()} {platform.release()}",
        arch=platform.machine(),
        layers=layers,
        strict_ok=not reason,
        reason=reason,
    )


def _layers(report: Report | None, tried: dict[str, bool]) -> tuple[Layer, ...]:
    """Join what was set with what held when tried."""
    said = {layer.name: layer for layer in report.layers} if report else {}
    layers = []
    for name in (*REQUIRED, *OPTIONAL):
        layer = said.get(name, Layer(name, False, "not reached"))
        if layer.holds and name in tried and not tried[name]:
            layer = Layer(name, False, f"set ({layer.detail}), but did not hold when tried")
        layers.append(layer)
    clean = tried.get("clean_start", False)
    layers.append(Layer("clean_start", clean, "empty environment and folder" if clean else ""))
    layers.append(Layer("wall_clock", True, "kept by the parent process"))
    return tuple(layers)
