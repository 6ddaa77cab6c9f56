"""`train_local`: a small language model made a reasoning router, by data building, SFT and DAPO."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentnet.graphs.agent import Agent
from agentnet.routers.intents.backbone import EMBEDDED, Backbone
from agentnet.routers.reasoning.dapo import dapo
from agentnet.routers.reasoning.data import PoolSampler, PoolShape
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.rollouts import DapoRecipe, prefilter
from agentnet.routers.reasoning.sft import SftRecipe, sft

SFT_SHARE, FILTER_SHARE = 0.45, 0.15
"""Shares of the time for SFT and for the rollouts before DAPO; DAPO has the rest."""


def train_local(
    texts: Sequence[str],
    gold_sets: Sequence[Collection[str]],
    agents: Sequence[Agent],
    *,
    seed: int = 0,
    seconds: float = 3600,
    base: str | Backbone = EMBEDDED,
    vectors: Mapping[str, NDArray[np.floating]] | None = None,
    shape: PoolShape | None = None,
    sft_recipe: SftRecipe | None = None,
    dapo_recipe: DapoRecipe | None = None,
    candidates: int = 400,
    folder: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> LocalModel:
    """Trains a local model on labelled queries; bounded in time, and resumable with a folder.

    Args:
        texts: [n] queries.
        gold_sets: [n] names of the right agents of each; an empty set is out of scope.
        agents: All that may be shown; at least two.
        seed: Of the data, the adapters and the rollouts.
        seconds: In all, at most, but for a step under way.
        base: See `Backbone.load`; a loaded one is changed in place.
        vectors: Unit vector by agent's name, for hard negatives; None is words in common.
        shape: Of the prompts; None has pools of 8, or of all where they are fewer, four queries a pool.
        sft_recipe: None is the default; its seed is ``seed``.
        dapo_recipe: None is the default; its seed is ``seed``.
        candidates: Prompts among which DAPO's are chosen.
        folder: Keeps the checkpoints of SFT and DAPO.
        device: A torch device; ``auto`` is CUDA where there is one.
        threads: torch threads while it runs.
        progress: Called with the stage, and its steps done and in all.

    Raises:
        InvalidInput: the texts, gold sets and agents do not fit together.
        MissingDependency: a package of the extra ``sft`` or the model's weights are missing.
        RouterError: the folder holds checkpoints of another training.
    """
    shape = shape or PoolShape(size=min(8, len(agents)), queries=4)
    sft_recipe = replace(sft_recipe or SftRecipe(), seed=seed)
    dapo_recipe = replace(dapo_recipe or DapoRecipe(), seed=seed)
    source = PoolSampler(texts, gold_sets, agents, vectors=vectors, shape=shape, seed=seed)
    alone = PoolSampler(
        texts, gold_sets, agents, vectors=vectors, shape=replace(shape, queries=1), seed=seed + 1
    )
    folders = [None if folder is None else Path(folder) / stage for stage in ("sft", "dapo")]

    def told(stage: str) -> Callable[[int, int], None]:
        return lambda done, of: progress(stage, done, of) if progress is not None else None

    model = LocalModel(base, compact=True, device=device, threads=threads)
    model.backbone()
    start = time.monotonic()
    sft(
        model,
        source.group,
        folders[0],
        recipe=sft_recipe,
        seconds=SFT_SHARE * seconds,
        progress=lambda now: told("sft")(now.step, now.steps),
    )
    asked = alone.examples(candidates)
    # What the filter kept depends on the time it had: a run that goes on must not ask again.
    note = None if folder is None else Path(folder) / "kept.json"
    if note is not None and note.exists():
        kept = [int(at) for at in json.loads(note.read_text("utf-8"))]
    else:
        kept, _ = prefilter(
            model,
            asked,
            recipe=dapo_recipe,
            seconds=FILTER_SHARE * seconds,
            progress=lambda done, _: told("filter")(done, candidates),
        )
        if note is not None:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(kept), "utf-8")
    if kept:
        dapo(
            model,
            [asked[at] for at in kept],
            folders[1],
            recipe=dapo_recipe,
            seconds=seconds - (time.monotonic() - start),
            progress=lambda now: told("dapo")(now.step, dapo_recipe.steps),
        )
    return model
