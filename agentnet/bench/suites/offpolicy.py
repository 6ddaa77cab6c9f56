"""Suite ``offpolicy``: how well the value of one router is told from the log of another (*replayed*)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentnet.bench.files import write_json
from agentnet.bench.protocol import compact
from agentnet.bench.suites.common import (
    finish,
    header,
    load_recorded,
    make_lab,
    pack_folders,
    pack_head,
    progress_of,
)
from agentnet.bench.suites.offpolicy_figures import make_part
from agentnet.bench.suites.offpolicy_measure import DRAWS, MODELS, SIZES, Cases, measure
from agentnet.bench.suites.offpolicy_report import print_table, write_report
from agentnet.bench.suites.offpolicy_world import choose_pairs, make_world
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

SEED = 0
"""Of the cut, the pairs and the draws that are reported; everything tuned was tuned with others."""


def run(
    *,
    data: Sequence[str],
    routers: Sequence[str] | None,
    seeds: int,
    out: Path,
    command: str,
    console: Console | None,
    progress: Console | None = None,
    encoder: str = "minilm",
    cache: Path | None = None,
    seed: int = SEED,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Runs the suite; see `agentnet.bench.suites.run_suite`. ``seeds`` has no effect: draws are many.

    Raises:
        InvalidInput: routers are named; the policies are part of the suite's design.
    """
    if routers:
        raise InvalidInput("suite 'offpolicy' has its own policies: leave --routers out.")
    lab = make_lab(encoder, cache)
    results = header("offpolicy", command=command, seeds=1, encoder=encoder)
    results |= {"seed": seed, "sizes": list(sizes), "draws": draws, "models": dict(MODELS)}
    found: dict[str, list[Cases]] = {model: [] for model in MODELS}
    n = 0
    for folder in pack_folders(data):
        outcomes = compact(load_recorded(folder))
        pack = pack_head(folder, outcomes)
        results["packs"].append(pack)
        with progress_of(progress, folder.name) as say:
            say("fitting the policies")
            world = make_world(folder.name, outcomes, lab, seed=seed)
            pairs = choose_pairs(world, seed=seed)
            n += len(world.outcomes)
            overlap = [world.overlap(*pair) for pair in pairs]
            cases = measure(world, pairs, seed=seed, sizes=sizes, draws=draws, say=say)
        for model, each in cases.items():
            found[model].append(each)
            pack["parts"].append(make_part(model, each, n=len(world.outcomes), pairs=pairs, overlap=overlap))
        write_json(out / "results.json", results)
    pooled = [make_part(model, Cases.join(parts), n=n) for model, parts in found.items()]
    results["packs"].append({"name": "all packs pooled", "n": n, "agents": [], "parts": pooled})
    write_json(out / "results.json", results)
    write_report(results, out / "report.html")
    finish(results, out, console, print_table)
    return results
