"""The filter, run on both architectures by an interpreter of classic BPF written here."""

from __future__ import annotations

import functools
import struct

import pytest

from agentnet.runtime.sandbox.bpf import MAX_INSTRUCTIONS, build_filter
from agentnet.runtime.sandbox.syscalls import ARCHITECTURES, NOT_IMPLEMENTED, numbers, rules

PID = 4242
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
NATIVE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
I386, ARM = 0x40000003, 0x40000028
#: number of open and openat, mmap, mprotect, ioctl, fcntl, prlimit64, tgkill: from the kernel's tables
OPENAT, MMAP, MPROTECT = (
    {"x86_64": 257, "aarch64": 56},
    {"x86_64": 9, "aarch64": 222},
    {"x86_64": 10, "aarch64": 226},
)
IOCTL, FCNTL = {"x86_64": 16, "aarch64": 29}, {"x86_64": 72, "aarch64": 25}
PRLIMIT, TGKILL = {"x86_64": 302, "aarch64": 261}, {"x86_64": 234, "aarch64": 131}

both = pytest.mark.parametrize("arch", ARCHITECTURES)


def decide(program: bytes, number: int, audit_arch: int, *args: int) -> int:
    """Run a filter over one ``struct seccomp_data``."""
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit_arch, 0, *[*args, *[0] * 6][:6])
    code = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:  # ends: jumps go forwards only
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


def native(arch, number, *args):
    return decide(built(arch), number, NATIVE[arch], *args)


@functools.cache
def built(arch):
    return build_filter(arch, PID)


@both
def test_every_number_gets_a_verdict_and_the_allowed_ones_are_the_listed(arch):
    allowed = {number for number in range(1000) if native(arch, number) == ALLOW}
    listed = {n for name, n in numbers(arch).items() if name not in NOT_IMPLEMENTED}
    conditional = {n for name, n in numbers(arch).items() if rules(PID).get(name, ((),)) != ((),)}
    assert listed - conditional <= allowed <= listed
    assert {native(arch, number) for number in range(1000)} == {ALLOW, EPERM, ENOSYS}


@both
def test_the_program_is_one_the_kernel_accepts(arch):
    code = list(struct.iter_unpack("<HBBI", build_filter(arch, PID)))
    assert len(code) <= MAX_INSTRUCTIONS
    for at, (operation, if_true, if_false, _) in enumerate(code):
        if operation in (0x15, 0x35):
            assert at + 1 + max(if_true, if_false) < len(code)
    assert code[-1][0] == 0x06


@both
@pytest.mark.parametrize("foreign", [I386, ARM, 0xC00000F3, 0])
def test_a_foreign_architecture_is_killed(arch, foreign):
    program = build_filter(arch, PID)
    assert {decide(program, number, foreign) for number in (0, 1, 11, 60, 63, 93, 120)} == {KILL}
    other = next(value for name, value in NATIVE.items() if name != arch)
    assert decide(program, numbers(arch)["write"], other) == KILL


def test_x32_is_killed():
    assert native("x86_64", 0x40000000) == KILL
    assert native("x86_64", 0x40000000 | 39) == KILL
    assert native("x86_64", 0xFFFFFFFF) == KILL
    assert native("x86_64", 39) == ALLOW


@both
def test_dangerous_calls_are_denied(arch):
    forbidden = {
        # socket, socketpair, connect, clone, execve, ptrace, mount, unshare, bpf, keyctl, prctl,
        # seccomp, memfd_create, userfaultfd, setuid
        "x86_64": (41, 53, 42, 56, 57, 58, 59, 101, 165, 272, 321, 250, 157, 317, 319, 323, 105),
        "aarch64": (198, 199, 203, 220, 221, 117, 40, 97, 280, 219, 167, 277, 279, 282, 146),
    }[arch]
    same_everywhere = (424, 425, 426, 427, 428, 434, 438, 440, 444, 445, 446, 447)
    assert {native(arch, number) for number in (*forbidden, *same_everywhere)} == {EPERM}
    assert {native(arch, number) for number in (435, 437, 450, 467, 5000)} == {ENOSYS}


@both
def test_memory_is_writable_or_executable_and_executable_memory_is_a_file(arch):
    private, anonymous = 0x2, 0x22
    for prot, flags, verdict in [
        (1, anonymous, ALLOW),
        (3, anonymous, ALLOW),
        (5, private, ALLOW),
        (5, anonymous, EPERM),
        (4, anonymous, EPERM),
        (7, private, EPERM),
        (6, private, EPERM),
    ]:
        assert native(arch, MMAP[arch], 0, 4096, prot, flags) == verdict, (prot, flags)
    assert [native(arch, MPROTECT[arch], 0, 4096, prot) for prot in (0, 1, 3)] == [ALLOW] * 3
    assert [native(arch, MPROTECT[arch], 0, 4096, prot) for prot in (4, 5, 7)] == [EPERM] * 3


@both
def test_opening_for_reading_never_truncates(arch):
    create, truncate, cloexec = 0o100, 0o1000, 0o2000000
    verdicts = {flags: native(arch, OPENAT[arch], 0, 0, flags | cloexec) for flags in range(0o2000)}
    for flags, verdict in verdicts.items():
        sneaky = flags & 3 == 3 or (flags & truncate and flags & 3 == 0)
        assert verdict == (EPERM if sneaky else ALLOW), oct(flags)
    assert verdicts[1 | create | truncate] == ALLOW


@both
def test_only_harmless_commands_of_ioctl_and_fcntl_pass(arch):
    assert native(arch, IOCTL[arch], 0, 0x5401) == ALLOW
    for command in (0x5412, 0x5452, 0x8901, 0x8902, 0xAE01):  # TIOCSTI, FIOASYNC, FIOSETOWN, SIOCSPGRP
        assert native(arch, IOCTL[arch], 0, command) == EPERM
    assert native(arch, FCNTL[arch], 0, 3) == ALLOW
    for command in (8, 10, 15, 1024, 1033):  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_ADD_SEALS
        assert native(arch, FCNTL[arch], 0, command) == EPERM


@both
def test_limits_and_signals_reach_only_oneself(arch):
    pointer_low, pointer_high = 0x1000, 0x7F0000000000
    assert native(arch, PRLIMIT[arch], 0, 7, 0, 0x1000) == ALLOW
    assert native(arch, PRLIMIT[arch], PID, 7, 0, 0x1000) == ALLOW
    assert native(arch, PRLIMIT[arch], 1, 7, 0, 0x1000) == EPERM
    assert native(arch, PRLIMIT[arch], 0, 7, pointer_low) == EPERM
    assert native(arch, PRLIMIT[arch], 0, 7, pointer_high) == EPERM
    assert native(arch, TGKILL[arch], PID, PID, 6) == ALLOW
    assert native(arch, TGKILL[arch], PID + 1, PID + 1, 6) == EPERM
    assert native(arch, TGKILL[arch], 0xFFFFFFFFFFFFFFFF, 0, 6) == EPERM
