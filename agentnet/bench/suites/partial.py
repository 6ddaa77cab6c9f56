"""Suite ``partial``: how much of a full matrix's gain a log of one choice a task teaches (*replayed*).

The matrices are complete, so that the truth is known: an older router, fitted on 300 other rows, chooses
epsilon-greedily on queries drawn with replacement; everything but the chosen agent's score is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.protocol import compact
from agentnet.bench.suites.common import (
    check_test_rows,
    finish,
    header,
    load_recorded,
    make_lab,
    pack_folders,
    pack_head,
    progress_of,
)
from agentnet.bench.suites.partial_figures import make_part
from agentnet.bench.suites.partial_measure import (
    LOGS,
    OLDER_ROWS,
    RECOMMENDED,
    Bench,
    Part,
    learners_of,
    measure,
)
from agentnet.bench.suites.partial_report import print_table, write_report
from agentnet.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

DRAWS = 20
PARTS: tuple[Part, ...] = ("cross-fitted", "test")
"""The first is the headline: five times the test queries, and four deals into folds."""


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
    draws: int = DRAWS,
    logs: int = LOGS,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`. ``seeds`` has no effect: draws are many.

    Raises:
        DataError: a pack has too few rows, or holes.
    """
    folders = pack_folders(data)
    lab = make_lab(encoder, cache)
    results = header("partial", command=command, seeds=1, encoder=encoder)
    results |= {"draws": draws, "logs": logs, "headline": PARTS[0], "recommended": list(RECOMMENDED)}
    for folder in folders:
        outcomes = compact(load_recorded(folder))
        check_test_rows(folder.name, outcomes)
        if not outcomes.full or len(outcomes.without_split("test")) < 3 * OLDER_ROWS:
            raise DataError(
                f"{folder} needs all outcomes of {3 * OLDER_ROWS} rows or more that are not test."
            )
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        with progress_of(progress, folder.name) as say:
            here = replace(lab, progress=say)
            here.encode(outcomes)
            for part in PARTS:
                bench = Bench(here, learners_of(routers, part), logs)
                rows = measure(bench, outcomes, part, draws, say)
                n = len(outcomes) if part == "cross-fitted" else len(outcomes.split("test"))
                pack["parts"].append(make_part(part, n, rows))
                write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, print_table)
    return results
