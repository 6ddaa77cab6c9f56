"""What each part of `collective` is worth: quality by variant, cross-validated on the rows for development.

Rows of the split ``test`` take no part. Every variant is fitted on the same folds and compared row by row
with tuned kNN (the reference) by a paired bootstrap. Run ``python benches/collective.py --data data/ulab9``.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.bench import metrics
from agentnet.bench.protocol import Lab
from agentnet.bench.scoring import Scorer
from agentnet.bench.suites.common import make_lab
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.splits import cross_fit
from agentnet.outcomes.table import Outcomes

FOLDS = 5
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "knn (reference)": ("knn", {}),
    "kmeans": ("kmeans", {}),
    "kNN on form alone": ("knn", {"encoder": "form"}),
    "collective": ("collective", {}),
    "means only": ("collective", {"reach": "means"}),
    "no neighbours": ("collective", {"reach": "types"}),
    "always neighbours": ("collective", {"reach": "neighbours"}),
    "no form": ("collective", {"form": False}),
    "no text (form as text)": ("collective", {"encoder": "form"}),
    "types by clustering": ("collective", {"types": 24}),
    "with entities": ("collective", {"entities": True}),
}


def scores(lab: Lab, outcomes: Outcomes, router: str, settings: dict[str, Any], seed: int) -> np.ndarray:
    """[n] score of the choice on each row, from the fold in which it was left out."""
    found = np.empty(len(outcomes))
    place = {query: i for i, query in enumerate(outcomes.queries.query_id.tolist())}
    for fold in cross_fit(outcomes, FOLDS, seed):
        own = make_lab(settings["encoder"], None) if "encoder" in settings else lab
        fitted, _ = own.fit(router, fold, seed=seed, settings=settings)
        rows = fold.split("test")
        for row in Scorer(rows).score(fitted.route_batch(rows.tasks(), rows.pool)):
            found[place[row.query_id]] = row.score
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="A data pack's folder.")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=None, help="Folder in which encodings are kept.")
    parser.add_argument("--variants", default=None, help="Names, comma-separated; default: all.")
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    args = parser.parse_args()
    outcomes = load_outcomes(args.data).without_split("test")
    lab = make_lab("minilm", args.cache)
    lab.encode(outcomes)
    wanted = args.variants.split(",") if args.variants else list(VARIANTS)
    names = list(dict.fromkeys(["knn (reference)", *wanted]))
    table: dict[str, Any] = {}
    reference = np.zeros(len(outcomes))
    for name in names:
        router, settings = VARIANTS[name]
        runs = [scores(lab, outcomes, router, settings, seed) for seed in range(args.seeds)]
        mean = np.mean(runs, axis=0)
        reference = mean if name == "knn (reference)" else reference
        low, high = metrics.bootstrap_ci(mean - reference)
        table[name] = {
            "score": round(float(mean.mean()), 4),
            "over_reference": round(float((mean - reference).mean()), 4),
            "interval": [round(low, 4), round(high, 4)],
        }
        print(
            f"{name:26} {mean.mean():.4f}  {(mean - reference).mean():+.4f} [{low:+.4f}, {high:+.4f}]",
            flush=True,
        )
    result = {
        "command": "python " + " ".join(sys.argv),
        "kind": "replayed",
        "machine": platform.machine(),
        "rows": len(outcomes),
        "seeds": args.seeds,
        "folds": FOLDS,
        "variants": table,
    }
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
