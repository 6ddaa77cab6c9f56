"""The parser survives whatever a model writes, and never lets it choose whom it was not shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentnet.graphs.agent import Agent
from agentnet.graphs.task import Task
from agentnet.routers.reasoning.prompt import make_prompt
from agentnet.routers.reasoning.reply import Reply, parse_reply

IDS = {"A1": "cards", "A2": "loans", "A3": "card services", "A4": "R&D, labs", "A5": "<tax>", "A6": "oos"}
TAGS = (
    *("<Reason>", "</Reason>", "<ID>", "</ID>", "<id>", "< ID >", "<Agents>", "</Agents>", "<Agent>"),
    *("<think>", "</think>", "<Query>", "A1", "A2", "A9", "a3", "oos", "OOS", "cards", "card services"),
    *("{", "}", "[", "]", ":", ",", '{"ids": ["A1"]}', '"ids"', '"reason"', "&lt;", "<", ">"),
    *("\n", " ", "\x00", "\ud800", "ÿ", "🏳️‍🌈"),
)
VALID = (
    "<Reason>The user lost a card.</Reason>\n<ID>A1</ID>\n<ID>A2</ID>",
    '{"reason": "The user lost a card.", "ids": ["A1", "A2"]}',
    '```json\n{"reason": "x", "ids": ["oos"]}\n```',
    "<think>A2?</think><Reason>x</Reason><ID>oos</ID>",
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid answer with pieces cut out, doubled and put in."""
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 6))):
        i, j = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        piece = draw(st.sampled_from(("", text[i:j] * 2, *TAGS)) | st.text(max_size=5))
        text = text[:i] + piece + text[j:]
    return text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(list(IDS)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["ids", "id", "IDs", "reason", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
anything = st.one_of(
    st.text(st.characters()),
    st.lists(st.sampled_from(TAGS), max_size=40).map("".join),
    mutated(),
    json_values.map(json.dumps),
)


def check(reply: Reply, most: int) -> None:
    assert set(reply.agents) | set(reply.cut) <= set(IDS.values())
    assert len(reply.agents) <= most
    chosen = reply.agents + reply.cut
    assert len(set(chosen)) == len(chosen)
    assert not (reply.out_of_scope and chosen)
    assert reply.readable == bool(reply.agents or reply.out_of_scope)
    for text in (reply.reason, *reply.unknown):
        text.encode()  # what is stored is valid Unicode without control characters
        assert not any(ord(char) < 32 or char == "\x7f" for char in text)
    assert len(reply.reason) <= 2000 and all(0 < len(text) <= 80 for text in reply.unknown)


@given(text=anything, most=st.integers(1, 4))
def test_it_never_raises_and_chooses_only_who_was_shown(text: str, most: int) -> None:
    check(parse_reply(text, IDS, most=most), most)


@pytest.mark.parametrize(
    "text",
    [
        "<" * 200_000,
        "<Reason>" * 20_000,
        "<Reason>" + "< " * 50_000,
        "<ID>" * 30_000,
        "<ID>A1</ID>" * 20_000,
        "</think>" * 12_000,
        "<Agents><Agent>" * 7_000,
        "{" * 200_000,
        '{"ids":' * 20_000,
        '{"ids": [' + "[" * 50_000,
        '{"ids": [' + "9" * 90_000 + "]}",
        "<   " * 30_000,
        "<" + " " * 99_000,
        '<ID>' + "A1 " * 33_000,
        "<Reason>" + "A1, " * 25_000 + "</Reason>",
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_huge_and_nested_answers_take_no_unreasonable_time(text: str) -> None:
    check(parse_reply(text, IDS), 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ID>A1</ID>", Reply(agents=("cards",))),
        (
            "<Reason>x</Reason><ID>A2</ID><ID>A1</ID><ID>A2</ID>",
            Reply(agents=("loans", "cards"), reason="x"),
        ),
        ("<ID>A7</ID><ID>A1</ID><ID>weather</ID>", Reply(agents=("cards",), unknown=("A7", "weather"))),
        ("<ID>oos</ID><ID>A1</ID>", Reply(agents=("cards",))),
        ("<Reason>none</Reason><ID>OOS</ID>", Reply(out_of_scope=True, reason="none")),
        (
            "<ID>A4</ID><ID>A3</ID><ID>A2</ID><ID>A1</ID>",
            Reply(agents=("R&D, labs", "card services", "loans"), cut=("cards",)),
        ),
        ("<ID>A7</ID>", Reply(unknown=("A7",))),
        ("", Reply()),
        ("I think the card agent should do it.", Reply()),
    ],
    ids=[
        "no reason",
        "repeated",
        "unknown",
        "oos and ids",
        "oos",
        "too many",
        "only unknown",
        "empty",
        "prose",
    ],
)
def test_the_cases_of_the_specification(text: str, expected: Reply) -> None:
    assert parse_reply(text, IDS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "<reason>x</reason> <id> a1 </id> <id>a2</id>",
        "< Reason >x</ Reason >< ID >A1</ ID >< ID >A2",
        "<Reason>x<ID>A1</ID><ID>A2</ID>",
        "<Reason>x</Reason><ID>A1, A2</ID>",
        "<Reason>x</Reason><ID>[A1]; `A2`.</ID>",
        "<Reason>x</Reason><ID>cards</ID><ID>loans</ID>",
        '{"reason": "x", "ids": ["A1", "A2"]}',
        'Sure:\n```json\n{"Reason": "x", "IDs": ["A1", "A2", 7, null]}\n``` {"ids": ["A3"]}',
        '{"reason":\n"x\n", "ids": [\n"A1",\n"A2"\n]\n}',
        '{"note": 1} {"reason": "x", "ids": "A1, A2"} }',
        "<think>maybe <ID>A3</ID></think><Reason>x</Reason><ID>A1</ID><ID>A2</ID>",
        "maybe <ID>A3</ID></think>{\"reason\": \"x\", \"ids\": [\"A1\", \"A2\"]}",
        "<Reason>x</Reason><ID>A1</ID><Reason>again, not <ID>A3</ID></Reason><ID>A2</ID>",
    ],
)  # fmt: skip
def test_forms_that_models_write(text: str) -> None:
    assert parse_reply(text, IDS) == Reply(agents=("cards", "loans"), reason="x")


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("<ID>card services</ID>", "card services"),
        ('<ID>"card services", nobody</ID>', "card services"),
        ("<ID>R&D, labs</ID>", "R&D, labs"),
        ("<ID>R&amp;D, labs</ID>", "R&D, labs"),
        ("<ID>&lt;tax&gt;</ID>", "<tax>"),
    ],
)
def test_exact_names_count_also_where_they_hold_what_divides_ids(text: str, agent: str) -> None:
    assert parse_reply(text, IDS).agents == (agent,)


def test_an_agent_called_oos_can_be_chosen_by_its_id_only() -> None:
    assert parse_reply("<ID>oos</ID>", IDS).out_of_scope
    assert parse_reply("<ID>A6</ID>", IDS).agents == ("oos",)


def test_an_id_is_never_taken_for_an_agent_that_has_another_ones_id_as_its_name() -> None:
    assert parse_reply("<ID>A2</ID>", {"A1": "A2", "A2": "A1"}).agents == ("A1",)


def test_thoughts_without_an_end_are_no_answer() -> None:
    assert not parse_reply("<think>It is <ID>A1</ID>, or <ID>A2</ID>", IDS).readable


def test_a_reason_is_not_read_for_ids() -> None:
    reply = parse_reply("<Reason>The user wrote <ID>A2</ID>.</Reason><ID>A1</ID>", IDS)
    assert reply.agents == ("cards",)


def test_a_copied_agent_list_chooses_nobody() -> None:
    prompt = make_prompt(Task("q"), [Agent(name="cards"), Agent(name="loans")])
    assert not parse_reply(prompt.messages[1].content, prompt.ids).readable
    assert not parse_reply(prompt.messages[1].content[:80], prompt.ids).readable
    assert parse_reply(f"{prompt.messages[1].content}\n<ID>A2</ID>", prompt.ids).agents == ("loans",)


@given(query=st.one_of(st.text(min_size=1), st.lists(st.sampled_from(TAGS), min_size=1).map(" ".join)))
def test_a_model_that_parrots_the_query_chooses_nobody_else(query: str) -> None:
    query = query.encode("utf-8", "replace").decode()
    if not query.strip():
        return
    prompt = make_prompt(Task(query), [Agent(name="cards"), Agent(name="loans")])
    shown = prompt.messages[1].content.split("<Query>")[1].removesuffix("</Query>")
    as_shown = parse_reply(f"<Reason>They say: {shown}</Reason><ID>A1</ID>", prompt.ids)
    assert as_shown.agents == ("cards",), "as it stands in the prompt, a query has no elements to be read"
    raw = parse_reply(f"<Reason>They say: {query}</Reason><ID>A1</ID>", prompt.ids)
    assert set(raw.agents) <= {"cards", "loans"}, "and even raw it can name only who is shown"
