"""A made-up label pack: every intent has words of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentnet.bench.intents.data import Labels, load_labels
from agentnet.bench.protocol import Lab
from agentnet.bench.suites.common import make_lab
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.outcomes.packs import save_pack
from agentnet.outcomes.table import Outcomes, Queries

WORDS = {
    "alarm": "wake alarm ring morning clock",
    "cards": "card lost stolen block bank",
    "music": "song play album singer louder",
    "weather": "rain sunny forecast umbrella wind",
    "taxi": "taxi ride pick airport driver",
    "recipe": "cook oven flour onion dinner",
}
NOISE = "please could you the a of my now then"
SIZES = {"train": 12, "val": 5, "test": 6}


def make_pack(seed: int = 0) -> Outcomes:
    """Six intents and, in train and val, utterances for nobody."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str]] = []
    for split, size in SIZES.items():
        for name, words in WORDS.items():
            for _ in range(size):
                said = [*rng.choice(words.split(), 3, replace=False), *rng.choice(NOISE.split(), 2)]
                rows.append((split, name, " ".join(said)))
        if split != "test":
            rows += [(split, "oos", " ".join(rng.choice(list("qxzjvkw"), 8))) for _ in range(6)]
    queries = Queries(
        query_id=np.array([f"{name}{i:03}" for i, (_, name, _) in enumerate(rows)]),
        text=tuple(f"{text} {i}" for i, (_, _, text) in enumerate(rows)),
        split=np.array([split for split, _, _ in rows]),
        gold=tuple(name for _, name, _ in rows),
        metric=("label",) * len(rows),
    )
    pool = Pool(Agent(name=name, description=words) for name, words in WORDS.items())
    return Outcomes.from_labels(queries, pool)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack on disk."""
    path = tmp_path_factory.mktemp("packs") / "made_up"
    save_pack(make_pack(), path)
    return path


@pytest.fixture
def lab() -> Lab:
    """A lab without any model."""
    return make_lab("hash:256", None)


@pytest.fixture
def data(folder: Path, lab: Lab) -> Labels:
    """The pack, loaded."""
    return load_labels(folder, lab)
