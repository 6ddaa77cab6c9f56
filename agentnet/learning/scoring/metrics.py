"""Scores of an answer against a known one, by the metric that a run names."""

from __future__ import annotations

from collections import Counter

from agentnet.graphs.normalise import normalise_choice, normalise_default, normalise_text

_VERDICTS = (["yes"], ["no"])


def gold_score(
    answer: str, gold: str, metric: str | None = None, *, agent: str | None = None
) -> float | None:
    r"""Returns the score in [0, 1] of an answer, or None where a comparison cannot tell.

    Args:
        answer: The answer that was given.
        gold: The known answer.
        metric: One of `agentnet.outcomes.schema.METRICS`. ``"choice"`` compares letters, ``"f1"`` words,
            ``"label"`` asks whether the agent's name is the gold; ``"pass@1"`` needs a program that runs
            the answer, so it is None here; any other compares the final answers, normalised.
        agent: Who answered, for ``"label"``.

    >>> gold_score("so it is $\\boxed{0.50}$", "1/2"), gold_score("(b) Paris", "B", "choice")
    (1.0, 1.0)
    >>> round(gold_score("in Los Angeles", "Los Angeles, California", "f1"), 3)
    0.667
    """
    if metric == "pass@1":
        return None
    if metric == "label":
        return None if agent is None else float(agent == gold)
    if metric == "f1":
        return token_f1(answer, gold)
    if metric == "choice" and (letter := normalise_choice(gold)):
        return float(normalise_choice(answer) == letter)
    same = normalise_default(answer) == normalise_default(gold)
    return float(same or normalise_text(answer) == normalise_text(gold))


def token_f1(answer: str, gold: str) -> float:
    """Returns the harmonic mean of precision and recall over the normalised words, in [0, 1].

    As SQuAD does it (Rajpurkar et al. 2016); yes and no are right or wrong as a whole, as in HotpotQA (Yang
    et al. 2018).

    >>> token_f1("yes, both", "yes"), token_f1("", "")
    (0.0, 1.0)
    """
    mine, theirs = normalise_text(answer).split(), normalise_text(gold).split()
    if not mine or not theirs or mine in _VERDICTS or theirs in _VERDICTS:
        return float(mine == theirs)
    shared = (Counter(mine) & Counter(theirs)).total()
    return 2 * shared / (len(mine) + len(theirs))
