"""What a group of judged answers is really worth: estimators that take a judge's errors out.

| estimator | needs | honest where |
|---|---|---|
| `ppi` | some 100 gold labels of the group itself | always: it assumes nothing of the judge |
| `stratified` | a few labels per agent and verdict | errors depend on agent and verdict alone |
| `rogan_gladen` | known error rates | errors depend on the truth alone |
| `corrected_values` | some 200 labels over all groups | errors depend on agent and truth alone |

`corrected_values` is the one for ranking many policies with few labels: it pools what the labels say of
each agent over all groups and shrinks agents towards each other (`agentnet.learning.scoring.rates`), while
prediction-powered inference (Angelopoulos et al. 2023, arXiv:2301.09633), group by group, has 17 labels for
each of 12 policies and an error of some 10 points. Where a judge errs more on some tasks than on others and
the policies differ in the tasks, `corrected_values` is biased and `ppi` is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentnet.errors import InvalidInput, NotEnoughEvidence
from agentnet.learning.scoring.rates import Z95, Rates, fit_rates
from agentnet.learning.scoring.table import Floats, Judgements


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95% interval, in [0, 1]."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, sd: float) -> Estimate:
        """Returns the normal interval around a value, cut to [0, 1]."""
        ends = (value - Z95 * sd, value, value + Z95 * sd)
        low, middle, high = (float(min(max(end, 0.0), 1.0)) for end in ends)
        return cls(middle, low, high)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValue:
    """One group: what the judge says, and what is left once its errors are taken out."""

    group: str
    judged: int
    raw: float
    """The judge's accept rate."""
    corrected: Estimate


def rogan_gladen(accept: float, false_accept: float, false_reject: float) -> float:
    """Returns the share of right answers behind an accept rate, cut to [0, 1].

    Rogan and Gladen, "Estimating prevalence from the results of a screening test", 1978, equation 1.

    Raises:
        InvalidInput: the judge accepts wrong answers as often as right ones, or oftener.

    >>> round(rogan_gladen(0.62, 0.2, 0.1), 3)
    0.6
    """
    skill = 1 - false_accept - false_reject
    if skill <= 0:
        raise InvalidInput(
            f"a judge that accepts {false_accept:.0%} of the wrong and rejects {false_reject:.0%} of the "
            "right answers tells nothing: ask another judge."
        )
    return float(np.clip((accept - false_accept) / skill, 0, 1))


def ppi(judge: Floats, labelled: Floats, gold: Floats, *, weight: Floats | None = None) -> Estimate:
    """Returns the mean gold score of all judged answers by prediction-powered inference.

    The mean of the labels, moved by the judge's difference between all answers and the labelled ones, as
    strongly as judge and gold go together (power tuning, Angelopoulos, Duchi and Zrnic 2023,
    arXiv:2311.01453): never worse than the labels alone for many labels, whatever the judge is worth.

    Args:
        judge: [N] the judge's scores of all answers.
        labelled: [n] the judge's scores of the labelled ones.
        gold: [n] their gold scores.
        weight: [n] one over the probability with which each was picked for labelling; None: all equal.

    Raises:
        NotEnoughEvidence: there are fewer than 2 labels.
    """
    n = len(gold)
    if n < 2:
        raise NotEnoughEvidence(f"{n} gold labels; a mean and its error need at least 2, better 100.")
    w = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    w = w / w.sum()
    gold_mean, judge_mean = float(w @ gold), float(w @ labelled)
    spread = float(w @ (labelled - judge_mean) ** 2)
    together = float(w @ ((labelled - judge_mean) * (gold - gold_mean)))
    pull = together / spread / (1 + n / len(judge)) if spread > 0 else 0.0
    value = gold_mean + pull * (float(judge.mean()) - judge_mean)
    rest = gold - gold_mean - pull * (labelled - judge_mean)
    variance = float((w**2) @ rest**2) * n / (n - 1) + pull**2 * float(judge.var()) / len(judge)
    return Estimate.of(value, variance**0.5)


def stratified(table: Judgements, rows: Any = slice(None)) -> Estimate:
    """Returns the value of some rows where each counts what labels say of its agent and verdict.

    Labels of all rows are used, also of other groups. A stratum without labels counts what its verdict
    means for all agents together.

    Args:
        table: Judgements, some labelled.
        rows: Index or mask of the rows whose value is asked for.
    """
    table.check_labels()
    labels = table.labels().astype(np.float64)
    everyone = labels.sum(0)
    prior = (everyone[:, 1] + 0.5) / (everyone.sum(1) + 1)
    n = labels.sum(2)
    mean = np.where(n > 0, (labels[:, :, 1] + 0.5) / (n + 1), prior)
    variance = mean * (1 - mean) / np.maximum(n + 1, 1)
    agent, accepted = table.agent[rows], table.accepted[rows].astype(np.intp)
    share = np.bincount(agent * 2 + accepted, minlength=mean.size) / len(agent)
    value = float(share @ mean.ravel())
    own = float(mean[agent, accepted].var()) / len(agent)
    return Estimate.of(value, float((share**2 @ variance.ravel() + own) ** 0.5))


def corrected_values(table: Judgements, rates: Rates | None = None) -> list[GroupValue]:
    """Returns every group's value with the judge's errors per agent taken out.

    A group's value is the sum over agents of its share of answers times their corrected quality in this
    group. Accept rates of one agent that differ between groups by no more than chance are taken as one
    (the usual random-effects estimate of their spread); so policies that choose agents for whatever task
    borrow strength, and routers that send an agent its own kind of tasks keep their difference.

    Args:
        table: Judgements, some labelled.
        rates: The judge's error rates; None: fitted on this table.

    Raises:
        NotEnoughEvidence: there are fewer than 10 gold labels.

    >>> rng = np.random.default_rng(0)
    >>> right = rng.random(3000) < np.repeat([0.4, 0.7], 1500)
    >>> verdict = np.where(right, rng.random(3000) > 0.2, rng.random(3000) < 0.2).astype(float)
    >>> gold = [float(r) if i % 15 == 0 else None for i, r in enumerate(right)]
    >>> names = ["old"] * 1500 + ["new"] * 1500
    >>> found = corrected_values(Judgements.of(agent=names, group=names, judge=verdict, gold=gold))
    >>> [item.corrected.low < q < item.corrected.high for item, q in zip(found, (0.4, 0.7))]
    [True, True]
    """
    rates = fit_rates(table) if rates is None else rates
    counts = table.counts().astype(np.float64)
    judged, accepted = counts.sum(2), counts[:, :, 1]
    total = judged.sum(1)
    quality, unsure, scale = rates.moments()
    j = rates.accept
    noise = j * (1 - j) / np.maximum(judged, 1)
    off = np.where(judged > 0, accepted / np.maximum(judged, 1) - j, 0.0)
    keep = _spread(judged, off, noise)
    keep = keep / (keep + noise)
    share = judged / np.maximum(total, 1)[:, None]
    value = (share * (quality + scale * keep * off)).sum(1)
    common = j * (1 - j) / (rates.judged + 1) * scale**2
    variance = (share**2 * (unsure + (1 - keep) ** 2 * common + scale**2 * keep * noise)).sum(1)
    return [
        GroupValue(
            group=name,
            judged=int(total[g]),
            raw=float(accepted[g].sum() / max(total[g], 1)),
            corrected=Estimate.of(float(value[g]), float(variance[g] ** 0.5)),
        )
        for g, name in enumerate(table.groups)
    ]


def _spread(judged: Floats, off: Floats, noise: Floats) -> float:
    """Variance between groups of an agent's accept rate, beyond chance (DerSimonian and Laird 1986)."""
    cells = judged > 0
    pairs = int(cells.sum()) - int(cells.any(axis=0).sum())
    if pairs <= 0 or len(judged) < 2:
        return 0.0
    weight = judged[cells]
    expected = (weight * noise[cells]).sum() * pairs / int(cells.sum())
    return max(0.0, float(((weight * off[cells] ** 2).sum() - expected) / weight.sum()))
