"""Relation phrases: the words between two entities, near to their base forms."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_GAP = 12
"""Most tokens between two entities that a relation may tie."""
_KEPT = 4


def words(text: str) -> frozenset[str]:
    """Returns the words of a text, for lists of words that are easier to read as one."""
    return frozenset(text.split())


_DROPPED = words(
    "a an the this that these those his her its their our my your also both either then there "
    "very more most much many some any other another each every all such own same so just only "
    "first later best known well who which whom whose what where when and or but nor"
)
_PREPOSITIONS = words(
    "of in on at by for from to with into about against between during before after under over through "
    "near as within without since until per than like via along around behind beyond toward towards "
    "upon among across"
)
_BASE = {
    "was": "be", "were": "be", "is": "be", "are": "be", "am": "be", "been": "be", "being": "be",
    "has": "have", "had": "have", "having": "have", "did": "do", "does": "do", "done": "do",
    "wrote": "write", "written": "write", "won": "win", "led": "lead", "made": "make", "became": "become",
    "took": "take", "taken": "take", "held": "hold", "went": "go", "sang": "sing", "sung": "sing",
    "gave": "give", "given": "give", "came": "come", "began": "begin", "begun": "begin", "left": "leave",
    "met": "meet", "built": "build", "grew": "grow", "grown": "grow", "fought": "fight", "lost": "lose",
    "sold": "sell", "bought": "buy", "found": "find", "taught": "teach", "ran": "run", "spoke": "speak",
    "chose": "choose", "chosen": "choose", "died": "die", "dies": "die", "born": "born", "shot": "shoot",
    "lies": "lie", "saw": "see", "seen": "see", "knew": "know", "said": "say", "says": "say",
}  # fmt: skip
_VERBS = frozenset(_BASE) | frozenset(_BASE.values())
_SILENT = ("at", "iv", "uc", "is", "iz", "as", "os", "us", "ir", "in", "eas", "ag", "ac", "ud", "ur")
_DOUBLED = "bdgmnprt"


def lemma(word: str) -> str:
    """Returns a lower-case word near to its base form; rough, for there is no dictionary.

    >>> [lemma(word) for word in ("directed", "located", "starring", "stars", "married", "was", "of")]
    ['direct', 'locate', 'star', 'star', 'marry', 'be', 'of']
    """
    if word in _BASE:
        return _BASE[word]
    if len(word) > 4:
        if word.endswith("ied"):
            return word[:-3] + "y"
        if word.endswith("ed"):
            return _stem(word[:-2])
        if word.endswith("ing") and len(word) > 5:
            return _stem(word[:-3])
        if word.endswith("ies"):
            return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _stem(stem: str) -> str:
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] in _DOUBLED:
        return stem[:-1]
    return stem + "e" if stem.endswith(_SILENT) and len(stem) > 3 else stem


def phrase_of(gap: Sequence[str]) -> str:
    """Returns the relation that the tokens between two entities tell; empty where they tell none.

    At least one of them must be a verb, as far as its form shows, or a preposition.

    >>> phrase_of(["is", "a", "film", "directed", "by"]), phrase_of([",", "and"])
    ('be film direct by', '')
    """
    if len(gap) > LONGEST_GAP:
        return ""
    words = []
    ties = False
    for i, token in enumerate(gap):
        if token in ";:?!":
            return ""
        word = token.lower()
        if not word[0].isalpha() or word in _DROPPED:
            continue
        known = word in _PREPOSITIONS or word in _VERBS or word.endswith(("ed", "ing"))
        ties |= known or (i == 0 and word.endswith("s"))  # "Lorna stars Maitland"
        words.append(lemma(word))
    return " ".join(words[-_KEPT:]) if ties else ""
