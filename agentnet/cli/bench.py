"""``agentnet bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentnet.cli.options import cache_folder, command_line, console

app = typer.Typer(help="Benchmark routers against strong simple baselines.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Benchmark routers against strong simple baselines."""


@app.command("run")
def run(
    suite: Annotated[
        str,
        typer.Argument(
            help="Name of a suite: routing, paths, onboarding, kgqa, topology, intents, offpolicy, judges, "
            "partial, online."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="A data pack's folder, or a folder of packs; repeatable. Suite topology: also the pack of "
            "its live part. Suite intents: label packs.",
        ),
    ] = None,
    routers: Annotated[
        str | None, typer.Option("--routers", help="Names, comma-separated; default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds per randomised router.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="Folder for results.json and report.html.")] = Path(
        "bench-out"
    ),
    encoder: Annotated[str, typer.Option("--encoder", help="Text encoder of all routers.")] = "minilm",
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated/--no-simulated", help="Suites paths, topology: run the simulated part too."
        ),
    ] = True,
    rows: Annotated[
        str, typer.Option("--rows", help="Suites routing, onboarding: auto, test or cross-fitted.")
    ] = "auto",
    counted_by: Annotated[
        str | None,
        typer.Option(
            "--counted-by",
            help="Suite onboarding: the router that finds which agents count on the test rows, for all "
            "routers; default: each its own, which costs many fits.",
        ),
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(
            "--traces",
            help="Suite kgqa: URL of the database of recorded runs. Suites topology, intents: the folder of "
            "the live part's recordings.",
        ),
    ] = None,
    record: Annotated[
        bool,
        typer.Option("--record/--no-record", help="Suites kgqa, topology: ask what is not recorded yet."),
    ] = True,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Suites kgqa, topology, intents: GGUF file of the embedded model."),
    ] = None,
    ablations: Annotated[
        bool, typer.Option("--ablations/--no-ablations", help="Suite kgqa: run the ablations too.")
    ] = True,
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--part",
            help="Repeatable; default: what there is. Suite topology: simulated, replayed or live. Suite "
            "intents: full, unseen, ambiguity, shots or live.",
        ),
    ] = None,
) -> None:
    """Run a benchmark suite; writes results.json and a self-contained report.html.

    Example: agentnet bench run routing --data data/ulab9 --routers knn,kmeans --seeds 5
    """
    from agentnet.bench.suites import run_suite

    given = {"traces": traces, "record": record, "model": model, "ablations": ablations, "parts": parts}
    usual = {"traces": None, "record": True, "model": None, "ablations": True, "parts": None}
    run_suite(
        suite,
        data=data or (),
        routers=[name.strip() for name in routers.split(",") if name.strip()] if routers else None,
        seeds=seeds,
        out=out,
        command=command_line(),
        console=console(),
        progress=console(err=True),
        encoder=encoder,
        cache=cache_folder(),
        simulated=simulated,
        rows=rows,
        counted_by=counted_by,
        recording={name: value for name, value in given.items() if value not in (usual[name], [])},
    )
