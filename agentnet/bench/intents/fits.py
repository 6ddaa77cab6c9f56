"""Fits routers on label packs, keeps them on disk, and asks them."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentnet.bench.files import strict, write_json
from agentnet.bench.intents.data import Labels
from agentnet.bench.intents.measures import Predicted
from agentnet.bench.protocol import Entry, Lab
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Task
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions, Router
from agentnet.routers.gnn.plan import TrainingOptions
from agentnet.routers.registry import load_router, make_router

Kind = Literal["full", "train"]
"""Rows of a fit: train and val in scope, or train alone."""
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Shelf:
    """Figures that took long, a JSON file each; they tell nothing of the version that made them.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    def get(self, name: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Returns what is kept under a name, or makes and keeps it."""
        found = self.peek(name)
        if found is None:
            made = make()
            write_json(self.folder / f"{slug(name)}.json", made)
            found = dict(strict(made))
        return found

    def peek(self, name: str) -> dict[str, Any] | None:
        """Returns what is kept under a name, or None."""
        path = self.folder / f"{slug(name)}.json"
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


@dataclass(frozen=True, slots=True)
class Fits:
    """Fitted routers, a folder each; like `Shelf`, blind to the version.

    Attributes:
        folder: Where they lie.
        lab: Its encoder is every router's.
    """

    folder: Path
    lab: Lab

    def plain(self, entry: Entry) -> Router:
        """Returns a router that nothing was fitted on."""
        router = make_router(entry.router, **(entry.settings or {}))
        router.use_encoder(self.lab.encoder)
        return router

    def make(
        self, entry: Entry, outcomes: Outcomes, pool: Pool, *, seed: int, name: str
    ) -> tuple[Router, float]:
        """Fits a router; returns it and the seconds that took.

        Args:
            entry: Which.
            outcomes: What it learns from.
            pool: Its agents.
            seed: Of the fit.
            name: Of the fit: the training of a network goes on from a checkpoint of that name.
        """
        router = self.plain(entry)
        router.use_training(TrainingOptions(checkpoint=self.folder / "checkpoints" / slug(name)))
        start = time.perf_counter()
        with torch_threads(1):
            router.fit(outcomes, pool, seed=seed)
        return router, time.perf_counter() - start

    def full(self, entry: Entry, data: Labels, seed: int, kind: Kind = "full") -> tuple[Router, float]:
        """Returns a router fitted on all agents of a pack, and the seconds its fit took; it is kept."""
        name = f"{data.name}-{entry.label}-{kind}-{seed}"
        path = self.folder / slug(name)
        note = path / "seconds.json"
        if note.is_file():
            router = load_router(path / "router")
            router.use_encoder(self.lab.encoder)
            return router, float(json.loads(note.read_text(encoding="utf-8")))
        rows = data.learnable(data.fit_rows(val=kind == "full"))
        router, seconds = self.make(entry, rows, data.pool, seed=seed, name=name)
        shutil.rmtree(path, ignore_errors=True)
        router.save(path / "router")
        write_json(note, seconds)
        return router, seconds


def ask(router: Router, tasks: Sequence[Task], pool: Pool, *, seed: int = 0) -> Predicted:
    """Asks a router about tasks: what it would turn away, and what it chooses where it must not.

    The scope is the router's familiarity with a task where its scores tell one, else its highest calibrated
    score.
    """
    if not tasks:
        return Predicted(np.zeros((0, len(pool)), np.float32), (), np.zeros(0), np.zeros(0, bool))
    with torch_threads(1):
        parts = [
            _ask(router, tasks[start : start + _CHUNK], pool, seed) for start in range(0, len(tasks), _CHUNK)
        ]
    return Predicted(
        np.concatenate([part.probability for part in parts]),
        tuple(one for part in parts for one in part.chosen),
        np.concatenate([part.scope for part in parts]),
        np.concatenate([part.turned for part in parts if part.turned is not None]),
    )


def _ask(router: Router, tasks: Sequence[Task], pool: Pool, seed: int) -> Predicted:
    vectors = router.encode(tasks)
    scores = router.score_batch(tasks, pool, vectors=vectors)
    rng = np.random.default_rng(seed)
    options = replace(router.options, rng=rng)
    decisions = router.route_batch(tasks, pool, options=options, vectors=vectors, scores=scores)
    turned = np.array([decision.abstained for decision in decisions])
    if turned.any():  # asked again, and this time it must not
        again = [task for task, gone in zip(tasks, turned, strict=True) if gone]
        own = None if vectors is None else vectors[turned]
        options = RouteOptions(abstain_below=0.0, rng=rng)
        forced = iter(router.route_batch(again, pool, options=options, vectors=own))
        decisions = [
            next(forced) if gone else decision for decision, gone in zip(decisions, turned, strict=True)
        ]
    # What the decision was made by: a router that takes queries apart knows more then than before.
    p = np.stack([np.asarray(decision.calibrated, np.float32) for decision in decisions])
    where = {name: j for j, name in enumerate(pool.names)}
    chosen = tuple(
        tuple(sorted((where[name] for name in decision.agents), key=lambda j, row=row: -row[j]))  # type: ignore[misc]
        for decision, row in zip(decisions, p, strict=True)
    )
    scope = getattr(scores, "familiarity", np.asarray(scores.calibrated).max(1))
    return Predicted(p, chosen, np.asarray(scope, np.float64), turned)


def texts_as_tasks(texts: Sequence[str]) -> list[Task]:
    """Returns a task for each text."""
    return [Task(text) for text in texts]


def slug(name: str) -> str:
    """Returns a name fit for a file.

    >>> slug("clinc150-class centroid")
    'clinc150-class_centroid'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name)


def with_seeds(entry: Entry, seeds: int) -> range:
    """Seeds to run an entry with: one where the seed changes nothing."""
    return range(seeds) if entry.randomised else range(1)
