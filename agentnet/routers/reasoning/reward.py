"""The reward of a chosen set of agents."""

from __future__ import annotations

from collections.abc import Collection

from agentnet.errors import InvalidInput


def reward(
    chosen: Collection[str],
    gold: Collection[str],
    *,
    precision: float = 0.5,
    over: float = 0.1,
    strict: bool = False,
) -> float:
    """Returns TCAR's reward R = a R1 + (1 - a) R2 - b max(|A| - |A*|, 0), at most 1.

    R1 = |A and A*| / max(1, |A|), R2 = |A and A*| / max(1, |A*|) for the chosen set A and the right one A*
    (arXiv 2601.04544). Its prose says that R2 pays only for a set that holds all of A*, its formula is
    graded: graded is the default, ``strict`` is the prose. a = 0.5 and b = 0.1 are [default, not in paper].

    For 0 < a < 1 it is 1 for the right set and for no other.

    One case is ours: where no agent fits (A* is empty) the formula gives 0 for every set; choosing nobody
    then earns 1.

    Args:
        chosen: A.
        gold: A*.
        precision: a, in [0, 1].
        over: b, at least 0.
        strict: Whether R2 pays only for all of A*.

    Raises:
        InvalidInput: ``precision`` or ``over`` is out of its range.

    >>> reward({"a"}, {"a"}), reward({"a", "b"}, {"a"}), reward({"b"}, {"a"})
    (1.0, 0.65, 0.0)
    """
    if not (0 <= precision <= 1 and over >= 0):
        raise InvalidInput(f"precision lies in [0, 1] and over is at least 0; got {precision!r}, {over!r}.")
    a, g = set(chosen), set(gold)
    if not g:
        return 1.0 if not a else -over * len(a)
    both = len(a & g)
    found = both / len(g)
    if strict and found < 1:
        found = 0.0
    return precision * (both / max(1, len(a))) + (1 - precision) * found - over * max(len(a) - len(g), 0)
