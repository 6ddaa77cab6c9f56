"""Two pools on one small model: agents that share the work on arithmetic, and on words.

An agent is a role and a few worked examples, as much as so small a model can follow. None knows the whole
of a task: who reads stories does not calculate, who calculates does not read stories.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentnet.bench.topology.strategies import shot
from agentnet.errors import InvalidInput
from agentnet.graphs.agent import Agent, Backend, Shot
from agentnet.graphs.pool import Pool
from agentnet.runtime.embedded.provider import embedded_backend

_MARBLES = "Tom had 312 marbles. Tom gave 45 marbles to Sue. How many marbles does Tom have now?"
_BIRDS = "Peter saw 219 birds and Mary saw 148 birds. How many birds did they see together?"
_PENS = "There are 24 pens in each pack. Lucy has 36 packs. How many pens does Lucy have?"
_SWEETS = "8 children share 144 sweets equally. How many sweets does each child get?"
_CAKES = "Sam baked 350 cakes. Sam sold 62 of them and then baked 75 more. How many cakes does Sam have?"
_NUTS = "Eva packed 14 bags with 25 nuts each and then ate 31 nuts. How many nuts are left?"
_SUM, _PRODUCT = "Calculate 1204 + 377 - 58.", "What is 264 * 31?"


def _agent(
    name: str,
    description: str,
    backend: Backend | None,
    shots: Sequence[Shot],
    *,
    strategy: str = "direct",
    max_tokens: int = 24,
    stop: Sequence[str] = ("\n",),
    **options: Any,
) -> Agent:
    settings = {"instruction": "", "max_tokens": max_tokens, "stop": list(stop), "temperature": 0.0}
    return Agent(
        name=name,
        description=description,
        backend=backend or embedded_backend(),
        strategy=strategy,
        shots=tuple(shots),
        options=settings | options,
    )


_SIGN = "Each letter of a sign costs one dollar. How many dollars does the sign cloud cost?"
_STAMP = "A child presses a stamp that says hotel 3 times side by side. What is on the paper?"
_STAMP_TWICE = "A child presses a stamp that says hotel 2 times side by side. What is on the paper?"
_LEMON = "Write the word lemon 2 times in a row, without blanks."
_STONE = "Write the word stone from its last letter to its first."
_CLOUD = "How many letters does the word cloud have?"
_WHEEL = "Join water and wheel with a hyphen."
THINKER, SAMPLER = "chain_of_thought", "self_consistency"
_PROGRAM: dict[str, Any] = {
    "strategy": "program",
    "begin": "print(",
    "from_lines": True,
    "max_tokens": 28,
    "wall_s": 5.0,
    "cpu_s": 2.0,
}
_THOUGHTS = {
    "math": [
        (_MARBLES, "Tom starts with 312 and gives away 45. 312 - 45 = 267. The answer is 267."),
        (_PENS, "There are 36 packs with 24 pens each. 24 * 36 = 864. The answer is 864."),
        (_SWEETS, "144 sweets are shared by 8 children. 144 / 8 = 18. The answer is 18."),
        (_SUM, "1204 + 377 = 1581. 1581 - 58 = 1523. The answer is 1523."),
        (_BIRDS, "Together they saw 219 + 148 = 367 birds. The answer is 367."),
    ],
    "strings": [
        ("Reverse stone.", "The letters are s t o n e. Turned around: e n o t s. The answer is enots."),
        (_CLOUD,
         "The letters are c l o u d. That is 1 2 3 4 5. The answer is 5."),
        ("Count o in potato.", "The letters are p o t a t o. The letter o is at 2 and 6. The answer is 2."),
        (_WHEEL, "water and wheel with a hyphen. The answer is water-wheel."),
        ("Repeat hotel 2 times.", "hotel and hotel again. The answer is hotelhotel."),
    ],
}  # fmt: skip


def math_pool(backend: Backend | None = None) -> Pool:
    """Returns analyst, programmer, solver and inspector.

    Args:
        backend: None takes the embedded model's.

    >>> math_pool().names
    ('analyst', 'programmer', 'solver', 'inspector')
    """
    return Pool(
        [
            _agent(
                "analyst",
                "Turns a story into the calculation that answers it, without working it out.",
                backend,
                [
                    shot(_MARBLES, "analyst", "312 - 45"),
                    shot(_PENS, "analyst", "36 * 24"),
                    shot(_CAKES, "analyst", "350 - 62 + 75"),
                    shot(_SWEETS, "analyst", "144 / 8"),
                    shot(_BIRDS, "analyst", "219 + 148"),
                    shot(_NUTS, "analyst", "14 * 25 - 31"),
                ],
                stop=("\n", "="),
            ),
            _agent(
                "programmer",
                "Writes a calculation as a program and runs it: exact, but no reader of stories.",
                backend,
                [
                    shot("", "programmer", "print(312 - 45)", analyst="312 - 45"),
                    shot(_PRODUCT, "programmer", "print(264 * 31)"),
                    shot("", "programmer", "print(14 * 25 - 31)", solver="424", analyst="14 * 25 - 31"),
                    shot(_SUM, "programmer", "print(1204 + 377 - 58)"),
                    shot("", "programmer", "print(144 / 8)", analyst="144 / 8"),
                ],
                **_PROGRAM,
                hears=["inspector", "solver", "analyst"],
            ),
            _agent(
                "solver",
                "Thinks an arithmetic problem through step by step and works it out in the head.",
                backend,
                [
                    *(shot(text, "solver", thought) for text, thought in _THOUGHTS["math"]),
                    shot(_NUTS, "solver", "14 * 25 = 350. 350 - 31 = 319. The answer is 319.",
                         analyst="14 * 25 - 31", programmer="319"),
                ],
                strategy=THINKER,
                max_tokens=40,
                hears=["analyst", "inspector", "programmer"],
            ),
            _agent(
                "inspector",
                "Looks at the answers of the others and names the number to be believed.",
                backend,
                [
                    shot(_BIRDS, "inspector", "367", solver="357", programmer="367"),
                    shot(_SUM, "inspector", "1523", solver="1523"),
                    shot(_PENS, "inspector", "864", analyst="24 * 36", solver="844", programmer="864"),
                    shot(_SWEETS, "inspector", "18", analyst="144 / 8"),
                    shot(_MARBLES, "inspector", "267", analyst="312 - 45", programmer="267"),
                ],
                max_tokens=12,
                hears=["analyst", "solver", "programmer"],
            ),
        ]
    )  # fmt: skip


def strings_pool(backend: Backend | None = None) -> Pool:
    """Returns planner, coder, speller and reviewer.

    Args:
        backend: None takes the embedded model's.

    >>> strings_pool().names
    ('planner', 'coder', 'speller', 'reviewer')
    """
    return Pool(
        [
            _agent(
                "planner",
                "Puts a wordy request on words into a short plain one: reverse, length, repeat.",
                backend,
                [
                    shot(_STONE, "planner", "reverse stone"),
                    shot("How many letters does the word violet have?", "planner", "length of violet"),
                    shot(_STAMP,
                         "planner", "repeat hotel 3"),
                    shot("A sign that says piano is seen in a mirror. Which letters are read from left to "
                         "right?", "planner", "reverse piano"),
                    shot(_SIGN,
                         "planner", "length of cloud"),
                    shot(_LEMON, "planner", "repeat lemon 2"),
                    shot("How many times does the letter e stand in the word pebble?", "planner",
                         "count e in pebble"),
                    shot(_WHEEL, "planner", "join water and wheel"),
                ],
                max_tokens=12,
            ),
            _agent(
                "coder",
                "Writes a plain request on a word as a program and runs it: reverse, length, repeat, count.",
                backend,
                [
                    shot("", "coder", 'print("stone"[::-1])', planner="reverse stone"),
                    shot("", "coder", 'print(len("cloud"))', planner="length of cloud"),
                    shot("", "coder", 'print("hotel" * 3)', planner="repeat hotel 3"),
                    shot("Count o in potato.", "coder", 'print("potato".count("o"))'),
                    shot("", "coder", 'print("piano"[::-1])', planner="reverse piano"),
                    shot("", "coder", 'print(len("violet"))', planner="length of violet"),
                    shot("", "coder", 'print("lemon" * 2)', planner="repeat lemon 2"),
                    shot("Count e in pebble.", "coder", 'print("pebble".count("e"))'),
                ],
                **_PROGRAM | {"begin": "print"},
                hears=["reviewer", "speller", "planner"],
            ),
            _agent(
                "speller",
                "Answers questions on words straight away, by eye.",
                backend,
                [
                    shot("Reverse stone.", "speller", "enots"),
                    shot("Write paper and clip as one word with a hyphen between them.", "speller",
                         "paper-clip"),
                    shot(_CLOUD, "speller", "5"),
                    shot(_STAMP_TWICE,
                         "speller", "hotelhotel", planner="repeat hotel 2", coder="hotelhotel"),
                    shot("How many times does the letter o stand in the word potato?", "speller", "2"),
                    shot(_WHEEL, "speller", "water-wheel"),
                ],
                max_tokens=16,
                hears=["planner", "reviewer", "coder"],
            ),
            _agent(
                "reviewer",
                "Looks at the answers of the others and repeats the one to be believed.",
                backend,
                [
                    shot("Reverse stone.", "reviewer", "enots", speller="enosts", coder="enots"),
                    shot("Repeat hotel 2 times.", "reviewer", "hotelhotel", speller="hotelhotel"),
                    shot(_CLOUD, "reviewer", "5",
                         planner="length of cloud", speller="6", coder="5"),
                    shot(_WHEEL, "reviewer", "water-wheel",
                         speller="water-wheel"),
                    shot("A painter paints potato on a wall. How many o does he have to paint?", "reviewer",
                         "2", planner="length of potato", coder="2"),
                ],
                max_tokens=16,
                hears=["planner", "speller", "coder"],
            ),
        ]
    )  # fmt: skip


def thinkers(pool: str, samples: Sequence[int] = (), backend: Backend | None = None) -> Pool:
    """Returns the agents of two baselines: chain of thought, and self-consistency by number of samples.

    Args:
        pool: ``"math"`` or ``"strings"``.
        samples: Numbers of samples; each makes an agent ``self_consistency_N``.
        backend: None takes the embedded model's.

    >>> thinkers("math", [3]).names
    ('chain_of_thought', 'self_consistency_3')
    """
    if pool not in _THOUGHTS:
        raise InvalidInput(f"pools are {sorted(_THOUGHTS)}; got {pool!r}.")
    shots = [shot(text, "solver", thought) for text, thought in _THOUGHTS[pool]]
    settings: dict[str, Any] = {"max_tokens": 64, "speaker": "solver"}
    return Pool(
        [
            _agent(THINKER, "Thinks step by step, then answers.", backend, shots, strategy=THINKER,
                   **settings),
            *(
                _agent(f"{SAMPLER}_{n}", f"Thinks {n} times and takes the most frequent answer.", backend,
                       shots, strategy=SAMPLER, **settings | {"n": n, "temperature": 0.7, "seed": 1})
                for n in dict.fromkeys(samples)
            ),
        ]
    )  # fmt: skip


def make_pool(name: str, backend: Backend | None = None) -> Pool:
    """Returns the pool of this name: ``"math"`` or ``"strings"``."""
    makers = {"math": math_pool, "strings": strings_pool}
    if name not in makers:
        raise InvalidInput(f"pools are {sorted(makers)}; got {name!r}.")
    return makers[name](backend)
