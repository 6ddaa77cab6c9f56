"""Suite ``online``: bandits on a stream of tasks, told only the score of whom they chose (*replayed*)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.files import write_json
from agentnet.bench.protocol import Lab, Progress
from agentnet.bench.suites.common import (
    finish,
    header,
    load_recorded,
    make_lab,
    pack_folders,
    pack_head,
    progress_of,
)
from agentnet.bench.suites.online_measure import Bandit, World, play
from agentnet.bench.suites.online_report import print_table, write_report
from agentnet.bench.suites.online_table import Played, make_part
from agentnet.errors import DataError, InvalidInput
from agentnet.outcomes.encoders import task_text
from agentnet.outcomes.table import Outcomes
from agentnet.routers.bandits.looks import look_at

if TYPE_CHECKING:
    from rich.console import Console

ORDERS = 4
"""Random orders a seed: 20 with the five seeds of a run that names no number."""
TUNING_ORDERS = 4
TUNED_SHARE = 1 / 3
"""Share of the queries that settings are chosen on, in orders of their own."""
LAST = 1000
"""Rounds at the end that are looked at by themselves; a third of a shorter stream."""
WIDTHS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
EPSILONS = ((0.02, None), (0.05, None), (1.0, 10.0), (1.0, 20.0), (1.0, 50.0), (1.0, 100.0))
"""Six settings for every bandit: none is tuned more finely than another."""
BATCH = 50
"""Rounds that a score is late in the variant with batches."""
BUDGET = 0.005
"""Budget of regret a round in the variant with one."""

FREE = Bandit(kind="eps_greedy", features="none")
BANDITS = (
    FREE,
    Bandit(kind="linucb", features="none"),
    Bandit(kind="eps_greedy", features="agentnet"),
    Bandit(kind="linucb", features="agentnet"),
    Bandit(kind="thompson", features="agentnet"),
    Bandit(kind="eps_greedy", features="greenserv"),
    Bandit(kind="linucb", features="greenserv"),
    Bandit(kind="thompson", features="greenserv"),
    Bandit(kind="linucb", features="greenserv", label_told=True),
)
"""What plays; the first is what the contextual ones are compared with."""


def run(
    *,
    data: Sequence[str],
    routers: Sequence[str] | None,
    seeds: int,
    out: Path,
    command: str,
    console: Console | None,
    progress: Console | None = None,
    encoder: str = "minilm",
    cache: Path | None = None,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`."""
    kinds = sorted({bandit.kind for bandit in BANDITS})
    if unknown := sorted(set(routers or ()) - set(kinds)):
        raise InvalidInput(f"suite 'online' plays {', '.join(kinds)}; got {', '.join(unknown)}.")
    bandits = [b for b in BANDITS if b == FREE or not routers or b.kind in routers]
    folders = pack_folders(data)
    lab = make_lab(encoder, cache)
    results = header("online", command=command, seeds=seeds, encoder=encoder) | {"orders": ORDERS * seeds}
    for folder in folders:
        outcomes = load_recorded(folder)
        if not outcomes.full:
            raise DataError(f"{folder} lacks outcomes: a stream can only be played on a full matrix.")
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        with progress_of(progress, folder.name) as say:
            pack.update(run_pack(lab, outcomes, bandits, ORDERS * seeds, say))
            write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, print_table)
    return results


def run_pack(
    lab: Lab, outcomes: Outcomes, bandits: Sequence[Bandit], orders: int, say: Progress
) -> dict[str, Any]:
    """Chooses every bandit's exploration on a third of the queries, then plays all of them and the rest."""
    say("encoding")
    world = world_of(lab, outcomes)
    mixed = np.random.default_rng([2026, 1]).permutation(len(outcomes))
    tuned_on = np.sort(mixed[: round(len(outcomes) * TUNED_SHARE)])
    rest = np.sort(mixed[len(tuned_on) :])
    tuned = []
    for bandit in bandits:
        say(f"tuning {bandit.name}")
        tuned.append(tune(world.take(tuned_on), bandit))
    contextual = [i for i, b in enumerate(bandits) if b.features != "none" and not b.label_told]
    best = max(contextual, key=lambda i: tuned[i]["score"])
    chosen = [bandit.with_(setting=found["setting"]) for bandit, found in zip(bandits, tuned, strict=True)]
    parts = []
    everything = np.arange(len(outcomes))
    for split, rows, variants in (("all queries", everything, True), ("not tuned on", rest, False)):
        say(split)
        played = play_all(world.take(rows), chosen, orders, say=say)
        further: list[Played] = []
        if variants:
            late, bound = chosen[best].with_(every=BATCH), chosen[best].with_(budget=BUDGET)
            further = play_all(world.take(rows), [late, bound], orders, say=say)
        streams = streams_of(len(rows), orders)
        say(f"{split}: offline kNN")
        last = min(LAST, len(rows) // 3)
        offline = [offline_knn(lab, outcomes.take(rows), order, last) for order in streams]
        parts.append(
            make_part(
                split, world.take(rows), streams, played, further,
                last=last, offline=np.array(offline), best=best,
            )
        )  # fmt: skip
    tuning = {
        "n": len(tuned_on),
        "orders": TUNING_ORDERS,
        "bandits": [{"bandit": b.name, **found} for b, found in zip(bandits, tuned, strict=True)],
        "best": bandits[best].name,
    }
    return {"tuning": tuning, "parts": parts}


def world_of(lab: Lab, outcomes: Outcomes) -> World:
    """Encodes the tasks once for all."""
    tasks = outcomes.tasks()
    vectors = lab.encoder.encode([task_text(task) for task in tasks])
    return World(
        score=outcomes.score.astype(np.float64),
        looks={name: look_at(name, tasks, vectors) for name in ("agentnet", "greenserv")},
        labels=np.unique(np.array(outcomes.queries.task), return_inverse=True)[1].astype(np.intp),
    )


def settings_of(bandit: Bandit) -> Iterable[dict[str, float | None]]:
    """Returns the settings to choose from, as many for every bandit."""
    if bandit.kind == "eps_greedy":
        return [{"epsilon": epsilon, "halving": halving} for epsilon, halving in EPSILONS]
    return [{{"linucb": "alpha", "thompson": "width"}[bandit.kind]: width} for width in WIDTHS]


def tune(world: World, bandit: Bandit) -> dict[str, Any]:
    """Returns the setting of the highest mean score over orders that are used for nothing else."""
    rows = np.arange(len(world.score))
    tried: list[dict[str, Any]] = []
    for setting in settings_of(bandit):
        scores = []
        for k in range(TUNING_ORDERS):
            order = np.random.default_rng([2026, 2, k]).permutation(rows)
            chosen, _ = play(world, bandit.with_(setting=setting), order, seed=1000 + k)
            scores.append(world.score[order, chosen].mean())
        tried.append({"setting": setting, "score": float(np.mean(scores))})
    best = max(tried, key=lambda one: one["score"])
    return best | {"tried": tried}


def streams_of(n: int, orders: int) -> list[NDArray[np.intp]]:
    """Returns the orders that are reported."""
    return [np.random.default_rng([2026, 3, k]).permutation(n).astype(np.intp) for k in range(orders)]


def play_all(world: World, bandits: Sequence[Bandit], orders: int, *, say: Progress) -> list[Played]:
    """Plays every bandit on the same orders."""
    found = []
    for bandit in bandits:
        say(bandit.name)
        rounds = []
        for k, order in enumerate(streams_of(len(world.score), orders)):
            chosen, _ = play(world, bandit, order, seed=k)
            rounds.append(world.score[order, chosen])
        found.append(Played(bandit, np.array(rounds)))
    return found


def offline_knn(lab: Lab, outcomes: Outcomes, order: NDArray[np.intp], last: int) -> float:
    """Returns the mean score on the last rounds of kNN fitted on every agent's scores of those before."""
    from agentnet.routers.registry import make_router

    rows = outcomes.take(order)
    split = np.where(np.arange(len(order)) < len(order) - last, "train", "test")
    rows = rows.with_split(split)
    router = make_router("knn")
    router.use_encoder(lab.encoder)
    router.fit(rows, rows.pool, seed=0)
    after = rows.split("test")
    decisions = router.route_batch(after.tasks(), after.pool)
    agents = [after.pool.index(decision.agents[0]) for decision in decisions]
    return float(after.score[np.arange(last), agents].mean())
