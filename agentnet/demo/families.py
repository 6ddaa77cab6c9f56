"""Families of generated tasks, and the wordings in which they are asked.

Each family is a dataset of ``reasoning-gym`` (Stojanovski et al. 2025, arXiv:2505.24760). Its own wording
is the plain one; the others are paraphrases written here: three heard in training, three kept for the
test, so that what is learned about a wording does not answer the question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Any

Entry = Mapping[str, Any]
Slots = Callable[[Entry], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of task."""

    name: str
    dataset: str
    """Name of the reasoning-gym dataset."""
    slots: Slots
    """What stands in the blanks of the paraphrases, from a generated entry."""
    train: tuple[str, ...]
    test: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[Entry], bool] = field(default=lambda entry: True)
    """Whether an entry is used."""
    right: Callable[[Entry, str], bool] = field(default=lambda entry, answer: True)
    """A further condition on an answer to which the dataset's own verifier gives full marks."""


def _fields(*names: str) -> Slots:
    return lambda entry: {name: entry["metadata"][name] for name in names}


def _numbers(entry: Entry) -> dict[str, Any]:
    first, second = entry["metadata"]["numbers"]
    return {"a": first, "b": second}


def _letters(entry: Entry) -> dict[str, Any]:
    return {"letter": entry["metadata"]["target_letter"], "text": " ".join(entry["metadata"]["span"])}


def _factors(entry: Entry) -> dict[str, Any]:
    first, second = entry["metadata"]["expression"].split(" * ")
    return {"a": first, "b": second}


def _angles(entry: Entry) -> dict[str, Any]:
    first, second = entry["metadata"]["known_angles"]
    return {"a": int(first), "b": int(second)}


def _renamed(**names: str) -> Slots:
    return lambda entry: {slot: entry["metadata"][name] for slot, name in names.items()}


def _scrambled(entry: Entry) -> dict[str, Any]:
    return {"words": entry["question"].split(": ", 1)[1].strip()}


def _probability_is_close(entry: Entry, answer: str) -> bool:
    """The dataset's verifier also gives full marks to a beginning of the digits, such as ``0``."""
    return abs(float(Fraction(answer)) - float(entry["answer"])) <= 1e-4


def _has_its_length(entry: Entry, answer: str) -> bool:
    """The dataset's verifier compares letter by letter and may pass over letters too many."""
    return len(answer) == len(entry["answer"])


@cache
def _common_words() -> frozenset[str]:
    """Words of the novel that reasoning-gym carries; its word list also has insults."""
    import re
    from importlib.resources import files

    novel = files("reasoning_gym.data").joinpath("in_the_year_2889.txt").read_text(encoding="utf-8")
    return frozenset(re.findall(r"[a-z]{4,8}", novel))


def _is_common(entry: Entry) -> bool:
    return entry["metadata"]["word"] in _common_words()


WITH_SPECIALIST = (
    Family(
        name="spell_backward",
        dataset="spell_backward",
        slots=_fields("word"),
        keep=_is_common,
        right=_has_its_length,
        train=(
            'What do you get when you reverse the order of the letters in "{word}"?',
            "Write {word} from right to left.",
            "A mirror shows the word {word}. Which string can be read in it?",
        ),
        test=(
            "Type the characters of {word} in the opposite order.",
            "Flip the word {word} end to end.",
            "Someone reads {word} starting at its final letter and ending at its first. What does he say?",
        ),
    ),
    Family(
        name="gcd",
        dataset="gcd",
        slots=_numbers,
        train=(
            "What is the largest whole number that divides both {a} and {b}?",
            "Two ropes of {a} cm and {b} cm are cut into equal pieces with nothing left over. How long can a "
            "piece be at most?",
            "Compute the highest common factor of {a} and {b}.",
        ),
        test=(
            "A florist has {a} roses and {b} tulips and wants identical bouquets using all the flowers. What "
            "is the greatest number of bouquets?",
            "Which is the biggest integer that goes into {a} and into {b} without remainder?",
            "HCF({a}, {b}) = ?",
        ),
    ),
    Family(
        name="lcm",
        dataset="lcm",
        slots=_numbers,
        train=(
            "What is the smallest positive number that is a multiple of both {a} and {b}?",
            "One lamp blinks every {a} seconds, another every {b} seconds. They blink together now. After "
            "how many seconds do they next blink together?",
            "Compute the lowest common multiple of {a} and {b}.",
        ),
        test=(
            "Buses leave every {a} minutes on one line and every {b} minutes on another. Both leave now. In "
            "how many minutes do they leave together again?",
            "Which is the first number found in the {a} times table and in the {b} times table?",
            "Two gears have {a} and {b} teeth. After how many teeth are both back at the start?",
        ),
    ),
    Family(
        name="count_bits",
        dataset="count_bits",
        slots=_fields("number"),
        train=(
            "Write {number} in base two. How many ones does it have?",
            "What is the Hamming weight of {number}?",
            "How many set bits has the integer {number}?",
        ),
        test=(
            "Give the population count of {number}.",
            "A register holds the number {number}. How many of its bits are on?",
            "In binary, {number} contains how many 1 digits?",
        ),
    ),
    Family(
        name="letter_counting",
        dataset="letter_counting",
        config={"max_words": 8},
        slots=_letters,
        train=(
            'Count the occurrences of "{letter}" in: "{text}"',
            'In the phrase "{text}", how often is the letter "{letter}" used?',
            'How frequently do we see "{letter}" in the sentence "{text}"?',
        ),
        test=(
            'A printer has to set the line "{text}". How many pieces of type for "{letter}" does he need?',
            'Tell me the number of "{letter}" characters inside "{text}".',
            '"{text}" - how many "{letter}" letters are there?',
        ),
    ),
    Family(
        name="chain_sum",
        dataset="chain_sum",
        config={"max_terms": 4},
        slots=_fields("expression"),
        train=(
            "What is {expression}?",
            "Work out {expression} for me.",
            "My balance changes like this: {expression}. What is it now?",
        ),
        test=(
            "Evaluate: {expression}",
            "The cashier types {expression} and presses enter. What is displayed?",
            "Please add and subtract: {expression}",
        ),
    ),
    Family(
        name="fraction_simplification",
        dataset="fraction_simplification",
        config={"styles": ("plain",)},
        slots=_renamed(a="numerator", b="denominator"),
        train=(
            "Reduce {a}/{b} as far as possible.",
            "Write {a}/{b} in lowest terms.",
            "{a} of {b} voters said yes. Which fraction is that, with the smallest numbers possible?",
        ),
        test=(
            "Cancel all the common factors in {a}/{b}.",
            "What is the irreducible form of the fraction {a}/{b}?",
            "A tank of {b} litres holds {a} litres. What fraction of it is full, fully reduced?",
        ),
    ),
    Family(
        name="coin_flip",
        dataset="coin_flip",
        config={"allow_at_least": False, "max_trials": 10},
        slots=_renamed(n="num_trials", k="k_heads"),
        right=_probability_is_close,
        train=(
            "A fair coin is tossed {n} times. How likely are exactly {k} heads?",
            "Find the chance of {k} heads in {n} throws of a fair coin.",
            "{n} coins are thrown at once. With what probability do exactly {k} show heads?",
        ),
        test=(
            "If I toss a coin {n} times, what is the probability that heads comes up {k} times?",
            "{n} babies are born, each a girl with probability one half. How probable are exactly {k} girls?",
            "Give the odds, as a probability, of precisely {k} heads out of {n} flips.",
        ),
    ),
    Family(
        name="triangle_angle",
        dataset="simple_geometry",
        config={"min_sides": 3, "max_sides": 3},
        slots=_angles,
        train=(
            "Two angles of a triangle are {a} and {b} degrees. How large is the third?",
            "In a triangle one corner measures {a}° and another {b}°. Find the last corner.",
            "A roof truss is a triangle with angles of {a}° and {b}°. What is the third angle?",
        ),
        test=(
            "Three-sided figure: angles {a}°, {b}° and x. What is x?",
            "A sail is a triangle; two of its angles are {a}° and {b}°. Compute the other angle.",
            "Find the missing triangle angle when {a} degrees and {b} degrees are known.",
        ),
    ),
)
"""Families for which the pool has an agent of the same name."""

WITHOUT_SPECIALIST = (
    Family(
        name="caesar_cipher",
        dataset="caesar_cipher",
        config={"max_words": 6},
        slots=_fields("cipher_text"),
        train=("Each letter was shifted by the same amount. Read this: {cipher_text}",),
        test=("A Roman general sends {cipher_text}. What does he mean?",),
    ),
    Family(
        name="prime_factorization",
        dataset="prime_factorization",
        config={"max_value": 500},
        slots=_fields("number"),
        train=(
            "Write {number} as a product of primes, separated by ×.",
            "Which primes multiply to {number}? Join them with ×.",
        ),
        test=(
            "Break {number} down into its prime factors, written with × between them.",
            "Factor the integer {number} completely and put × between the factors.",
        ),
    ),
    Family(
        name="count_primes",
        dataset="count_primes",
        slots=_renamed(a="start", b="end"),
        train=(
            "How many primes are there from {a} to {b}?",
            "Of the numbers {a} up to and including {b}, how many have no divisor except 1 and themselves?",
        ),
        test=(
            "A list holds every integer from {a} to {b}. How many of them are prime?",
            "Houses are numbered {a} to {b}. How many have a prime number?",
        ),
    ),
    Family(
        name="sentence_reordering",
        dataset="sentence_reordering",
        config={"min_words_in_sentence": 5, "max_words_in_sentence": 9},
        slots=_scrambled,
        train=("These words were shuffled. Put the sentence together: {words}",),
        test=("Someone dropped the type of this line. Set it again: {words}",),
    ),
)
"""Families that no agent of the pool can do: here a router had better abstain."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for family in (*WITH_SPECIALIST, *WITHOUT_SPECIALIST)}
)
