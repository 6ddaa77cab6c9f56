"""A small reasoning router before training, after SFT, and after SFT and DAPO, on pools of eight agents.

Trains on train rows of the pack ``intents/clinc150`` (``AGENTNET_DATA`` names the folder of packs) with a
fifth of its agents held out, and measures on test rows: pools of agents that training showed, and pools of
the agents held out. Run ``python benches/tcar_training.py --work FOLDER``: a second run goes on from the
folder's checkpoints. Each stage is bounded in time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from agentnet.graphs.agent import Agent
from agentnet.outcomes.encoders import make_encoder
from agentnet.outcomes.packs import load_agents, load_queries
from agentnet.routers.intents.finetune import Progress
from agentnet.routers.reasoning.data import PoolSampler, PoolShape
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.sft import SftRecipe, sft

TEST_JOINS = ("{a}, {b}", "{a} + {b}", "ok, {a}. while you are at it: {b}", "sort two things out: {a} / {b}")
"""Templates that no training prompt has."""


@dataclass(frozen=True)
class Samplers:
    train: PoolSampler
    rollouts: PoolSampler
    tests: dict[str, PoolSampler]
    held: tuple[str, ...]


def samplers(args: argparse.Namespace) -> Samplers:
    """Training prompts, and test prompts by the agents that they show."""
    folder = Path(os.environ["AGENTNET_DATA"]) / "intents" / args.pack
    queries = load_queries(folder)
    # Label words alone: short prompts, since the model reads some hundred tokens a second.
    agents = [
        Agent(name=a.name, description=a.description.removeprefix("Handles requests about: ").rstrip("."))
        for a in load_agents(folder / "agents.json")
    ]
    encoded = make_encoder("minilm").encode([a.description for a in agents])
    vectors = {a.name: row for a, row in zip(agents, encoded, strict=True)}
    order = np.random.default_rng(args.seed).permutation(len(agents))
    held = {agents[at].name for at in order[: round(args.unseen * len(agents))]}

    def rows(split: str, unseen: bool) -> tuple[list[str], list[set[str]]]:
        # The test split has no rows that are out of scope; val's, on which nothing is chosen, stand in.
        wanted = [
            (text, set() if gold == "oos" else {gold})
            for text, gold, where in zip(queries.text, queries.gold, queries.split, strict=True)
            if (where == split or (split == "test" and where == "val" and gold == "oos"))
            and (gold == "oos" or (gold in held) == unseen)
        ]
        return [text for text, _ in wanted], [gold for _, gold in wanted]

    def sampler(split: str, unseen: bool, shape: PoolShape, seed: int) -> PoolSampler:
        texts, gold = rows(split, unseen)
        shown = [a for a in agents if (a.name in held) == unseen]
        return PoolSampler(texts, gold, shown, vectors=vectors, shape=shape, seed=seed)

    test = PoolShape(joins=TEST_JOINS)
    return Samplers(
        train=sampler("train", False, PoolShape(queries=4), args.seed),
        rollouts=sampler("train", False, PoolShape(), args.seed + 1),
        tests={
            "agents seen": sampler("test", False, test, args.seed + 2),
            "agents unseen": sampler("test", True, test, args.seed + 3),
        },
        held=tuple(sorted(held)),
    )


def show(progress: Progress) -> None:
    print(
        f"step {progress.step}/{progress.steps} loss {progress.loss:.4f} after {progress.seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints and adapters")
    parser.add_argument("--pack", default="clinc150")
    parser.add_argument("--unseen", type=float, default=0.2, help="share of the agents held out")
    parser.add_argument("--sft-steps", type=int, default=100)
    parser.add_argument("--sft-rate", type=float, default=5e-4)
    parser.add_argument("--sft-minutes", type=float, default=25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benches/results/tcar_training.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = samplers(args)
    recipe = SftRecipe(steps=args.sft_steps, learning_rate=args.sft_rate, seed=args.seed)
    model = LocalModel(compact=True, device=args.device, threads=args.threads)
    done = sft(
        model, found.train.group, args.work / "sft", recipe=recipe, seconds=args.sft_minutes * 60, progress=show
    )
    model.save(args.work / "sft-adapter")


if __name__ == "__main__":
    main()
