from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentnet.bench import doctor


def by_name() -> dict[str, doctor.Finding]:
    findings = doctor.examine()
    assert len({item.what for item in findings}) == len(findings)
    return {item.what: item for item in findings}


def test_it_names_every_layer_of_the_sandbox_and_what_each_lack_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(doctor.DATA, raising=False)
    found = by_name()
    assert found["Python"].ok and sys.version.split()[0] in found["Python"].detail
    assert {"sandbox", "sandbox: seccomp", "sandbox: landlock", "sandbox: namespaces"} <= set(found)
    assert found["SQLite"].ok and "WAL" in found["SQLite"].detail
    assert not found["data packs"].ok and doctor.DATA in found["data packs"].detail
    assert all(item.detail for item in found.values() if not item.ok)


def test_a_package_that_is_not_there_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package": "pip install no-such-package"})
    monkeypatch.setattr(doctor, "WEIGHTS", {"brain": ("no_such_package", "*", "pip install brain")})
    found = by_name()
    assert (
        not found["no-such-package"].ok and "pip install no-such-package" in found["no-such-package"].detail
    )
    assert not found["brain"].ok and "pip install brain" in found["brain"].detail


def test_the_data_folder_is_looked_into(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(doctor.DATA, str(tmp_path))
    assert "holds no pack" in by_name()["data packs"].detail
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "queries.parquet").touch()
    found = by_name()["data packs"]
    assert found.ok and "mine" in found.detail
