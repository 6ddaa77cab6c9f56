"""The tables over streams without drift: specialists, gate, heuristic, judge. All *simulated*."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from agentnet.bench.stream.intervals import interval
from agentnet.bench.stream.run import Log, Setup, serve
from agentnet.bench.stream.setups import JUDGES, LIVE_ETA, PAPER, RANDOM, of_recipe
from agentnet.bench.stream.world import Floats, Stream, World
from agentnet.routers.colony.recipes import Recipe

Table = dict[str, Any]
COLUMNS = [
    "setup", "success", "regret to best path", "usd per 1000 queries", "f_sys", "against",
    "difference (worlds and queries)", "difference (queries of these worlds)",
]  # fmt: skip
HOW = (
    "Last quarter of each stream. Success: right answers, mean and 95 % interval by bootstrap of seeds and "
    "of the queries inside each seed. Differences are paired by query (same queries, same luck), with two "
    "intervals: one over worlds and queries, and one over the queries of these worlds alone. Only the first "
    "speaks of other worlds."
)
MORE = 4
"""Further worlds per seed for the main claim."""
FIRST_MORE = 1000
CAPACITY = 6.0


class Bench:
    """Serves each setup once per seed and remembers what is needed of it."""

    def __init__(self, seeds: range, queries: int, progress: Callable[[str], None]) -> None:
        self.seeds, self.queries, self.progress = seeds, queries, progress
        self._worlds: dict[tuple[float, int], World] = {}
        self._streams: dict[tuple[bool, int], Stream] = {}
        self._logs: dict[tuple[Setup, float, bool], list[Log]] = {}

    def world(self, seed: int, conflict: float = 1.0) -> World:
        """Returns the seed's world."""
        key = (conflict, seed)
        if key not in self._worlds:
            self._worlds[key] = World.of(seed, conflict=conflict, capacity=CAPACITY)
        return self._worlds[key]

    def stream(self, seed: int, bursts: bool = False) -> Stream:
        """Returns the seed's stream."""
        key = (bursts, seed)
        if key not in self._streams:
            self._streams[key] = Stream.of(seed, self.queries, bursts=bursts)
        return self._streams[key]

    def logs(self, setup: Setup, *, conflict: float = 1.0, congested: bool = False) -> list[Log]:
        """Returns a log per seed."""
        key = (setup, conflict, congested)
        if key not in self._logs:
            self.progress(f"stream {len(self._logs) + 1}: {_said(setup, conflict, congested)}")
            self._logs[key] = [
                serve(self.world(s, conflict), self.stream(s, congested), setup, congested=congested)
                for s in self.seeds
            ]
        return self._logs[key]


def _said(setup: Setup, conflict: float, congested: bool) -> str:
    parts = [setup.rules.evaporation, f"rho {setup.rules.rho:g}", "shared" if setup.shared else "specialists"]
    parts += [f"conflict {conflict:g}"] * (conflict < 1) + ["congested"] * congested
    parts += ["no eta"] * (setup.eta is None) + ["no gate"] * (not setup.rules.gate)
    parts += [f"judge {setup.false_accept:g}/{setup.false_reject:g}"] * (setup.false_accept > 0)
    return ", ".join(parts)


def right(logs: list[Log]) -> list[Floats]:
    """Returns per seed [n] 1 for a right answer in the last quarter."""
    return [log.right[log.last()].astype(np.float64) for log in logs]


def mean(logs: list[Log], name: str) -> float:
    """Returns a field's mean over the last quarter and the seeds."""
    return float(np.mean([getattr(log, name)[log.last()].mean() for log in logs]))


def said(values: tuple[float, float, float], signed: bool = False) -> str:
    """Returns mean and interval in words.

    >>> said((0.5, 0.25, 0.75)), said((0.01, -0.1, 0.1), signed=True)
    ('0.500 [0.250, 0.750]', '+0.010 [-0.100, +0.100]')
    """
    sign = "+" if signed else ""
    middle, low, high = (format(value, f"{sign}.3f") for value in values)
    return f"{middle} [{low}, {high}]"


def row(name: str, logs: list[Log], other: tuple[str, list[Log]] | None = None) -> list[Any]:
    """Returns one row of a table of `COLUMNS`."""
    regret = float(np.mean([(log.best - log.chance)[log.last()].mean() for log in logs]))
    cells: list[Any] = [
        name,
        said(interval(right(logs))),
        round(regret, 3),
        round(1000 * mean(logs, "usd"), 2),
        round(mean(logs, "f_sys"), 3),
    ]
    if other is None:
        return [*cells, "", "", ""]
    gaps = [a - b for a, b in zip(right(logs), right(other[1]), strict=True)]
    both = (said(interval(gaps, worlds=worlds), signed=True) for worlds in (True, False))
    return [*cells, other[0], *both]


def worlds(bench: Bench) -> Table:
    """Returns how much the best paths conflict, by enumeration."""
    rows: list[list[Any]] = []
    for conflict in (1.0, 0.5, 0.0):
        found = [bench.world(s, conflict) for s in bench.seeds]
        values = [(w.best().mean(), w.best_shared(), w.crossed(), w.success.mean()) for w in found]
        means = [round(float(value), 3) for value in np.mean(values, 0)]
        rows.append([conflict, *means])
    columns = [
        "conflict", "best path per type", "best single path for all", "a type's best path on the others",
        "random path",
    ]  # fmt: skip
    note = (
        "Success probabilities of idle nodes, by enumeration of all 4,096 paths; mean over seeds. The other "
        "tables are of conflict 1 unless they say otherwise."
    )
    return {
        "title": "The worlds: how much best paths conflict",
        "note": note,
        "columns": columns,
        "rows": rows,
    }


def specialists(bench: Bench) -> Table:
    """Returns specialists against one shared matrix, for both recipes' rules."""
    rows = [row("random paths", bench.logs(RANDOM))]
    recipes: tuple[Recipe, ...] = ("paper", "agentnet")
    for recipe in recipes:
        setup = of_recipe(recipe)
        one = bench.logs(replace(setup, shared=True))
        rows.append(row(f"{recipe}'s rules, one shared matrix", one))
        rows.append(row(f"{recipe}'s rules, specialists", bench.logs(setup), ("shared", one)))
    dear = replace(PAPER, price=0.0)
    one = bench.logs(replace(dear, shared=True))
    rows.append(row("paper's rules, deposit without cost, shared", one))
    rows.append(row("paper's rules, deposit without cost, specialists", bench.logs(dear), ("shared", one)))
    note = f"{HOW} Recipe agentnet's rules are measured over paths of fixed length, without its trees."
    return {"title": "Specialists against one shared matrix", "note": note, "columns": COLUMNS, "rows": rows}


def more_worlds(bench: Bench) -> Table:
    """Returns specialists against one shared matrix in further worlds: the main claim once more."""
    first = FIRST_MORE + bench.seeds.start
    other = Bench(range(first, first + MORE * len(bench.seeds)), bench.queries, bench.progress)
    rows = []
    recipes: tuple[Recipe, ...] = ("paper", "agentnet")
    for recipe in recipes:
        setup = of_recipe(recipe)
        one = other.logs(replace(setup, shared=True))
        rows.append(row(f"{recipe}'s rules, specialists", other.logs(setup), ("shared", one)))
    title = f"Specialists against one shared matrix, {len(other.seeds)} further worlds"
    return {"title": title, "note": HOW, "columns": COLUMNS, "rows": rows}


def conflicts(bench: Bench) -> Table:
    """Returns the specialists' gain against how much the best paths conflict: a check of the claim."""
    rows = []
    for conflict in (1.0, 0.5, 0.0):
        one = bench.logs(replace(PAPER, shared=True), conflict=conflict)
        rows.append(
            row(f"specialists, conflict {conflict:g}", bench.logs(PAPER, conflict=conflict), ("shared", one))
        )
    note = f"{HOW} At conflict 0 all types have the same best path: there specialists have nothing to gain."
    return {"title": "The specialists' gain by conflict", "note": note, "columns": COLUMNS, "rows": rows}


def gate(bench: Bench) -> Table:
    """Returns learning with and without the gate."""
    rows = []
    recipes: tuple[Recipe, ...] = ("paper", "agentnet")
    for recipe in recipes:
        setup = of_recipe(recipe)
        without = bench.logs(replace(setup, rules=replace(setup.rules, gate=False)))
        rows.append(row(f"{recipe}'s rules, no gate", without))
        rows.append(row(f"{recipe}'s rules, gate", bench.logs(setup), ("no gate", without)))
        if recipe == "paper":
            dealt = bench.logs(replace(setup, shuffled=True))
            rows.append(row("paper's rules, verdicts shuffled", dealt, ("no gate", without)))
    return {"title": "The gate", "note": HOW, "columns": COLUMNS, "rows": rows}


def heuristic(bench: Bench) -> Table:
    """Returns serving with and without eta, calm and congested."""
    rows = []
    for congested in (False, True):
        world = "congested" if congested else "calm"
        without = bench.logs(replace(PAPER, eta=None), congested=congested)
        rows.append(row(f"{world}: no eta", without))
        live = replace(PAPER, eta=LIVE_ETA, prior=False)
        setups = [("spec's eta, beta 1", PAPER), ("eta of load and pace", live)]
        if congested:
            setups.append(("recipe agentnet's rules and eta", of_recipe("agentnet")))
        for name, setup in setups:
            found = bench.logs(setup, congested=congested)
            rows.append(row(f"{world}: {name}", found, ("no eta", without)))
    note = (
        f"{HOW} Congested: Poisson arrivals in bursts (8 queries a moment, 32 in every fourth ten), "
        f"{CAPACITY:g} calls a node and moment; latency grows with load, calls past the capacity fail or "
        "wait. Regret is to the best path of idle nodes."
    )
    return {"title": "The heuristic eta", "note": note, "columns": COLUMNS, "rows": rows}


def judges(bench: Bench) -> Table:
    """Returns learning under a noisy judge."""
    exact = bench.logs(PAPER)
    rows = [row("exact judge", exact)]
    for accept, reject in JUDGES[1:]:
        noisy = bench.logs(replace(PAPER, false_accept=accept, false_reject=reject))
        name = f"false accept {accept:.0%}, false reject {reject:.0%}"
        rows.append(row(name, noisy, ("exact judge", exact)))
    return {"title": "Judge noise, paper's rules", "note": HOW, "columns": COLUMNS, "rows": rows}


def learning_curves(bench: Bench) -> Table:
    """Returns success chance over the stream."""
    setups = {
        "paper's rules, specialists": PAPER,
        "paper's rules, one shared matrix": replace(PAPER, shared=True),
        "agentnet's rules, specialists": of_recipe("agentnet"),
        "paper's rules, no gate": replace(PAPER, rules=replace(PAPER.rules, gate=False)),
        "random": RANDOM,
    }
    series = [{"name": name, "points": curve(bench.logs(setup))} for name, setup in setups.items()]
    best = float(np.mean([bench.world(s).best().mean() for s in bench.seeds]))
    shared = float(np.mean([bench.world(s).best_shared() for s in bench.seeds]))
    for name, value in (("best path per type", best), ("best single path", shared)):
        series.append({"name": name, "points": [[0, value], [bench.queries, value]]})
    return {
        "title": "Success while learning",
        "x_label": "queries",
        "y_label": "success probability of the path",
        "series": series,
    }


def curve(logs: list[Log], steps: int = 40) -> list[list[float]]:
    """Returns mean chance by part of the stream."""
    chance = np.mean([log.chance for log in logs], 0)
    parts = np.array_split(chance, steps)
    size = len(chance) / steps
    return [[round((i + 0.5) * size, 1), round(float(part.mean()), 4)] for i, part in enumerate(parts)]
