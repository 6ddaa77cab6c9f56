"""Evidence says who was chosen, who was not, and why; it is JSON and reads well."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.routers.sets.choice import Belief
from agentnet.routers.sets.decide import Verdict
from agentnet.routers.sets.evidence import Member, Part, SetEvidence, set_evidence
from agentnet.routers.sets.linear import Columns
from agentnet.routers.sets.model import SetModel

POOL = Pool(
    [
        Agent(name="a"),
        Agent(name="b"),
        Agent(name="c", examples=("a query of c", "another of c", "a third of c")),
        Agent(name="d"),
        Agent(name="e"),
    ]
)
MODEL = SetModel(
    columns=Columns(("a", "b"), np.zeros((4, 2), np.float32), np.zeros(2, np.float32)),
    exemplars={"a": ("one of a", "two of a", "three of a")},
)
CHANCES = np.array([0.55, 0.05, 0.3, 0.02, 0.08], np.float32)


def verdict(*chosen: str) -> Verdict:
    parts = tuple(Part(text=f"part of {name}", agent=name, chance=0.9) for name in chosen)
    belief = Belief({frozenset(chosen): 0.75})
    return Verdict(chosen, CHANCES, belief, joined=0.8, parts=parts)


def test_members_others_and_parts() -> None:
    told = set_evidence(MODEL, POOL, CHANCES, verdict("a", "c"), {"c": 0.2})
    a, c = told.chosen
    assert (a.agent, a.known, a.like, a.least) == ("a", True, ("one of a", "two of a"), None)
    assert (c.agent, c.known, c.like, c.least) == ("c", False, ("a query of c", "another of c"), 0.2)
    assert [member.agent for member in told.others] == ["e", "b", "d"]
    assert [(part.text, part.agent) for part in told.parts] == [("part of a", "a"), ("part of c", "c")]
    assert told.decided_by == "fast" and told.unsure == 0.25 and told.joined == 0.8


def test_parts_of_a_query_that_one_agent_gets_are_not_told() -> None:
    assert set_evidence(MODEL, POOL, CHANCES, verdict("a"), {}).parts == ()


def test_a_task_turned_away_still_tells_the_likeliest() -> None:
    told = replace(set_evidence(MODEL, POOL, CHANCES, None, {}), familiarity=1.0, threshold=2.0)
    assert told.chosen == () and told.unsure is None
    assert [member.agent for member in told.others] == ["a", "c", "e"]
    assert told.lines()[0] == "familiarity 1.00, below the threshold 2.00"
    assert "no agent fits" in told.lines()


def test_lines_say_all_of_it() -> None:
    told = replace(
        set_evidence(MODEL, POOL, CHANCES, verdict("a", "c"), {}),
        reason="Both are asked for.",
        shown=("a", "c", "e"),
        notes=("something went wrong",),
        familiarity=3.0,
        threshold=2.0,
    )
    lines = told.lines()
    assert lines[0] == "familiarity 3.00, above the threshold 2.00"
    assert "the model, shown 3 agents: Both are asked for." in lines
    assert "part 'part of c': c (0.90)" in lines
    assert "a: needed with probability 0.55" in lines
    assert "c: needed with probability 0.30, known by description and examples only" in lines
    assert "  it gets queries such as: one of a" in lines
    assert lines[-2:] == ["left out: e 0.08, b 0.05, d 0.02", "something went wrong"]


def test_it_is_json() -> None:
    told = set_evidence(MODEL, POOL, CHANCES, verdict("a", "c"), {"a": 0.5})
    back = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert back["chosen"][0]["agent"] == "a" and back["parts"][1]["text"] == "part of c"
    plain = SetEvidence(decided_by="fast", chosen=(Member(agent="a", chance=1.0, known=True),))
    assert json.dumps(plain.to_dict())
