"""A tiny Llama with a word-level tokenizer, randomly initialised."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

VOCABULARY = 997
WORDS = {
    "math": ["sum", "root", "angle", "prime", "integral", "fraction"],
    "code": ["python", "loop", "class", "compile", "branch", "query"],
    "general": ["poem", "history", "letter", "recipe", "ethics", "travel"],
}


class WordTokenizer:
    """Words to numbers by their checksum."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        words = re.findall(r"\w+|[^\w\s]", text)
        return {"input_ids": [zlib.crc32(word.encode()) % VOCABULARY for word in words]}


def make_backbone(layers: int = 3) -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    from agentnet.routers.intents.backbone import Backbone

    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = transformers.LlamaForCausalLM(config)
    return Backbone(model, WordTokenizer(), name="tiny")


def make_queries(n: int, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Queries of three to seven words, most of them of the label's own list."""
    rng = np.random.default_rng(seed)
    labels = [list(WORDS)[i % 3] for i in range(n)]

    def word(label: str) -> str:
        own: Sequence[str] = WORDS[label] if rng.random() < 0.8 else ["the", "please", "of", "a"]
        return str(rng.choice(own))

    return [" ".join(word(label) for _ in range(rng.integers(3, 8))) for label in labels], labels


@pytest.fixture
def backbone() -> Callable[..., Any]:
    """Makes a fresh tiny model; always the same weights."""
    return make_backbone


@pytest.fixture
def queries() -> Callable[..., tuple[list[str], list[str]]]:
    """Makes labelled queries."""
    return make_queries
