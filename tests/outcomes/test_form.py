"""FormEncoder: layout is seen, and subject is not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.errors import InvalidInput
from agentnet.outcomes.encoders import Encoder, make_encoder
from agentnet.outcomes.encoders.form import MARKS, MEASURES, FormEncoder

CHOICE = "What is the capital of Peru?\nA. Lima\nB. Cusco\nC. Puno\nD. Ica"
OTHER_CHOICE = "Who wrote the story of Emma?\nA. Byron\nB. Austen\nC. Wilde\nD. Keats"
CODE = "def add(a, b):\n    # adds two numbers\n    return a + b\n"
OTHER_CODE = "def get(x, key):\n    # looks for a value\n    return x[key] - 1\n"
SUM = "What is 12 + 30 * 4?"
OTHER_SUM = "What is 3 + 1700 * 65?"


@given(st.lists(st.text(max_size=60), max_size=5), st.integers(2, 200))
def test_one_unit_vector_a_text_whatever_stands_beside_it(texts: list[str], grams: int) -> None:
    encoder = FormEncoder(grams)
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), encoder.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(vectors[row], encoder.encode([text])[0])


def test_form_is_closer_than_subject() -> None:
    vectors = FormEncoder().encode([CHOICE, OTHER_CHOICE, CODE, OTHER_CODE, SUM, OTHER_SUM])
    near = vectors @ vectors.T - np.eye(6)
    assert near.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]


def test_words_and_numbers_are_shapes_only() -> None:
    """Another word or number of the same length changes nothing at all."""
    encoder = FormEncoder()
    one, same, longer, upper = encoder.encode(["is 12 > 3?", "or 45 > 6?", "or 4512 > 6?", "OR 45 > 6?"])
    np.testing.assert_array_equal(one, same)
    grams = slice(0, encoder.grams)
    unit = [v[grams] / np.linalg.norm(v[grams]) for v in (one, longer, upper)]
    assert unit[0] @ unit[1] == pytest.approx(1, abs=1e-6), "runs of digits are one sign"
    assert unit[0] @ unit[2] < 0.9
    assert np.abs(one - longer).max() > 1e-3, "but lengths are measured"


def test_punctuation_and_line_ends_count_each() -> None:
    encoder = FormEncoder()
    vectors = encoder.encode(["a! b", "a!! b", "a!\nb", "a!\n\nb", "a!  b"])[:, : encoder.grams]
    one, two, line, lines, blanks = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert one @ two < 0.95 and one @ line < 0.95 and line @ lines < 0.95
    assert one @ blanks > 0.9999, "blanks are one sign"


def test_options_are_counted() -> None:
    place = FormEncoder().grams + MEASURES - len(MARKS) - 1
    plain, four, brackets = (
        v[place] for v in FormEncoder().encode(["no options", CHOICE, "(A) one\n(B) two"])
    )
    assert plain == 0 and four > brackets > 0


def test_long_texts_are_cut_and_odd_ones_are_no_error() -> None:
    encoder = FormEncoder()
    a, b = encoder.encode(["x " * 3000, "x " * 9000])
    np.testing.assert_array_equal(a, b)
    odd = encoder.encode(["", "\x00", "\ud800", "日本語 テキスト", "\n" * 50])
    assert np.isfinite(odd).all()


def test_it_is_the_same_in_another_process() -> None:
    code = (
        "from agentnet.outcomes.encoders.form import FormEncoder as F;"
        "print(F(64).encode(['Is 12 > 3? (A) yes'])[0].tobytes().hex())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert told == FormEncoder(64).encode(["Is 12 > 3? (A) yes"])[0].tobytes().hex()


def test_it_is_an_encoder_by_name_and_says_what_is_wrong() -> None:
    encoder = make_encoder("form")
    assert isinstance(encoder, Encoder) and encoder.name == "form" and encoder.dim == 512 + MEASURES
    assert FormEncoder(32).name == "form:32"
    with pytest.raises(InvalidInput, match="grams >= 2"):
        FormEncoder(1)
    with pytest.raises(InvalidInput, match="sequence of texts"):
        encoder.encode("one text")
