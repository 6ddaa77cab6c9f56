"""Runtimes on a registry: what is promoted serves without a restart; shadows watch, canaries act."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet import (
    Agent,
    Backend,
    Limits,
    Pool,
    RunResult,
    Runtime,
    Task,
    TaskGraph,
    TraceStore,
    make_router,
)
from agentnet.errors import InvalidInput, RegistryError, RouterError
from agentnet.registry.arms import RELEASE_TAG, Arm
from agentnet.registry.base import open_registry
from agentnet.registry.content import keepable
from agentnet.registry.follow import Follower, Release
from agentnet.routers.base import RouteOptions
from agentnet.runtime.clients.scripted import ScriptedClient
from agentnet.runtime.events import RunFinished
from agentnet.runtime.released import Shadows
from agentnet.traces.export import to_outcomes

from .released_doubles import POOL, MemoryRegistry, Says, best_of, until

FAST = 0.005
SESSIONS = [f"session {i}" for i in range(60)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TraceStore]:
    with TraceStore.open(tmp_path / "traces.db") as opened:
        yield opened


def _roles(store: TraceStore, result: RunResult) -> list[tuple[str, str]]:
    return sorted((item.role, item.router_version) for item in store.run(result.run_id).decisions)


# -- promotion -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["folder", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_promotion_elsewhere_reaches_serving_processes(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = {"folder": str(tmp_path / "registry"), "sqlite": f"sqlite:///{tmp_path / 't.db'}"}.get(kind)
    where = where or request.getfixturevalue("postgres_url")
    registry = open_registry(where)
    a, b = (registry.add(best_of(name)).id for name in "ab")
    registry.promote(a)
    program = [sys.executable, str(Path(__file__).with_name("released_doubles.py")), where]
    served = [
        subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]

    def ask(process: subprocess.Popen[str]) -> str:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("hi\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        for process in served:
            assert ask(process) == f"a: hi by {a} for 0"
        registry.promote(b)
        for process in served:
            until(lambda process=process: ask(process) == f"b: hi by {b} for 0")  # type: ignore[misc]
        registry.rollback()
        for process in served:
            until(lambda process=process: ask(process) == f"a: hi by {a} for 0")  # type: ignore[misc]
    finally:
        for process in served:
            process.communicate(timeout=60)
        registry.close()
    assert [process.returncode for process in served] == [0, 0]


def test_a_promoted_version_serves_without_a_restart() -> None:
    registry = MemoryRegistry(Says("a"), Says("b"))
    with Runtime(POOL, registry=registry, refresh_s=FAST) as runtime:
        assert (runtime.run("x").answer, runtime.router_version) == ("a: x", "a")
        registry.promote("b")
        until(lambda: runtime.router_version == "b")
        assert runtime.run("x").answer == "b: x"
        registry.rollback()
        until(lambda: runtime.run("x").answer == "a: x")
    assert not registry.closed, "it is the caller's"
    assert registry.loaded == ["a", "b", "a"]


def test_what_a_runtime_is_given_must_serve(tmp_path: Path) -> None:
    registry = MemoryRegistry(Says("a"))
    with pytest.raises(InvalidInput, match="not both"):
        Runtime(POOL, Says("a"), registry=registry)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InvalidInput, match="refresh_s"):
            Runtime(POOL, registry=registry, refresh_s=wrong)
    with pytest.raises(RegistryError, match="there is no registry"):
        Runtime(POOL, registry=tmp_path / "none")
    open_registry(tmp_path / "empty").add(best_of("a"))
    with pytest.raises(RegistryError, match="agentnet registry promote"):
        Runtime(POOL, registry=tmp_path / "empty")
    with pytest.raises(Exception, match="missing"):
        Runtime(POOL, registry=MemoryRegistry(Says("missing")))
    with Runtime(POOL, registry=registry) as runtime, pytest.raises(InvalidInput, match="promote"):
        runtime.router = Says("b")


def test_a_runtime_without_registry_is_as_ever() -> None:
    with Runtime(POOL, Says("a")) as runtime:
        assert (runtime.run("x").tags, runtime.router_version) == ({}, "a")
        runtime.router = None
        assert (runtime.router, runtime.router_version) == (None, None)


def test_a_run_under_way_keeps_its_router() -> None:
    registry = MemoryRegistry()
    going, swapped = threading.Event(), threading.Event()

    def slow(text: str) -> str:
        going.set()
        assert swapped.wait(60)
        return text

    pool = Pool([Agent(name="slow", call=slow), Agent(name="quick", call=lambda text: text)])
    for version, agent in (("old", "slow"), ("new", "quick")):
        registry.add(Says(TaskGraph.of([agent], grow=True), version=version))
    registry.promote("old")
    with Runtime(pool, registry=registry, refresh_s=FAST, max_turns=3) as runtime:
        results: list[RunResult] = []
        run = threading.Thread(target=lambda: results.append(runtime.run("x")))
        run.start()
        assert going.wait(60)
        registry.promote("new")
        until(lambda: runtime.router_version == "new")
        swapped.set()
        run.join(60)
        assert [decision.version for decision in results[0].decisions] == ["old"] * 3
        assert [decision.version for decision in runtime.run("y").decisions] == ["new"] * 3


# -- what goes wrong -----------------------------------------------------------------------------
def _unroutable(task: Task) -> None:
    raise ValueError("no key sk-abcdef1234567890")


@pytest.mark.parametrize("broken", [Says("b", before=_unroutable), Says("nobody", version="b")])
def test_a_version_that_does_not_work_leaves_the_old_one(
    broken: Says, caplog: pytest.LogCaptureFixture
) -> None:
    registry = MemoryRegistry(Says("a"), broken, Says("c"))
    with (
        caplog.at_level(logging.WARNING, logger="agentnet.registry"),
        Runtime(POOL, registry=registry, refresh_s=FAST) as runtime,
    ):
        registry.promote("b")
        until(lambda: "version b cannot serve here" in caplog.text)
        assert (runtime.run("x").answer, runtime.router_version) == ("a: x", "a")
        registry.promote("c")
        until(lambda: runtime.router_version == "c")
    assert "sk-abcdef" not in caplog.text


def test_a_version_that_cannot_be_loaded_now_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    registry = MemoryRegistry(Says("a"), Says("b"))

    def fail(version: str) -> None:
        raise OSError("the disk is away")

    with Runtime(POOL, registry=registry, refresh_s=FAST) as runtime:
        registry.before_load = fail
        registry.promote("b")
        until(lambda: registry.loaded.count("b") >= 3)
        assert runtime.run("x").answer == "a: x"
        registry.before_load = lambda version: None
        until(lambda: runtime.router_version == "b")


def test_a_registry_that_is_away_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    registry = MemoryRegistry(Says("a"), Says("b"))
    asked: list[int] = []

    def away() -> None:
        asked.append(1)
        raise RegistryError("the database is away")

    with (
        caplog.at_level(logging.WARNING, logger="agentnet.registry"),
        Runtime(POOL, registry=registry, refresh_s=FAST) as runtime,
    ):
        registry.before_state = away
        until(lambda: len(asked) >= 5)
        assert runtime.run("x").answer == "a: x"
        assert caplog.text.count("the database is away") == 1, "it is said once, not every time"
        registry.promote("b")
        registry.before_state = lambda: None
        until(lambda: runtime.router_version == "b")


def test_serving_never_waits_for_the_registry() -> None:
    registry = MemoryRegistry(Says("a"), Says("b"))
    loading, go = threading.Event(), threading.Event()

    def hang(version: str) -> None:
        loading.set()
        assert go.wait(60)

    with Runtime(POOL, registry=registry, refresh_s=FAST) as runtime:
        registry.before_load = hang
        registry.promote("b")
        assert loading.wait(60)
        assert [runtime.run("x").answer for _ in range(5)] == ["a: x"] * 5, "while it is being loaded"
        go.set()
        until(lambda: runtime.router_version == "b")


def test_a_runtime_that_nobody_closes_leaves_no_thread() -> None:
    runtime = Runtime(POOL, registry=MemoryRegistry(Says("a")), refresh_s=FAST)
    follower = weakref.ref(runtime._engine.follower)
    del runtime

    def gone() -> bool:
        gc.collect()
        return follower() is None

    until(gone)


def test_a_forked_child_follows_too(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from agentnet import Runtime\n"
        "from agentnet.registry.base import open_registry\n"
        "from released_doubles import POOL, best_of, until\n"
        "registry = open_registry(sys.argv[1])\n"
        "a, b = (registry.add(best_of(name)).id for name in 'ab')\n"
        "registry.promote(a)\n"
        "runtime = Runtime(POOL, registry=registry, refresh_s=0.02)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    ok = False\n"
        "    try:\n"
        "        assert runtime.run('x').answer == 'a: x'\n"
        "        registry.promote(b)\n"
        "        until(lambda: runtime.run('x').answer == 'b: x')\n"
        "        ok = True\n"
        "    finally:\n"
        "        os._exit(0 if ok else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "until(lambda: runtime.run('x').answer == 'b: x')\n"
        "runtime.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "registry")],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


# -- canary --------------------------------------------------------------------------------------
def test_a_canary_acts_on_its_share_and_is_recorded(store: TraceStore) -> None:
    registry = MemoryRegistry(Says("a", propensity=0.5), Says("b", propensity=0.25))
    state = registry.canary("b", 0.3)
    expected = [Arm.draw(state, session_id=name, run_id="").arm for name in SESSIONS]
    assert 0.15 < expected.count("canary") / len(SESSIONS) < 0.45, "about the share"
    with Runtime(POOL, registry=registry, store=store) as runtime:
        results = runtime.batch([Task("x", session_id=name) for name in SESSIONS], tags={"mine": 1})
        again = [runtime.run(Task("y", session_id=name)) for name in SESSIONS[:5]]
    store.flush()
    assert [r.tags.get("mine") for r in results + again] == [1] * len(SESSIONS) + [None] * 5
    for result, arm in zip([*results, *again], [*expected, *expected[:5]], strict=True):
        agent, propensity = ("b", 0.25) if arm == "canary" else ("a", 0.5)
        assert result.winner == agent
        run = store.run(result.run_id)
        assert [(d.role, d.router_version, d.propensity) for d in run.decisions] == [(arm, agent, propensity)]
        assert run.run.tags == result.tags
        told = Arm.from_dict(run.run.tags[RELEASE_TAG])
        assert (told.arm, told.share, told.serving, told.canary) == (arm, 0.3, "a", "b")
        assert (told.revision, told.unit, told.version) == (2, "session", agent)
        # P(a plan) = (1 - s) pi_old + s pi_new: both routers' own probabilities are in their versions.
        assert told.chance(old=0.5, new=0.25) == pytest.approx(0.7 * 0.5 + 0.3 * 0.25)


def test_arms_are_stable_and_grow_with_the_share() -> None:
    registry = MemoryRegistry(Says("a"), Says("b"), Says("c"))

    def taken(version: str, share: float) -> set[str]:
        state = registry.canary(version, share)
        return {n for n in SESSIONS if Arm.draw(state, session_id=n, run_id="r").arm == "canary"}

    few, many = taken("b", 0.2), taken("b", 0.6)
    assert few and few < many and taken("b", 1.0) == set(SESSIONS)
    assert taken("b", 0.2) == few, "in every process the same"
    assert taken("c", 0.2) != few, "another canary takes others"
    state = registry.canary("b", 0.5)
    arms = [Arm.draw(state, session_id=None, run_id=f"{i:032x}") for i in range(2000)]
    assert {arm.unit for arm in arms} == {"run"}
    share = sum(arm.arm == "canary" for arm in arms) / 2000
    assert abs(share - 0.5) < 4 * (0.25 / 2000) ** 0.5, "each run for itself, with the share's probability"


def test_a_tag_of_something_else_is_refused() -> None:
    for wrong in (
        {},
        {"revision": 1},
        {**Arm(revision=1, arm="serving", share=0, serving="a").to_dict(), "arm": 3},
    ):
        with pytest.raises(InvalidInput):
            Arm.from_dict(wrong)


@pytest.mark.parametrize("broken", [Says("b"), Says("b"), Says(None, version="b")])
def test_a_canary_that_fails_is_stood_in_for(
    broken: Says, store: TraceStore, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    registry = MemoryRegistry(Says("a"), broken)
    registry.canary("b", 1.0)
    with Runtime(POOL, registry=registry, store=store) as runtime:
        if request.node.callspec.id.endswith("broken0"):
            broken.before = _unroutable
        elif request.node.callspec.id.endswith("broken1"):
            broken.graph = TaskGraph.of(["nobody"])
        else:
            result = runtime.run("x")  # abstaining is a decision, not a failure
            assert (result.status, _roles(store, result)) == ("abstained", [("canary", "b")])
            return
        result = runtime.run("x")
    assert (result.answer, result.status) == ("a: x", "ok")
    assert _roles(store, result) == [("serving", "a")], "who acted"
    assert Arm.from_dict(result.tags[RELEASE_TAG]).arm == "canary", "what was drawn"
    assert "the canary b failed" in caplog.text and "sk-abcdef" not in caplog.text


def test_a_failing_serving_version_is_the_runs_error() -> None:
    serving = Says("a")
    with Runtime(POOL, registry=MemoryRegistry(serving)) as runtime:
        serving.before = _unroutable
        with pytest.raises(RouterError, match="ValueError"):
            runtime.run("x")


BACKEND = Backend(name="judge", model="x/judge", price_in_per_mtok=1_000_000, price_out_per_mtok=1_000_000)


def test_a_failed_canarys_calls_count_and_limits_hold() -> None:
    pool = Pool([*POOL, Agent(name="llm", backend=BACKEND)])
    canary = Says("b", asks=True, before=_unroutable)  # fails when its model has answered
    registry = MemoryRegistry(Says("a"), canary)
    registry.canary("b", 1.0)
    with Runtime(pool, registry=registry, client=ScriptedClient(["one two"] * 9)) as runtime:
        result = runtime.run("x y")
        assert (result.answer, result.calls) == ("a: x y", 1)
        (decision,) = result.decisions
        assert decision.router_cost is not None and decision.router_cost > Decimal(0)
        assert runtime.run("x", limits=Limits(usd="0.5")).status == "limit", "its calls keep the run's limits"


def test_a_resumed_run_stays_with_its_version(store: TraceStore) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import interrupt

    pool = Pool([*POOL, Agent(name="ask", call=lambda text: f"{text} {interrupt('which?')}")])
    registry = MemoryRegistry(Says("a"), Says(TaskGraph.of(["ask"], grow=True), version="b"))
    registry.canary("b", 1.0)
    with Runtime(
        pool, registry=registry, refresh_s=FAST, checkpointer=InMemorySaver(), max_turns=2, store=store
    ) as runtime:
        waiting = runtime.run("take")
        assert waiting.status == "interrupted"
        registry.canary("b", 0.000001)  # a new draw would not take it
        until(lambda: (runtime.release.state or registry.state()).canary_share < 0.5)
        ended = runtime.resume(waiting, "that")
        assert [d.version for d in ended.decisions] == ["b", "b"]
        assert ended.tags == waiting.tags
        store.flush()
        assert {d.role for d in store.run(ended.run_id).decisions} == {"canary"}


def test_graphs_of_the_callers_are_nobodys_arm(store: TraceStore) -> None:
    registry = MemoryRegistry(Says("a"), Says("b"), Says("c"))
    registry.canary("b", 1.0)
    registry.shadow("c")
    with Runtime(POOL, registry=registry, store=store) as runtime:
        result = runtime.run("x", TaskGraph.of(["a"]))
    assert result.tags == {}
    assert [d.role for d in store.run(result.run_id).decisions] == ["serving"]


# -- shadow --------------------------------------------------------------------------------------
def test_a_shadow_decides_and_does_not_act(store: TraceStore) -> None:
    registry = MemoryRegistry(Says("a"), Says("b"), Says("c", propensity=0.5))
    registry.shadow("c")
    registry.canary("b", 0.5)
    with Runtime(POOL, registry=registry, store=store) as runtime:
        results = [runtime.run(Task(f"x {name}", session_id=name)) for name in SESSIONS[:10]]
    store.flush()
    for result in results:
        assert result.winner in ("a", "b")
        assert [d.version for d in result.decisions] == [result.winner]
        trace = store.run(result.run_id)
        (shadow,) = [d for d in trace.decisions if d.role == "shadow"]
        assert (shadow.router_version, shadow.propensity, shadow.graph) == (
            *("c", 0.5),
            TaskGraph.of(["c"]).to_dict(),
        )
        assert [step.agent for step in trace.steps] == [result.winner]
    table = to_outcomes(store)
    assert table.pool.names == POOL.names
    assert sum(x is not None for x in table.response[:, 2]) == 0, "what a shadow chose was never answered"


def test_a_shadow_that_fails_or_hangs_concerns_nobody(
    store: TraceStore, caplog: pytest.LogCaptureFixture
) -> None:
    shadow = Says("c")
    registry = MemoryRegistry(Says("a"), shadow)
    registry.shadow("c")
    hold = threading.Event()
    tried: list[Task] = []

    def fail(task: Task) -> None:
        tried.append(task)
        _unroutable(task)

    with Runtime(POOL, registry=registry, store=store) as runtime:
        shadow.before = fail
        failed = [runtime.run("x") for _ in range(3)]
        until(lambda: len(tried) == 3)
        shadow.before = lambda task: hold.wait(60) and None
        hung = [runtime.run("x") for _ in range(3)]
        assert {(r.status, r.answer, r.trace_error) for r in failed + hung} == {("ok", "a: x", None)}
        hold.set()
    store.flush()
    assert caplog.text.count("the shadow failed") == 1 and "sk-abcdef" not in caplog.text
    assert [_roles(store, result) for result in failed] == [[("serving", "a")]] * 3
    assert [_roles(store, result) for result in hung] == [[("serving", "a"), ("shadow", "c")]] * 3


def test_a_shadow_draws_no_random_numbers_of_those_that_act(store: TraceStore) -> None:
    def winners(*, shadowed: bool) -> list[str | None]:
        registry = MemoryRegistry(*(keepable(make_router("random", seed=i)) for i in range(2)))
        if shadowed:
            registry.shadow(list(registry.routers)[1])
        options = RouteOptions(rng=np.random.default_rng(5))
        with Runtime(POOL, registry=registry, store=store, route_options=options) as runtime:
            return [runtime.run(f"x {i}").winner for i in range(30)]

    assert winners(shadowed=True) == winners(shadowed=False)


def test_closing_waits_for_a_shadow_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    hold, began = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        hold.wait(60)

    shadows = Shadows(most=2)
    assert shadows.offer(hang) and began.wait(60)
    done: list[int] = []
    assert [shadows.offer(lambda: done.append(1)) for _ in range(4)] == [True, True, False, False]
    assert shadows.dropped == 2 and caplog.text.count("too slow") == 1
    shadows.close(timeout_s=0.01)
    assert "had not decided" in caplog.text
    hold.set()


def test_a_router_that_asks_a_model_is_not_shadowed(
    store: TraceStore, caplog: pytest.LogCaptureFixture
) -> None:
    registry = MemoryRegistry(Says("a"), Says("c", asks=True))
    registry.shadow("c")
    with Runtime(POOL, registry=registry, store=store, client=ScriptedClient([])) as runtime:
        result = runtime.run("x")
    assert "asks a language model" in caplog.text
    assert _roles(store, result) == [("serving", "a")]


# -- the same in every form ------------------------------------------------------------------------
async def test_async_and_streamed_runs_do_the_same(store: TraceStore) -> None:
    registry = MemoryRegistry(Says("a"), Says("b"), Says("c"))
    registry.canary("b", 0.5)
    registry.shadow("c")
    task = Task("x", session_id="session 3")
    async with Runtime(POOL, registry=registry, store=store) as runtime:
        results = [await runtime.arun(task), runtime.run(task), *await runtime.abatch([task])]
        events = [event async for event in runtime.astream(task)]
        assert isinstance(events[-1], RunFinished)
        results += [events[-1].result, *(r for _, r in runtime.batch_iter([task]))]
    await store.aflush()
    assert len({result.winner for result in results}) == 1
    arms = [result.tags[RELEASE_TAG] for result in results]
    assert arms == [arms[0]] * 5
    roles = [_roles(store, result) for result in results]
    assert roles == [roles[0]] * 5 and len(roles[0]) == 2


def test_a_batch_taken_up_again_tells_who_acted(store: TraceStore) -> None:
    registry = MemoryRegistry(Says("a"), Says("b"), Says(None, version="c"))
    registry.canary("b", 1.0)
    registry.shadow("c")
    with Runtime(POOL, registry=registry, store=store) as runtime:
        first = runtime.batch(["x", "y"], batch_id="one")
    with Runtime(POOL, registry=registry, store=store) as runtime:
        again = runtime.batch(["x", "y"], batch_id="one")
    assert all(result.loaded for result in again)
    assert [[d.version for d in result.decisions] for result in again] == [["b"], ["b"]]
    assert [result.abstained for result in again] == [False, False], "that the shadow abstained is no matter"
    assert [result.tags for result in again] == [result.tags for result in first]


# -- the follower by itself ------------------------------------------------------------------------
def test_routers_are_loaded_once_and_a_shadow_is_an_object_of_its_own() -> None:
    registry = MemoryRegistry(Says("a"), Says("b"))
    taken: list[Release] = []
    follower = Follower(registry, taken.append, refresh_s=3600)
    try:
        registry.canary("b", 0.5)
        registry.shadow("b")
        release = follower.refresh()
        assert registry.loaded == ["a", "b", "b"]
        assert release is taken[-1] is follower.refresh() and len(taken) == 2
        registry.promote("b")
        after = follower.refresh()
        assert after.serving is release.canary and after.canary is after.shadow is None
        assert registry.loaded == ["a", "b", "b"], "what acted as canary goes on as it is"
        assert after.state == registry.state()
    finally:
        follower.close()


def test_a_broken_canary_or_shadow_is_left_out_and_the_state_says_so() -> None:
    def check(router: Any) -> None:
        if router.version != "a":
            raise ValueError("no")

    registry = MemoryRegistry(Says("a"), Says("b"), Says("c"))
    registry.canary("b", 0.5)
    registry.shadow("c")
    follower = Follower(registry, lambda release: None, refresh_s=3600, check=check)
    try:
        state = follower.release.state
        assert state is not None
        assert (state.serving, state.canary, state.canary_share, state.shadow) == ("a", None, 0.0, None)
        assert follower.release.canary is follower.release.shadow is None
    finally:
        follower.close()
