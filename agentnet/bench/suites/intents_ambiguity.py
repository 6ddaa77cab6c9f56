"""Part `ambiguity` of suite `intents`: queries that need two agents, beside queries that need one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.intents.data import Labels
from agentnet.bench.intents.fits import Fits, Shelf, ask, texts_as_tasks, with_seeds
from agentnet.bench.intents.joins import Mixed, mixed
from agentnet.bench.intents.measures import Predicted, above, best_k, compact, set_figures
from agentnet.bench.intents.references import LOGISTIC, choose
from agentnet.bench.protocol import Entry, Lab, Progress
from agentnet.bench.suites.intents_figures import over_rows
from agentnet.bench.suites.intents_full import OURS
from agentnet.bench.suites.topology_figures import Cell, Figure, table

COUNT = 600
"""Queries of one utterance, and as many of two, a pack."""
MOST = 3
WITHOUT = frozenset({"random", "best_single"})
"""Routers that tell no agents apart."""
OWN = "its own sets"
TOLD = "threshold of the test (a bound)"
NOTE = (
    "Half of the queries are one test utterance, half are two of different intents, joined. Templates "
    "and pairs of intents of the test are not used in val. A set is exact when it holds all right "
    "agents and no other; R is the reward of docs/routers/tcar.md. 'its own sets': as the router "
    "decides. The other lines take the same router's probabilities: the k likeliest agents for every "
    "query, or those above a threshold (three at most); k and threshold are those with the most exact "
    "sets on val's queries, made in the same way. The bound is the threshold with the most exact sets "
    "on the test queries themselves. Intervals: 95% bootstrap over queries, of the mean over seeds."
)
AGAINST_NOTE = "Differences on the same queries; 'above' where the interval excludes zero."
KEYS = ("exact", "reward", "recall", "size")
Record = Mapping[str, Any]


def router_record(data: Labels, entry: Entry, seed: int, fits: Fits) -> dict[str, Any]:
    """Asks a router of part `full` about joined queries."""
    router, _ = fits.full(entry, data, seed)
    judge = router if entry.router == OURS else fits.full(entry, data, seed, "train")[0]
    val, test = mixed(data, "val", count=COUNT), mixed(data, "test", count=COUNT)
    tuned = ask(judge, texts_as_tasks(val.text), data.pool, seed=seed)
    found = ask(router, texts_as_tasks(test.text), data.pool, seed=seed)
    return _record(data, val, tuned, test, found, {OWN: [list(chosen) for chosen in found.chosen]})


def reference_record(data: Labels, lab: Lab) -> dict[str, Any]:
    """Asks logistic regression about joined queries."""
    train, val_rows = data.rows("train", inside=True), data.rows("val", inside=True)
    x, y = data.vectors, data.gold
    chosen = choose(LOGISTIC, (x[train], y[train]), (x[val_rows], y[val_rows]), data.described)
    both = np.concatenate([train, val_rows])
    last = chosen.again(x[both], y[both], data.described)
    val, test = mixed(data, "val", count=COUNT), mixed(data, "test", count=COUNT)
    tuned = Predicted.top_one(chosen.probability(chosen.scorer, lab.encoder.encode(val.text)))
    found = Predicted.top_one(chosen.probability(last, lab.encoder.encode(test.text)))
    return _record(data, val, tuned, test, found, {})


def _record(
    data: Labels,
    val: Mixed,
    tuned: Predicted,
    test: Mixed,
    found: Predicted,
    own: Mapping[str, Sequence[Sequence[int]]],
) -> dict[str, Any]:
    ways: dict[str, Sequence[Sequence[int]]] = dict(own)
    ways |= {f"top {k}": best_k(found.probability, k) for k in range(1, MOST + 1)}
    k = max(range(1, MOST + 1), key=lambda k: _exact(best_k(tuned.probability, k), val, data))
    ways["best k of val"] = best_k(found.probability, k)
    least = tune(tuned.probability, val, data)
    ways["threshold of val"] = above(found.probability, least, MOST)
    ways[TOLD] = above(found.probability, tune(found.probability, test, data), MOST)
    gold = test.sets()
    return {
        "joined": test.joined.tolist(),
        "template": test.template.tolist(),
        "k": k,
        "threshold": least,
        "ways": {way: compact(set_figures(sets, gold, data.names)) for way, sets in ways.items()},
    }


def tune(probability: NDArray[np.float32], queries: Mixed, data: Labels) -> float:
    """Returns the threshold on the probability that makes the most sets exact."""
    rest = np.sort(probability, axis=1)[:, -MOST:-1]
    tried = [2.0, *np.unique(np.quantile(rest, np.linspace(0, 1, 101))).tolist()]
    return float(max(tried, key=lambda least: _exact(above(probability, least, MOST), queries, data)))


def _exact(sets: Sequence[Sequence[int]], queries: Mixed, data: Labels) -> float:
    pairs = zip(sets, queries.sets(), strict=True)
    return float(np.mean([frozenset(chosen) == gold for chosen, gold in pairs]))


def collect(
    data: Labels, entries: Sequence[Entry], seeds: Sequence[int], shelf: Shelf, fits: Fits, say: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Returns the records of one pack by label, a record a seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        if entry.router in WITHOUT:
            continue
        for seed in seeds:
            if seed not in with_seeds(entry, max(seeds) + 1):
                continue
            say(f"{entry.label}, seed {seed}")
            name = f"ambiguity-{data.name}-{entry.label}-{seed}"
            made = shelf.get(name, lambda e=entry, s=seed: router_record(data, e, s, fits))  # type: ignore[misc]
            found.setdefault(entry.label, []).append(made)
    say(LOGISTIC.label)
    name = f"ambiguity-{data.name}-{LOGISTIC.label}"
    found[LOGISTIC.label] = [shelf.get(name, lambda: reference_record(data, fits.lab))]
    return found


def rows_of(records: Sequence[Record], way: str, key: str) -> NDArray[np.float64]:
    """[n] a query's mean over seeds."""
    values = [np.asarray(record["ways"][way][key], np.float64) for record in records]
    found: NDArray[np.float64] = np.mean(values, 0)
    return found


def report(name: str, found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Returns the tables of one pack."""
    first = next(iter(found.values()))[0]
    joined = np.asarray(first["joined"], bool)
    halves = {"all": np.ones(len(joined), bool), "one": ~joined, "two": joined}
    rows: list[dict[str, Cell]] = []
    for label, records in found.items():
        for way in records[0]["ways"]:
            row: dict[str, Cell] = {"router": label, "sets": way}
            values = {key: rows_of(records, way, key) for key in KEYS}
            for half, mask in halves.items():
                row[f"exact, {half}"] = over_rows(values["exact"][mask])
            row["R"] = over_rows(values["reward"])
            row["recall, two"] = over_rows(values["recall"][joined])
            row["agents, one"] = f"{values['size'][~joined].mean():.2f}"
            row["agents, two"] = f"{values['size'][joined].mean():.2f}"
            rows.append(row)
    title = f"{name}: {int((~joined).sum())} queries for one agent, {int(joined.sum())} for two (replayed)"
    tables = [table(title, rows, note=NOTE)]
    if against := _against(found):
        signed = ["exact set", "R"]
        title = f"{name}: {OURS}'s own sets less others (replayed)"
        tables.append(table(title, against, note=AGAINST_NOTE, signed=signed))
    bars = [
        {"name": f"{row['router']}: {row['sets']}", **cell.to_dict()}
        for row in rows
        if isinstance(cell := row["exact, all"], Figure)
    ]
    title = f"{name}: exact sets, half of the queries need two agents"
    return {"name": name, "tables": tables, "plots": [], "bars": [{"title": title, "bars": bars}]}


def _against(found: Mapping[str, Sequence[Record]]) -> list[dict[str, Cell]]:
    ours = next((label for label in found if label == OURS), None)
    if ours is None:
        return []
    rows: list[dict[str, Cell]] = []
    own = {key: rows_of(found[ours], OWN, key) for key in ("exact", "reward")}
    for label, records in found.items():
        for way in records[0]["ways"]:
            if (label, way) == (ours, OWN):
                continue
            gain = over_rows(own["exact"] - rows_of(records, way, "exact"))
            rows.append(
                {
                    "against": label,
                    "sets": way,
                    "exact set": gain,
                    "verdict": gain.verdict,
                    "R": over_rows(own["reward"] - rows_of(records, way, "reward")),
                }
            )
    return rows
