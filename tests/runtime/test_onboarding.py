"""Agents come and go while a router serves: nothing is lost, nobody is asked who has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet import Agent, Backend, Pool, PoolHandle, Router, Runtime, TaskGraph, TraceStore
from agentnet.errors import PoolError
from agentnet.graphs.task_graph import Aggregation
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.registry import make_router
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.traces.records import PoolChangeRecord, Record

_TOPICS = {
    "cooking": "recipe oven flour butter simmer boil garlic onion",
    "travel": "flight hotel airport visa luggage ticket passport island",
    "law": "contract court judge statute appeal verdict clause tort",
    "garden": "tulip seed lawn hedge compost weed shovel orchard",
}
TOPICS = {name: words.split() for name, words in _TOPICS.items()}
_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu"
SYLLABLES = _SYLLABLES.split()
ROUTERS: dict[str, dict[str, Any]] = {
    "knn": {"encoder": "hash:256"},
    "tcar": {"encoder": "hash:256", "tune": False},
}
LOADS = {"knn": (1_000, 100), "tcar": (10_000, 1_000)}
"""Requests and changes by router: what is tested is the seam; one router carries the whole load."""
THREADS, STAY = 4, 20


def words_of(number: int) -> list[str]:
    """Six words that no other newcomer has."""
    rng = np.random.default_rng([5, number])
    return ["".join(rng.choice(SYLLABLES, 4)) for _ in range(6)]


def newcomer(number: int) -> Agent:
    return Agent(name=f"new{number}", description=" ".join(words_of(number)))


def labels() -> Outcomes:
    rng = np.random.default_rng(0)
    names = list(TOPICS)
    gold = [names[i % len(names)] for i in range(80)]
    split = np.array(["val" if i % 5 == 0 else "train" for i in range(len(gold))])
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(len(gold))]),
        text=tuple(f"{' '.join(rng.choice(TOPICS[name], 4))} {i}" for i, name in enumerate(gold)),
        split=split,
        gold=tuple(gold),
        metric=("label",) * len(gold),
    )
    pool = Pool(Agent(name=name, description=" ".join(TOPICS[name]), call=str.upper) for name in names)
    return Outcomes.from_labels(queries, pool)


@cache
def fitted(name: str) -> Router:
    made = make_router(name, **ROUTERS[name])
    data = labels()
    made.fit(data, data.pool)
    return made


@pytest.fixture(params=list(ROUTERS))
def router(request: pytest.FixtureRequest) -> Router:
    return fitted(request.param)


class Load:
    """A handle under load, and what is known of it: who has left for good, in the order of leaving."""

    def __init__(self, router: Router, routes: int, changes: int) -> None:
        self.router, self.handle = router, PoolHandle(labels().pool)
        self.routes, self.newcomers = routes, changes // 2
        self.texts = [" ".join(words[:4]) for words in TOPICS.values()]
        self.texts += [" ".join(words_of(number)) for number in range(0, self.newcomers, 7)]
        self.left: dict[str, int] = {}
        self.answered = [0] * THREADS
        self.failures: list[BaseException] = []
        self.start = threading.Barrier(THREADS + 1)

    def route(self, text: str) -> tuple[str, ...]:
        """Routes one request; fails where it holds an agent that is not there or had left before."""
        before = len(self.left)
        pool = self.handle.current
        chosen = self.router.route(text, pool).agents
        assert set(chosen) <= set(pool.names), "a decision on a snapshot holds agents of the snapshot"
        late = [name for name in chosen if self.left.get(name, before) < before]
        assert not late, f"{late} had been removed before this request began"
        return chosen

    def serve(self, thread: int) -> None:
        rng = np.random.default_rng(thread)
        for pick in rng.integers(len(self.texts), size=self.routes // THREADS).tolist():
            self.route(self.texts[pick])
            self.answered[thread] += 1

    def change(self, _: int) -> None:
        for number in range(self.newcomers):
            agent = newcomer(number)
            self.handle.add(agent)
            assert self.route(" ".join(words_of(number))) == (agent.name,), "its first request finds it"
            if number >= STAY:
                self.leave(number - STAY)
        for number in range(self.newcomers - STAY, self.newcomers):
            self.leave(number)

    def leave(self, number: int) -> None:
        name = f"new{number}"
        self.handle.remove(name)
        self.left[name] = len(self.left)
        assert name not in self.route(" ".join(words_of(number)))

    def run(self) -> None:
        """Changes in one thread, serves in the others; raises the first failure of any."""
        threads = [threading.Thread(target=self._guarded, args=(self.serve, i)) for i in range(THREADS)]
        threads.append(threading.Thread(target=self._guarded, args=(self.change, 0)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _guarded(self, work: Callable[[int], None], number: int) -> None:
        try:
            self.start.wait()
            work(number)
        except BaseException as failure:
            self.failures.append(failure)


def test_nothing_is_lost_under_load(router: Router) -> None:
    """Additions and removals by one thread while four others route: 1,000 during 10,000 with `tcar`."""
    routes, changes = LOADS[router.name]
    load = Load(router, routes, changes)
    load.run()
    assert sum(load.answered) == routes and len(load.left) == changes // 2
    assert load.handle.revision == changes and load.handle.current.names == labels().pool.names


def served_runtime(handle: PoolHandle, store: Any, router: Router | None = None) -> Runtime:
    return Runtime(handle, router, client=ScriptedClient({"*": "x"}), store=store)


async def test_the_first_request_after_an_addition_is_answered_by_it(router: Router) -> None:
    handle = PoolHandle(labels().pool)
    text = " ".join(words_of(1))
    async with served_runtime(handle, None, router) as runtime:
        before = await runtime.arun(text)
        handle.add(newcomer(1).with_(call=lambda text: "newcomer's answer"))
        assert (await runtime.arun(text)).answer == "newcomer's answer"
        handle.remove("new1")
        after = await runtime.arun(text)
    assert [d.agents for d in after.decisions] == [d.agents for d in before.decisions] != [("new1",)]


async def test_a_run_in_flight_keeps_its_agents() -> None:
    def leave(text: str) -> str:
        handle.remove("second")
        handle.remove("editor")
        return "one"

    agents = [
        Agent(name="first", call=leave),
        Agent(name="second", call=lambda text: "two"),
        Agent(name="editor", call=lambda text: "both"),
        Agent(name="last", call=str.upper),
    ]
    handle = PoolHandle(Pool(agents))
    graph = TaskGraph.of(
        ["first", "second"], edges=[("first", "second")], outputs=("first", "second"),
        aggregation=Aggregation("refine", agent="editor"),
    )  # fmt: skip
    async with served_runtime(handle, None) as runtime:
        assert (await runtime.arun("q", graph)).answer == "both"
        with pytest.raises(PoolError, match="not in the pool"):
            await runtime.arun("q", graph)


class TestTraced:
    async def test_who_came_and_went_and_when(self, tmp_path: Path) -> None:
        backend = Backend(name="b", model="m")
        handle = PoolHandle(labels().pool)
        with TraceStore.open(tmp_path / "t.db") as store:
            before = time.time()
            async with served_runtime(handle, store):
                handle.add(Agent(name="new", description="Knows.", backend=backend))
                handle.remove("law")
                handle.swap(lambda pool: pool.remove("new").add(pool["new"].with_(description="Knows more.")))
            handle.add(Agent(name="late"))  # nobody records any more
            third, second, first = store.pool_changes()
        assert (first.added, first.removed, first.changed, first.revision) == (("new",), (), (), 1)
        assert first.agents[0]["backend"]["model"] == "m" and first.size == 5
        assert (second.added, second.removed, second.agents) == ((), ("law",), ())
        assert (third.changed, third.agents[0]["description"]) == (("new",), "Knows more.")
        assert before <= first.changed_at <= second.changed_at <= third.changed_at <= time.time()
        assert third.pool_version == handle.current.remove("late").version
        assert first.pool_id == handle.id and ":" in first.process

    async def test_two_runtimes_of_one_handle_tell_of_one_change(self, tmp_path: Path) -> None:
        handle = PoolHandle(labels().pool)
        with TraceStore.open(tmp_path / "t.db") as store:
            async with served_runtime(handle, store), served_runtime(handle, store):
                handle.add(Agent(name="new"))
            assert [change.added for change in store.pool_changes()] == [("new",)]

    async def test_a_store_that_fails_or_hangs_is_not_in_the_way(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        release = threading.Event()
        written: list[Record] = []

        class Slow:
            def write(self, *records: Record) -> None:
                assert release.wait(20)
                written.extend(records)
                if len(written) == 1:
                    raise OSError("disk full")

        handle = PoolHandle(labels().pool)
        async with served_runtime(handle, Slow()) as runtime:
            for number in range(3):
                handle.add(newcomer(number))  # returns while the store hangs
            assert not written and runtime.pool.names[-1] == "new2"
            release.set()
        assert [r.added for r in written if isinstance(r, PoolChangeRecord)] == [
            ("new0",),
            ("new1",),
            ("new2",),
        ]
        assert "disk full" in caplog.text

    def test_a_plain_pool_and_no_store_record_nothing(self) -> None:
        with Runtime(labels().pool, client=ScriptedClient([])), Runtime(PoolHandle(labels().pool)):
            assert not [t for t in threading.enumerate() if t.name.startswith("agentnet-pool-log")]


def test_a_listener_that_fails_does_not_undo_a_swap(caplog: pytest.LogCaptureFixture) -> None:
    handle, heard = PoolHandle(labels().pool), []

    def fails(pool: Pool, revision: int) -> None:
        raise ValueError("no")

    handle.on_change(fails)
    end = handle.on_change(lambda pool, revision: heard.append(revision))
    handle.add(Agent(name="new"))
    end()
    handle.remove("new")
    assert heard == [1] and handle.revision == 2 and "a listener failed" in caplog.text
