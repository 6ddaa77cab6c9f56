"""Suite ``judges``: policies ordered by an erring judge, raw and corrected with 200 gold labels.

*Simulated* judge on *replayed* outcomes: answers and their truth are recorded, the judge's errors are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agentnet.bench.files import write_json
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
from agentnet.bench.suites.judges_measure import measure, summary
from agentnet.bench.suites.judges_report import print_table, write_report
from agentnet.bench.suites.judges_world import DECISIONS, LABELS, SPACINGS, draw
from agentnet.errors import InvalidInput
from agentnet.routers.registry import make_router

if TYPE_CHECKING:
    from rich.console import Console

DRAWS_PER_SEED = 4
TARGET = 0.9
_ENTROPY = 20_250_701


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
    """Runs the suite; see `agentnet.bench.suites.run_suite`. A seed is four draws: 20 by default."""
    if routers:
        raise InvalidInput("suite 'judges' makes its own policies; leave out --routers.")
    lab = make_lab(encoder, cache)
    draws = DRAWS_PER_SEED * seeds
    results = header("judges", command=command, seeds=seeds, encoder=encoder)
    results |= {
        "kind": "simulated judge on replayed outcomes",
        "draws": draws,
        "decisions": DECISIONS,
        "labels": LABELS,
        "target": TARGET,
    }
    for folder in pack_folders(data):
        outcomes = load_recorded(folder)
        check_test_rows(folder.name, outcomes)
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        with progress_of(progress, folder.name) as say:
            say("fitting kNN on train and val")
            router = make_router("knn")
            router.use_encoder(lab.encoder)
            router.fit(outcomes.split("train", "val"), outcomes.pool, seed=0)
            rows = outcomes.split("test")
            scores = router.score_batch(rows.queries.tasks(), rows.pool).calibrated.astype(np.float64)
            for number, spacing in enumerate(SPACINGS):
                found = []
                for i in range(draws):
                    say(f"{spacing}: draw {i + 1} of {draws}")
                    rng = np.random.default_rng([_ENTROPY, number, i])
                    found.append(measure(draw(rows, scores, spacing, rng)))
                pack["parts"].append(
                    {
                        "spacing": spacing,
                        "meaning": SPACINGS[spacing],
                        "n": len(rows),
                        "estimators": summary(found, np.random.default_rng(0)),
                        "draws": found,
                    }
                )
                write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, print_table)
    return results
