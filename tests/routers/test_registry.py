"""Names, settings from text, and what an error tells."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agentnet.errors import InvalidInput, UnknownRouter
from agentnet.routers.registry import RESERVED, make_router, router_class, router_names
from agentnet.routers.settings import setting_types


def test_every_name_leads_to_a_class_of_that_name() -> None:
    for name in router_names():
        found = router_class(name)
        assert found.name == name
        made = make_router(name)
        assert made.version == "unfitted"
        assert set(made.settings) == set(setting_types(found))


def test_a_reserved_name_is_not_in_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not set(RESERVED) & set(router_names())
    monkeypatch.setattr("agentnet.routers.registry.RESERVED", ("planned",))
    with pytest.raises(UnknownRouter, match="not in this version"):
        make_router("planned")


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UnknownRouter, match=r"no router 'knm'.*knn.*kmeans"):
        make_router("knm")


def test_settings_are_parsed_from_text() -> None:
    made: Any = make_router(
        "knn", k="12", temperature="0.5", shrink="none", keep_texts="no", encoder="hash:64"
    )
    assert made.settings == {
        "k": 12, "temperature": 0.5, "shrink": None, "keep_texts": False, "encoder": "hash:64",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("k", "many"), ("k", "1.5"), ("k", 1.5), ("k", True), ("keep_texts", "perhaps"), ("encoder", 7),
     ("temperature", "hot"), ("shrink", [])],
)  # fmt: skip
def test_a_wrong_value_names_the_setting_and_its_type(key: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"setting '{key}' of router 'knn'"):
        make_router("knn", **{key: value})


def test_an_unknown_setting_lists_those_there_are() -> None:
    with pytest.raises(
        InvalidInput, match=r"has no setting 'neighbours'; it has: encoder \(str.*k \(int or none"
    ):
        make_router("knn", neighbours=5)
    with pytest.raises(InvalidInput, match="it has: none"):
        make_router("cheapest", k=5)


def test_naming_routers_loads_no_heavy_package() -> None:
    code = (
        "import sys; from agentnet.routers.registry import router_names, make_router; router_names(); "
        "make_router('best_single'); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'safetensors', 'litellm', 'sqlalchemy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("knn", {"k": "-3"}),
        ("knn", {"k": "0"}),
        ("knn", {"temperature": "-1"}),
        ("knn", {"shrink": "nan"}),
        ("kmeans", {"clusters": "0"}),
        ("kmeans", {"nearest": "-1"}),
        ("cascade", {"stages": "7"}),
        ("cascade", {"candidates": "-2"}),
        ("vote", {"most": "0"}),
        ("vote", {"beam": "-1"}),
    ],
)
def test_a_setting_out_of_range_is_refused_when_the_router_is_made(
    name: str, settings: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        make_router(name, **settings)
