"""``agentnet traces score``, ``agreement``, ``correct`` and ``sample-gold``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agentnet.cli.options import DEFAULT_DB, console, moment
from agentnet.cli.score_tables import print_agreement, print_report
from agentnet.errors import InvalidInput

if TYPE_CHECKING:
    from agentnet.graphs.agent import Agent, Backend
    from agentnet.learning.scoring.run import ScoreReport
    from agentnet.learning.scoring.scorers import Scorer
    from agentnet.traces.store import TraceStore

Db = Annotated[str, typer.Option("--db", help="Trace database's URL.", envvar="AGENTNET_DB")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Only runs that started since: 2026-01-31, 2026-01-31T12:00, or 7d, 12h."),
]
Kind = Annotated[str | None, typer.Option("--kind", help="Only live, replayed or simulated runs.")]
Gold = Annotated[
    list[str] | None,
    typer.Option(
        "--gold", help="Whose scores count as gold; repeatable, best first; default: human, verifier:gold."
    ),
]  # fmt: skip
GOLD = ("human", "verifier:gold")
WITH = (
    "Who scores; repeatable. gold: the recorded gold answer; verifier:MODULE:FUNCTION or an entry point's "
    "name; judge:MODEL: a language model; labels:FILE: human labels; signals or signals:FILE: thumbs, "
    "ratings, edits, retries."
)


def score(
    with_: Annotated[list[str], typer.Option("--with", help=WITH, show_default=False)],
    db: Db = DEFAULT_DB,
    since: Since = None,
    router: Annotated[str | None, typer.Option("--router", help="Only this router's runs.")] = None,
    kind: Kind = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Score at most so many answers.")
    ] = None,
    sample: Annotated[
        float, typer.Option("--sample", help="Share of the runs to score; the same ones at every call.")
    ] = 1.0,
    again: Annotated[bool, typer.Option("--again", help="Also score what has a score of this name.")] = False,
    weight: Annotated[float, typer.Option("--weight", min=0.0, help="Weight beside other judges.")] = 1.0,
    answers: Annotated[
        Literal["auto", "answer", "steps", "both"],
        typer.Option("--answers", help="Score the run's answer, every step's, or both."),
    ] = "auto",
    failed: Annotated[
        Literal["skip", "zero"], typer.Option("--failed", help="Runs that failed: unjudged, or scored 0.")
    ] = "skip",
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="Most USD for judge:MODEL; then it stops.")
    ] = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Scorings at once.")] = 8,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="Longest verdict of judge:MODEL.")
    ] = 512,
    agents: Annotated[
        Path | None,
        typer.Option(
            "--agents", help="JSON list of agents: judge:NAME may name one of them, or its backend."
        ),
    ] = None,
    gold: Gold = None,
) -> None:
    """Score logged runs: by recorded gold, programs, language models, people and what users did.

    What has been scored by the same scorer is skipped, so a call that was cut off is simply made again.

    Example: agentnet traces score --with gold --db sqlite:///agentnet.db

    agentnet traces score --with judge:openai/gpt-4o-mini --budget 2.50 --sample 0.1

    agentnet traces score --with labels:labels.csv --with signals
    """
    from agentnet.traces.store import TraceStore

    where = _where(since, router, kind)
    plans = [(spec, *_plan(spec, agents, budget, max_tokens)) for spec in with_]
    with TraceStore.open(db, create=False) as store:
        for spec, scorer, source in plans:
            if scorer is None:
                _from_source(store, spec, source, weight, where)
                continue
            report = _scored(
                store, scorer, spec, answers=answers, failed=failed, limit=limit, sample=sample, again=again,
                weight=weight, concurrency=concurrency, **where,
            )  # fmt: skip
            print_report(report, failed)
            names = [name for name in gold or GOLD if name != scorer.name]
            if names and report.scored:
                print_agreement(store, scorer.name, names, where, quiet=True)


def agreement(
    judge: Annotated[str, typer.Option("--judge", help="The judge's name in outcomes: judge:MODEL ...")],
    db: Db = DEFAULT_DB,
    gold: Gold = None,
    since: Since = None,
    kind: Kind = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a judge with gold labels, agent by agent, and correct what it says of each router.

    Example: agentnet traces agreement --judge judge:openai/gpt-4o-mini --gold human
    """
    from agentnet.traces.store import TraceStore

    with TraceStore.open(db, create=False) as store:
        print_agreement(store, judge, list(gold or GOLD), _where(since, None, kind), as_json=as_json)


def correct(
    judge: Annotated[str, typer.Option("--judge", help="The judge's name in outcomes: judge:MODEL ...")],
    db: Db = DEFAULT_DB,
    gold: Gold = None,
    since: Since = None,
    kind: Kind = None,
    weight: Annotated[
        float, typer.Option("--weight", min=0.0, help="Weight of a judgement as good as gold.")
    ] = 1.0,
) -> None:
    """Store corrected scores for training, under JUDGE+corrected; the raw ones get weight 0.

    Example: agentnet traces correct --judge judge:openai/gpt-4o-mini --gold human
    """
    from agentnet.learning.scoring.corrected import SUFFIX, correct_outcomes
    from agentnet.traces.store import TraceStore

    with TraceStore.open(db, create=False) as store:
        found = correct_outcomes(store, judge, list(gold or GOLD), weight=weight, **_where(since, None, kind))
    typer.echo(
        f"{found.corrected:,} scores of {judge}{SUFFIX}, {found.gold:,} answers keep their gold score, "
        f"{found.silenced:,} raw scores now weigh 0"
    )
    for a, name in enumerate(found.rates.agents):
        low, high = found.rates.right_if[a]
        typer.echo(
            f"  {name}: a reject counts {low:.2f}, an accept {high:.2f}, weight {found.rates.worth[a]:.2f}"
        )


def sample_gold(
    judge: Annotated[str, typer.Option("--judge", help="The judge whose errors the labels are to tell.")],
    out: Annotated[Path, typer.Option("--out", help="CSV file to write; it must not be there.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many answers to label.")] = 200,
    db: Db = DEFAULT_DB,
    gold: Gold = None,
    since: Since = None,
    kind: Kind = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random choice.")] = 0,
) -> None:
    """Pick which answers to label by hand: where routers differ, by agent and verdict.

    Fill in the column score (1 or 0, yes or no) and read the file with --with labels:FILE.

    Example: agentnet traces sample-gold --judge judge:openai/gpt-4o-mini --n 200 --out labels.csv
    """
    from agentnet.learning.scoring.gold_sample import sample_gold as write
    from agentnet.traces.store import TraceStore

    with TraceStore.open(db, create=False) as store:
        count = write(store, judge, out, n=n, gold=list(gold or GOLD), seed=seed, **_where(since, None, kind))
    typer.echo(f"{count:,} answers -> {out}; fill in the column score")


# -- who scores ----------------------------------------------------------------------------------
def _plan(
    spec: str, agents: Path | None, budget: str | None, max_tokens: int
) -> tuple[Scorer | None, Path | None]:
    """The scorer that a ``--with`` names, or the file of labels or signals."""
    kind, _, rest = spec.partition(":")
    if kind == "signals":
        return None, Path(rest) if rest else None
    if kind == "labels" and rest:
        return None, Path(rest)
    if kind == "gold" and not rest:
        from agentnet.learning.scoring.scorers import GoldScorer

        return GoldScorer(), None
    if kind == "verifier" and rest:
        from agentnet.learning.scoring.scorers import load_scorer

        if os.getcwd() not in sys.path:  # a program that stands beside the database
            sys.path.insert(0, os.getcwd())
        return load_scorer(rest), None
    if kind == "judge" and rest:
        return _judge(rest, agents, budget, max_tokens), None
    raise InvalidInput(
        f"--with takes gold, verifier:MODULE:FUNCTION, judge:MODEL, labels:FILE, signals or signals:FILE; "
        f"got {spec!r}."
    )


def _judge(name: str, agents: Path | None, budget: str | None, max_tokens: int) -> Scorer:
    from agentnet.graphs.task_graph import Limits
    from agentnet.learning.llm_judge import LLMJudge
    from agentnet.learning.scoring.scorers import JudgeScorer
    from agentnet.outcomes.packs import load_agents
    from agentnet.runtime.clients.litellm_client import LiteLLMClient
    from agentnet.runtime.limits import Ledger, LimitedClient

    pool = load_agents(agents) if agents else None
    backends = pool.backends if pool is not None else {}
    who: Agent | Backend
    if pool is not None and name in pool:
        who = pool[name]
    elif name in backends:
        who = backends[name]
    else:
        from agentnet.graphs.agent import Backend

        who = Backend(name=name, model=name)
    try:
        usd = None if budget is None else Decimal(budget)
    except InvalidOperation:
        raise InvalidInput(f"--budget is a number of USD; got {budget!r}.") from None
    ledger = Ledger(Limits(usd=usd), name="scoring")
    client = LimitedClient(LiteLLMClient(backends=lambda: backends), ledger)
    return JudgeScorer(LLMJudge(who, client, max_tokens=max_tokens))


def _where(since: str | None, router: str | None, kind: str | None) -> dict[str, Any]:
    given = {"since": moment(since), "router": router, "kind": kind}
    return {name: value for name, value in given.items() if value is not None}


# -- what is done --------------------------------------------------------------------------------
def _from_source(
    store: TraceStore, spec: str, source: Path | None, weight: float, where: dict[str, Any]
) -> None:
    if spec.startswith("labels"):
        from agentnet.learning.scoring.labels import apply_labels

        assert source is not None
        found = apply_labels(source, store, weight=weight)
        typer.echo(f"labels: {found.stored:,} stored, {found.empty:,} not filled in")
        for count, what in (
            (found.unmatched, "about no run that is here"),
            (found.ambiguous, "by a task's text whose runs gave different answers: name run_id or answer"),
            (found.bad, f"cannot be read ({found.first_bad})"),
        ):
            if count:
                typer.echo(f"  {count:,} lines {what}", err=True)
        return
    from agentnet.learning.scoring.signals import store_signals

    signals = store_signals(store, source, **where)
    said = ", ".join(f"{count:,} {name}" for name, count in sorted(signals.stored.items())) or "none found"
    typer.echo(f"signals: {said}")
    if signals.bad:
        typer.echo(f"  {signals.bad:,} cannot be used ({signals.first_bad})", err=True)


def _scored(store: TraceStore, scorer: Scorer, spec: str, **settings: Any) -> ScoreReport:
    from agentnet.learning.scoring.run import score_traces

    with _bar(spec) as progress:
        return score_traces(store, scorer, progress=progress, **settings)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(err=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
