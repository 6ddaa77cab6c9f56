"""The demo's agents: specialists, each with a few worked examples, and a generalist with all of them.

All share one small model. A specialist is its role and its examples; the model writes a program of one
line in their manner, and the sandbox runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent, Backend, Shot
from agentnet.graphs.pool import Pool
from agentnet.outcomes.encoders import Encoder
from agentnet.runtime.call import AgentCall, Answer
from agentnet.runtime.embedded.provider import KEEP, embedded_backend
from agentnet.runtime.strategies.base import Strategy
from agentnet.runtime.strategies.program import program

GENERALIST = "generalist"
NEAREST_SHOTS = "nearest_shots"
"""Name of the generalist's strategy (`nearest_shots`)."""
_HOW = "Answer with a short Python program."
_OPTIONS: Mapping[str, Any] = {
    "instruction": _HOW,
    "max_tokens": 64,
    "temperature": 0.0,
    "wall_s": 5.0,
    "cpu_s": 2.0,
}

_ROLES: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "spell_backward": (
        "You reverse words.",
        "Writes a word with its letters in reverse order.",
        (
            ("Spell this word backward (example: sun -> nus): market", 'print("market"[::-1])'),
            ("Say the word candle with its letters from the end to the start.", 'print("candle"[::-1])'),
            ("Spell this word backward (example: sun -> nus): violet", 'print("violet"[::-1])'),
            ("thundered, turned around, is written how?", 'print("thundered"[::-1])'),
            ("Spell this word backward (example: sun -> nus): needed", 'print("needed"[::-1])'),
        ),
    ),
    "gcd": (
        "You find the greatest common divisor.",
        "Finds the greatest common divisor of two whole numbers.",
        (
            (
                "Find the Greatest Common Divisor (GCD) of these numbers: 641, 595. Give only the GCD as "
                "your final answer.",
                "import math; print(math.gcd(641, 595))",
            ),
            (
                "A tailor cuts 84 cm of red ribbon and 126 cm of blue ribbon into equal strips with no "
                "waste. How long is the longest strip?",
                "import math; print(math.gcd(84, 126))",
            ),
            (
                "Give the greatest number that divides 357 and 918 evenly.",
                "import math; print(math.gcd(357, 918))",
            ),
            (
                "Find the Greatest Common Divisor (GCD) of these numbers: 72, 270. Give only the GCD as "
                "your final answer.",
                "import math; print(math.gcd(72, 270))",
            ),
        ),
    ),
    "lcm": (
        "You find the least common multiple.",
        "Finds the least common multiple of two whole numbers.",
        (
            (
                "Find the Least Common Multiple (LCM) of these numbers: 76, 70",
                "import math; print(math.lcm(76, 70))",
            ),
            ("Give the least number that both 15 and 64 divide.", "import math; print(math.lcm(15, 64))"),
            (
                "Find the Least Common Multiple (LCM) of these numbers: 21, 50",
                "import math; print(math.lcm(21, 50))",
            ),
            (
                "Two wheels have 38 and 95 spokes. After how many spokes do both stand as at first?",
                "import math; print(math.lcm(38, 95))",
            ),
            (
                "A post van comes every 12 days and a coal cart every 45 days. Both are here today. In how "
                "many days do they meet?",
                "import math; print(math.lcm(12, 45))",
            ),
        ),
    ),
    "count_bits": (
        "You count 1 bits.",
        "Counts the ones in a number's binary form.",
        (
            (
                "How many 1 bits are there in the binary representation of the number 511025151?",
                'print(bin(511025151).count("1"))',
            ),
            ("Count the ones in the binary form of 93847561.", 'print(bin(93847561).count("1"))'),
            ("1820394756 is stored in memory. How many bits are 1?", 'print(bin(1820394756).count("1"))'),
            (
                "How many 1 bits are there in the binary representation of the number 620417388?",
                'print(bin(620417388).count("1"))',
            ),
        ),
    ),
    "letter_counting": (
        "You count letters in a text.",
        "Counts how often a letter stands in a text.",
        (
            (
                'How many times does the letter "d" appear in the text: "it had ended and he was glad"?',
                'print("it had ended and he was glad".lower().count("d"))',
            ),
            (
                'Look at "Every river meets the sea". How many times is "e" in it?',
                'print("Every river meets the sea".lower().count("e"))',
            ),
            (
                'State the number of "n" in the words "One new song began then and now".',
                'print("One new song began then and now".lower().count("n"))',
            ),
            (
                'A sign painter paints "Fish and Chips in the Mill". How many "i" does he paint?',
                'print("Fish and Chips in the Mill".lower().count("i"))',
            ),
            (
                'How many times does the letter "t" appear in the text: "Smith tells the others about it"?',
                'print("Smith tells the others about it".lower().count("t"))',
            ),
        ),
    ),
    "chain_sum": (
        "You add and subtract.",
        "Adds and subtracts a chain of numbers.",
        (
            (
                "State the final answer to the following arithmetic problem: 57 + 87 + 70 =",
                "print(57 + 87 + 70)",
            ),
            ("Calculate 9805 - 7726 + 5922", "print(9805 - 7726 + 5922)"),
            (
                "A clerk enters 318 + 742 - 206 - 9 and reads the total. What is it?",
                "print(318 + 742 - 206 - 9)",
            ),
            ("Add up 6 + 4", "print(6 + 4)"),
            ("State the final answer to the following arithmetic problem: 49 - 32 =", "print(49 - 32)"),
        ),
    ),
    "fraction_simplification": (
        "You simplify fractions.",
        "Reduces a fraction to its lowest terms.",
        (
            (
                "Simplify the fraction 17080/42490 to its lowest terms. Give only the simplified fraction as "
                "your final answer.",
                "from fractions import Fraction; print(Fraction(17080, 42490))",
            ),
            (
                "Make the fraction 351/1404 as simple as possible.",
                "from fractions import Fraction; print(Fraction(351, 1404))",
            ),
            (
                "Simplify the fraction 3388/4354 to its lowest terms. Give only the simplified fraction as "
                "your final answer.",
                "from fractions import Fraction; print(Fraction(3388, 4354))",
            ),
            (
                "Of the 9620 places 2405 are taken. Which fraction is that, fully simplified?",
                "from fractions import Fraction; print(Fraction(2405, 9620))",
            ),
            ("Shorten 53128/60932.", "from fractions import Fraction; print(Fraction(53128, 60932))"),
        ),
    ),
    "coin_flip": (
        "You compute coin probabilities.",
        "Computes how likely a number of heads is in fair coin flips.",
        (
            (
                "What is the probability of getting exactly 2 heads in 6 fair coin flips?",
                "import math; n, k = 6, 2; print(math.comb(n, k) / 2**n)",
            ),
            (
                "Throw a fair coin 9 times: what is the probability of 7 heads?",
                "import math; n, k = 9, 7; print(math.comb(n, k) / 2**n)",
            ),
            (
                "A baby is a girl with probability one half. How likely are 3 girls among 8 babies?",
                "import math; n, k = 8, 3; print(math.comb(n, k) / 2**n)",
            ),
            (
                "What is the probability of getting exactly 4 heads in 5 fair coin flips?",
                "import math; n, k = 5, 4; print(math.comb(n, k) / 2**n)",
            ),
        ),
    ),
    "triangle_angle": (
        "You find angles of triangles.",
        "Finds the third angle of a triangle from the other two.",
        (
            (
                "A convex polygon has 3 sides. The measures of the first 2 interior angles are: 73.0°, "
                "79.0°. Find the measure of the last interior angle.Return only the angle as your answer."
                "Do not give the units in your answer.",
                "print(180 - 73 - 79)",
            ),
            ("A triangle has the angles 41° and 66°. Give its third angle.", "print(180 - 41 - 66)"),
            (
                "A flag is a triangle with corners of 28 and 117 degrees. How many degrees has the remaining "
                "corner?",
                "print(180 - 28 - 117)",
            ),
            (
                "Consider a convex 3-gon whose first 2 interior angles are: 12.0°, 143.0°. Determine the "
                "measure of the remaining angle.Return only the angle as your answer.Do not give the units "
                "in your answer.",
                "print(180 - 12 - 143)",
            ),
        ),
    ),
}


def specialists(backend: Backend | None = None) -> Pool:
    """Returns the pool of specialists, all on one backend (default: the embedded model).

    >>> pool = specialists()
    >>> len(pool), pool["gcd"].strategy
    (9, 'program')
    """
    shared = backend or embedded_backend()
    return Pool(
        Agent(
            name=name,
            description=description,
            backend=shared,
            strategy="program",
            system=role,
            shots=tuple(Shot(*pair) for pair in pairs),
            options=_OPTIONS,
        )
        for name, (role, description, pairs) in _ROLES.items()
    )


def all_shots() -> tuple[Shot, ...]:
    """Returns the worked examples of all specialists."""
    return tuple(shot for agent in specialists() for shot in agent.shots)


def generalist(backend: Backend | None = None) -> Agent:
    """Returns the agent whose prompt holds the worked examples nearest to the task.

    It runs in a runtime that knows its strategy: ``strategies={NEAREST_SHOTS: nearest_shots(encoder)}``.
    """
    return Agent(
        name=GENERALIST,
        description="Takes the worked examples nearest to the task, from all domains.",
        backend=backend or embedded_backend(),
        strategy=NEAREST_SHOTS,
        system="You solve small problems.",
        options={**_OPTIONS, "extra": {KEEP: False}},
    )


def nearest_shots(encoder: Encoder, shots: Sequence[Shot] | None = None, *, k: int = 4) -> Strategy:
    """Returns a strategy: a program in the manner of the ``k`` worked examples nearest to the task.

    Nearest by cosine of the encoder's vectors of the questions; the nearest stands last, next to the task.

    Args:
        encoder: Turns questions into unit vectors.
        shots: The worked examples; default those of all specialists.
        k: How many go into the prompt.

    Raises:
        InvalidInput: there are fewer than ``k`` examples, or ``k`` is below 1.
    """
    known = tuple(all_shots() if shots is None else shots)
    if not 1 <= k <= len(known):
        raise InvalidInput(f"k must lie between 1 and the {len(known)} worked examples; got {k}.")
    vectors = encoder.encode([shot.question for shot in known])

    async def run(call: AgentCall) -> Answer:
        near = vectors @ encoder.encode([call.input.task.text])[0]
        chosen = np.argsort(-near, kind="stable")[:k][::-1]
        agent = call.agent.with_(shots=tuple(known[i] for i in chosen))
        return await program(replace(call, agent=agent))

    return Strategy(name=NEAREST_SHOTS, run=run, any_options=True)
