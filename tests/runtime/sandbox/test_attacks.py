"""Hostile programs, each as root (where the tests run as root) and as an ordinary user.

Where a program would succeed outside of the sandbox, the same program is run in ``unsafe`` mode as
well: it shows that the refusal is the sandbox's doing.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the strict sandbox is for Linux")

PRELUDE = """
import ctypes, errno, os, sys
def attempt(action):
    try:
        result = action()
    except (OSError, RuntimeError, ValueError) as error:
        print("DENIED", errno.errorcode.get(getattr(error, "errno", None), type(error).__name__))
    else:
        print("DONE", result)
"""

#: name: (x86-64, aarch64); each is called with zeros for arguments
FORBIDDEN = {
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "sendmsg": (46, 211),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "memfd_create": (319, 279),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "reboot": (169, 142),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "landlock_restrict_self": (446, 446),
    "personality": (135, 92),
    "setuid": (105, 146),
    "capset": (126, 91),
    "truncate": (76, 45),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "symlinkat": (266, 36),
    "linkat": (265, 37),
    "mknodat": (259, 33),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "setsid": (112, 157),
    "openat2": (437, 437),
}


def test_a_fork_bomb_gets_no_second_process(run):
    result = run(PRELUDE + "for _ in range(1000): attempt(os.fork)")
    assert result.status == "ok"
    assert set(result.stdout.splitlines()) == {"DENIED EPERM"}


def test_no_way_to_start_a_process_or_a_thread_is_left(run):
    result = run(
        PRELUDE
        + "import subprocess, threading, multiprocessing\n"
        + "attempt(lambda: subprocess.run(['/bin/true']))\n"
        + "attempt(lambda: os.posix_spawn('/bin/true', ['true'], {}))\n"
        + "attempt(lambda: os.execv('/bin/true', ['true']))\n"
        + "attempt(lambda: threading.Thread(target=print).start())\n"
        + "print('fork in C', ctypes.CDLL(None).fork())\n"
    )
    assert result.stdout.splitlines() == ["DENIED EPERM"] * 3 + ["DENIED RuntimeError", "fork in C -1"]


def test_an_endless_loop_ends(run):
    result = run("while True: pass", cpu_s=1)
    assert result.status == "timeout"
    assert 0.5 < result.cpu_s < 10  # what is read at its end may lag behind the limit that ended it


def test_an_endless_loop_that_ignores_the_warning_ends(run):
    result = run("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", cpu_s=1)
    assert result.status == "timeout"


def test_an_endless_sleep_ends(run):
    result = run("import time\nprint('asleep', flush=True)\ntime.sleep(1000)", wall_s=3)
    assert result.status == "timeout"
    assert 3 <= result.wall_s < 100


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(10 * 1024**3)",
        "import mmap\nx = mmap.mmap(-1, 10 * 1024**3)",
        "x = []\nwhile True: x.append(bytearray(1 << 22))",
    ],
    ids=["at once", "mmap", "bit by bit"],
)
def test_ten_gigabytes_are_not_to_be_had(run, code):
    result = run(code)
    assert result.status == "memory", result
    assert result.value is None


def test_the_home_and_any_other_folder_cannot_be_read(run, open_folder):
    secret = open_folder / "id_rsa"
    secret.write_text("PRIVATE KEY")
    secret.chmod(0o644)
    code = PRELUDE + (
        f"attempt(lambda: open({str(secret)!r}).read())\nattempt(lambda: os.listdir({str(open_folder)!r}))\n"
    )
    assert run(code).stdout.splitlines() == ["DENIED EACCES", "DENIED EACCES"]
    assert run(code, mode="unsafe").stdout.splitlines() == ["DONE PRIVATE KEY", "DONE ['id_rsa']"]


@pytest.mark.parametrize("path", [str(Path.home()), "/", "/home", "/tmp", "/etc", "/proc", "/sys", "/dev"])
def test_folders_of_the_system_cannot_be_listed(run, path):
    result = run(PRELUDE + f"attempt(lambda: os.listdir({path!r}))")
    assert result.stdout.strip() in {"DENIED EACCES", "DENIED ENOENT"}


@pytest.mark.parametrize(
    "kind",
    [
        "AF_INET, socket.SOCK_STREAM",
        "AF_INET6, socket.SOCK_DGRAM",
        "AF_UNIX, socket.SOCK_STREAM",
        "AF_NETLINK, socket.SOCK_RAW",
    ],
)
def test_no_socket_opens(run, kind):
    code = PRELUDE + f"import socket\nattempt(lambda: socket.socket(socket.{kind}).family)"
    assert run(code).stdout.strip() == "DENIED EPERM"
    assert run(code, mode="unsafe").stdout.startswith("DONE")


def test_nothing_outside_of_its_folder_can_be_changed(run, open_folder):
    victim = open_folder / "victim.txt"
    victim.write_text("as it was")
    victim.chmod(0o666)
    target, new = str(victim), str(open_folder / "new")
    attempts = [
        f"open({target!r}, 'w').write('x')",
        f"open({target!r}, 'a').write('x')",
        f"os.open({target!r}, os.O_RDONLY | os.O_TRUNC)",
        f"os.open({target!r}, 3 | os.O_TRUNC)",
        f"os.truncate({target!r}, 0)",
        f"os.unlink({target!r})",
        f"os.rename({target!r}, {new!r})",
        f"os.rename({target!r}, 'mine')",
        f"os.link({target!r}, 'mine')",
        f"os.symlink({target!r}, 'mine')",
        f"os.chmod({target!r}, 0)",
        f"os.utime({target!r}, (0, 0))",
        f"os.setxattr({target!r}, 'user.x', b'x')",
        f"os.mkdir({new!r})",
        f"open({new!r}, 'w')",
        f"os.mkfifo({new!r})",
    ]
    result = run(PRELUDE + "".join(f"attempt(lambda: {attempt})\n" for attempt in attempts))
    outcomes = dict(zip(attempts, result.stdout.splitlines(), strict=True))
    assert {a: o for a, o in outcomes.items() if o.split()[-1] not in {"EPERM", "EACCES", "EXDEV"}} == {}
    assert victim.read_text() == "as it was"
    assert victim.stat().st_mode & 0o777 == 0o666
    assert os.listdir(open_folder) == ["victim.txt"]


def test_the_library_it_may_read_cannot_be_changed(run):
    """What matters where the interpreter is the user's own, or the user is root."""
    result = run(
        PRELUDE
        + "import json\nattempt(lambda: open(json.__file__, 'r+'))\n"
        + "attempt(lambda: os.open(json.__file__, os.O_RDONLY | os.O_TRUNC))\n"
        + "attempt(lambda: os.unlink(json.__file__))\n"
        + "print(len(open(json.__file__).read()) > 1000)"
    )
    assert result.stdout.splitlines()[-1] == "True"
    assert all(line.startswith("DENIED") for line in result.stdout.splitlines()[:-1])


def test_a_huge_file_does_not_fill_the_disk(run):
    result = run(PRELUDE + "f = open('big', 'wb', buffering=0)\nfor _ in range(3): f.write(bytes(1 << 20))")
    assert result.status == "error"
    assert any(word in result.stderr for word in ("File too large", "No space left", "Permission denied"))


def test_many_files_do_not_fill_the_disk_either(run):
    code = (
        "import os\nwritten = 0\n"
        "try:\n"
        "    for i in range(100):\n"
        "        with open(str(i), 'wb', buffering=0) as f: written += f.write(bytes(100_000))\n"
        "except OSError: pass\n"
        "answer = written"
    )
    assert int(run(code).value) <= 1 << 20
    assert run(code, mode="unsafe").value == "10000000"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_without_end_is_cut_and_ended(run, stream):
    result = run(f"import sys\nwhile True: sys.{stream}.write('x' * 1000)", output_kb=8)
    assert result.status == "output"
    assert getattr(result, stream) == "x" * 8192


def test_output_of_exactly_the_bound_is_let_through(run):
    result = run("print('x' * 1023)", output_kb=1)
    assert (result.status, result.value) == ("ok", "x" * 1023)


def test_an_answer_without_end_is_ended(run):
    assert run("answer = 'x' * (1 << 22)", output_kb=8).status == "output"


def test_the_parent_cannot_be_traced_read_or_signalled(run):
    code = PRELUDE + (
        "import signal\nparent = os.getppid()\n"
        "attempt(lambda: open(f'/proc/{parent}/environ', 'rb').read())\n"
        "attempt(lambda: open(f'/proc/{parent}/mem', 'rb'))\n"
        "attempt(lambda: open('/proc/self/environ', 'rb'))\n"
        "attempt(lambda: os.kill(parent, 0))\n"
        "attempt(lambda: os.kill(-1, 0))\n"
        "attempt(lambda: os.setpriority(os.PRIO_PROCESS, parent, 5))\n"
        "import resource\nattempt(lambda: resource.prlimit(parent, resource.RLIMIT_CPU))\n"
    )
    assert all(line.startswith("DENIED") for line in run(code).stdout.splitlines())
    assert run(code, mode="unsafe").stdout.splitlines()[3] == "DONE None"


def test_a_file_cannot_be_made_to_send_signals(run):
    code = (
        PRELUDE
        + "import fcntl\nr, w = os.pipe()\nattempt(lambda: fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid()))"
    )
    assert run(code).stdout.strip() == "DENIED EPERM"
    assert run(code, mode="unsafe").stdout.strip() == "DONE 0"


def test_limits_cannot_be_raised(run):
    code = PRELUDE + (
        "import resource\n"
        "attempt(lambda: resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2))\n"
        "attempt(lambda: resource.getrlimit(resource.RLIMIT_CPU))"
    )
    lines = run(code, cpu_s=7).stdout.splitlines()
    assert lines[0].startswith("DENIED")
    assert lines[1] == "DONE (7, 8)"


def test_memory_is_never_writable_and_executable(run):
    code = (
        "import ctypes, ctypes.util, mmap, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "libc.mmap.restype = ctypes.c_ssize_t\n"
        "libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]\n"
        "libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]\n"
        "print(libc.mmap(None, 4096, 7, 0x22, -1, 0), libc.mmap(None, 4096, 5, 0x22, -1, 0))\n"
        "plain = libc.mmap(None, 4096, 3, 0x22, -1, 0)\n"
        "print(plain != -1, libc.mprotect(plain, 4096, 5), libc.mprotect(plain, 4096, 1))"
    )
    assert run(code).stdout.splitlines() == ["-1 -1", "True -1 0"]
    assert "-1 -1" not in run(code, mode="unsafe").stdout


def test_forbidden_system_calls_fail_and_do_not_end_the_program(run):
    column = ("x86_64", "aarch64").index(platform.machine())
    table = {name: row[column] for name, row in FORBIDDEN.items() if row[column] is not None}
    result = run(
        "import ctypes, json\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "outcome = {}\n"
        f"for name, number in {table!r}.items():\n"
        "    result = libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0)\n"
        "    outcome[name] = ctypes.get_errno() if result == -1 else f'returned {result}'\n"
        "answer = {n: o for n, o in outcome.items() if o not in (1, 38)}"
    )
    assert (errno.EPERM, errno.ENOSYS) == (1, 38)
    assert (result.status, result.value) == ("ok", "{}")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is a convention of x86-64")
def test_the_second_way_into_the_kernel_is_death(run):
    result = run("import ctypes\nctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))\nprint('alive')")
    assert (result.status, result.stdout) == ("killed", "")


def test_secrets_and_open_files_are_not_inherited(run, monkeypatch):
    monkeypatch.setenv("AGENTNET_TEST_API_KEY", "sk-secret")
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        result = run(
            "import os, stat\n"
            "print(sorted(os.environ))\n"
            "kinds = []\n"
            "for fd in range(3, 64):\n"
            "    try: kinds.append(stat.S_ISFIFO(os.fstat(fd).st_mode))\n"
            "    except OSError: pass\n"
            "print(kinds)\n"  # the report pipe alone
            "print(os.listdir('.'), os.getcwd() == os.environ['HOME'])\n"
        )
    finally:
        os.close(read)
        os.close(write)
    assert result.stdout.splitlines() == ["['HOME', 'TMPDIR']", "[True]", "[] True"]


def test_a_forged_report_deceives_about_nothing_but_the_answer(run):
    forged = (
        "import os\n"
        "for fd in range(3, 64):\n"
        "    try: os.write(fd, b'refused by me\\nlayer seccomp 0 x\\nend ok\\nanswer forged')\n"
        "    except OSError: pass\n"
        "os._exit(0)"
    )
    result = run(forged)
    assert (result.status, result.value) == ("ok", None)
