"""The part ``paths`` of `amro_s.py`: sampling paths, against plain Python loops of the same rule."""

from __future__ import annotations

import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from agentnet.routers.colony.space import PathSpace
from agentnet.routers.colony.walk import walk

AGENTS, LAYERS, SPECIALISTS = 16, 3, 3
PATHS, PLAIN_PATHS, NUMPY_PATHS = 100_000, 2_000, 200
Result = dict[str, Any]
Lists = list[Any]


def plain_loop(inputs: Lists, alpha: float, beta: float) -> tuple[Lists, Lists]:
    """The transition rule as written down: [n][hops] columns and probabilities."""
    tau, weights, eta, draws = inputs
    size, columns = len(eta[0]), range(len(eta[0]))
    all_paths, all_chances = [], []
    for shares, heuristic, uniform in zip(weights, eta, draws, strict=True):
        row, path, chances = 0, [], []
        desire = heuristic if beta == 1 else [value**beta for value in heuristic]
        for hop, number in enumerate(uniform):
            standing = [(share, specialist[row]) for share, specialist in zip(shares, tau, strict=True)]
            scores, total = [], 0.0
            for column in columns:
                fused = 0.0
                for share, pheromone in standing:
                    fused += share * pheromone[column]
                if alpha != 1:
                    fused **= alpha
                score = fused * desire[column]
                scores.append(score)
                total += score
            threshold, running, chosen = number * total, 0.0, size - 1
            for column in columns:
                running += scores[column]
                if running > threshold:
                    chosen = column
                    break
            path.append(chosen)
            chances.append(scores[chosen] / total)
            row = 1 + hop * size + chosen
        all_paths.append(path)
        all_chances.append(chances)
    return all_paths, all_chances


def tuned_loop(inputs: Lists) -> tuple[Lists, Lists]:
    """The same made fast by hand: three specialists, exponents 1, library calls for sums and search."""
    tau, weights, eta, draws = inputs
    first, second, third = tau
    size = len(eta[0])
    all_paths, all_chances = [], []
    for (a, b, c), desire, uniform in zip(weights, eta, draws, strict=True):
        row, path, chances = 0, [], []
        for hop, number in enumerate(uniform):
            hops = zip(first[row], second[row], third[row], desire, strict=True)
            scores = [(a * x + b * y + c * z) * e for x, y, z, e in hops]
            running = list(accumulate(scores))
            chosen = min(bisect_right(running, number * running[-1]), size - 1)
            path.append(chosen)
            chances.append(scores[chosen] / running[-1])
            row = 1 + hop * size + chosen
        all_paths.append(path)
        all_chances.append(chances)
    return all_paths, all_chances


def ratio_of(above: Sequence[float], below: Sequence[float]) -> Result:
    """Median of the ratios of paired blocks and its 95 % bootstrap interval."""
    ratios = np.array(above) / np.array(below)
    drawn = np.random.default_rng(0).integers(len(ratios), size=(2000, len(ratios)))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975])
    return {"median": sig(np.median(ratios)), "interval": [sig(low), sig(high)]}


def sig(value: float) -> float:
    return float(f"{value:.4g}")


def bench_paths(blocks: int, quick: bool) -> Result:
    rng = np.random.default_rng(0)
    space = PathSpace(tuple(f"agent{i:02}" for i in range(AGENTS)), LAYERS)
    n = PATHS // 10 if quick else PATHS
    inputs = [
        rng.uniform(0.5, 2.0, (SPECIALISTS, space.rows, space.columns)),
        rng.dirichlet(np.ones(SPECIALISTS), n),
        rng.uniform(0.1, 1.0, (n, AGENTS)),
        rng.random((n, LAYERS)),
    ]
    # Both sides get their own form ready-made, of the same float32 numbers.
    tensors = [torch.from_numpy(values.astype(np.float32)) for values in inputs]
    lists = [tensors[0].tolist(), *(values[:PLAIN_PATHS].tolist() for values in tensors[1:])]

    arrays = [tensors[0].numpy(), *(values[:NUMPY_PATHS].numpy() for values in tensors[1:])]

    def walked(alpha: float, beta: float, inputs: Sequence[Any] = tensors, device: str = "cpu") -> Any:
        tau, weights, eta, draws = inputs
        return walk(tau, weights, eta, space, draws, alpha=alpha, beta=beta, device=device)

    result: Result = {
        "paths": n,
        "plain_paths": PLAIN_PATHS,
        "numpy_paths": NUMPY_PATHS,
        "threads": torch.get_num_threads(),
    }
    vectorised = ("walk", "walk_from_float64_arrays")
    for alpha, beta in ((1.0, 1.0), (10.0, 3.0)):
        sides: dict[str, Callable[[], Any]] = {
            "walk": lambda: walked(alpha, beta),  # noqa: B023 - used within this turn of the loop
            "walk_from_float64_arrays": lambda: walked(alpha, beta, inputs),  # noqa: B023
            "plain_loop": lambda: plain_loop(lists, alpha, beta),  # noqa: B023
            "plain_loop_over_numpy": lambda: plain_loop(arrays, alpha, beta),  # noqa: B023
        }
        if alpha == beta == 1:
            sides["tuned_loop"] = lambda: tuned_loop(lists)
        found = walked(alpha, beta).columns.tolist()
        count = {name: len(run()[0]) for name, run in sides.items() if name not in vectorised}
        for name in count:
            unequal = sum(a != b for a, b in zip(sides[name]()[0], found, strict=False))
            # A draw within rounding of float32 of a boundary may fall to either side of it.
            assert unequal <= PLAIN_PATHS // 1000, (name, unequal)
            result[f"unequal_{name}_alpha{alpha:g}"] = unequal
        wall, busy = alternated(sides, blocks)
        for name, paths in count.items():
            wall[name], busy[name] = ([value * n / paths for value in each[name]] for each in (wall, busy))
        result[f"alpha={alpha:g},beta={beta:g}"] = {
            "median_s": {name: sig(statistics.median(values)) for name, values in wall.items()},
            "ratio_to_walk": {
                name: {
                    "wall": ratio_of(wall[name], wall["walk"]),
                    "processor": ratio_of(busy[name], busy["walk"]),
                }
                for name in sides
                if name != "walk"
            },
        }
    result["cuda"] = on_cuda(walked, tensors, blocks)
    return result


def alternated(sides: dict[str, Callable[[], Any]], blocks: int) -> tuple[dict[str, Lists], dict[str, Lists]]:
    """Wall and processor seconds of every side, block by block."""
    wall: dict[str, Lists] = {name: [] for name in sides}
    busy: dict[str, Lists] = {name: [] for name in sides}
    for block in range(-2, blocks):
        for name, run in sides.items():
            start, used = time.perf_counter(), time.process_time()
            run()
            if block >= 0:
                wall[name].append(time.perf_counter() - start)
                busy[name].append(time.process_time() - used)
    return wall, busy


def on_cuda(walked: Callable[..., Any], tensors: Sequence[torch.Tensor], blocks: int) -> str | Result:
    if not torch.cuda.is_available():
        return "no CUDA device"
    there = [values.cuda() for values in tensors]

    def resident() -> None:
        walked(1.0, 1.0, there, "cuda")
        torch.cuda.synchronize()

    def copied() -> None:
        walked(1.0, 1.0, tensors, "cuda").columns.cpu()

    wall, _ = alternated({"on_device": resident, "with_copies": copied}, blocks)
    medians = {name: sig(statistics.median(values)) for name, values in wall.items()}
    return {"device": torch.cuda.get_device_name(0), "median_s": medians}
