"""Suite ``promotion``: simulated releases pass the gates, or not; is what passes truly better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.bench import page, plots
from agentnet.bench.files import write_json
from agentnet.bench.offpolicy.model import reduce_vectors
from agentnet.bench.suites.common import (
    finish,
    header,
    load_recorded,
    make_lab,
    pack_folders,
    pack_head,
    progress_of,
    text_table,
)
from agentnet.errors import InvalidInput
from agentnet.outcomes.encoders import task_text
from agentnet.outcomes.table import Outcomes
from agentnet.releases.evidence import paired_facts
from agentnet.releases.gates import Facts, Gates, judge
from agentnet.releases.logged import logged_facts
from agentnet.releases.promotion_world import EPSILONS, SIZES, Releases, Trial

if TYPE_CHECKING:
    from rich.console import Console

RELEASES = 200
EVIDENCE = {"off-policy": "from the log", "paired": "5,000 paired runs"}
HEAD = (
    "evidence",
    "worse promoted",
    "gain above detectable",
    "of these promoted",
    "smallest detectable gain",
)
Row = Mapping[str, Any]


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
    """Runs the suite; see `agentnet.bench.suites.run_suite`. ``seeds`` is not used: there is one stream."""
    if routers:
        raise InvalidInput("suite 'promotion' makes its own routers; leave out --routers.")
    gates = Gates(max_cost_rise=None)
    results = header("promotion", command=command, seeds=1, encoder=encoder)
    results |= {"kind": "simulated", "gates": gates.to_dict(), "sizes": SIZES, "epsilons": EPSILONS}
    lab = make_lab(encoder, cache)
    for folder in pack_folders(data):
        outcomes = load_recorded(folder)
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        with progress_of(progress, folder.name) as say:
            say("encoding")
            vectors = lab.encoder.encode([task_text(task) for task in outcomes.tasks()])
            say(f"{RELEASES} releases")
            pack["parts"].append(measure(outcomes, vectors, gates, count=RELEASES, seed=0))
        write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, print_part)
    return results


def measure(outcomes: Outcomes, vectors: Any, gates: Gates, *, count: int, seed: int) -> dict[str, Any]:
    """Puts releases through the gates, with the log as evidence and with paired runs.

    Args:
        outcomes: A full matrix.
        vectors: [n, d] encodings of its queries.
        gates: The gates.
        count: Releases.
        seed: Of routers and logs.
    """
    world = Releases(outcomes, vectors, seed=seed)
    reduced = reduce_vectors(world.vectors).astype(np.float32)
    rows = [row for trial in world.trials(count) for row in _judge(trial, gates, reduced)]
    return {"rows": rows, "table": [summary(rows, evidence) for evidence in EVIDENCE]}


def _judge(trial: Trial, gates: Gates, vectors: Any) -> list[dict[str, Any]]:
    logged = logged_facts(trial.judged, gates, vectors=vectors)
    paired = replace(paired_facts(trial.pairs, gates), share=logged.share, serving_share=logged.serving_share)
    found: dict[str, Facts] = {"off-policy": logged, "paired": paired}
    rows = []
    for evidence, facts in found.items():
        verdict = judge(gates, facts)
        rows.append(
            {
                "evidence": evidence,
                "decisions": len(trial.judged.log),
                "epsilon": trial.epsilon,
                "true_gain": trial.gain,
                "gain": None if facts.gain is None else facts.gain.to_dict(),
                "detectable": verdict.detectable,
                "action": verdict.action,
                "reason": verdict.reason,
            }
        )
    return rows


def summary(rows: Sequence[Row], evidence: str) -> dict[str, Any]:
    """Returns how often the gates were right, for one kind of evidence."""
    mine = [row for row in rows if row["evidence"] == evidence]
    worse = [row for row in mine if row["true_gain"] < 0]
    over = [row for row in mine if row["detectable"] is not None and row["true_gain"] > row["detectable"]]
    known = [row["detectable"] for row in mine if row["detectable"] is not None]
    stopped: dict[str, int] = {}
    for row in over:
        if row["action"] != "promote":
            why = "another gate" if row["action"] == "reject" else "gain not shown"
            stopped[why] = stopped.get(why, 0) + 1
    return {
        "evidence": evidence,
        "releases": len(mine),
        "worse": len(worse),
        "worse_promoted": _promoted(worse),
        "over": len(over),
        "over_promoted": _promoted(over),
        "stopped": stopped,
        "refused": len(mine) - len(known),
        "detectable": [float(np.quantile(known, q)) for q in (0.0, 0.5, 1.0)] if known else None,
    }


def _promoted(rows: Sequence[Row]) -> float | None:
    return sum(row["action"] == "promote" for row in rows) / len(rows) if rows else None


def table_rows(part: Row) -> list[list[str]]:
    """Returns the table of a pack as text."""
    found = []
    for row in part["table"]:
        low, middle, high = row["detectable"] or (float("nan"),) * 3
        found.append(
            [
                EVIDENCE[row["evidence"]],
                f"{row['worse_promoted']:.1%} of {row['worse']}",
                f"{row['over']}",
                "none there" if row["over_promoted"] is None else f"{row['over_promoted']:.1%}",
                f"{low:.3f} / {middle:.3f} / {high:.3f}",
            ]
        )
    return found


def print_part(name: str, part: Row, console: Console) -> None:
    """Prints the table of a pack."""
    console.print(
        text_table(HEAD, table_rows(part), title=f"{name}: {RELEASES} releases, half worse (simulated)")
    )


def write_report(results: Row, path: Path) -> None:
    """Writes the page."""
    sections = []
    for pack in results["packs"]:
        part = pack["parts"][0]
        shown = [page.table(HEAD, table_rows(part))]
        for evidence, told in EVIDENCE.items():
            shown += [page.paragraph(f"Each release, evidence {told}:"), _picture(part["rows"], evidence)]
        sections.append(page.section(pack["name"], *shown))
    note = (
        "Simulated releases: an old and a new router are fitted on one half of a recorded pack; the old "
        "one writes a log on queries drawn from the other half, exploring on a fifth or a half of them; the "
        "gates see that log, or 5,000 tasks on which both choices were run. The true gain is the mean over "
        "the half. Detectable gains: smallest, median, largest over the releases. Other gates than that of "
        "quality "
        "(slices, collapse) may stop a better router, too."
    )
    page.write_page(path, title="Promotion gates", lead=note, sections=sections)


def _picture(rows: Sequence[Row], evidence: str) -> str:
    series = []
    for action in ("promote", "reject", "shadow"):  # blue, red, green
        points = [
            (row["true_gain"], row["detectable"])
            for row in rows
            if row["evidence"] == evidence and row["action"] == action and row["detectable"] is not None
        ]
        series.append(plots.Series(action, points, joined=False))
    return plots.line_plot(series, x_label="true gain", y_label="smallest detectable gain")
