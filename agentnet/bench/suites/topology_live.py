"""The live part of suite ``topology``: agents of the embedded model that read each other's answers.

Routers learn from recorded rollouts of the training tasks; what they decide on the test tasks is run, live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.protocol import Entry, Lab, seeds_for
from agentnet.bench.suites.topology_log import LogEnvironments
from agentnet.bench.topology.evaluate import Measured, baselines, equal_samples, measured
from agentnet.bench.topology.live import FEW, TEST_ITEMS, TRAIN_ITEMS, Recording, run_graphs
from agentnet.bench.topology.pools import SAMPLER, THINKER, make_pool
from agentnet.bench.topology.record import load_rollouts
from agentnet.bench.topology.tasks import POOLS, Item, make_items
from agentnet.errors import DataError
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions
from agentnet.routers.registry import make_router
from agentnet.routers.topology.learned import LEARNED
from agentnet.traces.store import TraceStore

Floats = NDArray[np.float64]
DIALS = (0.0, 0.05, 0.1)
"""Settings of the dial for `agp`, all of them reported."""
SINGLE, EQUAL = "single best agent", "self_consistency, complete's tokens"
ROLLOUTS = 16
_PAPER = Entry("agp paper", "agp", {"recipe": "paper"}, randomised=True)
_AGP = Entry("agp", "agp", {"recipe": "agentnet"}, randomised=True)


def _method(name: str, **settings: Any) -> Entry:
    return Entry(name, "topology", {"method": name, **settings}, randomised=True)


RIVALS = (
    Entry("complete, best last", "topology", {"method": "complete"}),
    _method("random"),
    *(_method(n, rollouts=ROLLOUTS) for n in ("gptswarm", "agentprune", "gdesigner", "agentdropout")),
)
"""The learned ones run graphs in an environment made of the log, and count the score alone."""
FIXED = ("chain", "star", "complete")
COLUMNS = ("score", "prompt_tokens", "completion_tokens", "calls", "agents")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What one method came to on n test tasks, row by row; means over its seeds.

    Attributes:
        label: Of the method.
        pool: Name of the pool.
        seeds: How many were run.
        query_id: [n] the tasks.
        columns: [n] each, by `COLUMNS`.
        answers: [n] under the first seed.
    """

    label: str
    pool: str
    seeds: int
    query_id: tuple[str, ...]
    columns: dict[str, Floats]
    answers: tuple[str, ...]

    @classmethod
    def of(cls, label: str, pool: str, runs: Sequence[Measured]) -> Line:
        """Joins a method's seeds."""
        columns = {
            key: np.mean([np.asarray(getattr(run, key), np.float64) for run in runs], axis=0)
            for key in COLUMNS
        }
        return cls(label, pool, len(runs), runs[0].query_id, columns, runs[0].answer)

    @property
    def score(self) -> Floats:
        """[n] 1 where right."""
        return self.columns["score"]

    @property
    def tokens(self) -> Floats:
        """[n] prompt and completion tokens."""
        return self.columns["prompt_tokens"] + self.columns["completion_tokens"]


@dataclass(frozen=True, slots=True)
class Place:
    """A pool's recording, its tasks, and whether what is missing may be asked.

    Attributes:
        name: Of the pool.
        recording: Traces and remembered answers.
        items: Test tasks.
        outcomes: Logged training rollouts.
        record: Whether missing runs are made now.
        say: Told what is being done.
    """

    name: str
    recording: Recording
    items: Sequence[Item]
    outcomes: Outcomes
    record: bool
    say: Callable[[str], None]

    @classmethod
    def of(
        cls,
        name: str,
        folder: Path,
        pack: Path | None,
        model: Path | None,
        record: bool,
        say: Callable[[str], None],
    ) -> Place:
        """Opens a recording.

        Raises:
            DataError: there is none.
        """
        recording = Recording(folder / name, model)
        if not (recording.folder / "traces.db").exists():
            raise DataError(
                f"{recording.folder} holds no recording; make one: python -m agentnet.bench.topology.live."
            )
        train = make_items(name, "train", TRAIN_ITEMS, pack=pack)
        with TraceStore.open(recording.url, create=False) as store:
            outcomes = load_rollouts(store, make_pool(name), train)
        return cls(name, recording, make_items(name, "test", TEST_ITEMS, pack=pack), outcomes, record, say)

    def run(self, label: str, pool: Pool, graphs: Sequence[TaskGraph]) -> Measured | None:
        """Runs graphs on the test tasks; None where runs are missing and must not be made."""
        if self.record:

            def told(done: int, total: int) -> None:
                if done % 20 == 0 or done == total:
                    self.say(f"{self.name}, {label}: {done} of {total} tasks")

            return run_graphs(self.recording, pool, self.items, graphs, progress=told)
        with TraceStore.open(self.recording.url, create=False) as store:
            try:
                return measured(store, pool, self.items, graphs)
            except DataError:
                return None

    def fixed(self) -> Iterator[Line]:
        """The fixed methods: the best single agent by the training tasks, the others, and thinking alone."""
        best = self.outcomes.agents[int(np.nanargmax(self.outcomes.mean_score))]
        found: dict[str, Measured] = {}
        wanted = {best: SINGLE, **{name: name for name in (*FIXED, THINKER)}}
        wanted |= {name: name for name in self.outcomes.agents if name != best}
        for key, label in wanted.items():
            yield from self._line(found, key, label, ())
        if {"complete", THINKER} <= found.keys():
            tokens = [float(np.nanmean(found[key].tokens)) for key in ("complete", THINKER)]
            samples = equal_samples(*tokens)
            yield from self._line(found, f"{SAMPLER}_{samples}", EQUAL, (FEW, samples))

    def _line(
        self, found: dict[str, Measured], key: str, label: str, samples: Sequence[int]
    ) -> Iterator[Line]:
        pool, graph = baselines(self.name, samples)[key]
        run = self.run(label, pool, [graph])
        if run is not None:
            found[key] = run
            yield Line.of(label, self.name, [run])

    def decided(self, entry: Entry, dials: Sequence[float], seeds: Sequence[int], lab: Lab) -> Iterator[Line]:
        """A router's lines, one for each setting of the dial; seeds whose runs are missing are left out."""
        pool = self.outcomes.pool
        environments = LogEnvironments(lab.encoder)
        runs: dict[float, list[Measured]] = {dial: [] for dial in dials}
        for seed in seeds:
            self.say(f"{self.name}, {entry.label}, seed {seed}: learning")
            router: Any = make_router(entry.router, **(entry.settings or {}))
            router.use_encoder(lab.encoder)
            if (entry.settings or {}).get("method") in LEARNED:
                router.use_environment(environments.factory(seed))
            router.fit(self.outcomes, pool, seed=seed)
            tasks = [item.task() for item in self.items]
            for dial in dials:
                options = RouteOptions(cost_weight=dial, rng=np.random.default_rng(seed))
                graphs = [decision.graph for decision in router.route_batch(tasks, pool, options=options)]
                whole = [graph for graph in graphs if graph is not None]
                run = self.run(f"{entry.label}, dial {dial:g}, seed {seed}", pool, whole)
                if run is not None:
                    runs[dial].append(run)
        for dial, found in runs.items():
            if found:
                label = entry.label if len(dials) == 1 else f"{entry.label}, dial {dial:g}"
                yield Line.of(label, self.name, found)


def run(
    folder: Path,
    *,
    pack: Path | None,
    lab: Lab,
    seeds: int,
    rival_seeds: int = 1,
    model: Path | None = None,
    record: bool = True,
    say: Callable[[str], None] = lambda text: None,
    keep: Callable[[Sequence[Line]], None] = lambda lines: None,
) -> list[Line]:
    """Runs all methods on both pools' test tasks, ours first; returns their lines.

    Args:
        folder: Of the recordings, one folder a pool, as `agentnet.bench.topology.live` makes them.
        pack: Folder of the pack ``topology``; None where it was recorded without.
        lab: Has the encoder.
        seeds: Of `agp`.
        rival_seeds: Of the others that draw: most of their graphs are new, and every run takes seconds.
        model: The embedded model's GGUF file.
        record: Whether runs that are missing are made.
        say: Told what is being done.
        keep: Given the lines that are there after each method: hours of work are not lost with the next one.
    """
    places = [Place.of(name, folder, pack, model, record, say) for name in POOLS]
    lines = [line for place in places for line in place.fixed()]
    for entry, dials in ((_AGP, DIALS), (_PAPER, DIALS[:1]), *((rival, DIALS[:1]) for rival in RIVALS)):
        count = seeds if entry is _AGP else min(seeds, rival_seeds)
        for place in places:
            lines += place.decided(entry, dials, seeds_for(entry, count), lab)
        keep(lines)
    return lines
