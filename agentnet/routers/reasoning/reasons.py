"""Reasons to train on, from a template: which words of the query match which description.

Who wrote the reasons that TCAR learns from is not known. These claim no more than can be seen: a match of
words where there is one, and else that the agent is right by its meaning, as the label says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentnet.graphs.agent import Agent
from agentnet.routers.reasoning.prompt import escaped

_WORD = re.compile(r"[^\W\d_]+")
_STOP_WORDS = """
    a about after all also am an and any are as at be been but by can could did do does doing for
from get give going got had handles has have he help her hey him his how i if in into is it its just
know let like me my need no not now of off on one or our out please request requests should so some
tell than that the their them then there these they thing things this to two up us want was we were
what whats when where which who why will with would you your
"""
_STOP = frozenset(_STOP_WORDS.split())
_STEM = 4
"""Words match where they are equal or begin with the same so many letters."""
_CHARS = 80


def content_words(text: str) -> list[str]:
    """Returns the words that carry meaning, each once, in order.

    >>> content_words("Where is my new card, and the card's number?")
    ['new', 'card', 'number']
    """
    words = (word for word in _WORD.findall(text.lower()) if word not in _STOP and len(word) > 1)
    return list(dict.fromkeys(words))


def matching_words(query: str, description: str) -> list[str]:
    """Returns the words of a query that a description has as well, but for their endings.

    >>> matching_words("i have lost my wallet", "lost or stolen wallets")
    ['lost', 'wallet']
    """
    known = content_words(description.replace("_", " "))
    return [word for word in content_words(query) if any(_match(word, other) for other in known)]


def _match(a: str, b: str) -> bool:
    return a == b or (min(len(a), len(b)) >= _STEM and a[:_STEM] == b[:_STEM])


def reason_for(query: str, parts: Sequence[tuple[str, Agent, str]]) -> str:
    """Returns the reason for an answer.

    Each description is followed by its id, as in a compact prompt. Trained on reasons without, the embedded
    model named the right description and then another one's id.

    Args:
        query: What is asked.
        parts: Each request of the query, in its words, with the agent that takes it and that agent's id;
            none where nobody can.

    >>> reason_for("i lost it", [("i lost it", Agent(name="cards", description="lost cards"), "A2")])
    'lost matches lost cards: A2'
    >>> reason_for("tell me a joke", [])
    'no agent covers joke'
    """
    if not parts:
        words = " ".join(content_words(query)[:3])
        return f"no agent covers {words or 'this'}"
    said = []
    for text, agent, number in parts:
        description = escaped(agent.description or agent.name, _CHARS).rstrip(".")
        words = " ".join(matching_words(text, description)[:3])
        said.append(
            f"{words} matches {description}: {number}" if words else f"by meaning {description}: {number}"
        )
    return ", ".join(dict.fromkeys(said))
