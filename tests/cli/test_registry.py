"""`agentnet registry`: add, ls, show, promote, rollback, shadow, canary, history."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agentnet import make_router
from agentnet.registry.base import open_registry


@pytest.fixture(params=["folder", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "reg" if request.param == "folder" else f"sqlite:///{tmp_path / 'traces.db'}"


@pytest.fixture
def versions(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of three versions, each the child of the one before."""
    monkeypatch.chdir(tmp_path)
    registry = open_registry(where)
    found: list[str] = []
    for i in range(3):
        parent = found[-1] if found else None
        metrics = {"gain": 0.25 * i, "slices": {"maths": 0.123456789}, "ok": True}
        router = make_router("random", seed=i)
        found.append(registry.add(router, parent=parent, metrics=metrics, data="d1", note=f"number {i}").id)
    registry.close()
    return found


def _state(cli: Any, where: str) -> dict[str, Any]:
    return dict(json.loads(cli("registry", "ls", "--registry", where, "--json").out)["state"])


def test_a_trained_router_is_added_promoted_and_rolled_back(cli: Any, knn: Path, where: str) -> None:
    done = cli("registry", "add", knn, "--registry", where, "--note", "the first")
    assert done.status == 0 and "knn" in done.out
    version = done.out.split()[0]
    assert f"agentnet registry promote {version}" in done.err
    assert "nothing serves yet" in cli("registry", "ls", "--registry", where).out
    done = cli("registry", "promote", version[:5], "--registry", where, "--reason", "to begin")
    assert (done.status, done.out.strip()) == (0, f"serving {version} (revision 1)")
    assert cli("registry", "add", knn, "--registry", where, "--parent", "zz").error.startswith(
        "error: there is no version 'zz'"
    )
    assert [v.id for v in open_registry(where).versions()] == [version]


def test_what_is_there_is_listed(cli: Any, where: str, versions: list[str]) -> None:
    a, b, c = versions
    for words in (("promote", a), ("canary", b, "--share", "0.1"), ("shadow", c)):
        assert cli("registry", *words, "--registry", where).status == 0
    listed = cli("registry", "ls", "--registry", where).out
    assert f"serving {a}, canary {b} on 10.0%, shadow {c} (revision 3)" in listed
    rows = {line.split()[0]: line for line in listed.splitlines() if line.strip()[:12] in versions}
    assert list(rows) == [c, b, a], "the newest first"
    assert "shadow" in rows[c] and "canary 10.0%" in rows[b] and "serving" in rows[a]
    told = json.loads(cli("registry", "ls", "--registry", where, "--json").out)
    assert [item["id"] for item in told["versions"]] == [c, b, a]
    assert (told["state"]["revision"], told["state"]["canary_share"]) == (3, 0.1)


def test_show_tells_metrics_and_where_it_comes_from(cli: Any, where: str, versions: list[str]) -> None:
    a, b, c = versions
    cli("registry", "promote", c, "--registry", where, "--reason", "best of three")
    shown = cli("registry", "show", c[:6], "--registry", where).out
    assert shown.startswith(f"{c}  random  ") and shown.splitlines()[0].endswith("serving")
    assert f"comes from: {b} <- {a}" in shown and "fitted on: d1" in shown and "note: number 2" in shown
    assert "  gain: 0.5\n  slices.maths: 0.123457\n  ok: true\n" in shown
    assert "promote at revision 1: best of three" in shown
    told = json.loads(cli("registry", "show", c, "--registry", where, "--json").out)
    assert (told["parents"], told["role"], told["metrics"]["gain"]) == ([b, a], "serving", 0.5)
    assert [change["action"] for change in told["history"]] == ["promote"]
    assert "comes from: no other version" in cli("registry", "show", a, "--registry", where).out


def test_changes_and_their_history(cli: Any, where: str, versions: list[str]) -> None:
    a, b, _ = versions
    cli("registry", "promote", a, "--registry", where)
    done = cli("registry", "promote", b, "--registry", where, "--expect", "1", "--reason", "better")
    assert done.status == 0 and f"back to {a}" in done.err
    done = cli("registry", "promote", a, "--registry", where, "--expect", "1")
    assert done.status == 1 and "decide anew" in done.error and _state(cli, where)["serving"] == b
    assert cli("registry", "canary", a, "--share", ".25", "--registry", where).status == 0
    assert cli("registry", "canary", "--off", "--registry", where).status == 0
    assert _state(cli, where)["canary"] is None
    assert cli("registry", "rollback", "--registry", where, "--reason", "worse").out.startswith(
        f"serving {a}"
    )
    listed = cli("registry", "history", "--registry", where).out
    actions = [
        re.split(r" {2,}", line.strip())[2] for line in listed.splitlines() if line.strip()[:1].isdigit()
    ]
    assert actions == ["rollback", "end of canary", "canary 25.0%", "promote", "promote"]
    assert "better" in listed and "worse" in listed
    told = json.loads(cli("registry", "history", "--registry", where, "--json", "-n", "2").out)
    assert [(x["action"], x["revision"], x["ended"]) for x in told] == [
        ("rollback", 5, False),
        ("canary", 4, True),
    ]


def test_wrong_input_is_one_line(cli: Any, where: str, versions: list[str]) -> None:
    a = versions[0]
    for words, status, said in [
        (("promote", "zz"), 1, "no version 'zz'"),
        (("rollback",), 1, "nothing served before"),
        (("shadow", a), 1, "promote one first"),
        (("shadow",), 2, "--off"),
        (("canary", a, "--off"), 2, "--off"),
        (("canary", a), 2, "--share"),
        (("canary", a, "--share", "0"), 2, "share"),
        (("add", "nowhere"), 2, "nowhere"),
    ]:
        done = cli("registry", *words, "--registry", where)
        assert done.status == status and said in done.error, words
    assert _state(cli, where)["revision"] == 0


def test_a_registry_that_is_not_there_is_not_made(cli: Any, tmp_path: Path) -> None:
    for words in (("ls",), ("promote", "ab"), ("history",)):
        done = cli("registry", *words, "--registry", tmp_path / "none")
        assert done.status == 1 and "there is no registry" in done.error
    done = cli("registry", "ls", "--registry", f"sqlite:///{tmp_path}/none.db")
    assert done.status == 1 and "there is no" in done.error
    assert not list(tmp_path.iterdir())
    assert cli("registry", "ls").status == 2, "which registry must be said"


def test_the_registry_may_be_set_once(
    cli: Any, where: str, versions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTNET_REGISTRY", where)
    assert cli("registry", "promote", versions[1]).status == 0
    assert versions[1] in cli("registry", "ls").out
