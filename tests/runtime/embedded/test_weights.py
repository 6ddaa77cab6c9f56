from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentnet.errors import DataError, MissingDependency
from agentnet.runtime.embedded.weights import FILE, INSTALL, find_model


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "weights_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / FILE).write_bytes(b"GGUFx")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_a_given_path_comes_before_the_package(gguf: Path, package: str) -> None:
    assert find_model(gguf, package=package) == gguf


def test_the_package_is_found_without_importing_it(package: str) -> None:
    found = find_model(package=package)
    assert found.name == FILE and found.parent.name == package
    assert package not in sys.modules


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="not a GGUF file"):
        find_model(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.gguf"):
        find_model(tmp_path / "gone.gguf")


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_is_honoured_and_the_error_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(MissingDependency) as caught:
        find_model(package="no_such_package_of_weights")
    assert INSTALL in str(caught.value) and name in str(caught.value)


def test_without_the_hub_the_error_does_not_blame_it() -> None:
    with pytest.raises(MissingDependency, match="not to be asked"):
        find_model(package="no_such_package_of_weights", allow_hub=False)
