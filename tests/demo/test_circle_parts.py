"""The demo's parts, with a scripted model in place of the real one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from agentnet.demo import report, table
from agentnet.demo.compare import ORACLE, VOTE, Board, compare, systems
from agentnet.demo.record import record_pool, training_outcomes
from agentnet.demo.shared_answers import SharedAnswers
from agentnet.demo.tasks import DemoTask
from agentnet.demo.threshold import choose_threshold, highest_threshold
from agentnet.errors import DataError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool
from agentnet.graphs.task import Message, Task
from agentnet.outcomes.encoders import make_encoder
from agentnet.routers.registry import make_router
from agentnet.runtime.client import Request
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.runtime import Runtime
from agentnet.traces.store import TraceStore

BACKEND = Backend(name="tiny", model="openai/tiny")
WORDS = {"reverse": "turn around the word", "add": "sum of the numbers", "count": "how many letters"}
POOL = Pool(Agent(name=name, backend=BACKEND, system=f"You {name}.") for name in WORDS)
GENERALIST = Agent(name="generalist", backend=BACKEND, system="You try.")


class WordVerifier:
    """Right is the name of the task's family."""

    def score(self, task: DemoTask, answer: str | None) -> float:
        return float(answer == task.family)


def items(count: int, *, seed: int = 0) -> list[DemoTask]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        family = list(WORDS)[i % 3]
        text = f"{WORDS[family]} {rng.integers(10**6)} {rng.integers(10**6)}"
        found.append(
            DemoTask(Task(text, task_id=f"t{seed}-{i}"), family, i % 2 == 0, "train", {"answer": family})
        )
    return found


def specialist(request: Request) -> str:
    """Each specialist answers its own kind of task only."""
    role, question = request.messages[0].content, request.messages[-1].content
    return next((name for name in WORDS if name in role and WORDS[name] in question), "no idea")


@pytest.fixture
def store(tmp_path: Path):
    with TraceStore.open(f"sqlite:///{tmp_path / 'traces.db'}") as opened:
        yield opened


def test_recording_logs_and_judges_every_agent_and_resumes(store: TraceStore) -> None:
    client = ScriptedClient(specialist)

    async def main() -> tuple[int, int]:
        async with Runtime(POOL, client=client, store=store) as runtime:
            arguments = {"batch_id": "b", "agents": POOL.names}
            first = await record_pool(runtime, store, items(6), WordVerifier(), **arguments)
            again = await record_pool(runtime, store, items(9), WordVerifier(), **arguments)
            return first, again

    assert asyncio.run(main()) == (6, 3)
    outcomes = training_outcomes(store, POOL, ["b"])
    assert outcomes.full and len(outcomes) == 9
    right = [list(POOL.names)[int(row.argmax())] for row in outcomes.score]
    by_text = {item.task.text: item.family for item in items(9)}
    assert right == [by_text[text] for text in outcomes.queries.text]
    assert outcomes.score.sum() == 9


def test_nothing_recorded_is_a_clear_error(store: TraceStore) -> None:
    with pytest.raises(DataError, match="--fresh"):
        training_outcomes(store, POOL, [])


def test_the_whole_comparison_shows_that_routing_pays(store: TraceStore, tmp_path: Path) -> None:
    client = SharedAnswers(ScriptedClient(specialist))
    encoder = make_encoder("hash")

    async def main() -> tuple[Board, str]:
        runtime = Runtime(Pool([*POOL, GENERALIST]), client=client, store=store)
        async with runtime:
            train = items(60, seed=1)
            await record_pool(runtime, store, train, WordVerifier(), batch_id="b", agents=POOL.names)
            outcomes = training_outcomes(store, POOL, ["b"])
            router = make_router("knn", encoder="hash")
            router.use_encoder(encoder)
            router.fit(outcomes, POOL)
            of = systems(
                POOL, {"routed": router}, best="add", generalist="generalist", rng=np.random.default_rng(0)
            )
            made = client.made
            board = await compare(
                runtime, client, store, items(9), of, WordVerifier(), budget_s=None, progress=lambda *_: None
            )
            # Three specialists and the generalist, once a task; what is shared is not asked again.
            assert client.made - made == 9 * 4
            return board, router.version

    board, version = asyncio.run(main())
    figures = {row["system"]: row for row in table.rows(board)}
    assert figures["routed"]["accuracy"] == 1.0
    assert figures["best single agent"]["accuracy"] == pytest.approx(1 / 3)
    assert figures[ORACLE]["accuracy"] == 1.0
    assert figures[VOTE]["calls"] == 3 and figures["routed"]["calls"] == 1
    names = {"routed": "routed", "single": "best single agent", "generalist": "generalist, nearest examples"}
    claim = table.claim(board, **names)
    assert claim["factor"] == pytest.approx(3.0)
    assert "| routed |" in table.markdown(list(figures.values()))
    runs = store.runs(limit=500)
    assert sum(run.tags.get("phase") == "test" for run in runs) == 9 * 5
    assert any(version in {d.router_version for d in store.run(run.run_id).decisions} for run in runs[:60])
    facts = {"lines": ["a line"], "claim": claim, "lead": "test"}
    report.write(
        tmp_path / "r.html", board=board, figures=list(figures.values()), facts=facts, routed="routed"
    )
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.count("<svg") >= 3 and "http" not in html.replace("http://www.w3.org/2000/svg", "")


def test_a_budget_ends_between_two_tasks(store: TraceStore) -> None:
    client = SharedAnswers(ScriptedClient(specialist))

    async def main() -> Board:
        async with Runtime(Pool([*POOL, GENERALIST]), client=client, store=store) as runtime:
            of = systems(POOL, {}, best="add", generalist="generalist", rng=np.random.default_rng(0))
            return await compare(
                runtime, client, store, items(9), of, WordVerifier(), budget_s=0.0, progress=lambda *_: None
            )

    board = asyncio.run(main())
    assert len(board.items) == 1
    assert {len(rows) for rows in board.rows.values()} == {1}


def test_a_claim_that_does_not_hold_is_said_not_to() -> None:
    board = Board(items=items(4))
    from agentnet.demo.compare import Answered

    for name, right in (("r", 1.0), ("s", 1.0), ("g", 0.0)):
        for item in board.items:
            board.add(
                Answered(
                    system=name, task_id=item.task.task_id or "", right=right, abstained=False, agents=("a",),
                    seconds=0.1, tokens=1, calls=1,
                )
            )  # fmt: skip
    assert table.claim(board, routed="r", single="s", generalist="g")["holds"] is False
    assert json.dumps(table.rows(board))


def test_the_threshold_gives_up_at_most_two_in_a_hundred_right_answers() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.random(2000)
    right = (rng.random(2000) < predicted**2).astype(float)
    threshold = highest_threshold(predicted, right)
    assert right[predicted < threshold].sum() <= 0.02 * right.sum()
    higher = predicted >= threshold
    assert right[higher].mean() > right.mean()
    assert highest_threshold(predicted, np.zeros(2000)) == 0.0


def test_a_threshold_learned_from_hopeless_tasks_separates_them(store: TraceStore) -> None:
    client = ScriptedClient(specialist)
    hopeless = [
        DemoTask(
            Task(f"decode the cipher zqx {i} qqq", task_id=f"h{i}"), "cipher", False, "train", {"answer": "?"}
        )
        for i in range(30)
    ]

    async def main() -> None:
        async with Runtime(POOL, client=client, store=store) as runtime:
            tasks = [*items(60, seed=1), *hopeless]
            await record_pool(runtime, store, tasks, WordVerifier(), batch_id="b", agents=POOL.names)

    asyncio.run(main())
    outcomes = training_outcomes(store, POOL, ["b"])
    make = lambda: make_router("knn", encoder="hash")  # noqa: E731
    threshold = choose_threshold(make, outcomes, seed=0)
    router = make()
    router.fit(outcomes, POOL)
    router = router.with_options(abstain_below=threshold)
    assert router.route("decode the cipher zqx 77 qqq", POOL).abstained
    assert not router.route("how many letters 12 34", POOL).abstained


async def test_shared_answers_charge_the_seconds_again_but_call_once() -> None:
    calls = []
    shared = SharedAnswers(ScriptedClient(lambda request: calls.append(request) or "x"))
    request = Request(backend=BACKEND, messages=(Message("user", "hi"),))
    first = await shared.complete(request)
    again = await shared.complete(request)
    other = await shared.complete(Request(backend=BACKEND, messages=(Message("user", "ho"),)))
    assert first == again and other.text == "x"
    assert len(calls) == shared.made == 2
    assert shared.saved_s > 0
    pieces = [chunk async for chunk in shared.stream(request)]
    assert pieces[-1].response == first


def test_worked_examples_are_right_for_their_own_agent_only() -> None:
    from agentnet.demo.record import worked_examples
    from agentnet.demo.specialists import specialists

    pool = specialists()
    found = worked_examples(pool)
    assert len(found) == sum(len(agent.shots) for agent in pool)
    assert (found.score.sum(1) == 1).all()
    row = list(found.queries.text).index(pool["gcd"].shots[0].question)
    assert found.score[row, pool.index("gcd")] == 1
    assert np.isnan(found.cost).all()


def test_shipped_traces_are_a_pack_of_the_specialists() -> None:
    from agentnet.demo.record import shipped_traces
    from agentnet.demo.specialists import specialists
    from agentnet.outcomes.packs import load_outcomes

    folder = shipped_traces()
    assert folder is not None
    assert sum(path.stat().st_size for path in folder.iterdir()) < 500_000
    outcomes = load_outcomes(folder).for_pool(specialists())
    assert outcomes.full and len(outcomes) >= 100
    assert outcomes.mean_score.max() < 0.3
    assert 0.4 < float(np.nanmax(outcomes.score, 1).mean()) < 0.9
