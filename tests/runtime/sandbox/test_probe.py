"""What holds is said truly, and where too little holds nothing is run.

A machine that lacks a layer is made by a seccomp filter around the whole test process: its kernel
then answers as one without that layer does.
"""

from __future__ import annotations

import platform
import sys

import pytest

from agentnet.errors import SandboxUnavailable
from agentnet.runtime.sandbox import probe, run_python
from agentnet.runtime.sandbox.report import parse_report

linux = pytest.mark.skipif(sys.platform != "linux", reason="the strict sandbox is for Linux")
X86 = platform.machine() == "x86_64"
#: number of the call, its first argument (None: any), and the errno it fails with
LANDLOCK_OFF = (444, None, 95)  # landlock_create_ruleset: EOPNOTSUPP, as where it is built in but off
LANDLOCK_MISSING = (444, None, 38)
SECCOMP_MISSING = (157 if X86 else 167, 22, 22)  # prctl(PR_SET_SECCOMP): EINVAL
NAMESPACES_OFF = (272 if X86 else 97, None, 1)  # unshare: EPERM, as in most containers
MOUNT_OFF = (165 if X86 else 40, None, 1)

LESS = """
import ctypes
from agentnet.runtime.sandbox.bpf import Instruction
number, argument, code = {lacking!r}
steps = [Instruction(0x20, 0)]
if argument is None:
    steps += [Instruction(0x15, number, if_false=1), Instruction(0x06, 0x50000 | code)]
else:
    steps += [Instruction(0x15, number, if_false=3), Instruction(0x20, 16)]
    steps += [Instruction(0x15, argument, if_false=1), Instruction(0x06, 0x50000 | code)]
steps.append(Instruction(0x06, 0x7FFF0000))
program = b"".join(step.pack() for step in steps)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(steps), program)), 0, 0) == 0
"""


def layers(status) -> dict[str, bool]:
    listed = status["layers"] if isinstance(status, dict) else [(x.name, x.holds) for x in status.layers]
    return {
        (layer["name"] if isinstance(layer, dict) else layer[0]): (
            layer["holds"] if isinstance(layer, dict) else layer[1]
        )
        for layer in listed
    }


def test_the_probe_names_every_layer_and_agrees_with_a_run():
    status = probe()
    assert set(layers(status)) == {
        "no_new_privs",
        "landlock",
        "rlimits",
        "seccomp",
        "namespaces",
        "private_folder",
        "no_capabilities",
        "clean_start",
        "wall_clock",
    }
    if status.strict_ok:
        assert run_python("print(1)").value == "1"
    else:
        assert status.reason
        with pytest.raises(SandboxUnavailable):
            run_python("print(1)")


@linux
def test_an_ordinary_user_has_the_layers_that_are_needed(strict, drive, ordinary_user):
    status = drive(code=None, command=ordinary_user, uid=65534)
    assert status["strict_ok"], status
    held = layers(status)
    assert all(held[name] for name in ("no_new_privs", "landlock", "rlimits", "seccomp", "no_capabilities"))


@linux
@pytest.mark.parametrize(
    ("lacking", "layer"),
    [(LANDLOCK_OFF, "landlock"), (LANDLOCK_MISSING, "landlock"), (SECCOMP_MISSING, "seccomp")],
    ids=["landlock off", "landlock missing", "seccomp missing"],
)
def test_without_a_needed_layer_nothing_is_run(strict, drive, lacking, layer):
    prelude = LESS.format(lacking=lacking)
    refusal = drive(code="print('run all the same')", prelude=prelude)
    assert refusal["raised"] == "SandboxUnavailable"
    assert layer in refusal["message"]
    assert 'sandbox="unsafe"' in refusal["message"]
    status = drive(code=None, prelude=prelude)
    assert not status["strict_ok"]
    assert not layers(status)[layer]
    assert layer in status["reason"]
    willing = drive(code="print('at your own risk')", prelude=prelude, mode="unsafe")
    assert willing["value"] == "at your own risk"


@linux
@pytest.mark.parametrize("lacking", [NAMESPACES_OFF, MOUNT_OFF], ids=["no namespaces", "no mount"])
def test_without_a_private_folder_programs_run_but_write_no_files(strict, drive, lacking):
    prelude = LESS.format(lacking=lacking)
    status = drive(code=None, prelude=prelude)
    assert status["strict_ok"]
    assert not layers(status)["private_folder"]
    assert layers(status)["namespaces"] is (lacking == MOUNT_OFF)
    result = drive(
        prelude=prelude,
        code="import os\nprint(os.listdir('.'))\n"
        "try: open('x', 'w')\nexcept PermissionError: print('denied')",
    )
    assert result["value"] == "[]\ndenied"


@linux
def test_the_mounts_of_the_machine_stay_as_they_are(strict):
    with open("/proc/self/mountinfo") as file:
        before = file.read()
    run_python("print(1)")
    with open("/proc/self/mountinfo") as file:
        assert file.read() == before


def test_macos_is_refused_unless_unsafe(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(SandboxUnavailable, match=r'Darwin has no seccomp and Landlock.*sandbox="unsafe"'):
        run_python("print(1)")
    status = probe()
    assert not status.strict_ok
    assert "Darwin" in status.reason
    assert not any(layers(status)[name] for name in ("seccomp", "landlock", "namespaces"))
    assert run_python("print(1)", mode="unsafe").value == "1"  # without pidfd, as there


def test_an_unknown_architecture_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        run_python("print(1)")


@pytest.mark.parametrize(
    ("data", "ready", "refused"),
    [
        (b"", False, None),
        (b"layer seccomp 1", False, None),
        (b"layer seccomp 1 x\nrefused because of this", False, "because of this"),
        (b"layer seccomp 1 x\nready\nrefused by the program\n", True, None),
        (b"\xff\xfe\n\n\nlayer\nready", True, None),
    ],
)
def test_a_report_that_is_cut_or_wrong_is_read_all_the_same(data, ready, refused):
    report = parse_report(data)
    assert (report.ready, report.refused) == (ready, refused)
    assert report.answer is None
