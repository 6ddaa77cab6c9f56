"""Splits that leak nothing: texts that say the same are always on the same side."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError
from agentnet.outcomes.table import Outcomes, Queries

_NOT_WORD = re.compile(r"[\W_]+")


def normalise_text(text: str) -> str:
    """Returns the words and numbers of a text, lower case, with single spaces.

    >>> normalise_text("What  is 2+2 ?") == normalise_text("what is 2 2")
    True
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORD.sub(" ", plain).strip() or plain.strip()


def text_groups(texts: Sequence[str]) -> NDArray[np.intp]:
    """Returns [n] a number per text, equal for texts that are equal once normalised."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(normalise_text(text), len(numbers)) for text in texts], np.intp)


def hash_split(
    texts: Sequence[str], *, val: float = 0.1, test: float = 0.2, salt: str = ""
) -> NDArray[np.str_]:
    """Assigns ``train``, ``val`` or ``test`` by a hash of the normalised text.

    The side depends on the text alone: it stays the same in another order, process or data set, so a
    question that two data sets share never stands on both sides.

    Args:
        texts: n texts.
        val: Share of ``val``.
        test: Share of ``test``.
        salt: Another salt gives another split.

    Returns:
        [n] names of splits.

    >>> a, b = hash_split(["How tall is K2?", "how tall is K2"])
    >>> bool(a == b)
    True
    """
    if val < 0 or test < 0 or val + test >= 1:
        raise DataError(
            f"shares val and test must not be negative and leave room for train; got {val}, {test}."
        )
    sides = []
    for text in texts:
        digest = blake2b(f"{salt}\0{normalise_text(text)}".encode("utf-8", "surrogatepass"), digest_size=8)
        point = int.from_bytes(digest.digest(), "big") / 2**64
        sides.append("test" if point < test else "val" if point < test + val else "train")
    return np.array(sides, dtype=np.str_)


def leaking(queries: Queries) -> NDArray[np.bool_]:
    """Returns [n] True where an equal text, once normalised, stands in another split."""
    groups = text_groups(queries.text)
    _, side = np.unique(queries.split, return_inverse=True)
    pairs = np.unique(np.stack([groups, side], 1), axis=0)
    sides = np.bincount(pairs[:, 0], minlength=int(groups.max(initial=-1)) + 1)
    return np.asarray(sides[groups] > 1)


def stratified_folds(
    labels: Sequence[str], k: int = 5, seed: int = 0, *, groups: NDArray[np.intp] | None = None
) -> NDArray[np.intp]:
    """Deals n rows into k folds of like size and like shares of every label.

    Args:
        labels: n task labels.
        k: Folds, at least 2.
        seed: Makes the deal repeatable.
        groups: [n] rows with the same number share a fold; None lets every row go alone.

    Returns:
        [n] fold of each row, 0 to k - 1.

    Raises:
        DataError: fewer groups than folds.
    """
    n = len(labels)
    groups = np.arange(n) if groups is None else groups
    if len(groups) != n:
        raise DataError(f"labels has {n} rows, groups {len(groups)}; they must agree.")
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    if k < 2 or len(first) < k:
        raise DataError(
            f"{len(first)} groups of rows cannot be dealt into {k} folds; take 2 to {len(first)}."
        )
    size = np.bincount(member)
    rng = np.random.default_rng(seed)
    by_label: dict[str, list[int]] = {}
    for group in rng.permutation(len(first)):
        by_label.setdefault(labels[first[group]], []).append(int(group))
    fold = np.zeros(len(first), np.intp)
    total = np.zeros(k)
    for label in sorted(by_label):
        count = np.zeros(k)
        for group in sorted(by_label[label], key=lambda g: -size[g]):  # stable: the shuffle breaks ties
            best = int(np.lexsort((total, count))[0])
            fold[group] = best
            count[best] += size[group]
            total[best] += size[group]
    return np.asarray(fold[member])


def cross_fit(outcomes: Outcomes, k: int = 5, seed: int = 0, *, val: float = 0.125) -> Iterator[Outcomes]:
    """Yields the outcomes k times, each time with another fold as ``test``.

    Every query is ``test`` exactly once. The rest is split into ``train`` and ``val`` (all selection happens
    there), both stratified by task label; equal texts stay together.

    Args:
        outcomes: All rows; their own splits are ignored.
        k: Folds.
        seed: Makes the deal repeatable.
        val: Share of the non-test rows that becomes ``val``; 0.125 of 80 % is 10 % of all.

    Yields:
        The same rows with the splits of one fold.
    """
    if not 0 < val < 1:
        raise DataError(f"val is a share between 0 and 1; got {val}.")
    labels = outcomes.queries.task
    groups = text_groups(outcomes.queries.text)
    fold = stratified_folds(labels, k, seed, groups=groups)
    for test in range(k):
        rest = np.flatnonzero(fold != test)
        parts = max(2, round(1 / val))
        inner = stratified_folds([labels[i] for i in rest], parts, seed + 1 + test, groups=groups[rest])
        split = np.full(len(outcomes), "train", dtype="<U5")
        split[fold == test] = "test"
        split[rest[inner == 0]] = "val"
        yield outcomes.with_split(split)
