"""Which routers are fitted in which simulated societies, the most wanted first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentnet.bench.protocol import Entry
from agentnet.bench.suites.topology_worlds import PRICED, Job, World

FIRST = 1000
"""Seed of the first society; those of small numbers are there to develop with."""
ROLLOUTS = 16
"""Graphs a task and step of the learned rivals, and of the longer training of recipe ``paper``."""
OURS = Entry("agp", "agp", {"recipe": "agentnet"})
PAPER = Entry("agp paper", "agp", {"recipe": "paper"})
LONGER = Entry(
    "agp paper, 100 steps of 16 rollouts", "agp", {"recipe": "paper", "steps": 100, "rollouts": ROLLOUTS}
)


def _method(name: str, **settings: Any) -> Entry:
    return Entry(name, "topology", {"method": name, **settings})


COMPLETE = _method("complete")
FIXED = (_method("single"), _method("star"), _method("chain"), COMPLETE, _method("random"))
LEARNED = tuple(
    _method(name, rollouts=ROLLOUTS, **{PRICED: PRICED})
    for name in ("gptswarm", "agentprune", "gdesigner", "agentdropout")
)
"""The papers train one graph a task and step on the score alone; these are given more of both."""
MAIN = (*FIXED, *LEARNED, PAPER, LONGER, OURS)
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "no hard pruning": {"hard": False},
    "no soft pruning": {"soft": False},
    "no Stage I": {"stage_one": False},
    "the paper's decoder": {"decoder": "gram"},
    "no Stage II network": {"epochs": 0},
}
"""What each ablation changes in recipe ``agentnet``."""
STEPS = (1, 2, 5, 10, 20, 50)
"""Steps of recipe ``paper``; it has 10."""
EPOCHS = (1, 5, 20)
"""Passes of recipe ``agentnet``; it has 60, and none is an ablation."""
REFITS = (200, 600)
ADVERSARIES = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many societies each question is asked in; a fit takes tens of seconds.

    Attributes:
        first: Seed of the first society.
        societies: Of the main comparison, and at most of all others.
        no_pruning: In which nothing is gained by pruning.
        adversaries: For each number of adversaries.
        shuffled: With shuffled texts.
        turned: In which an agent turns bad.
        ablations: For each ablation, and each number of steps of recipe ``paper``.
        epochs: For each number of passes.
    """

    first: int = FIRST
    societies: int = 20
    no_pruning: int = 5
    adversaries: int = 4
    shuffled: int = 5
    turned: int = 3
    ablations: int = 5
    epochs: int = 2

    def seeds(self, wanted: int) -> range:
        """The seeds of so many societies."""
        return range(self.first, self.first + min(wanted, self.societies))


def steps_entry(steps: int) -> Entry:
    """Recipe ``paper`` after so many steps of each stage."""
    return Entry(f"agp paper after {steps}", "agp", {"recipe": "paper", "steps": steps})


def epochs_entry(epochs: int) -> Entry:
    """Recipe ``agentnet`` after so many passes of Stage II."""
    return Entry(f"agp after {epochs}", "agp", {"recipe": "agentnet", "epochs": epochs})


def ablation(name: str) -> Entry:
    """Recipe ``agentnet`` with one of `CHANGES`."""
    return Entry(f"agp, {name}", "agp", {"recipe": "agentnet", **CHANGES[name]})


def plan(size: Size) -> list[Job]:
    """Returns the jobs, the most wanted first; no two have the same key.

    >>> len(plan(Size(societies=1))), plan(Size(societies=1))[0].entry.label
    (43, 'agp')
    """
    jobs = [Job(world=World(seed=s), entry=e) for s in size.seeds(size.societies) for e in reversed(MAIN)]
    jobs += [
        Job(world=World(seed=seed, kind="no_pruning"), entry=entry)
        for seed in size.seeds(size.no_pruning)
        for entry in (OURS, PAPER, COMPLETE)
    ]
    jobs += [
        Job(world=World(seed=seed, kind="adversarial", adversaries=count), entry=entry)
        for seed in size.seeds(size.adversaries)
        for count in ADVERSARIES
        for entry in (OURS, PAPER, COMPLETE)
    ]
    jobs += [Job(world=World(seed=s), entry=OURS, refits=REFITS) for s in size.seeds(size.turned)]
    jobs += [Job(world=World(seed=s, shuffled=True), entry=OURS) for s in size.seeds(size.shuffled)]
    few = size.seeds(size.ablations)
    jobs += [Job(world=World(seed=s), entry=steps_entry(steps)) for steps in STEPS for s in few]
    jobs += [Job(world=World(seed=s), entry=ablation(name)) for s in few for name in CHANGES]
    jobs += [
        Job(world=World(seed=s), entry=epochs_entry(epochs))
        for s in size.seeds(size.epochs)
        for epochs in EPOCHS
    ]
    return jobs
