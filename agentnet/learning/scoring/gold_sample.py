"""Writes the runs that are worth a gold label into a file for people to fill in."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agentnet.errors import DataError
from agentnet.learning.scoring.pick import pick
from agentnet.learning.scoring.read import read_judgements
from agentnet.traces.models import RUN_ITSELF
from agentnet.traces.store import TraceStore

COLUMNS = ("run_id", "step", "score", "task", "context", "answer")


def sample_gold(
    store: TraceStore,
    judge: str,
    out: str | Path,
    *,
    n: int = 200,
    gold: Sequence[str] | str = "human",
    seed: int = 0,
    **where: Any,
) -> int:
    """Writes a CSV file of answers to label: ``agentnet traces score --with labels:FILE`` reads it back.

    Answers are picked at random within each agent and verdict; how many of each, see
    `agentnet.learning.scoring.pick.allocate`. Answers that have a gold label count and are not asked for
    again. Neither the verdict nor the agent is in the file, so that they do not sway whoever labels.

    Args:
        store: Where the outcomes are.
        judge: The judge whose errors the labels are to tell.
        out: The file; it must not be there, for it may hold somebody's work.
        n: How many answers.
        gold: Names that count as gold.
        seed: Of the random choice.
        **where: Fields of `RunFilter`.

    Returns:
        How many answers were written.

    Raises:
        DataError: the file is there.
        NotEnoughEvidence: the judge has judged nothing.
    """
    table = read_judgements(store, judge, gold, **where)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(pick(table, n, rng))
    wanted = [(run_id, int(step)) for run_id, _, step in (table.ids[row].rpartition(":") for row in rows)]
    path = Path(out)
    try:
        file = path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise DataError(f"{path} is there already, perhaps with labels in it; give another name.") from None
    with file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for at in range(0, len(wanted), _CHUNK):
            chunk = wanted[at : at + _CHUNK]
            traces = {trace.run.run_id: trace for trace in store.traces([run_id for run_id, _ in chunk])}
            for run_id, step in chunk:
                if run_id not in traces:
                    continue
                trace = traces[run_id]
                own = step == RUN_ITSELF
                answers = {item.seq: item for item in trace.steps}
                answer = trace.run.answer if own else answers[step].answer
                if answer is None and own and len(trace.steps) == 1:
                    answer = trace.steps[0].answer
                text = (trace.run.task_text, trace.run.task_context, answer)
                shown = ["" if item is None else item for item in text]
                writer.writerow([run_id, "" if own else step, "", *shown])
    return len(wanted)


_CHUNK = 500
