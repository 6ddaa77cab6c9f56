"""The command line as a user meets it: arguments in, status and text out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from agentnet.cli.main import main
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

WORDS = {
    "maths": ["equation", "solve", "root", "factor", "integral", "sum", "prime", "matrix"],
    "cooking": ["oven", "flour", "butter", "simmer", "onion", "garlic", "dough", "salt"],
}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error."""
        (line,) = self.err.strip().splitlines()
        assert "Traceback" not in line
        return line


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command in an empty folder, through the program's own entry point."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTNET_CACHE", "off")
    monkeypatch.delenv("AGENTNET_DB", raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["agentnet", *map(str, arguments)])
        capsys.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        shown = capsys.readouterr()
        assert isinstance(status, int)
        return Done(status, shown.out, shown.err)

    return run


def make_table(n: int = 120) -> Outcomes:
    """`chef` is good at cooking, `solver` at maths; `solver` costs more."""
    rng = np.random.default_rng(0)
    topic = np.arange(n) % 2
    chance = np.array([[0.2, 0.9], [0.9, 0.3]])[topic]
    score = (rng.random((n, 2)) < chance).astype(np.float32)
    names = tuple(WORDS)
    queries = Queries(
        query_id=np.array([f"q{i:03}" for i in range(n)]),
        text=tuple(f"{' '.join(rng.choice(WORDS[names[t]], 5))} {i}" for i, t in enumerate(topic)),
        split=np.array([("train", "train", "val", "test")[i // 2 % 4] for i in range(n)]),
        task=tuple(names[t] for t in topic),
        gold=("7",) * n,
        metric=("exact_match",) * n,
    )
    pool = Pool([Agent(name="chef", description="cooking"), Agent(name="solver", description="maths")])
    cost = np.tile([1e-4, 1e-3], (n, 1))
    response = np.where(score > 0, "7", "8").astype(object)
    return Outcomes(queries=queries, pool=pool, score=score, cost=cost, response=response)


@pytest.fixture
def table() -> Outcomes:
    """Recorded outcomes."""
    return make_table()


@pytest.fixture
def pack(tmp_path: Path, table: Outcomes) -> Path:
    """The outcomes as a pack's folder."""
    save_pack(table, tmp_path / "pack")
    return tmp_path / "pack"


@pytest.fixture
def knn(cli: Cli, pack: Path, tmp_path: Path) -> Path:
    """A trained router's folder."""
    done = cli("train", "knn", "--data", pack, "--out", "knn", "--set", "encoder=hash:128", "--set", "k=5")
    assert done.status == 0, done.err
    return tmp_path / "knn"
