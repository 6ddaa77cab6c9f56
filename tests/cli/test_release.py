"""``agentnet learn`` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agentnet.traces.store import TraceStore

from .conftest import Cli

sys.path.insert(0, str(Path(__file__).parents[1] / "releases"))
from world import write_log

SETTINGS = ("--router", "kmeans", "--set", "encoder=hash:128", "--set", "clusters=4")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("written") / "traces.db"
    with TraceStore.open(path) as store:
        write_log(store, 2000)
    return f"sqlite:///{path}"


def test_learn_promotes_tells_why_and_writes_a_page(cli: Cli, written: str, tmp_path: Path) -> None:
    gates = tmp_path / "gates.toml"
    gates.write_text("max_calibration_error = 0.2\n")
    done = cli(
        "learn", "--db", written, "--registry", "registry", *SETTINGS, "--gates", gates, "--out", "out"
    )
    assert done.status == 0, done.err
    assert "promoted: it serves now" in done.out
    assert "smallest gain this evidence can show" in done.out
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert report["verdict"]["action"] == "promote"
    assert report["gain"]["low"] > 0
    assert report["peak_mb"] > 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "solver" in page
    assert report["version"] in cli("registry", "ls", "--registry", "registry").out

    folder = next((tmp_path / "registry" / "versions").iterdir()) / "router"
    judged = cli("evaluate", folder, "--data", written, "--off-policy", "--json", "judged.json")
    assert judged.status == 0, judged.err
    assert "effective sample size" in judged.out
    assert json.loads((tmp_path / "judged.json").read_text())["score"]["answered"]

    again = cli(
        "learn", "--db", written, "--registry", "registry", "--dry-run", "--candidate", report["version"]
    )
    assert "dry run" in again.out
    assert f"against {report['version']}" in again.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--since", "soon"), "--since takes a date"),
        (("--since", "-1d"), "--since takes"),
        (("--router", "knnn"), "no router 'knnn'"),
        (("--set", "k"), "--set takes key=value"),
    ],
)
def test_wrong_input_is_said_in_a_line(cli: Cli, written: str, given: tuple[str, ...], said: str) -> None:
    done = cli("learn", "--db", written, "--registry", "registry", *given)
    assert done.status == 2
    assert said in done.error


def test_a_database_that_is_not_there_is_not_made(cli: Cli, tmp_path: Path) -> None:
    done = cli("learn", "--db", "sqlite:///nowhere.db", "--registry", "registry")
    assert (done.status, "there is no trace database" in done.error) == (1, True)
    assert not (tmp_path / "nowhere.db").exists()


def test_against_goes_with_off_policy(cli: Cli, written: str) -> None:
    done = cli("evaluate", "router", "--data", written, "--against", "other")
    assert "--off-policy" in done.error
