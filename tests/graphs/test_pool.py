from __future__ import annotations

import threading

import pytest

from agentnet.errors import PoolError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool, PoolHandle


def pool(names: str) -> Pool:
    return Pool(Agent(name=name) for name in names)


def test_a_pool_is_ordered_and_never_changes_in_place():
    first = pool("abc")
    second = first.remove("b").add(Agent(name="d"))
    assert first.names == ("a", "b", "c") and second.names == ("a", "c", "d")
    assert second.index("d") == 2 and "b" not in second and second["c"].name == "c"
    assert first.subset(["c", "a"]).names == ("c", "a")


def test_the_version_follows_the_definitions():
    assert pool("ab").version == pool("ab").version
    versions = {pool("ab").version, pool("ba").version, Pool([Agent(name="a", system="s")]).version}
    assert len(versions) == 3


def test_json_round_trip():
    one = Pool(
        [Agent(name="a", backend=Backend(name="b", model="m", price_in_per_mtok="0.1")), Agent(name="c")]
    )
    again = Pool.from_list(one.to_list())
    assert again == one and again.version == one.version


def test_backends_are_collected_and_may_not_differ_under_one_name():
    shared = Backend(name="b", model="m")
    assert Pool([Agent(name=n, backend=shared) for n in "xy"]).backends == {"b": shared}
    other = Backend(name="b", model="other")
    with pytest.raises(PoolError, match="two different backends"):
        _ = Pool([Agent(name="x", backend=shared), Agent(name="y", backend=other)]).backends


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Pool([]), "at least one"),
        (lambda: Pool(["a"]), "Agent values"),
        (lambda: pool("aba"), "given twice: a"),
        (lambda: pool("a")["z"], "no agent 'z'"),
        (lambda: pool("a").remove("z"), "no agent 'z'"),
        (lambda: pool("a").remove("a"), "at least one"),
        (lambda: pool("a").add(Agent(name="a")), "unique"),
        (lambda: Pool.from_list({"name": "a"}), "JSON list"),
    ],
)
def test_bad_pools_say_what_is_wrong(make, words):
    with pytest.raises(PoolError, match=words):
        make()


def test_a_snapshot_stays_while_the_handle_moves_on():
    handle = PoolHandle(pool("a"))
    snapshot = handle.current
    handle.add(Agent(name="b"))
    handle.remove("a")
    assert snapshot.names == ("a",) and handle.current.names == ("b",) and handle.revision == 2


def test_a_refused_swap_changes_nothing():
    handle = PoolHandle(pool("a"))
    with pytest.raises(PoolError):
        handle.remove("a")
    assert handle.current.names == ("a",) and handle.revision == 0


def test_listeners_hear_every_swap_in_order():
    handle, heard = PoolHandle(pool("a")), []
    handle.on_change(lambda new, revision: heard.append((new.names, revision)))
    handle.add(Agent(name="b"))
    handle.swap(pool("z"))
    assert heard == [(("a", "b"), 1), (("z",), 2)]


def test_no_swap_is_lost_under_threads():
    handle, revisions = PoolHandle(pool("a")), []
    handle.on_change(lambda _, revision: revisions.append(revision))
    start = threading.Barrier(9)
    torn: list[Pool] = []
    stop = threading.Event()

    def writer(k: int) -> None:
        start.wait()
        for i in range(25):
            handle.add(Agent(name=f"w{k}-{i}"))

    def reader() -> None:
        start.wait()
        while not stop.is_set():
            seen = handle.current
            if len(seen.names) != len(seen) or seen.names[0] != "a":
                torn.append(seen)

    writers = [threading.Thread(target=writer, args=(k,)) for k in range(8)]
    watch = threading.Thread(target=reader)
    for thread in (*writers, watch):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    watch.join()
    assert len(handle.current) == 201 and handle.revision == 200
    assert revisions == list(range(1, 201)) and not torn


def test_the_version_of_a_pool_is_that_of_its_agents_however_it_was_made():
    agents = [Agent(name=name, description=name * 3) for name in "abcd"]
    whole = Pool(agents)
    grown = Pool(agents[:1]).add(agents[1]).add(Agent(name="x")).add(agents[2]).remove("x").add(agents[3])
    assert grown.version == whole.version == Pool([*agents[::-1]]).subset("abcd").version
    assert grown == whole and grown.names == whole.names and grown.index("d") == 3
    others = [whole.remove("b"), whole.subset("bacd"), whole.remove("a").add(Agent(name="a"))]
    assert len({pool.version for pool in (whole, *others)}) == 4


def test_a_pool_of_many_grows_without_writing_its_agents_anew(monkeypatch):
    pool = Pool(Agent(name=f"a{i}") for i in range(50))
    written = []
    plain = Agent.to_dict
    monkeypatch.setattr(Agent, "to_dict", lambda agent: written.append(agent.name) or plain(agent))
    assert pool.add(Agent(name="new")).remove("a7").subset(["new", "a1"]).version
    assert written == ["new"]
