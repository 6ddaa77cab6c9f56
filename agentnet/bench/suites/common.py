"""What all suites share: finding and loading packs, the head of ``results.json``, progress, finishing."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from agentnet.bench.evaluate import SCHEMA_VERSION
from agentnet.bench.protocol import Lab, Progress
from agentnet.errors import DataError, InvalidInput
from agentnet.outcomes.encoders import CachedEncoder, make_encoder
from agentnet.outcomes.packs import load_outcomes
from agentnet.outcomes.table import Outcomes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Rows = Literal["auto", "test", "cross-fitted"]
"""Which rows are evaluated; ``auto``: the test split, and where that is small all rows, too, cross-fitted."""
SMALL = 500
"""Packs with fewer test queries are also reported cross-fitted over all queries."""


def make_lab(encoder: str, cache: Path | None) -> Lab:
    """Returns a lab whose routers share one encoder that remembers texts.

    Args:
        encoder: Its name.
        cache: Folder in which encodings are kept; None keeps them in memory.
    """
    plain = make_encoder(encoder)
    return Lab(CachedEncoder(plain, cache), plain)


def header(suite: str, *, command: str, seeds: int, encoder: str) -> dict[str, Any]:
    """Returns the head of a suite's ``results.json``, with no packs yet.

    >>> header("routing", command="agentnet bench", seeds=5, encoder="minilm")["packs"]
    []
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": suite,
        "kind": "replayed",
        "command": command,
        "seeds": seeds,
        "encoder": encoder,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "packs": [],
    }


def pack_head(folder: Path, outcomes: Outcomes) -> dict[str, Any]:
    """Returns the head of one pack's results, with no parts yet."""
    return {"name": folder.name, "n": len(outcomes), "agents": list(outcomes.agents), "parts": []}


def pack_folders(data: Sequence[str]) -> list[Path]:
    """Returns the folders of the packs: each given folder, or those in it that hold outcomes.

    Raises:
        DataError: a folder holds no pack with outcomes.
    """
    found: list[Path] = []
    for item in data:
        root = Path(item)
        inner = sorted(path.parent for path in root.glob("*/outcomes.parquet"))
        if (root / "queries.parquet").exists():
            found.append(root)
        elif inner:
            found += inner
        else:
            raise DataError(
                f"{root} holds no data pack (a folder with queries.parquet and outcomes.parquet)."
            )
    return found


def load_recorded(folder: Path) -> Outcomes:
    """Returns the outcomes of a pack.

    Raises:
        DataError: it holds labels: nothing was recorded that could be replayed.
    """
    outcomes = load_outcomes(folder)
    if outcomes.kind == "label":
        raise DataError(f"{folder} holds labels, not outcomes; evaluate it with `agentnet evaluate`.")
    return outcomes


def check_test_rows(name: str, outcomes: Outcomes) -> int:
    """Returns the number of test rows.

    Raises:
        DataError: there are none.
    """
    n = int((outcomes.queries.split == "test").sum())
    if not n:
        raise DataError(f"{name} has no rows in split 'test'.")
    return n


def finish(
    results: Mapping[str, Any],
    out: Path,
    console: Console | None,
    show: Callable[[str, Mapping[str, Any], Console], None],
) -> None:
    """Prints the tables of all parts, and where results and report are.

    Args:
        results: With ``packs``, each with ``parts``.
        out: Folder of the results.
        console: Where tables go; None prints none.
        show: Prints one part, given its pack's name.
    """
    if console is None:
        return
    for pack in results["packs"]:
        for part in pack["parts"]:
            show(pack["name"], part, console)
    console.print(f"results: {out / 'results.json'}\nreport:  {out / 'report.html'}", highlight=False)


@contextmanager
def progress_of(console: Console | None, name: str) -> Iterator[Progress]:
    """Shows what is being done: live on a terminal, a line per step elsewhere."""
    if console is None:
        yield lambda text: None
    elif console.is_terminal:
        with console.status(name) as status:
            yield lambda text: status.update(f"{name}: {text}")
    else:
        yield lambda text: console.print(f"{name}: {text}", highlight=False)


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> Table:
    """Returns a table for a narrow terminal: first column to the left, the others to the right."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title=title, title_justify="left"
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table for the docs.

    >>> print(markdown(["router", "score"], [["knn", "0.61"]]))
    | router | score |
    |---|---|
    | knn | 0.61 |
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def check_rows(rows: str) -> None:
    """Checks a choice of rows.

    Raises:
        InvalidInput: it is none of `Rows`.
    """
    if rows not in get_args(Rows):
        raise InvalidInput(f"rows is one of {', '.join(get_args(Rows))}; got {rows!r}.")


def crossed_of(rows: Rows, test_rows: int) -> list[bool]:
    """Returns whether to evaluate on the test split (False), cross-fitted on all rows (True), or both.

    >>> crossed_of("auto", 300), crossed_of("auto", 3000), crossed_of("cross-fitted", 3000)
    ([False, True], [False], [True])
    """
    choice = {"test": [False], "cross-fitted": [True]}
    return choice.get(rows, [False, True] if test_rows < SMALL else [False])
