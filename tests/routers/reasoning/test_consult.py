"""One question to a model: what it is asked, what its answer becomes, and what that used."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from agentnet.errors import (
    BackendError,
    BackendUnreachable,
    EmptyResponse,
    InvalidInput,
    LimitExceeded,
)
from agentnet.graphs.agent import Agent
from agentnet.graphs.task import Message, Task
from agentnet.routers.reasoning.consult import (
    Consultation,
    consult,
    consult_many,
    consult_many_sync,
    consult_sync,
)
from agentnet.routers.reasoning.model import Completion, RouterModel
from agentnet.routers.reasoning.prompt import make_prompt

AGENTS = [Agent(name=name, description=f"All about {name}.") for name in ("card_desk", "loans", "tax")]
TASK = Task("Where is my plastic?")
GOOD = '{"reason": "A card is lost.", "ids": ["A1"]}'


class Model:
    """Answers from a list, or by a function of the messages; keeps what it was asked."""

    name = "fake"

    def __init__(self, *answers: str | Completion | Exception, by: Callable[[str], Any] | None = None):
        self.answers = list(answers)
        self.by = by
        self.asked: list[tuple[tuple[Message, ...], int, Mapping[str, Any] | None]] = []
        self.loops: set[int] = set()
        self.open = self.most_open = 0

    async def complete(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        json_schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        self.asked.append((messages, max_tokens, json_schema))
        self.loops.add(id(asyncio.get_running_loop()))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        answer = self.by(messages[-1].content) if self.by else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        return Completion(
            text=answer, prompt_tokens=100, completion_tokens=10, cost=Decimal("0.01"), latency_s=0.5
        )


def test_the_fake_is_a_router_model() -> None:
    assert isinstance(Model(), RouterModel)


async def test_a_readable_answer_needs_one_call() -> None:
    model = Model(GOOD)
    told = await consult(TASK, AGENTS, model, max_tokens=77)
    assert (told.agents, told.out_of_scope, told.reason) == (("card_desk",), False, "A card is lost.")
    assert told.shown == ("card_desk", "loans", "tax") and told.failed is None and told.note is None
    assert (told.attempts, told.prompt_tokens, told.completion_tokens) == (1, 100, 10)
    assert (told.cost, told.latency_s, told.model) == (Decimal("0.01"), 0.5, "fake")
    [(messages, max_tokens, schema)] = model.asked
    assert max_tokens == 77 and schema is not None
    assert schema["properties"]["ids"]["items"]["enum"] == ["A1", "A2", "A3", "oos"]
    assert '"ids"' in messages[0].content, "what the grammar enforces is what the instruction asks for"


async def test_out_of_scope_chooses_nobody_and_is_no_failure() -> None:
    told = await consult(TASK, AGENTS, Model("<Reason>None.</Reason><ID>oos</ID>"))
    assert told.out_of_scope and told.agents == () and told.failed is None


@pytest.mark.parametrize("constrained", [True, False])
async def test_an_unreadable_answer_is_asked_again_the_other_way_round(constrained: bool) -> None:
    model = Model("Well, the card desk.", "<Reason>Card.</Reason><ID>A1</ID>")
    told = await consult(TASK, AGENTS, model, constrained=constrained)
    assert told.agents == ("card_desk",) and told.attempts == 2
    assert (told.cost, told.prompt_tokens, told.latency_s) == (Decimal("0.02"), 200, 1.0)
    (first, _, first_schema), (second, _, second_schema) = model.asked
    assert (first_schema is not None, second_schema is not None) == (constrained, not constrained)
    assert [message.role for message in second] == ["system", "user"], "some templates need turns by turns"
    reminder = second[1].content.removeprefix(first[1].content)
    assert "could not be read" in reminder and "A1 to A3" in reminder and "oos" in reminder
    assert ("JSON" in reminder) is not constrained and "<" not in reminder


async def test_a_model_is_asked_as_it_was_trained() -> None:
    class Trained(Model):
        compact = True
        form = "xml"

    model = Trained("Hm.", GOOD, "Hm.", GOOD)
    told = await consult(TASK, AGENTS, model)
    assert told.agents == ("card_desk",) and [schema is not None for *_, schema in model.asked] == [
        True,
        False,
    ]
    for messages, _, _ in model.asked:
        assert (
            messages == make_prompt(TASK, AGENTS, compact=True).messages or "could not" in messages[1].content
        )
        assert "<Agents>" not in messages[1].content and "JSON" not in messages[1].content
    await consult(TASK, AGENTS, model, form="json", compact=False)
    first, second = model.asked[2][0], model.asked[3][0]
    assert first == make_prompt(TASK, AGENTS, form="json").messages
    assert second[0] == first[0], "a form that was chosen stays"


async def test_after_the_last_attempt_nothing_is_chosen_and_the_reason_is_told() -> None:
    model = Model("Hm.", "<ID>A9</ID>", GOOD)
    told = await consult(TASK, AGENTS, model)
    assert told.agents == () and not told.out_of_scope and told.attempts == 2
    assert told.failed is not None and "fake named no agent in 2 answers" in told.failed
    assert told.unknown == ("A9",) and told.cost == Decimal("0.02"), "what failed was paid all the same"


async def test_three_attempts_turn_twice() -> None:
    model = Model("a", "b", GOOD)
    told = await consult(TASK, AGENTS, model, attempts=3)
    assert told.attempts == 3 and told.agents == ("card_desk",)
    assert [schema is not None for _, _, schema in model.asked] == [True, False, True]


async def test_what_is_unknown_in_one_call_is_unknown_in_all() -> None:
    told = await consult(TASK, AGENTS, Model(Completion(text="?"), GOOD))
    assert told.attempts == 2 and told.cost is told.prompt_tokens is told.completion_tokens is None


async def test_an_empty_answer_is_an_unreadable_one() -> None:
    free, billed = EmptyResponse("empty"), EmptyResponse("empty")
    billed.spent_tokens, billed.spent_usd = 40, Decimal("0.03")
    told = await consult(TASK, AGENTS, Model(free, GOOD))
    assert told.agents == ("card_desk",) and (told.cost, told.prompt_tokens) == (Decimal("0.01"), 100)
    told = await consult(TASK, AGENTS, Model(billed, GOOD))
    assert (told.cost, told.prompt_tokens) == (Decimal("0.04"), None), "how many were the prompt's is unknown"


@pytest.mark.parametrize(
    "error", [BackendUnreachable("no server"), LimitExceeded("used up", kind="calls"), BackendError("no")]
)
async def test_failed_calls_and_limits_are_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        await consult(TASK, AGENTS, Model(error))
    with pytest.raises(type(error)):
        await consult(TASK, AGENTS, Model("unreadable", error))


@pytest.mark.parametrize(
    ("answer", "names", "contradicts"),
    [
        ('{"reason": "The loans agent fits.", "ids": ["A1"]}', ("loans",), True),
        ('{"reason": "A2 and A3 fit.", "ids": ["A1"]}', ("loans", "tax"), True),
        ('{"reason": "Card desk rather than loans.", "ids": ["A1"]}', ("loans",), False),
        ('{"reason": "The user lost something.", "ids": ["A1"]}', (), False),
        ('{"reason": "card_desk", "ids": ["A1"]}', (), False),
        ('{"reason": "Neither loans nor tax.", "ids": ["oos"]}', ("loans", "tax"), False),
        ('{"reason": "Taxation.", "ids": ["A1"]}', (), False),
    ],
)
async def test_a_reason_that_speaks_of_others_is_told(
    answer: str, names: tuple[str, ...], contradicts: bool
) -> None:
    told = await consult(TASK, AGENTS, Model(answer))
    assert (told.reason_names, told.contradicts) == (names, contradicts)
    assert ((told.note or "").startswith("the reason speaks of")) == contradicts
    assert told.agents or told.out_of_scope, "it is told, and does not undo the choice"


async def test_a_reason_that_repeats_the_query_names_nobody() -> None:
    told = await consult(Task("loans for A3 paper?"), AGENTS, Model('{"reason": "loans, A3", "ids": ["A1"]}'))
    assert told.reason_names == () and not told.contradicts


async def test_dropped_and_cut_ids_are_told() -> None:
    told = await consult(TASK, AGENTS, Model("<ID>A1</ID><ID>B7</ID><ID>A2</ID>"), most=1)
    assert told.agents == ("card_desk",) and told.cut == ("loans",) and told.unknown == ("B7",)
    assert told.note == "unknown ids were dropped: B7; over the most that may be chosen: loans"


@pytest.mark.parametrize(
    ("agents", "settings"),
    [
        ([], {}),
        ([AGENTS[0], AGENTS[0]], {}),
        *((AGENTS, {name: 0}) for name in ("most", "attempts", "max_tokens")),
        (AGENTS, {"most": 1.5}),
    ],
)
async def test_bad_input_is_told_before_anything_is_asked(agents: Any, settings: Any) -> None:
    model = Model(GOOD)
    with pytest.raises(InvalidInput):
        await consult(TASK, agents, model, **settings)
    with pytest.raises(InvalidInput):
        await consult_many([TASK, TASK], [AGENTS, agents], model, **settings)
    assert model.asked == []


class TestSync:
    def test_without_a_loop(self) -> None:
        assert consult_sync(TASK, AGENTS, Model(GOOD), most=1).agents == ("card_desk",)

    async def test_inside_a_running_loop(self) -> None:
        model = Model(GOOD)
        assert consult_sync(TASK, AGENTS, model).agents == ("card_desk",)
        assert model.loops.isdisjoint({id(asyncio.get_running_loop())})
        assert not [thread for thread in threading.enumerate() if thread.name == "agentnet-consult"]

    @pytest.mark.parametrize("inside", [False, True])
    def test_errors_come_through(self, inside: bool) -> None:
        async def ask() -> Consultation:
            return consult_sync(TASK, AGENTS, Model(BackendError("no")))

        with pytest.raises(BackendError, match="no"):
            asyncio.run(ask()) if inside else consult_sync(TASK, AGENTS, Model(BackendError("no")))


class TestMany:
    tasks = tuple(Task(f"query {i}") for i in range(40))

    @staticmethod
    def by_number(text: str) -> str:
        number = int(re.findall(r"<Query>query (\d+)<", text)[0])
        return f"<ID>A{number % 3 + 1}</ID>"

    @pytest.mark.parametrize("concurrency", [1, 5])
    async def test_answers_stand_in_the_tasks_order_and_the_bound_holds(self, concurrency: int) -> None:
        model = Model(by=self.by_number)
        told = await consult_many(self.tasks, [AGENTS] * 40, model, concurrency=concurrency)
        assert [item.agents for item in told] == [(AGENTS[i % 3].name,) for i in range(40)]
        assert model.most_open == concurrency and len(model.asked) == 40

    async def test_one_that_fails_is_told_and_costs_no_other(self) -> None:
        def answer(text: str) -> str | Exception:
            if "query 3<" in text:
                error = BackendUnreachable("no server")
                error.spent_usd = None
                return error
            if "query 5<" in text and "could not be read" in text:
                return LimitExceeded("used up", kind="calls")
            return "?" if "query 5<" in text else GOOD

        told = await consult_many(self.tasks[:8], [AGENTS] * 8, Model(by=answer))
        assert [item.failed is None for item in told] == [i not in (3, 5) for i in range(8)]
        assert told[3].failed == "BackendUnreachable: no server" and told[3].cost is None
        assert told[5].failed == "LimitExceeded: used up"
        assert told[5].cost == Decimal("0.01"), "the answer before the limit was paid; the refused call not"

    async def test_a_defect_of_the_model_is_raised_as_it_is(self) -> None:
        with pytest.raises(ZeroDivisionError):
            await consult_many(self.tasks, [AGENTS] * 40, Model(by=lambda text: 1 // 0))

    async def test_sizes_must_fit(self) -> None:
        with pytest.raises(InvalidInput, match="40 tasks"):
            await consult_many(self.tasks, [AGENTS], Model())
        with pytest.raises(InvalidInput, match="concurrency"):
            await consult_many(self.tasks, [AGENTS] * 40, Model(), concurrency=0)

    def test_blocking(self) -> None:
        told = consult_many_sync(self.tasks[:3], [AGENTS] * 3, Model(by=self.by_number), concurrency=2)
        assert [item.agents[0] for item in told] == ["card_desk", "loans", "tax"]

    async def test_no_tasks(self) -> None:
        assert await consult_many([], [], Model()) == []
