"""``agentnet learn``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentnet.cli.options import (
    DEFAULT_DB,
    Device,
    Seed,
    cache_folder,
    command_line,
    console,
    moment,
    parse_settings,
    with_cache,
)

if TYPE_CHECKING:
    from agentnet.outcomes.encoders import Encoder
    from agentnet.outcomes.table import Outcomes
    from agentnet.releases.learn import Plan, Release
    from agentnet.routers.base import Router
    from agentnet.traces.store import TraceStore


def learn(
    registry: Annotated[
        str,
        typer.Option(
            "--registry",
            metavar="DIR_OR_URL",
            envvar="AGENTNET_REGISTRY",
            help="Where versions are kept and served from.",
        ),
    ],
    db: Annotated[str, typer.Option("--db", help="Trace database's URL.", envvar="AGENTNET_DB")] = DEFAULT_DB,
    router: Annotated[
        str | None,
        typer.Option("--router", help="Kind of the candidate; default: that of the serving version."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the candidate, key=value; repeatable.")
    ] = None,
    gates: Annotated[
        Path | None,
        typer.Option("--gates", dir_okay=False, help="TOML file of gates; see docs/release.md."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only runs since then: 2026-01-31, or 12h, 7d, 4w.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="live, replayed or simulated runs.")] = None,
    most: Annotated[
        int, typer.Option("--most", min=100, help="Decisions kept in memory, a uniform sample of the log.")
    ] = 50_000,
    held_out: Annotated[
        str | None,
        typer.Option("--held-out", help="Pack with outcomes of all agents; its split test is evidence, too."),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option("--prior", help="Pack of public outcomes of agents of these names, for a cold start."),
    ] = None,
    prior_weight: Annotated[
        float, typer.Option("--prior-weight", min=0.0, help="Decisions of each agent the prior counts for.")
    ] = 50.0,
    recalibrate: Annotated[
        bool,
        typer.Option("--recalibrate", help="Curves by agent and slice, from half of what is held out."),
    ] = False,
    canary: Annotated[
        float | None,
        typer.Option("--canary", min=0.0, max=1.0, help="Let it act on this share first, instead of on all."),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option("--candidate", metavar="ID", help="Judge this version anew instead of training one."),
    ] = None,
    if_drift: Annotated[
        bool, typer.Option("--if-drift", help="Do nothing unless inputs, scores or prices have drifted.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge only; the registry stays.")] = False,
    note: Annotated[str, typer.Option("--note", help="Written to the version.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="Folder for results.json and report.html.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train a candidate from traces, judge it against what serves, and promote, shadow or reject it.

    Example: agentnet learn --db sqlite:///agentnet.db --registry registry --router kmeans --out learned
    """
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.registry.base import open_registry
    from agentnet.releases.gates import Gates
    from agentnet.releases.learn import Plan
    from agentnet.releases.learn import learn as run
    from agentnet.traces.store import TraceStore

    where: dict[str, Any] = {"kind": kind} if kind else {}
    if since is not None:
        where["since"] = moment(since)
    plan = Plan(
        router=router,
        settings=parse_settings(settings) if settings else None,
        gates=Gates.load(gates) if gates else Gates(),
        most=most,
        where=where,
        seed=seed,
        device=device,
        dry_run=dry_run,
        canary_share=canary,
        note=note,
        candidate=candidate,
        recalibrate=recalibrate,
        prior_weight=prior_weight,
    )
    with TraceStore.open(db, create=False) as store:
        if if_drift:
            after = _drifted(store, plan)
            if after is None:
                return
            plan = after
        book = open_registry(registry)
        try:
            with console(err=True).status("reading traces") as status:
                release = run(
                    store,
                    book,
                    plan,
                    encoder=_encoder,
                    held_out=load_outcomes(held_out) if held_out else None,
                    prior=_prior(prior, store),
                    say=status.update,
                )
        finally:
            book.close()
    if out is not None:
        _write(release, out)
    _show(release)
    if release.done == "conflict":
        raise typer.Exit(1)


def _encoder(router: Router) -> Encoder | None:
    """Gives a router the user's cache of encodings; it is set on the router itself."""
    if cache_folder() is not None:
        with_cache(router)
    return None


def _prior(pack: str | None, store: TraceStore) -> Outcomes | None:
    if pack is None:
        return None
    from agentnet.outcomes.packs import load_outcomes
    from agentnet.releases.priors import public_prior
    from agentnet.traces.choices import newest_pool

    outcomes = load_outcomes(pack)
    return public_prior(outcomes, newest_pool(store) or outcomes.pool)


def _drifted(store: TraceStore, plan: Plan) -> Plan | None:
    """The plan for what came after the latest change; None where nothing has drifted."""
    from dataclasses import replace

    from agentnet.releases.drift import drift_of
    from agentnet.releases.drift import moment as shown

    report = drift_of(store, most=plan.most, **plan.where)
    for line in report.lines():
        typer.echo(line)
    if not report.drifted:
        typer.echo("nothing has drifted: nothing is learned.")
        return None
    changes = [finding.since.high for finding in report.alarms if finding.since is not None]
    if not changes:
        return plan
    since = max(*changes, plan.where.get("since", 0.0))
    typer.echo(f"learning from runs since {shown(since)}")
    return replace(plan, where={**plan.where, "since": since})


def _write(release: Release, out: Path) -> None:
    import resource

    from agentnet.bench.files import write_json
    from agentnet.releases.report import write_report

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(
        out / "results.json", release.to_dict() | {"command": command_line(), "peak_mb": round(peak, 1)}
    )
    write_report(release, out / "report.html", command=command_line())


_TELL = {
    "promoted": "promoted: it serves now",
    "canary": "canary: it acts on a share of the tasks now",
    "shadow": "held as shadow: it watches, and does not act",
    "held": "held: it is kept, and nothing serves yet (`agentnet registry promote` would let it)",
    "rejected": "rejected: what served goes on serving",
    "same": "the candidate is what serves already",
    "conflict": "somebody else released meanwhile: nothing was changed; run it again",
    "dry run": "dry run: the registry stays as it is",
}


def _show(release: Release) -> None:
    from agentnet.releases.gates import worst_first

    seen = release.seen
    typer.echo(
        f"{seen.decisions:,} decisions ({seen.kind}), {seen.judged:,} judged, {seen.usable:,} with "
        f"propensity; learned from {release.used[0]:,}, held out {release.used[1]:,}"
    )
    against = release.serving or "what the log's routers did"
    typer.echo(f"candidate {release.router} {release.version} against {against}")
    verdict = release.verdict
    if verdict.detectable is not None:
        typer.echo(f"smallest gain this evidence can show: {verdict.detectable:.4f}")
    mark = {True: "pass", False: "FAIL", None: "open"}
    for check in worst_first(verdict.checks):
        typer.echo(f"  {mark[check.passed]:<5}{check.gate:<12} {check.told}")
    for text in release.notes:
        typer.echo(f"  note: {text}")
    typer.echo(_TELL[release.done])
