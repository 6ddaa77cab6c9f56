"""The seccomp filter as a classic BPF program, built in plain Python so that it can be tested.

The kernel runs the program on every system call over ``struct seccomp_data``: the call's number,
the caller's architecture, and six 64-bit arguments. Reference: Linux
``Documentation/userspace-api/seccomp_filter.rst`` and ``include/uapi/linux/filter.h``.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from agentnet.runtime.sandbox.syscalls import (
    AUDIT_ARCH,
    FIRST_UNKNOWN,
    NOT_IMPLEMENTED,
    Arch,
    Condition,
    Rule,
    numbers,
    rules,
)

LOAD, AND, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER_OFFSET, ARCH_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16
#: Set in the number of a call by the x32 convention, a second way into the x86-64 kernel.
X32_BIT = 0x40000000
#: The kernel's bound on a filter, in instructions.
MAX_INSTRUCTIONS = 4096


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: ``struct sock_filter``; jumps are relative to the next instruction."""

    code: int
    constant: int
    if_true: int = 0
    if_false: int = 0

    def pack(self) -> bytes:
        """Return the eight bytes the kernel reads."""
        return struct.pack("<HBBI", self.code, self.if_true, self.if_false, self.constant)


DENY = Instruction(RETURN, ERRNO | errno.EPERM)
PERMIT = Instruction(RETURN, ALLOW)
KILL = Instruction(RETURN, KILL_PROCESS)
#: 38 on both architectures; ``errno.ENOSYS`` is another number where the tests may run on macOS.
NO_SUCH_CALL = Instruction(RETURN, ERRNO | 38)


def build_filter(arch: Arch, pid: int) -> bytes:
    """Return the filter for a process that sees itself as ``pid``, packed for ``prctl(2)``.

    A call of another architecture (32-bit, x32) ends the process; a call that is not listed fails
    with EPERM.

    >>> len(build_filter("aarch64", 42)) % 8
    0
    """
    number_of = numbers(arch)
    program = [
        Instruction(LOAD, ARCH_OFFSET),
        Instruction(JUMP_EQUAL, AUDIT_ARCH[arch], if_true=1),
        KILL,
        Instruction(LOAD, NUMBER_OFFSET),
    ]
    if arch == "x86_64":
        program += [Instruction(JUMP_AT_LEAST, X32_BIT, if_false=1), KILL]
    for name, rule in rules(pid).items():
        if name in number_of:
            program += _guarded(number_of[name], _rule(rule))
    for name in NOT_IMPLEMENTED:
        program += _guarded(number_of[name], [NO_SUCH_CALL])
    program += [Instruction(JUMP_AT_LEAST, FIRST_UNKNOWN, if_false=1), NO_SUCH_CALL, DENY]
    assert len(program) <= MAX_INSTRUCTIONS
    return b"".join(instruction.pack() for instruction in program)


def _guarded(number: int, block: list[Instruction]) -> list[Instruction]:
    """Run ``block``, which returns on every path, if the call is ``number``; else step over it."""
    return [Instruction(JUMP_EQUAL, number, if_false=len(block)), *block]


def _rule(rule: Rule) -> list[Instruction]:
    block: list[Instruction] = []
    for alternative in rule:
        block += _alternative(alternative)
    return block if rule == ((),) else [*block, DENY]


def _alternative(tests: tuple[Condition, ...]) -> list[Instruction]:
    """Return code that permits if all tests hold and falls through to what follows if not."""
    block = [PERMIT]
    for test in reversed(tests):
        head = [
            Instruction(LOAD, ARGUMENTS_OFFSET + 8 * test.argument + 4 * test.high_half),
            Instruction(AND, test.mask),
        ]
        last = len(test.values) - 1
        compare = [
            Instruction(
                JUMP_EQUAL,
                value,
                if_true=last - index,
                if_false=len(block) if index == last else 0,
            )
            for index, value in enumerate(test.values)
        ]
        block = head + compare + block
    return block
