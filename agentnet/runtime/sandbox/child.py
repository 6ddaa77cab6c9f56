"""What runs inside the sandbox's process: confine this process, then run the program.

A script of its own, started as ``python -I -S -B child.py STATUS_FD``: it imports nothing of
agentnet. It reads a request from stdin (marshal, from the parent, which is the same interpreter),
and reports on a pipe, a line per layer: ``layer NAME 0|1 DETAIL``, then ``ready`` or ``refused
DETAIL``. After ``ready`` the report is in the program's hands and says nothing about confinement.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import sys
from typing import Any

MiB = 1 << 20
# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
# linux/sched.h
NEW_MOUNT, NEW_UTS, NEW_IPC, NEW_USER, NEW_NET = 0x20000, 0x4000000, 0x8000000, 1 << 28, 1 << 30
# linux/mount.h
NOSUID_NODEV_NOEXEC, PRIVATE_RECURSIVE = 0xE, 0x44000
# linux/landlock.h; the numbers of the calls are the same on every architecture
LANDLOCK_CREATE, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT = 444, 445, 446
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_AND_MAKE = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8  # folders and plain files
REFER, TRUNCATE = 1 << 13, 1 << 14
NET_TCP, SCOPE_SOCKETS_SIGNALS = 0x3, 0x3
#: Where the dynamic loader finds the libraries of extension modules, and time zones.
SYSTEM_READ = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
#: What a user id that is not mapped shows as, and what the program sees itself as.
NOBODY = 65534


class Refused(Exception):
    """A layer that must hold does not; the program is not run."""


class Reporter:
    """Writes the report; see the module's docstring."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def line(self, *words: str) -> None:
        """Write one line."""
        text = " ".join(words).replace("\n", " ") + "\n"
        os.write(self._fd, text.encode("utf-8", "replace"))

    def layer(self, name: str, holds: bool, detail: str = "") -> None:
        """Say whether a layer holds."""
        self.line("layer", name, str(int(holds)), detail)

    def answer(self, kind: str, answer: str) -> None:
        """Say how the program ended; this can be long."""
        data = f"end {kind}\n{answer}".encode("utf-8", "replace")
        while data:
            data = data[os.write(self._fd, data) :]


def _call(function: Any, *arguments: object) -> int:
    """Call a C function; a negative result is raised as the OSError of its errno."""
    ctypes.set_errno(0)
    result = int(function(*arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def limit_resources(limits: dict[str, int], strict: bool) -> str:
    """Set hard limits, which nothing without privileges can raise again; say which failed."""
    cpu = limits["cpu_s"]
    wanted = {
        # At the soft limit comes SIGXCPU, which the parent recognises; the hard one kills.
        "CPU": (cpu, cpu + 1),
        "AS": (limits["memory_mb"] * MiB,) * 2,
        "FSIZE": (limits["file_mb"] * MiB,) * 2,
        "CORE": (0, 0),
        "NOFILE": (64, 64),
        "NPROC": (0, 0),
        "MEMLOCK": (0, 0),
        "STACK": (8 * MiB, 8 * MiB),
    }
    if not strict:  # macOS rejects some of these
        del wanted["NPROC"], wanted["STACK"], wanted["MEMLOCK"]
    failed = []
    for name, (soft, ceiling) in wanted.items():
        which = getattr(resource, f"RLIMIT_{name}", None)
        try:
            if which is None:
                raise OSError("no such limit")
            hard = resource.getrlimit(which)[1]
            hard = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
            resource.setrlimit(which, (min(soft, hard), hard))
        except (OSError, ValueError) as error:
            failed.append(f"{name}: {error}")
    return "; ".join(failed)


def enter_namespaces(libc: Any, report: Reporter) -> bool:
    """Leave the host's network, mounts, IPC and users behind, if this machine lets us."""
    uid, gid = os.getuid(), os.getgid()
    rest = NEW_MOUNT | NEW_UTS | NEW_IPC | NEW_NET
    try:
        _call(libc.unshare, NEW_USER | rest)
        mapped = True
    except OSError as error:
        try:
            _call(libc.unshare, rest)  # root may, without a user namespace
            mapped = False
        except OSError:
            report.layer("namespaces", False, f"unshare: {error}")
            return False
    try:
        if mapped:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{NOBODY} {uid} 1"),
                ("gid_map", f"{NOBODY} {gid} 1"),
            ):
                fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
                os.write(fd, text.encode())
                os.close(fd)
    except OSError as error:
        report.layer("namespaces", False, f"mapping the user: {error}")
        return False
    report.layer("namespaces", True, ("user, " if mapped else "") + "network, mount, ipc, uts")
    return True


def mount_private_folder(libc: Any, report: Reporter, size: int) -> bool:
    """Cover the working folder with a RAM disk of bounded size that ends with this process.

    Only in a mount namespace of our own: root would change the host's mounts.
    """
    folder = os.getcwd()
    try:
        _call(libc.mount, b"none", b"/", None, PRIVATE_RECURSIVE, None)
        options = f"size={size},nr_inodes=256,mode=0700".encode()
        target = os.fsencode(folder)
        _call(libc.mount, b"tmpfs", target, b"tmpfs", NOSUID_NODEV_NOEXEC, options)
        os.chdir(folder)
    except OSError as error:
        report.layer("private_folder", False, f"programs can write no files: mount: {error}")
        return False
    report.layer("private_folder", True, f"tmpfs of {size} bytes")
    return True


def drop_capabilities(libc: Any, report: Reporter) -> None:
    """Give up every capability; there is no way back, since the filter denies exec."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    try:
        _call(libc.capset, header, (ctypes.c_uint32 * 6)())
    except OSError as error:
        report.layer("no_capabilities", False, f"capset: {error}")
    else:
        report.layer("no_capabilities", True)


def restrict_files(libc: Any, report: Reporter, writable: bool) -> None:
    """Landlock: read the interpreter's library, write to the working folder (or nothing)."""
    try:
        abi = _call(libc.syscall, LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
        bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)
        words = [(1 << bits) - 1, NET_TCP, SCOPE_SOCKETS_SIGNALS][: 1 + (abi >= 4) + (abi >= 6)]
        handled = words[0]
        attributes = (ctypes.c_uint64 * len(words))(*words)
        size = ctypes.c_size_t(8 * len(words))
        ruleset = _call(libc.syscall, LANDLOCK_CREATE, attributes, size, 0)
        read_write = READ_FILE | READ_DIR | WRITE_FILE | REMOVE_AND_MAKE | REFER | TRUNCATE
        allowed = dict.fromkeys([*sys.path, f"{sys.base_prefix}/lib", *SYSTEM_READ], READ_FILE)
        allowed = {path: READ_FILE | READ_DIR for path in allowed if path}
        allowed["/dev/null"] = READ_FILE | WRITE_FILE
        allowed[os.getcwd()] = read_write if writable else READ_FILE | READ_DIR
        for path, rights in allowed.items():
            _allow_path(libc, ruleset, path, rights & handled)
        _call(libc.syscall, LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)
    except OSError as error:
        report.layer("landlock", False, str(error))
        raise Refused(f"landlock (Linux 5.13 or later, enabled): {error}") from None
    report.layer("landlock", True, f"ABI {abi}")


def _allow_path(libc: Any, ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return  # what is not there need not be allowed
    if not os.path.isdir(path):
        rights &= READ_FILE | WRITE_FILE | TRUNCATE
    # struct landlock_path_beneath_attr is packed: 8 bytes of rights, 4 of file descriptor
    rule = rights.to_bytes(8, "little") + fd.to_bytes(4, "little")
    try:
        _call(libc.syscall, LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
    finally:
        os.close(fd)


def filter_system_calls(libc: Any, report: Reporter, program: bytes) -> None:
    """Set the seccomp filter for good; the last layer, for it denies setting the others."""

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    try:
        filter_ = Program(len(program) // 8, program)
        _call(libc.prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0)
    except OSError as error:
        report.layer("seccomp", False, str(error))
        raise Refused(f"seccomp filters: {error}") from None
    report.layer("seccomp", True, f"allow-list, {len(program) // 8} instructions")


def confine(request: dict[str, Any], report: Reporter) -> None:
    """Set all layers, strictest last.

    Raises:
        Refused: no_new_privs, Landlock, a resource limit or seccomp cannot be set.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    writable = False
    if enter_namespaces(libc, report):
        writable = mount_private_folder(libc, report, request["limits"]["file_mb"] * MiB)
    else:
        report.layer("private_folder", False, "needs namespaces; programs can write no files")
    try:
        _call(libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    except OSError as error:
        report.layer("no_new_privs", False, str(error))
        raise Refused(f"no_new_privs: {error}") from None
    report.layer("no_new_privs", True)
    drop_capabilities(libc, report)
    _call(libc.prctl, PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process of this user may look in
    restrict_files(libc, report, writable)
    # After the change of user namespace, which clears it: end with the thread that waits for us.
    _call(libc.prctl, PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != request["parent"]:
        raise Refused("the parent process is gone")
    failed = limit_resources(request["limits"], strict=True)
    report.layer("rlimits", not failed, failed or "cpu, memory, file size")
    if failed:
        raise Refused(f"resource limits: {failed}")
    filter_system_calls(libc, report, request["filter"])


def run_program(source: str, report: Reporter) -> int:
    """Run ``source`` as ``__main__``; report its answer; return its exit code."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    kind, code, answer = "ok", 0, ""
    try:
        exec(compile(source, "<program>", "exec"), module.__dict__)
        if module.__dict__.get("answer") is not None:
            answer = "answer " + str(module.__dict__["answer"])
    except SystemExit as stop:
        code = _exit_code(stop)
    except BaseException as error:
        kind, code = "memory" if _out_of_memory(error) else "error", 1
        trace = error.__traceback__.tb_next if error.__traceback__ else None  # without this file
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 (contextlib takes longer to import than this whole file)
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # the program closed or replaced it
    report.answer(kind, answer)
    return code


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == 12  # ENOMEM, on Linux and on macOS
    )


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    sys.stderr.write(f"{stop.code}\n")
    return 1


def _read_request() -> dict[str, Any]:
    size, data = int.from_bytes(os.read(0, 8), "little"), bytearray()
    while len(data) < size:
        # Unbuffered, to the byte: what follows is the program's own stdin.
        chunk = os.read(0, min(size - len(data), MiB))
        if not chunk:
            raise EOFError("the request ended early")
        data += chunk
    request: dict[str, Any] = marshal.loads(data)
    return request


def main() -> int:
    """Read the request, confine, run."""
    report = Reporter(int(sys.argv[1]))
    request = _read_request()
    sys.argv[:] = [""]
    os.environ.clear()
    os.environ["HOME"] = os.environ["TMPDIR"] = os.getcwd()
    try:
        if request["strict"]:
            confine(request, report)
        else:
            failed = limit_resources(request["limits"], strict=False)
            report.layer("rlimits", not failed, failed)
    except (Refused, OSError) as error:
        report.line("refused", str(error))
        return 1
    report.line("ready")
    return run_program(request["code"], report)


if __name__ == "__main__":
    os._exit(main())  # without the interpreter's tidying up: nothing outlives this process
