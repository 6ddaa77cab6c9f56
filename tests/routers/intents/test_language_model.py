"""Label probabilities of a causal language model, and its adapters on disk."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput, MissingDependency, RouterLoadError
from agentnet.routers.intents.backbone import AdapterShape, Backbone, by_length
from agentnet.routers.intents.base import restore_types
from agentnet.routers.intents.language_model import LanguageModelTypes
from agentnet.runtime.embedded.weights import find_model

LABELS = ("math", "code", "general")
Make = Callable[..., Any]


def test_weights_sum_to_one_and_keep_the_floor(backbone: Make, queries: Make) -> None:
    texts, _ = queries(40)
    types = LanguageModelTypes(LABELS, backbone(), floor=0.05, temperature=0.01)
    weights = types.weights(texts)
    assert weights.shape == (40, 3)
    assert weights.dtype == np.float64
    assert np.allclose(weights.sum(1), 1)
    assert weights.min() >= 0.05
    assert types.weights([]).shape == (0, 3)
    assert types.needs_text


def test_weights_are_the_softmax_of_the_labels_next_token_logits(backbone: Make) -> None:
    torch = pytest.importorskip("torch")
    model = backbone()
    types = LanguageModelTypes(LABELS, model, floor=0)
    ids = model.tokenizer("Query: the sum\nKind of task (math, code, general):", add_special_tokens=False)
    with torch.no_grad():
        logits = model.model(input_ids=torch.tensor([ids["input_ids"]])).logits[0, -1]
    wanted = torch.softmax(logits[list(model.label_tokens(LABELS))].double(), 0).numpy()
    assert np.allclose(types.weights(["the sum"])[0], wanted, atol=1e-6)
    warm = LanguageModelTypes(LABELS, model, floor=0, temperature=1e6).weights(["the sum"])
    assert np.allclose(warm, 1 / 3, atol=1e-4)


def test_neither_neighbours_nor_padding_change_a_text(backbone: Make, queries: Make) -> None:
    texts, _ = queries(30)
    types = LanguageModelTypes(LABELS, backbone())
    alone = np.concatenate([types.log_probabilities([text]) for text in texts])
    assert np.ptp(alone, axis=0).min() > 0.1  # or the comparison would say nothing
    assert np.allclose(types.log_probabilities(texts), alone, atol=1e-4)


def test_only_the_beginning_of_a_long_text_is_read(backbone: Make) -> None:
    types = LanguageModelTypes(LABELS, backbone(), max_tokens=4)
    a, b, c = types.log_probabilities(["a b c d e f", "a b c d x y z", "a b x d"])
    assert np.allclose(a, b, atol=1e-4)
    assert not np.allclose(a, c, atol=1e-2)


def test_labels_that_begin_alike_are_refused(backbone: Make) -> None:
    with pytest.raises(InvalidInput, match="first token"):
        LanguageModelTypes(("cluster 1", "cluster 2"), backbone()).weights(["a"])


@pytest.mark.parametrize("prompt", ["no place", "{text} {text}:", "{text}", "{text} kind "])
def test_prompts_that_cannot_work_are_refused(prompt: str) -> None:
    with pytest.raises(InvalidInput, match="prompt"):
        LanguageModelTypes(LABELS, prompt=prompt)


@pytest.mark.parametrize("package", ["transformers", "gguf"])
def test_a_missing_package_is_named_with_the_extra(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setitem(sys.modules, package, None)
    types = LanguageModelTypes(LABELS, str(tmp_path / "model.gguf"))
    with pytest.raises(MissingDependency, match=rf"'{package}'.*agentnet-routing\[sft\]"):
        types.weights(["a"])


def test_missing_peft_is_named_when_adapters_are_wanted(
    backbone: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = backbone()
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingDependency, match="'peft'"):
        model.adapt(AdapterShape(blocks=1))


def test_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        LanguageModelTypes(LABELS, str(tmp_path / "nothing")).weights(["a"])


def adapted(model: Backbone, *, seed: int = 0) -> LanguageModelTypes:
    """Types with adapters that change something."""
    model.adapt(AdapterShape(blocks=2, rank=2))
    rng = np.random.default_rng(seed)
    model.set_adapters(
        {name: rng.normal(0, 0.5, p.shape).astype(np.float32) for name, p in model.adapters().items()}
    )
    return LanguageModelTypes(LABELS, model, max_tokens=9, temperature=0.7, floor=0.02)


def test_fresh_adapters_change_nothing(backbone: Make) -> None:
    texts = ["the sum of a root", "python loop"]
    plain = LanguageModelTypes(LABELS, backbone(), floor=0).weights(texts)
    model = backbone()
    model.adapt(AdapterShape(blocks=2, rank=2))
    assert np.allclose(LanguageModelTypes(LABELS, model, floor=0).weights(texts), plain, atol=1e-7)
    assert not np.allclose(adapted(backbone()).weights(texts), plain, atol=1e-2)


def test_a_saved_state_restores_the_same_weights(backbone: Make, queries: Make, tmp_path: Path) -> None:
    texts, _ = queries(20)
    types = adapted(backbone())
    weights = types.weights(texts)
    config, arrays = types.state()
    assert all(name.startswith("types_lora.") for name in arrays)
    config = json.loads(json.dumps(config))
    again = LanguageModelTypes.restore(config, arrays | {"other": np.zeros(2)}, base=backbone())
    assert again.tuned
    assert np.array_equal(again.weights(texts), weights)
    types.save(tmp_path / "adapter")
    assert {file.name for file in (tmp_path / "adapter").iterdir()} == {"config.json", "adapter.safetensors"}
    read = LanguageModelTypes.load(tmp_path / "adapter", base=backbone())
    # A state is carried on without the model ever being loaded.
    assert restore_types(config, arrays).state()[1].keys() == arrays.keys()
    assert np.array_equal(read.weights(texts), weights)


def test_a_broken_folder_is_refused(backbone: Make, tmp_path: Path) -> None:
    with pytest.raises(RouterLoadError, match="holds no"):
        LanguageModelTypes.load(tmp_path)
    adapted(backbone()).save(tmp_path)
    (tmp_path / "adapter.safetensors").write_bytes(b"rubbish")
    with pytest.raises(RouterLoadError, match="holds no"):
        LanguageModelTypes.load(tmp_path)


def test_adapters_of_another_model_are_refused(backbone: Make) -> None:
    config, arrays = adapted(backbone()).state()
    config["adapter"]["rank"] = 3
    with pytest.raises(InvalidInput, match="do not fit"):
        LanguageModelTypes.restore(config, arrays, base=backbone()).weights(["a"])
    with pytest.raises(InvalidInput, match="blocks"):
        backbone(layers=1).adapt(AdapterShape(blocks=2))


def test_the_two_halves_are_the_whole(backbone: Make) -> None:
    torch = pytest.importorskip("torch")
    model = backbone()
    rows = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    with torch.no_grad():
        whole = model.last_hidden(model.model.model, rows, [4, 2])
        for blocks in (1, 3):
            lower, upper = model.halves(blocks)
            states = lower(input_ids=rows, use_cache=False).last_hidden_state
            assert torch.allclose(model.last_hidden(upper, states, [4, 2]), whole, atol=1e-6)
    assert model.depth == 3


def test_batches_hold_every_row_once_longest_first() -> None:
    lengths = [3, 9, 1, 4, 4]
    batches = by_length(lengths, 2)
    assert sorted(row for batch in batches for row in batch) == list(range(5))
    assert [lengths[row] for batch in batches for row in batch] == sorted(lengths, reverse=True)


@pytest.mark.model
def test_the_embedded_model_gives_weights() -> None:
    for package in ("transformers", "gguf"):
        pytest.importorskip(package, reason="task types by a language model need the extra sft")
    try:
        find_model(allow_hub=False)
    except MissingDependency as missing:
        pytest.skip(str(missing))
    types = LanguageModelTypes(LABELS, device="cpu", threads=1)
    weights = types.weights(["What is 17 times 23?", "Write a Python function that sorts a list."])
    assert np.allclose(weights.sum(1), 1)
    assert weights[0, 0] > weights[1, 0]
    assert weights[1, 1] > weights[0, 1]
