"""How agents answer: prompts, samples, programs, tools, callables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph

from agentnet import Agent, Backend, Message, Pool, Runtime, Task, TaskGraph
from agentnet.errors import BackendError, BackendUnreachable, PoolError
from agentnet.graphs.agent import STRATEGIES
from agentnet.graphs.live import Step
from agentnet.runtime.call import AgentCall, AgentInput, Answer, Received
from agentnet.runtime.client import Request, Response
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.sandbox import probe
from agentnet.runtime.strategies import BUILT_IN, recorded_from
from agentnet.runtime.strategies.program import extract_program
from agentnet.runtime.strategies.react import parse
from agentnet.runtime.tools import Tool, make_tools

BACKEND = Backend(name="b", model="m", price_in_per_mtok="1", price_out_per_mtok="1")
STRICT = probe().strict_ok


async def ask(client: ScriptedClient, task: Task | str = "Q", runtime: Any = None, **agent: Any) -> Step:
    """Runs one agent and returns its step."""
    made = Agent(**{"name": "a", "backend": BACKEND, **agent})
    result = await Runtime(Pool([made]), client=client, **(runtime or {})).arun(task, TaskGraph.of(["a"]))
    return result.steps[0]


def test_every_named_strategy_exists() -> None:
    assert set(BUILT_IN) == set(STRATEGIES)


class TestPrompt:
    async def test_what_stays_the_same_comes_first(self) -> None:
        client = ScriptedClient({"*": "4"})
        task = Task(
            "2+2?", context="Numbers.", history=(Message("user", "Hi"), Message("assistant", "Hello"))
        )
        await ask(client, task, system="You add.", shots=(("1+1?", "2"),))
        assert [(m.role, m.content) for m in client.calls[0].messages] == [
            ("system", "You add."),
            ("user", "1+1?"),
            ("assistant", "2"),
            ("user", "Hi"),
            ("assistant", "Hello"),
            ("user", "Context:\nNumbers.\n\n2+2?"),
        ]

    async def test_options_reach_the_request(self) -> None:
        client = ScriptedClient({"*": "4"})
        options = {"max_tokens": 7, "temperature": 0, "stop": "\n", "seed": 3, "extra": {"top_k": 1}}
        await ask(client, Task("Q", session_id="s"), options=options)
        request = client.calls[0]
        assert (request.max_tokens, request.temperature, request.stop, request.seed) == (7, 0, ("\n",), 3)
        assert (request.extra, request.session_id, request.agent) == ({"top_k": 1}, "s", "a")

    async def test_an_agents_own_instruction_replaces_the_strategys(self) -> None:
        client = ScriptedClient({"*": "4"})
        await ask(client, strategy="chain_of_thought", system="Role.", options={"instruction": ""})
        assert client.calls[0].messages[0].content == "Role."


async def test_chain_of_thought_keeps_only_the_answer() -> None:
    step = await ask(ScriptedClient({"*": "Six sevens are 42.\nAnswer: 42"}), strategy="chain_of_thought")
    assert step.answer == "42"


async def test_confidence_is_the_score_where_the_model_gives_it() -> None:
    step = await ask(ScriptedClient([Response(text="x", logprob=-0.5)]))
    assert step.score == pytest.approx(0.6065, abs=1e-4)


@pytest.mark.parametrize("name", ["critic", "refine", "summarise", "debate"])
async def test_strategies_that_look_at_others_see_them(name: str) -> None:
    client = ScriptedClient({"one": "41", "two": "fine. Answer: 42"})
    pool = Pool([Agent(name="one", backend=BACKEND), Agent(name="two", backend=BACKEND, strategy=name)])
    result = await Runtime(pool, client=client).arun(
        "Q", TaskGraph.of(["one", "two"], edges=[("one", "two")])
    )
    prompt = client.calls[1].messages
    shown = '<answer agent="one">\n41\n</answer>' if name == "refine" else "[one] 41"
    assert prompt[0].role == "system" and shown in prompt[-1].content
    assert result.answer == ("42" if name == "debate" else "fine. Answer: 42")


class TestSelfConsistency:
    async def test_the_most_frequent_answer_stands(self) -> None:
        client = ScriptedClient(["Answer: 4", "Answer: 5", "Answer: 4.0"])
        step = await ask(client, strategy="self_consistency", options={"n": 3})
        assert (step.answer, step.calls) == ("4", 3)
        assert step.score == pytest.approx(2 / 3)
        assert {r.temperature for r in client.calls} == {0.7}

    async def test_samples_differ_by_seed(self) -> None:
        client = ScriptedClient({"*": "4"})
        await ask(client, strategy="self_consistency", options={"n": 3, "seed": 10})
        assert sorted(r.seed or 0 for r in client.calls) == [10, 11, 12]

    async def test_a_failed_sample_is_left_out_and_makes_the_cost_what_is_known(self) -> None:
        client = ScriptedClient(["4", BackendError("x"), "4"])
        step = await ask(client, strategy="self_consistency", options={"n": 3})
        assert (step.answer, step.calls, step.error) == ("4", 3, None)

    async def test_if_all_fail_the_agent_fails(self) -> None:
        client = ScriptedClient(lambda request: BackendUnreachable("gone"))
        step = await ask(client, strategy="self_consistency", options={"n": 2})
        assert step.error == "BackendUnreachable: gone"


class TestProgram:
    @pytest.mark.skipif(not STRICT, reason="this machine cannot confine programs")
    async def test_what_the_program_prints_is_the_answer(self) -> None:
        script = {"*": "Here:\n```python\nprint(6 * 7)\n```"}
        step = await ask(ScriptedClient(script), strategy="program")
        assert (step.answer, step.error) == ("42", None)

    async def test_a_failing_program_costs_the_node_and_names_the_fault(self) -> None:
        step = await ask(ScriptedClient({"*": "1/0"}), strategy="program", runtime={"sandbox": "unsafe"})
        assert step.error is not None and "ZeroDivisionError" in step.error
        assert step.cost is not None and step.cost > 0

    async def test_a_program_is_repaired_when_asked(self) -> None:
        client = ScriptedClient(["print(1/0)", "print(5)"])
        unsafe = {"sandbox": "unsafe"}
        step = await ask(client, strategy="program", options={"repairs": 1}, runtime=unsafe)
        assert (step.answer, step.calls) == ("5", 2)
        assert "ZeroDivisionError" in client.calls[1].messages[-1].content

    @pytest.mark.skipif(STRICT, reason="this machine can confine programs")
    async def test_without_a_sandbox_nothing_is_asked_or_run(self) -> None:
        client = ScriptedClient({"*": "print(1)"})
        step = await ask(client, strategy="program")
        assert step.error is not None and step.error.startswith("SandboxUnavailable")
        assert client.calls == []

    @pytest.mark.parametrize(
        ("text", "program"),
        [
            ("print(1)", "print(1)"),
            ("```\nx = 1\nprint(x)\n```", "x = 1\nprint(x)"),
            ("```python\nprint(1)", "print(1)"),
            ("a ```py\n1\n``` b ```python\nprint('long')\n```", "print('long')"),
        ],
    )
    def test_programs_are_found(self, text: str, program: str) -> None:
        assert extract_program(text) == program


def lookup(word: str, times: int = 1) -> str:
    """Looks a word up."""
    if word == "bomb":
        raise RuntimeError("boom")
    return f"{word}!" * times


async def slow(kind: Literal["x", "y"]) -> dict[str, str]:
    """Answers later."""
    return {"kind": kind}


class TestReact:
    async def run(self, *script: str, **options: Any) -> tuple[Step, list[Request]]:
        client = ScriptedClient(list(script))
        step = await ask(client, strategy="react", tools=(lookup, slow), options=options)
        return step, client.calls

    async def test_tools_are_called_and_seen(self) -> None:
        step, calls = await self.run(
            '{"thought": "look", "tool": "lookup", "arguments": {"word": "hi", "times": 2}}',
            'I know. {"answer": "hi!hi!"}',
        )
        assert (step.answer, step.calls) == ("hi!hi!", 2)
        assert "lookup(word: string, times: integer = 1) - Looks a word up." in calls[0].messages[0].content
        assert calls[1].messages[-1].content == "Observation: hi!hi!"

    async def test_the_papers_plain_text_form_works_too(self) -> None:
        step, calls = await self.run("Thought: hm\nAction: lookup[sun]", "Final Answer: sun!")
        assert step.answer == "sun!"
        assert calls[1].messages[-1].content == "Observation: sun!"

    @pytest.mark.parametrize(
        ("move", "seen"),
        [
            ('{"tool": "nope", "arguments": {}}', "there is no tool 'nope'"),
            ('{"tool": "lookup", "arguments": {"wrong": 1}}', "missing a required argument: 'word'"),
            ('{"tool": "lookup", "arguments": {"word": "bomb"}}', "failed: RuntimeError: boom"),
            ('{"tool": "slow", "arguments": {"kind": "x"}}', '{"kind": "x"}'),
            ('{"tool": "slow", "arguments": "y"}', '{"kind": "y"}'),
        ],
    )
    async def test_mistakes_are_told_to_the_model(self, move: str, seen: str) -> None:
        step, calls = await self.run(move, '{"answer": "ok"}')
        assert step.answer == "ok"
        assert seen in calls[1].messages[-1].content

    async def test_steps_are_bounded(self) -> None:
        move = '{"tool": "lookup", "arguments": {"word": "a"}}'
        step, calls = await self.run(*[move] * 3, max_steps=3)
        assert len(calls) == 3 and "within 3 steps" in str(step.error)
        assert "Answer now" in calls[2].messages[-1].content

    @given(st.text())
    def test_any_text_can_be_read(self, text: str) -> None:
        move = parse(text, make_tools((lookup,)))
        assert move.tool is not None or move.answer is not None

    def test_tool_schemas(self) -> None:
        assert Tool.of(slow).schema["properties"]["kind"] == {"type": "string", "enum": ["x", "y"]}
        with pytest.raises(PoolError, match="unique"):
            make_tools((lookup, lookup))
        with pytest.raises(PoolError, match="must have a name"):
            Tool.of(lambda *args: "x")


class TestCallable:
    async def test_functions_get_what_they_ask_for(self) -> None:
        def text(question: str) -> str:
            return f"text {question}"

        async def later(question: str) -> str:
            return f"later {question}"

        def whole(given: AgentInput) -> str:
            return f"{given.node} {given.task.context} {given.received}"

        def task(task: Task) -> str:
            return str(task.context)

        asked = Task("Q", context="C")
        expected = {
            text: "text Context:\nC\n\nQ",
            later: "later Context:\nC\n\nQ",
            whole: "a C ()",
            task: "C",
        }
        for function, answer in expected.items():
            step = await ask(ScriptedClient([]), asked, backend=None, call=function)
            assert step.answer == answer

    async def test_a_callable_sees_other_agents(self) -> None:
        seen: list[tuple[Received, ...]] = []

        def judge(given: AgentInput) -> Answer:
            seen.append(given.received)
            return Answer(text="best", score=0.9, cost=Decimal("0.5"))

        pool = Pool([Agent(name="one", call=lambda text: "1"), Agent(name="judge", call=judge)])
        graph = TaskGraph.of(["one", "judge"], edges=[("one", "judge")])
        result = await Runtime(pool, client=ScriptedClient([])).arun("Q", graph)
        assert seen == [(Received(node="one", agent="one", answer="1"),)]
        assert (result.steps[1].score, result.steps[1].cost) == (0.9, Decimal("0.5"))

    async def test_the_cost_of_foreign_code_is_unknown_unless_it_is_said_to_be_free(self) -> None:
        step = await ask(ScriptedClient([]), backend=None, call=str.upper)
        assert step.cost is None
        free = {"price_in_per_mtok": 0, "price_out_per_mtok": 0}
        step = await ask(ScriptedClient([]), backend=None, call=str.upper, **free)
        assert (step.answer, step.cost) == ("Q", Decimal(0))

    async def test_what_it_raises_costs_its_node_only(self) -> None:
        def bad(text: str) -> str:
            raise KeyError("oops")

        step = await ask(ScriptedClient([]), backend=None, call=bad)
        assert step.error == "KeyError: 'oops'"

    async def test_runnables_and_langgraph_graphs_can_be_agents(self) -> None:
        class Own(TypedDict, total=False):
            question: str
            result: str

        own: Any = StateGraph(Own)
        own.add_node("only", lambda state: {"result": state["question"] + "?"})
        own.add_edge(START, "only")
        own.add_edge("only", END)
        chat: Any = StateGraph(MessagesState)
        chat.add_node("only", lambda state: {"messages": [AIMessage(f"re: {state['messages'][-1].content}")]})
        chat.add_edge(START, "only")
        chat.add_edge("only", END)
        inner = Runtime(Pool([Agent(name="x", call=str.lower)]), client=ScriptedClient([]))
        cases: list[tuple[Any, dict[str, str], str]] = [
            (RunnableLambda(lambda text: f"<{text}>"), {}, "<Q>"),
            (own.compile(), {"output_key": "result"}, "Q?"),
            (chat.compile(), {}, "re: Q"),
            (inner.compile(TaskGraph.of(["x"])), {}, "q"),
        ]
        for target, options, answer in cases:
            step = await ask(ScriptedClient([]), backend=None, call=target, options=options)
            assert (step.error, step.answer) == (None, answer)


async def test_recorded_answers_come_from_the_options_or_a_table() -> None:
    step = await ask(ScriptedClient([]), backend=None, strategy="recorded", options={"answers": {"Q": "42"}})
    assert (step.answer, step.cost) == ("42", Decimal(0))
    step = await ask(ScriptedClient([]), "other", backend=None, strategy="recorded")
    assert "no recorded answer" in str(step.error)


async def test_a_table_of_outcomes_can_be_run() -> None:
    import numpy as np

    from agentnet import Outcomes
    from agentnet.outcomes.table import Queries

    pool = Pool([Agent(name="a", strategy="recorded"), Agent(name="b", strategy="recorded")])
    queries = Queries(query_id=np.array(["q"]), text=("Q",), split=np.array(["test"]))
    rows = [{"query_id": "q", "agent": "a", "score": 1.0, "cost_usd": 0.25, "response": "yes"}]
    table = Outcomes.from_rows(queries, pool, rows)
    runtime = Runtime(pool, client=ScriptedClient([]), strategies={"recorded": recorded_from(table)})
    result = await runtime.arun("Q", TaskGraph.of(["a", "b"]))
    assert (result.answer, result.steps[0].cost, result.steps[0].score) == ("yes", Decimal("0.25"), None)
    assert "no recorded answer" in str(result.steps[1].error)


async def test_users_register_strategies_of_their_own() -> None:
    async def twice(call: AgentCall) -> str:
        first = await call.ask([Message("user", call.input.task.text)])
        second = await call.ask([Message("user", first.text)], max_tokens=5)
        return second.text

    client = ScriptedClient(["one", "two"])
    step = await ask(client, strategy="twice", options={"any": 1}, runtime={"strategies": {"twice": twice}})
    assert (step.answer, step.calls, client.calls[1].max_tokens) == ("two", 2, 5)


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ({"options": {"temprature": 1}}, "unknown option 'temprature'"),
        ({"options": {"max_tokens": 0}}, "max_tokens' must be a whole number from 1"),
        ({"options": {"n": 3}}, "unknown option 'n'"),
        ({"strategy": "self_consistency", "options": {"n": 0}}, "'n' must be"),
        ({"strategy": "telepathy"}, "unknown strategy 'telepathy'"),
        ({"backend": None}, "neither a backend nor a call"),
        ({"backend": None, "strategy": "callable"}, "needs call="),
        ({"strategy": "react", "tools": (lookup, lookup)}, "unique"),
    ],
)
def test_a_wrong_agent_is_told_when_the_runtime_is_made(agent: dict[str, Any], message: str) -> None:
    pool = Pool([Agent(**{"name": "a", "backend": BACKEND, **agent})])
    with pytest.raises(PoolError, match=message):
        Runtime(pool, client=ScriptedClient([]))
