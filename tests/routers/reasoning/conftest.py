"""A tiny Llama with a tokenizer of words, randomly initialised."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from agentnet.graphs.agent import Agent

_TEXT = """
Choose agents why for each if none oos ID Reason Agents Agent Name Description Query question on and more
number something else matches by meaning no agent covers it fits cards loans savings travel weather music
recipes sports news taxes
"""
WORDS = _TEXT.split()
PIECES = ["", *map(chr, range(1, 128)), *WORDS, *(f" {word}" for word in WORDS)]
VOCABULARY = 256


class WordTokenizer:
    """Some words, with a blank before them or without; all else by letters."""

    eos_token_id = 0
    chat_template = None

    def __init__(self) -> None:
        self.ids = {piece: number for number, piece in enumerate(PIECES)}

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        ids = []
        for word in re.findall(r" ?[^\W\d]+|[\W\d]", text):
            whole = self.ids.get(word)
            ids += [whole] if whole is not None else [self.ids.get(letter, 63) for letter in word]
        return {"input_ids": ids}

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(PIECES[number] if number < len(PIECES) else "?" for number in ids)


def make_backbone(*, layers: int = 2, seed: int = 7) -> Any:
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
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
        # A random head of so small a model could not be sure of any of so many words.
        model.lm_head.weight.data *= 4
    return Backbone(model, WordTokenizer(), name="tiny")


AREAS = ("cards", "loans", "savings", "travel", "weather", "music", "recipes", "sports", "news", "taxes")


def make_agents(n: int = 10) -> list[Agent]:
    return [Agent(name=area, description=f"{area} and more") for area in AREAS[:n]]


def make_labelled(n: int = 60, *, seed: int = 0) -> tuple[list[str], list[set[str]]]:
    """Queries that name their agent's area; every tenth is nobody's."""
    rng = np.random.default_rng(seed)
    texts, gold = [], []
    for number in range(n):
        area = AREAS[number % len(AREAS)]
        texts.append(f"question {number} on {area} number {int(rng.integers(100))}")
        gold.append({area})
    for number in range(n // 10):
        texts.append(f"something else {number}")
        gold.append(set())
    return texts, gold


@pytest.fixture(scope="session")
def backbone() -> Callable[..., Any]:
    """Makes a fresh tiny model; always the same weights."""
    return make_backbone


@pytest.fixture(scope="session")
def agents() -> Callable[..., list[Agent]]:
    """Makes agents."""
    return make_agents


@pytest.fixture(scope="session")
def labelled() -> Callable[..., tuple[list[str], list[set[str]]]]:
    """Makes labelled queries."""
    return make_labelled
