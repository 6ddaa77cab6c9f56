"""Accuracy and log-likelihood of the task types: encoder head, language model untuned and tuned.

Trains on templated instructions (whole templates are held out) and, where ``AGENTNET_DATA`` is set, on train
rows of three packs; measures on the held-out templates and on the packs' test rows, apart, the same rows
for all. Run ``python benches/intents.py --work FOLDER``: a second run goes on from the folder's checkpoint.
The paper's figures beside them are of another model and other data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

from agentnet.outcomes.encoders import make_encoder
from agentnet.routers.calibration import calibration_error
from agentnet.routers.intents.base import TaskTypes
from agentnet.routers.intents.finetune import Progress, Recipe, finetune
from agentnet.routers.intents.head import EncodedTypes
from agentnet.routers.intents.instructions import LABELS, Instruction, balanced, from_pack, templated
from agentnet.routers.intents.language_model import LanguageModelTypes

PACKS = ("zeroeval", "mmlu_pro", "ulab9")
PAPER = {"model": "Llama-3.2-1B + SFT", "math": 0.981, "code": 0.979, "general": 0.978, "average": 0.9793}
EXAMPLES = (
    "Query: What is 3 + 4?\nKind: math\nQuery: Fix this Python loop.\nKind: code\n"
    "Query: Who was Plato?\nKind: general\nQuery: {text}\nKind:"
)
"""A prompt with three examples: what the untuned model can do without any training."""


def rows_of(args: argparse.Namespace) -> tuple[list[Instruction], dict[str, tuple[Instruction, ...]]]:
    """Training rows, and test rows by where they come from."""
    own = templated(args.instructions, seed=args.seed)
    train = [row for row in own if row.split == "train"]
    test = {
        "templates": balanced(
            tuple(row for row in own if row.split == "test"), args.per_label, seed=args.seed
        )
    }
    if (folder := os.environ.get("AGENTNET_DATA")) is not None:
        packs = [row for name in PACKS for row in from_pack(Path(folder) / name)]
        if args.train_on == "both":
            rows = tuple(row for row in packs if row.split == "train")
            train += balanced(rows, args.pack_rows, seed=args.seed)
        rows = tuple(row for row in packs if row.split == "test")
        test["packs"] = balanced(rows, args.per_label, seed=args.seed)
    seen = {row.text for row in train}
    return train, {name: tuple(row for row in rows if row.text not in seen) for name, rows in test.items()}


def measure(
    types: TaskTypes, rows: tuple[Instruction, ...], vectors: np.ndarray | None
) -> dict[str, float | dict[str, float]]:
    """Accuracy by label, their mean, mean log-likelihood of the right label, calibration error."""
    start = time.perf_counter()
    weights = types.weights([row.text for row in rows], vectors)
    seconds = time.perf_counter() - start
    right = np.array([types.types.index(row.label) for row in rows])
    hit = weights.argmax(1) == right
    accuracy = {
        label: round(float(hit[right == types.types.index(label)].mean()), 4)
        for label in LABELS
        if (right == types.types.index(label)).any()
    }
    return {
        "accuracy": accuracy,
        "average": round(float(np.mean(list(accuracy.values()))), 4),
        "log_likelihood": round(float(np.log(weights[np.arange(len(rows)), right]).mean()), 4),
        "calibration_error": round(calibration_error(weights.max(1), hit.astype(float)), 4),
        "ms_per_query": round(seconds / len(rows) * 1e3, 2),
    }


def show(progress: Progress) -> None:
    print(
        f"step {progress.step}/{progress.steps} loss {progress.loss:.4f} after {progress.seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint and the adapter")
    parser.add_argument("--train-on", choices=("both", "templates"), default="both")
    parser.add_argument("--instructions", type=int, default=3000)
    parser.add_argument("--pack-rows", type=int, default=200, help="most pack rows of a label in training")
    parser.add_argument("--per-label", type=int, default=100, help="most rows of a label in each test")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benches/results/intents.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, tests = rows_of(args)
    texts, labels = [row.text for row in train], [row.label for row in train]
    print(len(train), "training rows;", {name: len(rows) for name, rows in tests.items()}, flush=True)

    recipe = Recipe(steps=args.steps, learning_rate=args.learning_rate, seed=args.seed)
    start = time.perf_counter()
    tuned = finetune(
        texts,
        labels,
        args.work / "checkpoint",
        types=LABELS,
        recipe=recipe,
        seconds=args.minutes * 60,
        device=args.device,
        progress=show,
    )
    seconds = time.perf_counter() - start
    tuned.types.save(args.work / "adapter")
    print(f"step {tuned.step} of {recipe.steps}; this call took {seconds:.0f} s", flush=True)
    if not tuned.done:
        print("not done: run the same command again to go on", flush=True)

    encoder = make_encoder("minilm")
    groups = [row.source if row.source.startswith("template") else row.text for row in train]
    head = EncodedTypes.fit(encoder.encode(texts), labels, seed=args.seed, groups=groups)
    untuned = LanguageModelTypes(LABELS, device=args.device)
    examples = LanguageModelTypes(LABELS, untuned.backbone(), prompt=EXAMPLES)
    systems: dict[str, TaskTypes] = {
        "encoder head": head,
        "untuned": untuned,
        "untuned, three examples": examples,
        "tuned": tuned.types,
    }
    results = {}
    for test, rows in tests.items():
        vectors = encoder.encode([row.text for row in rows])
        for name, types in systems.items():
            results.setdefault(test, {})[name] = found = measure(types, rows, vectors)
            print(test, name, json.dumps(found), flush=True)
    result = {
        "command": "python benches/intents.py " + " ".join(sys.argv[1:]),
        "machine": {"processor": platform.machine(), "threads": args.threads, "torch": torch.__version__},
        "device": str(tuned.types.backbone().device),
        "training_rows": {label: labels.count(label) for label in LABELS},
        "test_rows": {
            name: {label: sum(row.label == label for row in rows) for label in LABELS}
            for name, rows in tests.items()
        },
        "head": head.chosen,
        "finetuning": {
            "steps": tuned.step,
            "of": recipe.steps,
            "batch": recipe.batch,
            "learning_rate": recipe.learning_rate,
            "blocks": recipe.shape.blocks,
            "seconds_of_last_call": round(seconds),
        },
        "results": results,
        "paper": PAPER,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
