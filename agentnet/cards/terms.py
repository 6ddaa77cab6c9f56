"""The words that tell the texts of one agent from those of another.

Source: the weighted log-odds ratio with an informative Dirichlet prior of Monroe, Colaresi and Quinn (2008),
Fightin' Words, section 3.5: for a term w with counts y_i(w) and y_j(w) of n_i and n_j terms, and prior counts
a(w) of a_0 in all texts,

    delta(w) = log[(y_i + a) / (n_i + a_0 - y_i - a)] - log[(y_j + a) / (n_j + a_0 - y_j - a)]
    z(w) = delta(w) / sqrt(1 / (y_i + a) + 1 / (y_j + a))

Unlike a plain ratio it ranks neither words that stand everywhere nor words that stand once on top.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

PRIOR = 0.1
"""Counts of the prior per occurrence in all texts: default, not in the paper."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_STOP_WORDS = """
a about above after again all also although always am an and any are as at be because been before
being below but by can can't cannot could couldn't did didn't do does doesn't doing don't down
during each else ever every few for from further get gets getting give go goes going got had has
hasn't have haven't having he hello help her here hers hey hi him his how how's i i'd i'll i'm i've
if in into is isn't it it's its just know let let's like made make makes many may me might more most
much must my myself need needs no nor not now of off oh ok okay on once one only or other our out
over own please put really same see seem seems she should shouldn't since so some someone something
still such tell than thank thanks that that's the their them then there there's these they they're
thing things this those through to too try trying under until up us use using very want wanted wants
was wasn't way we we're were what what's when where where's which while who who's why will with
won't would wouldn't yes yet you you'd you're your yours
"""
_STOP = frozenset(_STOP_WORDS.split())


def words(text: str) -> list[str]:
    """Returns a text's words in lower case.

    >>> words("I can't find my top_up!")
    ['i', "can't", 'find', 'my', 'top', 'up']
    """
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def content_words(text: str) -> list[str]:
    """Returns a text's words without those that say nothing of its subject.

    >>> content_words("How do I block my card?")
    ['block', 'card']
    """
    return [word for word in words(text) if _says(word)]


def _says(word: str) -> bool:
    return word not in _STOP and len(word) > 1 and not word.isdigit()


def terms(text: str) -> set[str]:
    """Returns the content words of a text, and the pairs of them that stand side by side.

    >>> sorted(terms("the lost card"))
    ['card', 'lost', 'lost card']
    """
    found = words(text)
    kept = [word if _says(word) else "" for word in found]
    pairs = (f"{one} {two}" for one, two in pairwise(kept) if one and two)
    return {*(word for word in kept if word), *pairs}


def distinguishing_terms(
    mine: Iterable[str],
    theirs: Iterable[str],
    *,
    most: int = 5,
    least_texts: int | None = None,
) -> tuple[str, ...]:
    """Returns the terms by which one agent's texts differ most from another's, the strongest first.

    Args:
        mine: Texts of the one.
        theirs: Texts of the other, or of all others.
        most: How many terms.
        least_texts: In how many of the texts a term must stand; None: in 5% of them and in two; of fewer
            than four texts in one.

    >>> distinguishing_terms(["lost card", "card lost abroad"], ["order a card", "new card"], most=1)
    ('lost',)
    """
    mine = list(mine)
    a, b = _counts(mine), _counts(theirs)
    prior = {term: PRIOR * (a[term] + b[term]) for term in {*a, *b}}
    n_a, n_b, n_prior = sum(a.values()), sum(b.values()), sum(prior.values())
    least = least_texts
    if least is None:
        least = 1 if len(mine) < 4 else max(2, math.ceil(0.05 * len(mine)))

    def z(term: str) -> float:
        own, other = a[term] + prior[term], b[term] + prior[term]
        odds = math.log(own / max(n_a + n_prior - own, 1e-9)) - math.log(
            other / max(n_b + n_prior - other, 1e-9)
        )
        return odds / math.sqrt(1 / own + 1 / other)

    scored = sorted(((z(term), term) for term in a if a[term] >= least), key=lambda item: (-item[0], item[1]))
    return _spread([term for score, term in scored if score > 0], most)


def _counts(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each term stands."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(terms(text))
    return counts


def _spread(ranked: Sequence[str], most: int) -> tuple[str, ...]:
    """The first terms of which none says what another one says already."""
    chosen: list[str] = []
    for term in ranked:
        parts = set(term.split())
        if any(parts & set(other.split()) for other in chosen):
            continue
        chosen.append(term)
        if len(chosen) == most:
            break
    return tuple(chosen)
