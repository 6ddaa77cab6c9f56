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
from agentnet.routers.reasoning.dapo import dapo
from agentnet.routers.reasoning.data import Example, PoolSampler, PoolShape
from agentnet.routers.reasoning.generate import Decoding
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.rollouts import DapoRecipe, prefilter, roll_out, score
from agentnet.routers.reasoning.sft import SftRecipe, sft

TEST_JOINS = ("{a}, {b}", "{a} + {b}", "ok, {a}. while you are at it: {b}", "sort two things out: {a} / {b}")
"""Templates that no training prompt has."""


@dataclass(frozen=True)
class Samplers:
    """Where prompts come from, and the agents that no training prompt shows."""

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


def show(stage: str, done: int, of: int, told: str = "") -> None:
    print(f"{time.strftime('%H:%M:%S')} {stage} {done}/{of} {told}", flush=True)


@dataclass(frozen=True)
class Answers:
    """What a system answered to n prompts: each value is [n]."""

    exact: np.ndarray
    hit: np.ndarray
    reward: np.ndarray
    size: np.ndarray
    unreadable: np.ndarray
    kind: np.ndarray

    @classmethod
    def of(cls, texts: list[str], examples: list[Example], *, compact: bool) -> Answers:
        """Scores answers."""
        rows = []
        for text, example in zip(texts, examples, strict=True):
            prompt = example.prompt(compact=compact)
            earned, chosen = score(text, prompt, example.gold, DapoRecipe())
            gold = frozenset(example.gold)
            hit = chosen == gold if not gold else bool(chosen and chosen & gold)
            rows.append((chosen == gold, hit, earned, len(chosen or ()), chosen is None, len(gold)))
        return cls(*(np.array(column, float) for column in zip(*rows, strict=True)))

    def told(self, draws: np.ndarray) -> dict[str, object]:
        """Means with 95% bootstrap intervals, and exact match by the number of right agents."""
        found: dict[str, object] = {
            name: interval(getattr(self, name), draws)
            for name in ("exact", "hit", "reward", "size", "unreadable")
        }
        found["exact by right agents"] = {
            f"{kind} (n={int((self.kind == kind).sum())})": round(
                float(self.exact[self.kind == kind].mean()), 3
            )
            for kind in (0, 1, 2)
            if (self.kind == kind).any()
        }
        return found


def interval(values: np.ndarray, draws: np.ndarray) -> list[float]:
    """Mean, and the middle 95% of the means of resampled prompts."""
    low, high = np.quantile(values[draws].mean(1), (0.025, 0.975))
    return [round(float(x), 4) for x in (values.mean(), low, high)]


def greedy(model: LocalModel, examples: list[Example], tokens: int, file: Path) -> list[str]:
    """Greedy answers; those that the file has are not asked for again."""
    asked = [example.query for example in examples]
    texts: list[str] = []
    if file.exists():
        kept = json.loads(file.read_text())
        same = min(len(kept["asked"]), len(asked))
        if kept["asked"][:same] == asked[:same]:
            texts = kept["texts"][:same]
    while len(texts) < len(examples):
        chunk = examples[len(texts) : len(texts) + 32]
        prompts = [example.prompt(compact=model.compact) for example in chunk]
        texts += [one.text for (one,) in model.answer(prompts, Decoding(max_tokens=tokens))]
        file.write_text(json.dumps({"asked": asked[: len(texts)], "texts": texts}))
        show("answers", len(texts), len(examples))
    return texts


def measured(
    model: LocalModel, name: str, tests: dict[str, list[Example]], args: argparse.Namespace
) -> dict[str, Answers]:
    """Greedy answers to the tests; kept in the work folder, so that a second run need not ask again."""
    found = {}
    for test, examples in tests.items():
        texts = greedy(model, examples, args.max_tokens, args.work / f"answers {name} {test}.json")
        found[test] = Answers.of(texts, examples, compact=model.compact)
        print(name, test, "exact", found[test].exact.mean(), "reward", found[test].reward.mean(), flush=True)
    return found


def sampled(model: LocalModel, examples: list[Example], args: argparse.Namespace, name: str) -> np.ndarray:
    """[n] mean reward of the rollouts at temperature 1: what DAPO raises."""
    file = args.work / f"sampled {name}.json"
    if not file.exists():
        groups = roll_out(model, examples, DapoRecipe(), seed=args.seed + 9)
        file.write_text(json.dumps([float(np.mean(group.rewards)) for group in groups]))
    return np.array(json.loads(file.read_text()))


def trained(args: argparse.Namespace, found: Samplers) -> tuple[LocalModel, dict[str, object]]:
    """Filters prompts and runs DAPO on the model that SFT left in the work folder."""
    recipe = DapoRecipe(
        steps=args.dapo_steps,
        learning_rate=args.dapo_rate,
        prompts=args.dapo_prompts,
        seed=args.seed,
        tries=1,
        max_tokens=args.max_tokens,
    )
    model = LocalModel.load(args.work / "sft-adapter", device=args.device, threads=args.threads)
    candidates = found.rollouts.examples(args.candidates)
    file = args.work / "kept.json"
    if args.filter_minutes == 0:
        # Where no prompt is seen twice, the filter costs the rollouts that it saves.
        file.write_text(json.dumps({"kept": list(range(len(candidates))), "rolled": 0}))
    if not file.exists():
        kept, groups = prefilter(
            model,
            candidates,
            recipe=recipe,
            seconds=args.filter_minutes * 60,
            progress=lambda done, kept: show("filter", done, args.candidates, f"kept {kept}"),
        )
        told = {
            "kept": kept,
            "rolled": len(groups),
            "reward": float(np.mean([group.rewards for group in groups])),
            "informative": int(sum(group.informative for group in groups)),
        }
        file.write_text(json.dumps(told))
    told = json.loads(file.read_text())
    run = dapo(
        model,
        [candidates[at] for at in told["kept"]],
        args.work / "dapo",
        recipe=recipe,
        seconds=args.dapo_minutes * 60,
        progress=lambda now: show("dapo", now.step, recipe.steps, json.dumps(asdict(now))),
    )
    model.save(args.work / "dapo-adapter")
    history = [asdict(step) for step in run.history]
    return model, {"recipe": asdict(recipe), "filter": told, "steps": run.step, "history": history}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints and adapters")
    parser.add_argument("--pack", default="clinc150")
    parser.add_argument("--unseen", type=float, default=0.2, help="share of the agents held out")
    parser.add_argument("--start", type=Path, help="folder of adapters from which SFT starts")
    parser.add_argument("--skip", type=int, default=0, help="training pools left out, as those of --start")
    parser.add_argument("--sft-steps", type=int, default=100)
    parser.add_argument("--sft-rate", type=float, default=5e-4)
    parser.add_argument("--sft-minutes", type=float, default=25)
    parser.add_argument("--candidates", type=int, default=160, help="prompts rolled out before DAPO")
    parser.add_argument("--filter-minutes", type=float, default=8, help="0 has no filter")
    parser.add_argument("--dapo-steps", type=int, default=60)
    parser.add_argument("--dapo-rate", type=float, default=1e-4)
    parser.add_argument("--dapo-prompts", type=int, default=4)
    parser.add_argument("--dapo-minutes", type=float, default=25, help="0 has no DAPO")
    parser.add_argument("--seen-rows", type=int, default=160)
    parser.add_argument("--unseen-rows", type=int, default=80)
    parser.add_argument("--sampled-rows", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benches/results/tcar_training.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = samplers(args)
    rows = {"agents seen": args.seen_rows, "agents unseen": args.unseen_rows}
    tests = {name: found.tests[name].examples(count) for name, count in rows.items()}
    recipe = SftRecipe(steps=args.sft_steps, learning_rate=args.sft_rate, seed=args.seed, checkpoint_every=5)
    if (args.work / "sft-adapter" / "config.json").exists():
        model = LocalModel.load(args.work / "sft-adapter", device=args.device, threads=args.threads)
    else:
        if args.start is None:
            model = LocalModel(compact=True, device=args.device, threads=args.threads)
        else:
            model = LocalModel.load(args.start, device=args.device, threads=args.threads)
        sft(
            model,
            lambda number: found.train.group(args.skip + number),
            args.work / "sft",
            recipe=recipe,
            seconds=args.sft_minutes * 60,
            progress=lambda now: show("sft", now.step, now.steps, f"loss {now.loss:.4f}"),
        )
        model.save(args.work / "sft-adapter")
    state = json.loads((args.work / "sft" / "checkpoint.json").read_text())["state"]
    results = {"SFT": measured(model, "sft", tests, args)}
    plain = LocalModel(compact=True, device=args.device, threads=args.threads)
    results["untuned"] = measured(plain, "untuned", tests, args)
    sft_told = {"steps": len(state["losses"]), "recipe": asdict(recipe), **state}
    draws: dict[str, np.ndarray] = {}
    write(args, found, results, draws, sft_told, None)
    if args.dapo_minutes == 0:
        return
    drawn = tests["agents seen"][: args.sampled_rows]
    draws["SFT"] = sampled(model, drawn, args, "sft")
    model, told = trained(args, found)
    results["SFT + DAPO"] = measured(model, "dapo", tests, args)
    draws["SFT + DAPO"] = sampled(model, drawn, args, "dapo")
    write(args, found, results, draws, sft_told, told)


def write(
    args: argparse.Namespace,
    found: Samplers,
    results: dict[str, dict[str, Answers]],
    draws: dict[str, np.ndarray],
    sft_told: dict[str, object],
    dapo_told: dict[str, object] | None,
) -> None:
    """Writes all that was found, with intervals and paired differences."""
    rng = np.random.default_rng(0)
    told: dict[str, object] = {}
    for test in found.tests:
        n = len(results["SFT"][test].exact)
        resamples = rng.integers(n, size=(10_000, n))
        told[test] = {
            "prompts": n,
            **{system: answers[test].told(resamples) for system, answers in results.items()},
            "paired differences": {
                f"{b} over {a}": {
                    name: interval(
                        getattr(results[b][test], name) - getattr(results[a][test], name), resamples
                    )
                    for name in ("exact", "hit", "reward")
                }
                for a, b in (("untuned", "SFT"), ("SFT", "SFT + DAPO"))
                if b in results
            },
        }
    if draws:
        n = len(draws["SFT"])
        resamples = rng.integers(n, size=(10_000, n))
        told["reward at temperature 1, agents seen"] = {
            "prompts": n,
            **{system: interval(values, resamples) for system, values in draws.items()},
            "SFT + DAPO over SFT": interval(draws["SFT + DAPO"] - draws["SFT"], resamples),
        }
    result = {
        "command": "python benches/tcar_training.py " + " ".join(sys.argv[1:]),
        "machine": {"processor": platform.machine(), "threads": args.threads, "torch": torch.__version__},
        "held out agents": list(found.held),
        "results": told,
        "sft": sft_told,
        "dapo": dapo_told,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(result["command"])
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
