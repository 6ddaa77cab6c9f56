"""Which system calls a running Python program needs, and their numbers per architecture.

Enough for CPython 3.11 to 3.13 to import its whole standard library; nothing that reaches beyond
the process: no sockets, processes, threads, signals to others, ownership or modes of files.
Numbers: Linux ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``
(aarch64).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

Arch = Literal["x86_64", "aarch64"]
ARCHITECTURES: tuple[Arch, ...] = ("x86_64", "aarch64")

#: ``AUDIT_ARCH_*`` of ``linux/audit.h``: what the kernel says about the caller of a system call.
AUDIT_ARCH: Mapping[Arch, int] = MappingProxyType({"x86_64": 0xC000003E, "aarch64": 0xC00000B7})

PROT_WRITE_EXEC, PROT_EXEC, MAP_ANONYMOUS = 0x6, 0x4, 0x20
O_RDONLY, O_WRONLY, O_RDWR, O_TRUNC = 0o0, 0o1, 0o2, 0o1000
#: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC: not
#: F_SETOWN and F_SETSIG, with which a file could send signals to another process.
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 1030)
TCGETS, TIOCGWINSZ, FIONCLEX, FIOCLEX = 0x5401, 0x5413, 0x5450, 0x5451
#: From here on calls are newer than this list: "no such call" lets the C library fall back.
FIRST_UNKNOWN = 450


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on an argument: ``argument & mask`` is one of ``values``; 32 bits of it."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    high_half: bool = False


#: One alternative is a set of tests that must all hold; a rule holds if one alternative does.
Rule = tuple[tuple[Condition, ...], ...]
ALWAYS: Rule = ((),)


def rules(pid: int) -> dict[str, Rule]:
    """Return the allow-list by name for a process that sees itself as ``pid``.

    What is not in it fails with EPERM, which Python raises as PermissionError.
    """
    names = (entry.split()[0] for entry in _TABLE.split(";"))
    listed = {name: ALWAYS for name in names if name not in NOT_IMPLEMENTED}
    # O_RDONLY | O_TRUNC empties a file that may only be read; access mode 3 asks for neither right.
    # Early Landlock versions let both pass.
    flags = Condition(1, (O_RDONLY, O_WRONLY, O_RDWR, O_TRUNC | O_WRONLY, O_TRUNC | O_RDWR), O_TRUNC | 3)
    listed["open"] = ((flags,),)
    listed["openat"] = ((replace(flags, argument=2),),)
    # Memory is writable or executable, never both, and executable memory comes from a file:
    # the loader needs that for extension modules.
    no_exec = (Condition(2, (0,), PROT_EXEC),)
    listed["mmap"] = (
        no_exec,
        (Condition(2, (PROT_EXEC,), PROT_WRITE_EXEC), Condition(3, (0,), MAP_ANONYMOUS)),
    )
    listed["mprotect"] = (no_exec,)
    listed["fcntl"] = ((Condition(1, FCNTL_COMMANDS),),)
    listed["ioctl"] = ((Condition(1, (TCGETS, TIOCGWINSZ, FIONCLEX, FIOCLEX)),),)
    # Signals to itself (abort, raise); limits of itself, to be read only.
    for name in ("kill", "tgkill", "tkill"):
        listed[name] = ((Condition(0, (pid,)),),)
    listed["prlimit64"] = ((Condition(0, (0, pid)), Condition(2, (0,)), Condition(2, (0,), high_half=True)),)
    return listed


#: Answered with ENOSYS, upon which the C library tries the older call.
NOT_IMPLEMENTED = ("clone3", "openat2")


def numbers(arch: Arch) -> Mapping[str, int]:
    """Return the numbers of the calls of the table on ``arch``; a call it lacks is left out.

    >>> numbers("x86_64")["openat"], numbers("aarch64")["openat"]
    (257, 56)
    """
    column = 1 + ARCHITECTURES.index(arch)
    rows = (entry.split() for entry in _TABLE.split(";"))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


#: Name, number on x86-64, number on aarch64. What is here and neither in `rules` with a condition
#: nor in `NOT_IMPLEMENTED` is allowed whatever its arguments.
_TABLE = """
    read 0 63; write 1 64; readv 19 65; writev 20 66; pread64 17 67; pwrite64 18 68; preadv 295 69;
    pwritev 296 70; preadv2 327 286; pwritev2 328 287; close 3 57; close_range 436 436; lseek 8 62;
    fstat 5 80; newfstatat 262 79; stat 4 -; lstat 6 -; statx 332 291; access 21 -;
    faccessat 269 48; faccessat2 439 439; readlink 89 -; readlinkat 267 78; getdents64 217 61;
    getdents 78 -; getcwd 79 17; chdir 80 49; fchdir 81 50; mkdir 83 -; mkdirat 258 34; rmdir 84 -;
    unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38; renameat2 316 276; ftruncate 77 46;
    fsync 74 82; fdatasync 75 83; fallocate 285 47; fadvise64 221 223; dup 32 23; dup2 33 -;
    dup3 292 24; pipe 22 -; pipe2 293 59; poll 7 -; ppoll 271 73; select 23 -; pselect6 270 72;
    epoll_create 213 -; epoll_create1 291 20; epoll_ctl 233 21; epoll_wait 232 -;
    epoll_pwait 281 22; eventfd2 290 19; munmap 11 215; mremap 25 216; madvise 28 233; brk 12 214;
    msync 26 227; rt_sigaction 13 134; rt_sigprocmask 14 135; rt_sigreturn 15 139;
    rt_sigpending 127 136; rt_sigtimedwait 128 137; rt_sigsuspend 130 133; sigaltstack 131 132;
    pause 34 -; alarm 37 -; setitimer 38 103; getitimer 36 102; clock_gettime 228 113;
    clock_getres 229 114; clock_nanosleep 230 115; nanosleep 35 101; gettimeofday 96 169;
    time 201 -; times 100 153; getrusage 98 165; sysinfo 99 179; uname 63 160; getpid 39 172;
    getppid 110 173; gettid 186 178; getuid 102 174; geteuid 107 175; getgid 104 176;
    getegid 108 177; getgroups 115 158; getresuid 118 148; getresgid 120 150; getpgrp 111 -;
    getpgid 121 155; getsid 124 156; futex 202 98; set_robust_list 273 99; set_tid_address 218 96;
    rseq 334 293; sched_yield 24 124; sched_getaffinity 204 123; getcpu 309 168;
    restart_syscall 219 128; exit 60 93; exit_group 231 94; getrandom 318 278; getrlimit 97 163;
    umask 95 166; open 2 -; openat 257 56; mmap 9 222; mprotect 10 226; fcntl 72 25; ioctl 16 29;
    kill 62 129; tgkill 234 131; tkill 200 130; prlimit64 302 261; clone3 435 435; openat2 437 437
"""
