"""Other projects' routers on a pack's own splits, with our text vectors, scored by our scorer.

Peers: llmrouter-lib's kNN, MLP, MF and GraphRouter through their own Router and Trainer classes, and
routellm's matrix factorisation and weighted ranking, which choose between two models only: the pair is
the best single agent in training and the cheapest one within five points of it. Peers live in an
environment of their own, as they ask for packages that contradict ours:

    python -m venv PEERS && PEERS/bin/pip install llmrouter-lib==0.4.0 routellm==0.2.0
    python benches/peers.py --data PACK --python PEERS/bin/python --out peers.json --docs docs/peers.md

Where it is missing, ours are measured alone. Nothing of a peer reaches the network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.bench import metrics
from agentnet.bench.evaluate import best_single, evaluate
from agentnet.bench.files import write_json
from agentnet.bench.protocol import Entry, Lab, compact, seeds_for
from agentnet.bench.suites.common import load_recorded, make_lab, markdown
from agentnet.bench.suites.entries import NEURAL, registered
from agentnet.cli.options import cache_folder
from agentnet.graphs.pool import Pool
from agentnet.outcomes.table import Outcomes
from agentnet.routers.base import RouteOptions

WORKER = Path(__file__).with_name("peers_worker.py")
OURS = "collective"
WITHIN = 0.05
"""The cheap agent of the pair scores at most this much less in training than the best one."""
MARKS = ("<!-- measured -->", "<!-- /measured -->")
HOW = "python -m venv PEERS && PEERS/bin/pip install llmrouter-lib==0.4.0 routellm==0.2.0"
LEFT_OUT = f"left out of this run, or not installed ({HOW})"
ORDERS = {"source": "agents in the pack's order", "best first": "agents sorted by training score"}

Floats = NDArray[np.float64]


def pair_of(inside: Outcomes) -> tuple[str, str] | None:
    """Returns the best agent in training and the cheapest within five points of it.

    Where no cheaper agent is so near, the best of the cheaper ones; None where there is none either.
    """
    score, cost = inside.mean_score, inside.mean_cost
    best = int(np.nanargmax(score))
    cheaper = [j for j in range(len(score)) if cost[j] < cost[best]]
    near = [j for j in cheaper if score[j] >= score[best] - WITHIN]
    if not cheaper:
        return None
    weak = min(near, key=lambda j: float(cost[j])) if near else max(cheaper, key=lambda j: float(score[j]))
    return inside.agents[best], inside.agents[weak]


def export(folder: Path, lab: Lab, outcomes: Outcomes, peers: Sequence[str], seeds: int) -> None:
    """Writes what the peers need: train and val rows with scores, test rows without."""
    inside, test = outcomes.without_split("test"), outcomes.split("test")
    tasks = [*inside.tasks(), *test.tasks()]
    from agentnet.outcomes.encoders import task_text

    np.save(folder / "vectors.npy", lab.encoder.encode([task_text(task) for task in tasks]))
    np.save(folder / "llm_vectors.npy", lab.encoder.encode([agent.profile for agent in outcomes.pool]))
    order = np.argsort(-inside.mean_score, kind="stable")
    pair = pair_of(inside)
    ids, split = inside.queries.query_id, inside.queries.split
    task = {
        "agents": list(outcomes.agents),
        "train": ids.tolist(),
        "test": test.queries.query_id.tolist(),
        "scores": inside.score.astype(float).tolist(),
        "orders": {"source": list(outcomes.agents), "best first": [outcomes.agents[i] for i in order]},
        "seeds": seeds,
        "peers": list(peers),
        "pair": None
        if pair is None
        else {
            "strong": pair[0],
            "weak": pair[1],
            "train": ids[split == "train"].tolist(),
            "val": ids[split == "val"].tolist(),
        },
    }
    (folder / "task.json").write_text(json.dumps(task))


def ask_peers(python: Path, lab: Lab, outcomes: Outcomes, peers: Sequence[str], seeds: int) -> dict[str, Any]:
    """Runs the worker under the peers' interpreter and returns what it found."""
    with tempfile.TemporaryDirectory() as name:
        export(Path(name), lab, outcomes, peers, seeds)
        environment = {
            key: value for key, value in os.environ.items() if "KEY" not in key and key != "PYTHONPATH"
        }
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run([str(python), str(WORKER), name], check=True, env=environment)
        found: dict[str, Any] = json.loads((Path(name) / "choices.json").read_text())
    return found


def row(
    name: str, scores: Floats, best: Floats, oracle: float, costs: Floats, knn: Floats | None, seeds: int
) -> dict[str, Any]:
    """Returns one line of the table; ``scores`` and ``costs`` are [n] means over seeds."""
    cost = None if np.isnan(costs).any() else float(costs.mean())
    line: dict[str, Any] = {
        "router": name,
        "seeds": seeds,
        "score": float(scores.mean()),
        "score_ci": list(metrics.bootstrap_ci(scores)),
        "gap_closed": metrics.gap_closed(float(scores.mean()), float(best.mean()), oracle),
        "gain": float((scores - best).mean()),
        "gain_ci": list(metrics.bootstrap_ci(scores - best)),
        "cost_usd": cost,
        "per_query": scores.round(4).tolist(),
    }
    if knn is not None:
        line |= {
            "over_knn": float((scores - knn).mean()),
            "over_knn_ci": list(metrics.bootstrap_ci(scores - knn)),
        }
    return line


def picked(test: Outcomes, chosen: Sequence[Sequence[str]]) -> tuple[Floats, Floats, float]:
    """Scores and costs of single choices, [n] means over seeds, and the largest share of one agent."""
    columns = np.array([[test.pool.index(name) for name in run] for run in chosen])
    rows = np.arange(len(test))
    share = max(np.bincount(run).max() / len(test) for run in columns)
    return (
        np.mean([test.score[rows, run] for run in columns], axis=0, dtype=np.float64),
        np.mean([test.cost[rows, run] for run in columns], axis=0),
        float(share),
    )


def ours(
    lab: Lab, outcomes: Outcomes, names: Sequence[str], seeds: int
) -> dict[str, tuple[Floats, Floats, int]]:
    """Scores and costs of our routers, quality only: [n] means over seeds, and how many."""
    found = {}
    known = registered([Entry.of("knn"), Entry.of("kmeans"), *NEURAL])
    for entry in [entry for entry in known if entry.label in {"knn", "kmeans", *names}]:
        scores, costs = [], []
        for seed in seeds_for(entry, seeds):
            router, _ = lab.fit(entry.router, outcomes, seed=seed, settings=entry.settings)
            options = RouteOptions(cost_weight=0.0, rng=np.random.default_rng(seed))
            got = evaluate(router, outcomes, options=options, reference={}, time_decisions=False)
            scores.append(got.scores)
            costs.append(got.costs)
        found[entry.label] = np.mean(scores, axis=0), np.mean(costs, axis=0), len(scores)
    return found


def whole_pool(
    lab: Lab, outcomes: Outcomes, names: Sequence[str], peers: Mapping[str, Any], seeds: int
) -> dict[str, Any]:
    """Our routers and llmrouter-lib's on the whole pool."""
    inside, test = outcomes.without_split("test"), outcomes.split("test")
    reference = dict(zip(inside.agents, inside.mean_score.tolist(), strict=True))
    single = best_single(reference, test)
    assert single is not None
    oracle = float(test.score.max(1).mean())
    mine = ours(lab, outcomes, names, seeds)
    knn = mine["knn"][0]
    rows = [row(f"best single ({single.agent})", single.scores, single.scores, oracle, single.costs, knn, 1)]
    rows += [
        row(f"agentnet {name}", scores, single.scores, oracle, costs, None if name == "knn" else knn, n)
        for name, (scores, costs, n) in mine.items()
    ]
    found = peers.get("llmrouter", {"reason": LEFT_OUT})
    if "reason" in found:
        return {"oracle": oracle, "rows": rows, "not_comparable": {"llmrouter-lib": found["reason"]}}
    for kind, orders in found.items():
        for order, runs in orders.items():
            scores, costs, share = picked(test, [run["chosen"] for run in runs])
            line = row(f"llmrouter-lib {kind}, {order}", scores, single.scores, oracle, costs, knn, len(runs))
            line["largest_share"] = share
            line["note"] = runs[0]["note"]
            line["fit_s"] = float(np.median([run["fit_s"] for run in runs]))
            rows.append(line)
    return {"oracle": oracle, "rows": rows, "not_comparable": {}}


def binary(
    lab: Lab, outcomes: Outcomes, names: Sequence[str], peers: Mapping[str, Any], seeds: int
) -> dict[str, Any] | None:
    """Our routers and routellm's on the pair; None where the pack has no such pair."""
    inside = outcomes.without_split("test")
    pair = pair_of(inside)
    if pair is None:
        return None
    means = [float(inside.mean_score[inside.pool.index(name)]) for name in pair]
    gap = means[0] - means[1]
    two = outcomes.for_pool(Pool([outcomes.pool[name] for name in pair]))
    test, val = two.split("test"), two.split("val")
    strong, weak = (test.score[:, i].astype(np.float64) for i in (0, 1))
    oracle = float(test.score.max(1).mean())
    mine = ours(lab, two, names, seeds)
    knn = mine["knn"][0]
    rows = [
        row(f"always {pair[0]}", strong, strong, oracle, test.cost[:, 0], knn, 1),
        row(f"always {pair[1]}", weak, strong, oracle, test.cost[:, 1], knn, 1),
    ]
    for name, (scores, costs, n) in mine.items():
        rows.append(row(f"agentnet {name}", scores, strong, oracle, costs, None if name == "knn" else knn, n))
    for line, rate in zip(rows[2:4], (rates(lab, two, name) for name in ("knn", "kmeans")), strict=True):
        line["recovered"] = recovered(rate, test)
    missing = {}
    found = peers.get("routellm", {"reason": LEFT_OUT})
    if "reason" in found:
        return {"pair": pair, "gap": gap, "rows": rows, "not_comparable": {"routellm": found["reason"]}}
    for name, runs in found.items():
        if isinstance(runs, Mapping):
            missing[f"routellm {name}"] = runs["reason"]
            continue
        chosen, areas = [], []
        for run in runs:
            cut = threshold(np.array(run["val"]), val)
            chosen.append([pair[0] if rate >= cut else pair[1] for rate in run["test"]])
            areas.append(recovered(np.array(run["test"]), test))
        scores, costs, share = picked(test, chosen)
        line = row(f"routellm {name}", scores, strong, oracle, costs, knn, len(runs))
        rows.append(line | {"recovered": float(np.mean(areas)), "largest_share": share})
    return {"pair": pair, "gap": gap, "rows": rows, "not_comparable": missing}


def threshold(rate: Floats, val: Outcomes) -> float:
    """Returns the cut-off on the strong agent's win rate that scores most on val, the cheaper of equals."""
    cuts = [*np.unique(rate).tolist(), float("inf")]
    scores = [np.where(rate >= cut, val.score[:, 0], val.score[:, 1]).mean() for cut in cuts]
    return float(max(zip(scores, cuts, strict=True))[1])


def recovered(rate: Floats, test: Outcomes) -> float:
    """Returns the mean score over all shares of the strong agent, 0% to 100% in steps of 5.

    A router is only asked for an order of the queries here, so no threshold has to be chosen; calling the
    strong agent at random gives the mean of the two agents' scores.
    """
    order = np.argsort(-rate, kind="stable")
    n = len(order)
    values = []
    for share in np.linspace(0, 1, 21):
        chosen = np.where(
            np.isin(np.arange(n), order[: round(share * n)]), test.score[:, 0], test.score[:, 1]
        )
        values.append(chosen.mean())
    return float(np.mean(values))


def rates(lab: Lab, two: Outcomes, name: str) -> Floats:
    """Returns how much better the strong agent is predicted to score than the weak one, per test row."""
    router, _ = lab.fit(name, two, seed=0)
    test = two.split("test")
    scores = router.score_batch(test.tasks(), test.pool)
    difference: Floats = np.asarray(scores.raw[:, 0] - scores.raw[:, 1], np.float64)
    return difference


def interval(line: Mapping[str, Any], key: str) -> str:
    """Returns a value with its interval."""
    if key not in line:
        return ""
    low, high = line[f"{key}_ci"]
    sign = "" if key == "score" else "+"
    return f"{line[key]:{sign}.4f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def tables(results: Mapping[str, Any]) -> str:
    """Returns the measured part of the docs page."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    parts = [f"`{results['command']}`, {results['machine']}; {versions or 'no peer installed'}.", ""]
    whole = results["whole"]
    parts += [f"### {results['pack']}, all agents ({results['n_test']:,} test queries)", ""]
    head = ["router", "score [95%]", "over best single [95%]", "over our kNN [95%]", "gap closed", "$ / 1k"]
    head += ["largest share", "seeds"]
    parts += [markdown(head, [cells(line) for line in whole["rows"]]), ""]
    pair = results["pair"]
    if pair is not None:
        strong, weak = pair["pair"]
        parts += [f"### {results['pack']}, two agents: {strong} and {weak}", ""]
        why = (
            "the cheapest within five points of it"
            if pair["gap"] <= WITHIN
            else ("no cheaper agent is within five points of it, so this is the best of the cheaper ones")
        )
        parts += [f"The second scores {pair['gap'] * 100:.1f} points less in training: {why}.", ""]
        body = [
            [*cells(line)[:4], f"{line['recovered']:.4f}" if "recovered" in line else "", *cells(line)[5:]]
            for line in pair["rows"]
        ]
        two = [*head[:4], "mean score over all shares of the first", *head[5:]]
        parts += [markdown(two, body), ""]
    missing = whole["not_comparable"] | (pair["not_comparable"] if pair else {})
    parts += [f"- {name}: not comparable: {reason}" for name, reason in missing.items()]
    return "\n".join(parts).rstrip()


def cells(line: Mapping[str, Any]) -> list[str]:
    """Returns one line of a table as text."""
    gap, cost = line["gap_closed"], line["cost_usd"]
    return [
        line["router"],
        interval(line, "score"),
        interval(line, "gain"),
        interval(line, "over_knn"),
        "" if gap is None else f"{gap:+.3f}",
        "" if cost is None else f"{cost * 1000:.4f}",
        f"{line['largest_share']:.0%}" if "largest_share" in line else "",
        str(line["seeds"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="a pack with recorded outcomes")
    parser.add_argument("--python", type=Path, help="the peers' interpreter")
    parser.add_argument("--peers", default="llmrouter,routellm")
    parser.add_argument("--ours", default=OURS, help="entries beside knn and kmeans, where registered")
    parser.add_argument("--choices", type=Path, help="the peers' choices: read where there, else written")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--out", type=Path, default=Path("peers.json"))
    parser.add_argument("--docs", type=Path, help="page whose measured part is replaced")
    args = parser.parse_args()
    lab = make_lab(args.encoder, cache_folder())
    outcomes = compact(load_recorded(args.data))
    lab.encode(outcomes)
    names = args.ours.split(",")
    found: dict[str, Any] = {"versions": {}, "results": {}}
    if args.choices and args.choices.exists():
        found = json.loads(args.choices.read_text())
    wanted = [name for name in args.peers.split(",") if name and name not in found["results"]]
    if not wanted:
        pass
    elif args.python is None or not args.python.exists():
        print(f"the peers' environment is missing, they are left out; make it: {HOW}", file=sys.stderr)
    else:
        more = ask_peers(args.python, lab, outcomes, wanted, args.seeds)
        found = {key: {**found[key], **more[key]} for key in found}
        if args.choices:
            write_json(args.choices, found)
    results = {
        "schema_version": 1,
        "kind": "replayed",
        "command": f"python benches/peers.py --data {args.data.name} --seeds {args.seeds}",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "encoder": args.encoder,
        "pack": args.data.name,
        "n_test": len(outcomes.split("test")),
        "versions": found["versions"],
        "orders": ORDERS,
        "whole": whole_pool(lab, outcomes, names, found["results"], args.seeds),
        "pair": binary(lab, outcomes, names, found["results"], args.seeds),
    }
    write_json(args.out, results)
    text = tables(results)
    print(text)
    if args.docs:
        page = args.docs.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(MARKS[0])}.*?{re.escape(MARKS[1])}", re.DOTALL)
        block = f"{MARKS[0]}\n\n{text}\n\n{MARKS[1]}"
        args.docs.write_text(pattern.sub(lambda _: block, page), encoding="utf-8")


if __name__ == "__main__":
    main()
