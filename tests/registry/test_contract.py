"""What every registry promises, asked of each kind."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentnet import Agent, Outcomes, Pool, make_router
from agentnet.errors import InvalidInput, NotFitted, RegistryConflict, RegistryError
from agentnet.outcomes.table import Queries
from agentnet.registry.base import Registry, open_registry
from agentnet.registry.records import Serving

from .conftest import router

POOL = Pool([Agent(name="a", description="sums"), Agent(name="b", description="words")])


def _outcomes() -> Outcomes:
    texts = tuple(f"{'add' if i % 2 else 'spell'} number {i}" for i in range(24))
    queries = Queries(
        query_id=np.array([f"q{i}" for i in range(24)]),
        text=texts,
        split=np.array(["train", "train", "val"] * 8),
    )
    right = np.array([[i % 2, 1 - i % 2] for i in range(24)], np.float32)
    return Outcomes(queries=queries, pool=POOL, score=right, cost=np.full((24, 2), 1e-3))


def _facts(state: Serving) -> tuple[Any, ...]:
    return state.revision, state.serving, state.shadow, state.canary, state.canary_share


def test_an_empty_registry_serves_nothing(registry: Registry) -> None:
    assert registry.state() == Serving()
    assert registry.versions() == [] and registry.history() == []
    for ask in (registry.version, registry.load, registry.promote, registry.shadow):
        with pytest.raises(RegistryError, match="no version 'abc': there are none yet"):
            ask("abc")
    with pytest.raises(RegistryError, match="nothing served before"):
        registry.rollback()
    assert registry.shadow(None) == registry.canary(None) == Serving(), "what does not run cannot end"


def test_a_fitted_router_comes_back_as_it_was(registry: Registry) -> None:
    outcomes = _outcomes()
    knn = make_router("knn", encoder="hash:64", k=3)
    knn.fit(outcomes, POOL)
    knn = knn.with_options(cost_weight=0.2)
    kept = registry.add(knn, parent="p", metrics={"gain": 0.1, "by": {"slice": [1, 2]}}, note="first")
    assert (kept.id, kept.router, kept.parent) == (knn.version, "knn", "p")
    assert kept.data == outcomes.without_split("test").fingerprint, "told by the router itself"
    assert registry.version(kept.id[:5]) == kept == registry.versions()[0]
    loaded = registry.load(kept.id[:5])
    assert (loaded.version, loaded.options) == (knn.version, knn.options)
    texts = list(outcomes.queries.tasks())
    assert [d.agents for d in loaded.route_batch(texts, POOL)] == [
        d.agents for d in knn.route_batch(texts, POOL)
    ]


def test_versions_are_known_by_content(registry: Registry) -> None:
    first = registry.add(router(1), data="d", metrics={"gain": 1}, note="one")
    again = registry.add(router(1), parent="other", metrics={"gain": 2})
    assert [v.id for v in registry.versions()] == [first.id]
    assert (again.metrics, again.note, again.parent, again.data) == ({"gain": 2}, "one", None, "d")
    assert again.created_at == first.created_at
    assert registry.version(first.id) == again == registry.add(router(1)), "no metrics: they stay"
    second = registry.add(router(2))
    assert [v.id for v in registry.versions()] == [second.id, first.id], "the newest first"
    with pytest.raises(RegistryError, match="kept already, with other options"):
        registry.add(router(2).with_options(cost_weight=0.5))


def test_what_cannot_be_kept_is_refused(registry: Registry) -> None:
    with pytest.raises(NotFitted):
        registry.add(make_router("knn", encoder="hash:64"))
    with pytest.raises(InvalidInput, match="keeps routers"):
        registry.add("knn")  # type: ignore[arg-type]
    assert registry.versions() == []


def test_ids_by_their_beginning(registry: Registry) -> None:
    ids = [registry.add(router(i)).id for i in range(17)]  # more than there are first digits
    first = next(c for c in "0123456789abcdef" if sum(i.startswith(c) for i in ids) > 1)
    with pytest.raises(RegistryError, match="several versions begin with"):
        registry.version(first)
    for wrong in ("../versions", "..", "%", "", ids[0] + "0"):
        with pytest.raises(RegistryError):
            registry.version(wrong)


def test_shadow_and_canary_go_beside_what_serves(registry: Registry) -> None:
    a, b, c = (registry.add(router(i)).id for i in range(3))
    for begin in (lambda: registry.shadow(a), lambda: registry.canary(a, 0.1)):
        with pytest.raises(RegistryError, match="promote one first"):
            begin()
    registry.promote(a)
    with pytest.raises(RegistryError, match="serves already"):
        registry.shadow(a)
    for share in (0.0, -0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="share"):
            registry.canary(b, share)
    assert _facts(registry.canary(b, 0.25)) == (2, a, None, b, 0.25)
    assert _facts(registry.shadow(c)) == (3, a, c, b, 0.25)
    assert _facts(registry.promote(b)) == (4, b, c, None, 0.0), "its canary is over, another's shadow is not"
    assert _facts(registry.rollback()) == (5, a, None, None, 0.0)
    registry.shadow(c)
    assert _facts(registry.shadow(None)) == (7, a, None, None, 0.0)
    told = [(x.revision, x.action, x.version, x.before, x.share, x.ended) for x in registry.history()]
    assert told == [
        (7, "shadow", c, a, 0.0, True),
        (6, "shadow", c, a, 0.0, False),
        (5, "rollback", a, b, 0.0, False),
        (4, "promote", b, a, 0.0, False),
        (3, "shadow", c, a, 0.0, False),
        (2, "canary", b, a, 0.25, False),
        (1, "promote", a, None, 0.0, False),
    ]
    assert registry.history(2) == registry.history()[:2]


def test_rolling_back_goes_further_back_each_time(registry: Registry) -> None:
    a, b, c = (registry.add(router(i)).id for i in range(3))
    for one in (a, b, b, c):
        registry.promote(one)
    assert [registry.rollback().serving for _ in range(2)] == [b, a]
    with pytest.raises(RegistryError, match="nothing served before"):
        registry.rollback()
    assert registry.state().serving == a


def test_a_stale_decision_conflicts(registry: Registry) -> None:
    a, b = (registry.add(router(i)).id for i in range(2))
    seen = registry.state().revision
    registry.promote(a, expect=seen)
    before = registry.state(), registry.history()
    for change in (
        lambda: registry.promote(b, expect=seen),
        lambda: registry.shadow(b, expect=seen),
        lambda: registry.canary(b, 0.5, expect=seen),
        lambda: registry.rollback(expect=seen),
    ):
        with pytest.raises(RegistryConflict, match="read the registry again"):
            change()
    assert (registry.state(), registry.history()) == before


def test_a_rejection_changes_nothing_but_the_history(registry: Registry) -> None:
    a, b = (registry.add(router(i)).id for i in range(2))
    registry.promote(a)
    before = registry.state()
    registry.reject(b[:8], reason="worse by 3 points; key sk-abcdefgh12345678")
    assert registry.state() == before
    last = registry.history()[0]
    assert (last.action, last.version, last.before, last.revision) == ("reject", b, a, 1)
    assert "worse by 3 points" in last.reason and "sk-abc" not in last.reason
    assert last.by.rpartition(":")[2].isdigit()


def test_what_another_has_done_is_seen(open_at: Callable[..., Registry]) -> None:
    one, other = open_at(), open_at()
    a = one.add(router(1), metrics={"note": "half a pair \ud800 and a \x00"})
    assert other.versions() == [one.version(a.id)]
    one.promote(a.id, reason="line\nbreak \ud800 \x00")
    assert other.state() == one.state() and other.history() == one.history()
    assert other.load(a.id).version == a.id


def test_a_damaged_router_is_not_loaded(where: str, registry: Registry) -> None:
    kept = registry.add(router(1))
    if "://" not in where:
        file = Path(where) / "versions" / kept.id / "router" / "config.json"
        file.write_text(file.read_text().replace('"seed": 1', '"seed": 2'))
    else:
        from sqlalchemy import text

        with registry._store.engine.connect().execution_options(writes=True) as c, c.begin():  # type: ignore[attr-defined]
            c.execute(text("DELETE FROM registry_files WHERE name = 'arrays.safetensors'"))
    with pytest.raises(RegistryError, match=f"version {kept.id} cannot be loaded") as told:
        registry.load(kept.id)
    assert tempfile.gettempdir() not in str(told.value) or where in str(told.value)


# -- any sequence of changes, against a model ------------------------------------------------------
class Model(RuleBasedStateMachine):
    """Changes a registry and a few plain fields alike."""

    registry: Registry

    @initialize()
    def begin(self) -> None:
        self.ids = [self.registry.add(router(i)).id for i in range(3)]
        self.revision = 0
        self.serving: str | None = None
        self.shadow: str | None = None
        self.canary: str | None = None
        self.share = 0.0
        self.before: list[str] = []
        self.actions: list[tuple[int, str, str]] = []

    def _did(self, action: str, version: str) -> None:
        self.revision += 1
        self.actions.append((self.revision, action, version))

    @rule(i=st.integers(0, 2), stale=st.booleans())
    def promote(self, i: int, stale: bool) -> None:
        one = self.ids[i]
        if stale:
            with pytest.raises(RegistryConflict):
                self.registry.promote(one, expect=self.revision - 1)
            return
        self.registry.promote(one, expect=self.revision)
        if self.serving not in (None, one):
            self.before.append(str(self.serving))
        self.serving = one
        self.shadow = None if self.shadow == one else self.shadow
        if self.canary == one:
            self.canary, self.share = None, 0.0
        self._did("promote", one)

    @rule(i=st.integers(0, 2), share=st.sampled_from([0.1, 0.5, 1.0]), acts=st.booleans())
    def beside(self, i: int, share: float, acts: bool) -> None:
        one = self.ids[i]
        begin = (lambda: self.registry.canary(one, share)) if acts else (lambda: self.registry.shadow(one))
        if self.serving in (None, one):
            with pytest.raises(RegistryError):
                begin()
            return
        begin()
        if acts:
            self.canary, self.share = one, share
        else:
            self.shadow = one
        self._did("canary" if acts else "shadow", one)

    @rule(acts=st.booleans())
    def end(self, acts: bool) -> None:
        held = self.canary if acts else self.shadow
        self.registry.canary(None) if acts else self.registry.shadow(None)
        if held is not None:
            self._did("canary" if acts else "shadow", held)
        if acts:
            self.canary, self.share = None, 0.0
        else:
            self.shadow = None

    @precondition(lambda self: self.before)
    @rule()
    def rollback(self) -> None:
        self.registry.rollback(expect=self.revision)
        self.serving = self.before.pop()
        self.shadow, self.canary, self.share = None, None, 0.0
        self._did("rollback", self.serving)

    @precondition(lambda self: not self.before)
    @rule()
    def rollback_of_nothing(self) -> None:
        with pytest.raises(RegistryError, match="nothing served before"):
            self.registry.rollback()

    @rule(i=st.integers(0, 2))
    def reject(self, i: int) -> None:
        self.registry.reject(self.ids[i], reason="worse")
        self.actions.append((self.revision, "reject", self.ids[i]))

    @invariant()
    def as_the_model(self) -> None:
        if not hasattr(self, "ids"):
            return
        state = self.registry.state()
        assert _facts(state) == (self.revision, self.serving, self.shadow, self.canary, self.share)
        told = [(x.revision, x.action, x.version) for x in self.registry.history(1000)]
        assert told == self.actions[::-1]


@pytest.mark.parametrize("kind", ["folder", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_any_changes_do_as_the_model(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{tmp_path / 't.db'}"

    class Machine(Model):
        def __init__(self) -> None:
            super().__init__()
            if kind == "folder":
                shutil.rmtree(tmp_path / "registry", ignore_errors=True)
                self.registry = open_registry(tmp_path / "registry")
                return
            self.registry = open_registry(url)
            from sqlalchemy import text

            with self.registry._store.engine.connect().execution_options(writes=True) as c, c.begin():  # type: ignore[attr-defined]
                for table in ("registry_changes", "registry_states"):
                    c.execute(text(f"DELETE FROM {table}"))

        def teardown(self) -> None:
            self.registry.close()

    Machine.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
    Machine.TestCase("runTest").runTest()


# -- places ----------------------------------------------------------------------------------------
def test_what_is_not_there_is_not_made_unasked(tmp_path: Path) -> None:
    for where in (tmp_path / "no", f"sqlite:///{tmp_path / 'no.db'}"):
        with pytest.raises(RegistryError, match="there is no"):
            open_registry(where, create=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RegistryError, match="SQLite or PostgreSQL"):
        open_registry("mysql://host/db")


def test_an_unreachable_database_is_told_without_its_password() -> None:
    with pytest.raises(RegistryError, match="failed") as told:
        open_registry("postgresql://me:geheim123@127.0.0.1:1/none")
    assert "geheim123" not in str(told.value)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(RegistryError, match="holds something else"):
        open_registry(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_newer_or_damaged_folder_is_refused(tmp_path: Path) -> None:
    registry = open_registry(tmp_path / "r")
    kept = registry.add(router(1))
    registry.promote(kept.id)
    for file, said in (
        ("serving.json", "damaged"),
        ("history.jsonl", "damaged"),
        ("registry.json", "damaged"),
    ):
        whole = (tmp_path / "r" / file).read_text()
        (tmp_path / "r" / file).write_text('{"a": \n')
        with pytest.raises(RegistryError, match=said):
            open_registry(tmp_path / "r").history()
        (tmp_path / "r" / file).write_text(whole)
    (tmp_path / "r" / "registry.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RegistryError, match="Update it"):
        open_registry(tmp_path / "r")
