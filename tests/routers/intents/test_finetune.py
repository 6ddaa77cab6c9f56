"""Fine-tuning learns, touches only its adapters, and goes on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput, RouterError, RouterLoadError
from agentnet.routers.intents.backbone import AdapterShape
from agentnet.routers.intents.finetune import Progress, Recipe, finetune
from agentnet.routers.intents.language_model import LanguageModelTypes

LABELS = ("math", "code", "general")
RECIPE = Recipe(
    shape=AdapterShape(blocks=2, rank=4), learning_rate=1e-2, steps=12, batch=8, checkpoint_every=3
)
Make = Callable[..., Any]


def held_out_loss(types: LanguageModelTypes, texts: list[str], labels: list[str]) -> float:
    weights = types.weights(texts)
    return -float(np.log(weights[np.arange(len(texts)), [LABELS.index(label) for label in labels]]).mean())


def bits(types: LanguageModelTypes) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in types.state()[1].items()}


class Cut(Exception):
    """Stands for a crash."""


def cut_at(step: int) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        if now.step == step:
            raise Cut

    return progress


def test_it_lowers_the_loss_on_held_out_queries(backbone: Make, queries: Make, tmp_path: Path) -> None:
    texts, labels = queries(90)
    fresh, wanted = queries(60, seed=1)
    before = held_out_loss(LanguageModelTypes(LABELS, backbone()), fresh, wanted)
    recipe = Recipe(shape=RECIPE.shape, learning_rate=1e-2, steps=60, batch=8)
    seen: list[Progress] = []
    tuned = finetune(
        texts, labels, tmp_path, types=LABELS, base=backbone(), recipe=recipe, progress=seen.append
    )
    assert tuned.done
    assert tuned.types.tuned
    assert [now.step for now in seen] == list(range(1, 61))
    assert tuned.losses[-1] < tuned.losses[0]
    assert held_out_loss(tuned.types, fresh, wanted) < 0.6 * before


@pytest.mark.parametrize("crash", [2, 3, 7, 11])
def test_an_interrupted_run_ends_with_the_same_bits(
    crash: int, backbone: Make, queries: Make, tmp_path: Path
) -> None:
    texts, labels = queries(30)  # less than the steps' 96: the order of several epochs is crossed

    def run(folder: str, progress: Callable[[Progress], None] | None = None) -> dict[str, bytes]:
        done = finetune(texts, labels, tmp_path / folder, base=backbone(), recipe=RECIPE, progress=progress)
        assert done.done
        return bits(done.types)

    whole = run("whole")
    with pytest.raises(Cut):
        run("cut", cut_at(crash))
    steps: list[int] = []
    assert run("cut", lambda now: steps.append(now.step)) == whole
    assert steps[0] == crash // 3 * 3 + 1  # it went on from the checkpoint, not from the start
    # And once it is done, another call only reads it.
    assert run("cut", cut_at(12)) == whole


def test_the_seed_makes_the_run(backbone: Make, queries: Make, tmp_path: Path) -> None:
    texts, labels = queries(30)
    recipes = [Recipe(shape=RECIPE.shape, steps=2, batch=4, seed=seed) for seed in (0, 0, 1)]
    a, b, c = (
        bits(finetune(texts, labels, tmp_path / str(i), base=backbone(), recipe=recipe).types)
        for i, recipe in enumerate(recipes)
    )
    assert a == b
    assert a != c


def test_time_up_saves_and_stops(backbone: Make, queries: Make, tmp_path: Path) -> None:
    texts, labels = queries(30)
    none = finetune(texts, labels, tmp_path, base=backbone(), recipe=RECIPE, seconds=0)
    assert (none.step, none.done, none.losses) == (0, False, ())
    assert finetune(texts, labels, tmp_path, base=backbone(), recipe=RECIPE).done


def test_only_the_last_blocks_learn(backbone: Make, queries: Make, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    texts, labels = queries(30)
    tuned = finetune(texts, labels, tmp_path, base=backbone(), recipe=RECIPE).types.backbone()
    plain = dict(backbone().model.named_parameters())
    for name, parameter in tuned.model.named_parameters():
        if "lora_" in name:
            assert ".layers.0." not in name
            assert parameter.detach().abs().sum() > 0
        else:
            assert torch.equal(parameter, plain[name.replace(".base_layer", "")])


def test_a_checkpoint_of_another_run_is_refused(backbone: Make, queries: Make, tmp_path: Path) -> None:
    texts, labels = queries(30)
    finetune(texts, labels, tmp_path, base=backbone(), recipe=RECIPE)
    with pytest.raises(RouterError, match="another folder"):
        finetune(texts[:-1], labels[:-1], tmp_path, base=backbone(), recipe=RECIPE)
    with pytest.raises(RouterError, match="another folder"):
        finetune(texts, labels, tmp_path, base=backbone(), recipe=Recipe(shape=RECIPE.shape, steps=3))


def test_a_checkpoint_is_json_and_safetensors_and_a_broken_one_is_refused(
    backbone: Make, queries: Make, tmp_path: Path
) -> None:
    texts, labels = queries(30)
    finetune(texts, labels, tmp_path, base=backbone(), recipe=RECIPE)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "step-000012.safetensors"]
    assert json.loads((tmp_path / "config.json").read_text())["step"] == 12
    (tmp_path / "step-000012.safetensors").write_bytes(b"rubbish")
    with pytest.raises(RouterLoadError, match="corrupt"):
        finetune(texts, labels, tmp_path, base=backbone(), recipe=RECIPE)


def test_wrong_input_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    for texts, labels, types in [([], [], None), (["a"], [], None), (["a"], ["x"], ("y", "z"))]:
        with pytest.raises(InvalidInput, match="give each text"):
            finetune(texts, labels, tmp_path, types=types, base="no such model")
    with pytest.raises(InvalidInput, match="above 0"):
        Recipe(steps=0)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [Recipe(steps=100, learning_rate=1.0, warmup=0.1).rate(step) for step in range(100)]
    assert int(np.argmax(rates)) in (9, 10)
    assert min(rates) >= 0.1
    assert (np.diff(rates[10:]) < 0).all()
