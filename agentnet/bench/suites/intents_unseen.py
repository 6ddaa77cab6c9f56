"""Part `unseen` of suite `intents`: agents that were not there in training join the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.intents.data import Labels
from agentnet.bench.intents.fits import Fits, Shelf, ask
from agentnet.bench.intents.measures import FALSE_ALARMS, Predicted, compact, threshold_of
from agentnet.bench.intents.references import UNSEEN, WORDS, Reference, choose
from agentnet.bench.protocol import Entry, Progress
from agentnet.bench.suites.intents_figures import over_draws
from agentnet.bench.suites.intents_full import OURS
from agentnet.bench.suites.topology_figures import Cell, plot, table

EXAMPLES = (0, 5, 10)
DRAWS = 5
SHARE = 0.2
NOTE = (
    f"{SHARE:.0%} of the agents, drawn at random, do not exist while a router is fitted: no row of "
    "theirs, no description. Then they join the pool with their description and so many train rows as "
    "examples; nothing is trained again, and all agents compete. Others: the test rows of the agents "
    "that were there before; lost: their hits before less after, in points. At the threshold: a row "
    f"counts only if it is not turned away, by the threshold of {FALSE_ALARMS:.0%} false alarms on val's "
    "rows of the old agents, the same before and after. Intervals: 95% bootstrap over draws and "
    "queries."
)
Columns = NDArray[np.intp]
Record = Mapping[str, Any]


def held_out(data: Labels, draw: int) -> Columns:
    """Returns the columns of the agents left out in a draw."""
    count = max(1, round(SHARE * len(data.names)))
    return np.sort(np.random.default_rng([draw, 77]).permutation(len(data.names))[:count])


def router_record(data: Labels, entry: Entry, draw: int, fits: Fits) -> dict[str, Any]:
    """Fits a router without some agents and asks it before and after they join."""
    away = held_out(data, draw)
    old = np.setdiff1d(np.arange(len(data.names)), away)
    pool = data.part(old.tolist())
    fitted = data.learnable(data.fit_rows(), old.tolist())
    name = f"unseen-{data.name}-{entry.label}-{draw}"
    router, _ = fits.make(entry, fitted, pool, seed=draw, name=name)
    new_rows, old_rows, val = _rows(data, away)
    least = None
    if entry.router != OURS:  # it has no such threshold of its own, and knows val's rows too well
        rows = data.learnable(data.fit_rows(val=False), old.tolist())
        judge, _ = fits.make(entry, rows, pool, seed=draw, name=f"{name}-train")
        least = threshold_of(ask(judge, data.tasks(val), pool, seed=draw).scope)
    before = ask(router, data.tasks(old_rows), pool, seed=draw)
    place = {int(j): k for k, j in enumerate(old)}
    record = _before(before, np.array([place[int(j)] for j in data.gold[old_rows]]), least)
    for count in EXAMPLES:
        joined = data.with_examples(away.tolist(), count, draw)
        new = ask(router, data.tasks(new_rows), joined, seed=draw)
        after = ask(router, data.tasks(old_rows), joined, seed=draw)
        record |= _after(count, new, after, data.gold[new_rows], data.gold[old_rows], least)
    return record


def reference_record(data: Labels, reference: Reference, draw: int) -> dict[str, Any]:
    """Does the same with a reference: its new classes have their examples, or their description, as rows."""
    away = held_out(data, draw)
    old = np.setdiff1d(np.arange(len(data.names)), away)
    new_rows, old_rows, val = _rows(data, away)
    train = data.rows("train", inside=True)
    train = train[np.isin(data.gold[train], old)]
    x, y = data.vectors, data.gold
    chosen = choose(reference, (x[train], y[train]), (x[val], y[val]), data.described, old.tolist())
    both = np.concatenate([train, val])

    def predict(rows: Columns, known: Columns, columns: Columns) -> Predicted:
        scorer = chosen.again(x[known], y[known], data.described)
        found = np.full((len(rows), len(data.names)), -np.inf, np.float32)
        found[:, columns] = scorer.scores(x[rows])[:, columns]
        raw = found.max(1).astype(np.float64)
        return Predicted.top_one(np.asarray(found, np.float32), raw)

    least = threshold_of(chosen.scorer.scores(x[val])[:, old].max(1))
    record = _before(predict(old_rows, both, old), y[old_rows], least)
    everyone = np.arange(len(data.names))
    for count in EXAMPLES:
        few = [data.examples(int(j), count, draw) for j in away] if count else []
        known = np.concatenate([both, *few])
        new, after = predict(new_rows, known, everyone), predict(old_rows, known, everyone)
        record |= _after(count, new, after, y[new_rows], y[old_rows], least)
    return record


def _rows(data: Labels, away: Columns) -> tuple[Columns, Columns, Columns]:
    """Test rows of the new agents and of the old ones, and val rows of the old ones."""
    test, val = data.rows("test", inside=True), data.rows("val", inside=True)
    new = np.isin(data.gold[test], away)
    return test[new], test[~new], val[~np.isin(data.gold[val], away)]


def _before(found: Predicted, gold: Columns, least: float | None) -> dict[str, Any]:
    hit = found.hit(gold)
    return compact({"before": hit, "before_kept": hit * found.kept(least)})


def _after(
    count: int, new: Predicted, old: Predicted, new_gold: Columns, old_gold: Columns, least: float | None
) -> dict[str, Any]:
    new_hit, old_hit = new.hit(new_gold), old.hit(old_gold)
    return compact(
        {
            f"new_{count}": new_hit,
            f"new_kept_{count}": new_hit * new.kept(least),
            f"old_{count}": old_hit,
            f"old_kept_{count}": old_hit * old.kept(least),
            f"size_{count}": np.concatenate([new.size, old.size]),
        }
    )


def collect(
    data: Labels, entries: Sequence[Entry], draws: int, shelf: Shelf, fits: Fits, say: Progress
) -> dict[str, list[dict[str, Any]]]:
    """Returns the records of one pack by label, a record a draw."""
    found: dict[str, list[dict[str, Any]]] = {}
    for draw in range(draws):
        for entry in entries:
            say(f"{entry.label}, draw {draw}")
            name = f"unseen-{data.name}-{entry.label}-{draw}"
            made = shelf.get(name, lambda e=entry, d=draw: router_record(data, e, d, fits))  # type: ignore[misc]
            found.setdefault(entry.label, []).append(made)
        for reference in UNSEEN:
            say(f"{reference.label}, draw {draw}")
            name = f"unseen-{data.name}-{reference.label}-{draw}"
            made = shelf.get(name, lambda r=reference, d=draw: reference_record(data, r, d))  # type: ignore[misc]
            found.setdefault(reference.label, []).append(made)
    return found


def report(name: str, found: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Returns the table and the curve of one pack."""
    rows: list[dict[str, Cell]] = []
    for label, records in found.items():
        for count in EXAMPLES[:1] if label == WORDS.label else EXAMPLES:
            lost = [_points(r["before"], r[f"old_{count}"]) for r in records]
            lost_kept = [_points(r["before_kept"], r[f"old_kept_{count}"]) for r in records]
            rows.append(
                {
                    "router": label,
                    "examples": count,
                    "draws": len(records),
                    "new agents' hit": over_draws(records, f"new_{count}"),
                    "at the threshold": over_draws(records, f"new_kept_{count}"),
                    "others' hit": over_draws(records, f"old_{count}"),
                    "others lost (points)": over_draws(lost, "lost"),
                    "lost at the threshold": over_draws(lost_kept, "lost"),
                    "agents": f"{np.mean([np.mean(r[f'size_{count}']) for r in records]):.3f}",
                }
            )
    signed = ["others lost (points)", "lost at the threshold"]
    made = table(f"{name}: agents that join after training (replayed)", rows, note=NOTE, signed=signed)
    curves = {
        label: [(float(count), over_draws(records, f"new_{count}")) for count in EXAMPLES]
        for label, records in found.items()
        if label != WORDS.label
    }
    drawn = plot(f"{name}: hit on new agents' rows", "examples of a new agent", "hit", curves)
    return {"name": name, "tables": [made], "plots": [drawn], "bars": []}


def _points(before: Sequence[float], after: Sequence[float]) -> Record:
    return {"lost": 100 * (np.asarray(before) - np.asarray(after))}
