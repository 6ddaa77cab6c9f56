from __future__ import annotations

from decimal import Decimal

import pytest

from agentnet.errors import PoolError
from agentnet.graphs.agent import Agent, Backend, Shot


def backend(**changes) -> Backend:
    fields = {"name": "b", "model": "m", "price_in_per_mtok": "0.1", "price_out_per_mtok": "0.3"}
    return Backend(**(fields | changes))


def test_costs_are_exact_and_unknown_is_not_zero():
    assert backend().cost(prompt_tokens=3, completion_tokens=1) == Decimal("0.0000006")
    assert backend().cost(prompt_tokens=None, completion_tokens=1) is None
    assert backend(price_out_per_mtok=None).cost(prompt_tokens=3, completion_tokens=0) is None
    assert backend(price_in_per_mtok=0.1).price_in_per_mtok == Decimal("0.1")


def test_an_agent_takes_prices_from_its_backend_unless_it_has_its_own():
    agent = Agent(name="a", backend=backend(context_window=8), price_in_per_mtok="9")
    assert (agent.price_in_per_mtok, agent.price_out_per_mtok) == (Decimal(9), Decimal("0.3"))
    assert agent.context_window == 8


def test_json_round_trip():
    agent = Agent(
        name="a", description="d", backend=backend(fallbacks=("c",), options={"seed": 1}),
        shots=(("q", "r"),),
        examples=["one"], strategy="self_consistency", options={"n": 5}, system="s",
        params_b=0.1,
    )  # fmt: skip
    again = Agent.from_dict(agent.to_dict())
    assert again == agent and hash(again) == hash(agent)
    assert again.shots == (Shot("q", "r"),)


def test_values_are_frozen():
    agent = Agent(name="a", options={"n": 1})
    with pytest.raises(TypeError):
        agent.options["n"] = 2
    with pytest.raises(AttributeError):
        agent.name = "b"
    assert agent.with_(name="b").name == "b" and agent.name == "a"


def test_a_callable_agent_is_no_part_of_equality():
    agent = Agent(name="a", call=lambda task: "x")
    assert agent.strategy == "callable"
    assert "call" not in agent.to_dict()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Agent(name=""), "names are non-empty"),
        (lambda: Agent(name="a\nb"), "line breaks"),
        (lambda: Agent(name=7), "names are"),
        (lambda: Agent(name="x" * 201), "200"),
        (lambda: Agent(name="a", backend="b"), "backend is a Backend"),
        (lambda: Agent(name="a", price_in_per_mtok=-1), "non-negative"),
        (lambda: Agent(name="a", price_in_per_mtok="NaN"), "non-negative"),
        (lambda: Agent(name="a", price_in_per_mtok="cheap"), "number of USD"),
        (lambda: Agent(name="a", examples="one"), "list of texts"),
        (lambda: Agent(name="a", shots=["one"]), "pairs"),
        (lambda: Agent(name="a", shots=3), "pairs"),
        (lambda: backend(model=""), "needs a model"),
        (lambda: backend(timeout_s=0), "timeout_s"),
        (lambda: backend(timeout_s="long"), "timeout_s"),
        (lambda: backend(retries=-1), "retries"),
        (lambda: backend(retries=1.5), "retries must be a whole number"),
        (lambda: backend(max_parallel=0), "max_parallel"),
        (lambda: backend(max_parallel=2.5), "max_parallel must be a whole number"),
        (lambda: backend(context_window=-5), "context_window must be a whole number"),
        (lambda: backend(context_window="8k"), "context_window must be a whole number"),
        (lambda: backend(options=5), "options must be a mapping"),
        (lambda: Agent(name="a", options=["n"]), "options must be a mapping"),
        (lambda: backend(fallbacks="c"), "list of texts"),
        (lambda: backend(options={"api_key": "s3cret"}), "environment"),
        (lambda: Agent.from_dict({"description": "d"}), "needs a name"),
        (lambda: Agent.from_dict({"name": "a", "colour": 1}), "colour"),
        (lambda: Agent.from_dict("a"), "must be an object"),
        (lambda: Backend.from_dict({"name": "a", "model": "m", "x": 1}), "unknown keys"),
    ],
)
def test_bad_agents_say_what_is_wrong(make, words):
    with pytest.raises(PoolError, match=words) as caught:
        make()
    assert "s3cret" not in str(caught.value)
