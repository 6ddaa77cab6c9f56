"""``agentnet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agentnet.cli.options import CostWeight, Data, Seed, command_line, console, with_cache, with_model
from agentnet.errors import InvalidInput


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained router.")],
    data: Data,
    split: Annotated[str, typer.Option("--split", help="test, val, train or all.")] = "test",
    agents: Annotated[
        Path | None, typer.Option("--agents", help="JSON list of agents to choose from, also unseen ones.")
    ] = None,
    probes: Annotated[
        str | None, typer.Option("--probes", help="Pack with outcomes of the agents on other queries.")
    ] = None,
    cost_weight: CostWeight = None,
    fallback: Annotated[
        str | None, typer.Option("--fallback", help="Agent that answers when the router abstains.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here.")] = None,
    off_policy: Annotated[
        bool,
        typer.Option(
            "--off-policy",
            help="The data are traces of another router: estimate what this one would have scored.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", help="With --off-policy: a router to compare with; default: the log's own."
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Score a trained router on recorded outcomes: quality, cost, collapse, calibration, latency.

    The router sees text, context and history only; the rest of the pack is the scorer's.

    Example: agentnet evaluate routers/knn --data data/ulab9 --json knn.json
    Example: agentnet evaluate routers/knn --data sqlite:///agentnet.db --off-policy
    """
    if off_policy:
        _off_policy(folder, data, split, cost_weight, against, json_file)
        return
    if against is not None:
        raise InvalidInput("--against goes with --off-policy; evaluate the other router by itself.")
    from agentnet.bench.evaluate import evaluate as run
    from agentnet.bench.files import write_json
    from agentnet.outcomes.packs import load_agents, load_outcomes
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    uncached = with_cache(router)
    if cost_weight is not None:
        router = router.with_options(cost_weight=cost_weight)
    pool = load_agents(agents) if agents else None
    outcomes = load_outcomes(data)
    with_model(router, pool or outcomes.pool)
    with console(err=True).status(f"evaluating {router.name} on {data}"):
        result = run(
            router,
            outcomes,
            pool=pool,
            split=split,
            probes=load_outcomes(probes) if probes else None,
            fallback=fallback,
            seed=seed,
            uncached=uncached,
        )
    report = result.to_dict(command=command_line())
    if json_file:
        write_json(json_file, report)
    _show(report)


def _off_policy(
    folder: Path,
    data: str,
    split: str,
    cost_weight: float | None,
    against: Path | None,
    json_file: Path | None,
) -> None:
    """Estimates from the traces of other routers what this one would have scored."""
    from agentnet.bench.files import write_json
    from agentnet.bench.offpolicy import compare_policies, reduce_vectors
    from agentnet.outcomes.table import SPLITS
    from agentnet.routers.policy import policy_of
    from agentnet.routers.registry import load_router
    from agentnet.traces.choices import read_choices

    if split not in (*SPLITS, "all"):
        raise InvalidInput(f"no split {split!r}; there are {', '.join(SPLITS)} and all.")
    router = load_router(folder)
    routers = [router] if against is None else [router, load_router(against)]
    found = []
    with console(err=True).status(f"judging {router.name} on {data}"):
        log, seen = read_choices(data)
        log = log if split == "all" else log.split(split)
        tasks = log.queries.tasks()
        for one in routers:
            with_cache(one)
        encoded = router.encode(tasks)
        for one in routers:
            dial = one if cost_weight is None else one.with_options(cost_weight=cost_weight)
            vectors = encoded if one is router else None
            found.append(policy_of(dial, tasks, one.training_pool, vectors=vectors))
        features = None if encoded is None else reduce_vectors(encoded)
        compared = compare_policies(log, *found, vectors=features)
        cost = compare_policies(log, *found, metric="cost", vectors=features)
    report = {
        "schema_version": 1, "router": router.name, "router_version": router.version, "split": split,
        "command": command_line(), "log": log.describe(), "seen": seen.to_dict(),
        "score": compared.to_dict(), "cost_usd": cost.to_dict(),
    }  # fmt: skip
    if json_file:
        write_json(json_file, report)
    typer.echo(f"{router.name} {router.version} on {len(log):,} {split} decisions of {seen.decisions:,}:")
    for line in (*compared.new.lines(), *compared.lines(), *cost.lines()):
        typer.echo(line)


def _show(report: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    rows = f"{report['n']:,} {report['split']} queries"
    table = Table(
        title=f"{report['router']} on {rows} (replayed: {report['replay']})",
        title_justify="left",
        show_header=False,
        box=box.SIMPLE,
    )
    for name, value in _lines(report):
        table.add_row(name, value)
    console().print(table, highlight=False, markup=False)


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    lo, hi = report["score_ci"]
    lines = [("score", f"{report['score']:.4f} [{lo:.4f}, {hi:.4f}]")]
    best, cost = report["best_single"], report["cost_usd"]
    if best:
        lo, hi = report["gain_ci"]
        gain = report["score"] - best["score"]
        lines += [
            ("best single agent", f"{best['score']:.4f} {best['agent']}"),
            ("gain over it, paired", f"{gain:+.4f} [{lo:+.4f}, {hi:+.4f}]"),
        ]
    lines.append(("oracle", f"{report['oracle']:.4f}"))
    if report["gap_closed"] is not None:
        lines.append(("gap closed", f"{report['gap_closed']:.3f}"))
    lines.append(("USD per 1,000 queries", "unknown" if cost is None else f"{cost * 1000:.4f}"))
    if best and cost is not None and best["cost_usd"]:
        lines.append(("cost saved", f"{1 - cost / best['cost_usd']:.1%} at dial {report['cost_weight']:g}"))
    error = report["calibration_error"]
    lines.append(("calibration error", "unknown" if error is None else f"{error:.4f}"))
    top = ", ".join(f"{name} {share:.0%}" for name, share in list(report["selection"].items())[:4])
    lines += [("share of runs", top or "nobody runs"), ("selection entropy", f"{report['entropy']:.3f} bits")]
    for key in ("hit", "exact_set", "set_size", "oos_recall", "false_alarms"):
        if report.get(key) is not None:
            lines.append((key.replace("_", " "), f"{report[key]:.4f}"))
    lines.append(("abstained", f"{report['abstained']:.1%}"))
    for key, name in (("latency_ms", "route, ms"), ("latency_encoded_ms", "route without encoding, ms")):
        if report[key]:
            lines.append((name, f"p50 {report[key]['p50']:.2f}, p99 {report[key]['p99']:.2f}"))
    return lines
