"""``agentnet evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agentnet.cli.options import CostWeight, Data, Seed, command_line, console, write_json


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
    seed: Seed = 0,
) -> None:
    """Score a trained router on recorded outcomes: quality, cost, collapse, calibration, latency.

    The router sees text, context and history only.

    Example: agentnet evaluate routers/knn --data data/ulab9 --json knn.json
    """
    from agentnet.bench.evaluate import evaluate as run
    from agentnet.outcomes.packs import load_agents, load_outcomes
    from agentnet.routers.registry import load_router

    router = load_router(folder)
    if cost_weight is not None:
        router = router.with_options(cost_weight=cost_weight)
    outcomes = load_outcomes(data)
    with console(err=True).status("deciding"):
        result = run(
            router,
            outcomes,
            pool=load_agents(agents) if agents else None,
            split=split,
            probes=load_outcomes(probes) if probes else None,
            fallback=fallback,
            seed=seed,
        )
    report = result.to_dict(command=command_line())
    if json_file:
        write_json(json_file, report)
    _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(
        title=f"{report['router']} on {report['n']:,} {report['split']} queries ({report['replay']})",
        show_header=False,
    )
    lo, hi = report["score_ci"]
    table.add_row("score", f"{report['score']:.4f}  [{lo:.4f}, {hi:.4f}]")
    best = report["best_single"]
    if best:
        table.add_row("best single", f"{best['score']:.4f}  {best['agent']}")
        lo, hi = report["paired_gain_ci"]
        table.add_row(
            "gain over it", f"{report['score'] - best['score']:+.4f}  [{lo:+.4f}, {hi:+.4f}] paired"
        )
    table.add_row("oracle", f"{report['oracle']:.4f}")
    if report["gap_closed"] is not None:
        table.add_row("gap closed", f"{report['gap_closed']:.3f}")
    cost = report["cost_usd"]
    table.add_row("USD per 1,000", "unknown" if cost is None else f"{cost * 1000:.4f}")
    if best and cost is not None and best["cost_usd"]:
        table.add_row("cost saved", f"{1 - cost / best['cost_usd']:.1%}")
    error = report["calibration_error"]
    table.add_row("calibration error", "unknown" if error is None else f"{error:.4f}")
    table.add_row("selection entropy", f"{report['entropy']:.3f} bits")
    top = list(report["selection"].items())[:4]
    table.add_row("most chosen", ", ".join(f"{name} {share:.0%}" for name, share in top) or "none")
    for key in ("hit", "exact_set", "set_size", "oos_recall", "false_alarms"):
        if report.get(key) is not None:
            table.add_row(key.replace("_", " "), f"{report[key]:.4f}")
    table.add_row("abstained", f"{report['abstained']:.1%}")
    for key, name in (("latency_ms", "route ms"), ("latency_encoded_ms", "route ms, encoded")):
        table.add_row(name, f"p50 {report[key]['p50']:.2f}, p99 {report[key]['p99']:.2f}")
    console().print(table)
