"""Calibration by agent on a pack: fitted on logged decisions, judged on the full matrix of other queries.

``python benches/calibration.py PACK_FOLDER`` prints, for routers learned from a log and from the full
matrix, the expected calibration error (mean over agents) and the mean score of what is chosen: before, by
agent, by agent and slice. Encodings are kept in ``$AGENTNET_CACHE``.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

import agentnet
from agentnet.outcomes.choices import draw_log
from agentnet.outcomes.encoders import CachedEncoder, make_encoder
from agentnet.outcomes.table import Outcomes
from agentnet.routers.agent_calibration import recalibrate
from agentnet.routers.base import Router
from agentnet.routers.calibration import calibration_error
from agentnet.routers.registry import make_router

EPSILON, SERVED_EPSILON, DECISIONS, BINS = 0.2, 0.3, 4000, 8


def figures(router: Router, rows: Outcomes) -> tuple[float, float]:
    """Calibration error, mean over agents, and mean score of the best-predicted agents."""
    told, agents = router.score_batch(rows.tasks(), rows.pool).calibrated, range(len(rows.pool))
    error = np.mean([calibration_error(told[:, a], rows.score[:, a], bins=BINS) for a in agents])
    return float(error), float(rows.score[np.arange(len(rows)), told.argmax(1)].mean())


def main() -> None:
    """Runs the bench."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack")
    parser.add_argument("--draws", type=int, default=6)
    given = parser.parse_args()
    data = agentnet.load_outcomes(given.pack)
    train, test, agents = data.split("train", "val"), data.split("test"), len(data.pool)
    encoder = CachedEncoder(make_encoder("minilm"), os.environ.get("AGENTNET_CACHE"))
    for source in ("log", "matrix"):
        for kind in ("kmeans", "best_single"):
            found = []
            for seed in range(given.draws):
                rng = np.random.default_rng(seed)
                router = make_router(kind)
                if kind == "kmeans":
                    router.use_encoder(encoder)
                policy = np.full(train.score.shape, EPSILON / agents)
                policy[:, int(train.mean_score.argmax())] += 1 - EPSILON
                learned = (
                    train if source == "matrix" else draw_log(train, policy, DECISIONS, rng).to_outcomes()
                )
                router.fit(learned, data.pool)
                first = rng.permutation(len(test)) % 2 == 0
                seen, fresh = test.take(first), test.take(~first)
                told = router.score_batch(seen.tasks(), seen.pool).calibrated
                policy = np.full(seen.score.shape, SERVED_EPSILON / agents)
                policy[np.arange(len(seen)), told.argmax(1)] += 1 - SERVED_EPSILON
                log = draw_log(seen, policy, DECISIONS, rng)
                routers = (
                    router,
                    *(recalibrate(router, log, data.pool, slices=n, seed=seed) for n in (1, 6)),
                )
                found.append([figures(one, fresh) for one in routers])
            mean = np.mean(found, axis=0)
            cells = [f"{value:.4f}" for value in (*mean[:, 0], *mean[:, 1])]
            print(f"{source} {kind}: error {' '.join(cells[:3])}; score {' '.join(cells[3:])}", flush=True)


if __name__ == "__main__":
    main()
