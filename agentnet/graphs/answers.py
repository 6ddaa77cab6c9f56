"""Groups, votes and stop conditions over answers: the one place that says when two answers are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentnet.errors import GraphError
from agentnet.graphs.normalise import NORMALISERS
from agentnet.graphs.task_graph import StopCondition

__all__ = ["NORMALISERS", "Group", "Vote", "group_answers", "normalise", "stop_holds", "weighted_vote"]

_TOLERANCE = 1e-9
"""Slack on shares, so that 0.1 + 0.2 reaches 0.3."""


@dataclass(frozen=True, slots=True)
class Group:
    """Answers that are equal after normalisation."""

    key: str
    members: tuple[int, ...]
    """Positions of the answers, ascending."""
    weight: float
    """Sum of the members' weights."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a weighted vote found."""

    winner: int
    """Position of the first answer of the heaviest group: the text that stands."""
    key: str
    """The normalised answer."""
    share: float
    """Weight of the winning group over the weight of all answers, empty ones included; in (0, 1]."""
    groups: tuple[Group, ...]
    """All groups, heaviest first."""


def normalise(text: str, kind: str = "default") -> str:
    """Returns the key under which an answer is compared; empty means "no answer".

    Raises:
        GraphError: no normaliser has this name.

    >>> normalise("The answer is 1,000.0."), normalise("(B) Rome", "choice")
    ('1000', 'B')
    """
    try:
        function = NORMALISERS[kind]
    except KeyError:
        raise GraphError(f"no answer normaliser {kind!r}; there are {', '.join(NORMALISERS)}.") from None
    return function(text)


def group_answers(answers: Sequence[str], weights: Sequence[float], kind: str = "default") -> list[Group]:
    """Groups equal answers, heaviest group first; ties go to the group whose first member comes first.

    Empty answers and answers of weight 0 take no part.

    >>> [g.members for g in group_answers(["4", "five", "4.0", ""], [1, 1.5, 1, 9])]
    [(0, 2), (1,)]
    """
    if len(answers) != len(weights):
        raise GraphError(f"{len(answers)} answers need as many weights; got {len(weights)}.")
    members: dict[str, list[int]] = {}
    for i, (answer, weight) in enumerate(zip(answers, weights, strict=True)):
        if weight > 0 and (key := normalise(answer, kind)):
            members.setdefault(key, []).append(i)
    groups = [Group(key, tuple(at), sum(weights[i] for i in at)) for key, at in members.items()]
    # Weights that differ by rounding only count as a tie; insertion order is by first member.
    groups.sort(key=lambda group: -round(group.weight, 9))
    return groups


def weighted_vote(answers: Sequence[str], weights: Sequence[float], kind: str = "default") -> Vote | None:
    """Returns the heaviest group of equal answers, or None when no answer takes part.

    >>> vote = weighted_vote(["Rome", "Paris", "the rome"], [0.5, 0.6, 0.2])
    >>> vote.winner, vote.key, round(vote.share, 3)
    (0, 'rome', 0.538)
    """
    groups = group_answers(answers, weights, kind)
    if not groups:
        return None
    best = groups[0]
    return Vote(best.members[0], best.key, best.weight / sum(weights), tuple(groups))


def stop_holds(
    stop: StopCondition,
    answers: Sequence[str],
    weights: Sequence[float],
    scores: Sequence[float | None],
    kind: str = "default",
) -> bool:
    """Returns whether a stop condition holds over the answers of all that ran.

    Args:
        stop: The condition.
        answers: Answers of the nodes that ran; empty for one that failed or said nothing.
        weights: Their nodes' weights.
        scores: The answers' own scores in [0, 1]; None where there is none.
        kind: Name of the normaliser by which answers are compared.

    >>> agree = StopCondition("agreement", threshold=1.0, min_answers=2)
    >>> stop_holds(agree, ["7"], [1], [None]), stop_holds(agree, ["7", "7.0"], [1, 1], [None, None])
    (False, True)
    """
    if stop.kind == "disagreement":
        return not stop_holds(replace(stop, kind="agreement"), answers, weights, scores, kind)
    given = [bool(answer.strip()) for answer in answers]
    if stop.kind == "answered":
        return sum(given) >= stop.min_answers
    if stop.kind == "score":
        pairs = zip(given, scores, strict=True)
        high = sum(ok and score is not None and score >= stop.threshold for ok, score in pairs)
        return high >= stop.min_answers
    voting = sum(ok and weight > 0 for ok, weight in zip(given, weights, strict=True))
    if voting < stop.min_answers:
        return False
    vote = weighted_vote(answers, weights, kind)
    return vote is not None and vote.share >= stop.threshold - _TOLERANCE
