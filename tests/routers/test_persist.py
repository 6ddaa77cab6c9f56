"""Routers on disk: whole or not at all, and nothing wrong is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentnet.errors import NotFitted, RouterError, RouterLoadError
from agentnet.routers import persist
from agentnet.routers.base import Router
from agentnet.routers.knn import KnnRouter
from agentnet.routers.persist import fingerprint, load
from agentnet.routers.registry import load_router


@pytest.fixture
def folder(kit: Any, fitted: Any, tmp_path: Path) -> Path:
    fitted("knn").save(tmp_path / "router")
    return tmp_path / "router"


def edit(folder: Path, change: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_the_folder_holds_two_files_and_no_pickle(folder: Path, fitted: Any) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.safetensors", "config.json"]
    config = json.loads((folder / "config.json").read_text())
    assert config["format"] == 1 and config["router"] == "knn"
    assert config["version"] == fitted("knn").version
    assert [path.name for path in folder.parent.iterdir()] == ["router"]


def test_saving_again_replaces(folder: Path, fitted: Any) -> None:
    fitted("best_single").save(folder)
    assert load_router(folder).name == "best_single"
    assert [path.name for path in folder.parent.iterdir()] == ["router"]


def test_a_failed_save_leaves_the_old_router(
    folder: Path, fitted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(persist.os, "fsync", full)
    with pytest.raises((RouterError, OSError), match="No space"):
        fitted("best_single").save(folder)
    assert load(folder).name == "knn"
    assert [path.name for path in folder.parent.iterdir()] == ["router"]


def test_only_routers_are_replaced(tmp_path: Path, fitted: Any) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("precious")
    with pytest.raises(RouterError, match="is not a router"):
        fitted("best_single").save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    fitted("best_single").save(tmp_path / "empty")
    assert load(tmp_path / "empty").name == "best_single"


def test_an_unfitted_router_is_not_saved(kit: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFitted):
        kit.make("knn").save(tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_missing_folder_or_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RouterLoadError, match="no router folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RouterLoadError, match=r"has no config\.json"):
        load(tmp_path / "empty")
    (folder / "arrays.safetensors").unlink()
    with pytest.raises(RouterLoadError, match=r"has no arrays\.safetensors"):
        load(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
@pytest.mark.parametrize("file", ["config.json", "arrays.safetensors"])
def test_a_truncated_file(folder: Path, file: str, keep: int) -> None:
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[:keep])
    with pytest.raises(RouterLoadError):
        load(folder)


def test_a_flipped_bit(folder: Path) -> None:
    data = bytearray((folder / "arrays.safetensors").read_bytes())
    data[-5] ^= 1
    (folder / "arrays.safetensors").write_bytes(bytes(data))
    with pytest.raises(RouterLoadError, match="digest differs"):
        load(folder)


@pytest.mark.parametrize("key", ["settings", "state", "version", "options"])
def test_a_changed_configuration(folder: Path, key: str) -> None:
    def change(config: dict[str, Any]) -> None:
        if key == "version":
            config["version"] = "0" * 12
        else:
            config[key] = {**config[key], "k": 3}

    edit(folder, change)
    with pytest.raises(RouterLoadError, match="digest differs"):
        load(folder)


def test_a_newer_format_and_other_json(folder: Path) -> None:
    edit(folder, lambda config: config.update(format=2))
    with pytest.raises(RouterLoadError, match=r"format 2.*Update agentnet"):
        load(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(RouterLoadError, match="not a router's configuration"):
        load(folder)


def test_an_incomplete_configuration(folder: Path) -> None:
    edit(folder, lambda config: config.pop("state"))
    with pytest.raises(RouterLoadError, match="lacks state"):
        load(folder)


def test_another_routers_folder(folder: Path, fitted: Any) -> None:
    assert isinstance(Router.load(folder), KnnRouter)
    fitted("best_single").save(folder)
    with pytest.raises(RouterLoadError, match="'best_single' router, not 'knn'"):
        KnnRouter.load(folder)


def test_the_fingerprint_is_of_content(kit: Any) -> None:
    data = kit.planted(80)
    versions = []
    for k in (5, 5, 9):
        router = kit.make("knn", k=k)
        router.fit(data, data.pool)
        assert router.version == fingerprint(router)
        versions.append(router.version)
    assert versions[0] == versions[1] != versions[2]
