"""Benchmark suites by name; a suite's module is imported when it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

SUITES = {
    "routing": "agentnet.bench.suites.routing",
    "paths": "agentnet.bench.suites.paths",
    "onboarding": "agentnet.bench.suites.onboarding",
    "kgqa": "agentnet.bench.suites.kgqa",
    "topology": "agentnet.bench.suites.topology",
    "intents": "agentnet.bench.suites.intents",
    "online": "agentnet.bench.suites.online",
    "promotion": "agentnet.releases.promotion_suite",
    "offpolicy": "agentnet.bench.suites.offpolicy",
    "judges": "agentnet.bench.suites.judges",
    "partial": "agentnet.bench.suites.partial",
}
TAKES: Mapping[str, frozenset[str]] = {
    "kgqa": frozenset({"traces", "record", "model", "ablations"}),
    "topology": frozenset({"traces", "record", "model", "parts"}),
    "intents": frozenset({"traces", "model", "parts"}),
}
"""Settings in ``recording`` that a suite takes."""


def run_suite(
    name: str,
    *,
    data: Sequence[str],
    routers: Sequence[str] | None,
    seeds: int,
    out: Path,
    command: str,
    console: Console | None = None,
    progress: Console | None = None,
    encoder: str = "minilm",
    cache: Path | None = None,
    simulated: bool = True,
    rows: str = "auto",
    counted_by: str | None = None,
    recording: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Runs a suite and writes ``results.json`` and ``report.html`` into ``out``.

    Args:
        name: One of `SUITES`.
        data: Packs, or folders of packs.
        routers: Names; None takes the suite's own.
        seeds: Seeds per router.
        out: Folder for the results.
        command: The command to write into the results.
        console: Where tables go; None prints none.
        progress: Where it is said what is being done; None says nothing.
        encoder: Text encoder of all routers.
        cache: Folder in which encodings are kept; None keeps them in memory.
        simulated: Whether suites ``paths`` and ``topology`` run their simulated part too.
        rows: Rows that suites ``routing`` and ``onboarding`` evaluate:
            ``"test"``, ``"cross-fitted"`` or ``"auto"``.
        counted_by: Router that finds which agents count in suite ``onboarding``, on the test rows; None lets
            every router find its own.
        recording: Settings of suites that record, see `TAKES`: ``traces``, ``record``, ``model``, and
            ``ablations`` (kgqa) or ``parts`` (topology, intents).

    Raises:
        InvalidInput: there is no such suite, it needs a pack, or it lacks what a setting is about.
    """
    if name not in SUITES:
        raise InvalidInput(f"no suite {name!r}; there are: {', '.join(SUITES)}.")
    if not simulated and name not in ("paths", "topology"):
        raise InvalidInput(f"suite {name!r} has no simulated part; only 'paths' and 'topology' have.")
    if rows != "auto" and name not in ("routing", "onboarding"):
        raise InvalidInput(f"suite {name!r} has no choice of rows; only 'routing' and 'onboarding' have.")
    further: dict[str, Any] = {} if simulated else {"simulated": False}
    if rows != "auto":
        further["rows"] = rows
    if counted_by and name != "onboarding":
        raise InvalidInput(f"suite {name!r} counts no agents; only 'onboarding' does.")
    if counted_by:
        further["counted_by"] = counted_by
    if unknown := sorted((recording or {}).keys() - TAKES.get(name, frozenset())):
        takers = sorted(suite for suite, taken in TAKES.items() if taken & set(unknown))
        raise InvalidInput(
            f"suite {name!r} has no setting {', '.join(unknown)}; these suites have: {', '.join(takers)}."
        )
    if not data and name not in ("topology", "intents"):
        raise InvalidInput(f"suite {name!r} needs a pack: give one with --data.")
    further |= recording or {}
    results: dict[str, Any] = import_module(SUITES[name]).run(
        data=data,
        routers=routers,
        seeds=seeds,
        out=out,
        command=command,
        console=console,
        progress=progress,
        encoder=encoder,
        cache=cache,
        **further,
    )
    return results
