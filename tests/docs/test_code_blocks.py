"""Every code block of README and docs is executed, or at least parsed by what would execute it."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import json
import re
import shlex
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from agentnet.cli.main import app
from agentnet.routers.registry import ROUTERS, router_class
from agentnet.routers.settings import setting_types
from agentnet.traces.store import TraceStore

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")]
)
FENCE = re.compile(r"(?P<before>[^\n]*)\n```(?P<kind>\w*)[^\n]*\n(?P<code>.*?)^```", re.DOTALL | re.MULTILINE)
NO_RUN = re.compile(r"<!-- no-run: \S.* -->")
SHELL = ("bash", "console", "sh")
CHEAP = {"train", "evaluate", "route", "routers", "traces ls", "traces show", "traces stats", "traces export"}
ROOT = typer.main.get_command(app)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    kind: str
    code: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """Yields a page's blocks; those marked as not to be run are left out."""
    text = "\n" + page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if not NO_RUN.fullmatch(match["before"].strip()):
            yield Block(match["kind"], match["code"], text[: match.start("code")].count("\n"))


def identity(page: Path) -> str:
    """Names a page in test ids."""
    return str(page.relative_to(REPOSITORY))


# -- Python --------------------------------------------------------------------------------------
def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> str:
    """Executes a block, with line numbers of the page, and returns what it printed."""
    if ">>>" in block.code:
        test = doctest.DocTestParser().get_doctest(block.code, namespace, page.name, str(page), block.line)
        report = io.StringIO()
        failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            test, out=report.write, clear_globs=False
        )
        assert not failed.failed, report.getvalue()
        namespace.update(test.globs)
        return ""
    source = "\n" * (block.line - 1) + block.code
    # As a module's own annotations: not those of this file.
    code = compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            asyncio.run(_wait_for(result))
    return printed.getvalue()


async def _wait_for(awaitable: Any) -> None:
    await awaitable


def expected(code: str) -> list[str]:
    """Returns what ``print(...)  # -> text`` says is printed."""
    return [match[1].strip() for match in re.finditer(r"^.*\bprint\(.*#\s*->\s*(.+)$", code, re.MULTILINE)]


def check_printed(printed: str, wanted: list[str], where: str) -> None:
    """Every expected line was printed, in order."""
    lines = iter(printed.splitlines())
    for text in wanted:
        assert text in lines, f"{where}: {text!r} was not printed (in order) in:\n{printed}"


PYTHON_PAGES = [page for page in PAGES if any(block.kind == "python" for block in blocks(page))]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=identity)
def test_python_blocks(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    # A module of its own, so that what a page defines can be imported by name.
    module = types.ModuleType(f"docs_page_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with patch.dict(ROUTERS):  # pages may register a router of their own
        for block in blocks(page):
            if block.kind == "python":
                where = f"{identity(page)}:{block.line}"
                check_printed(run_python(block, page, module.__dict__), expected(block.code), where)


# -- the command line ----------------------------------------------------------------------------
def command_lines(block: Block) -> Iterator[list[str]]:
    """Yields the words of each command: comments, prompts, outputs, pipes and redirections removed."""
    text = block.code.replace("\\\n", " ")
    lines = text.splitlines()
    if block.kind == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        for part in re.split(r"\s(?:&&|\|\|?|;)\s", line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if ">" in words:
                words = words[: words.index(">")]
            if words:
                yield words


def parse(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Parses as the command line would, without running; returns the command's name and its values.

    Raises an assertion with click's message when a command, an argument or an option does not exist.
    """
    command: Any = ROOT
    names: list[str] = []
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in command.commands, f"no command {' '.join([*names, arguments[0]])!r}"
        names.append(arguments[0])
        command, arguments = command.commands[arguments[0]], arguments[1:]
    try:
        context = command.make_context(" ".join(names), list(arguments))
    except Exception as error:
        if type(error).__name__ == "Exit":  # --help, --version
            return " ".join(names), {}
        pytest.fail(f"agentnet {' '.join(names)} {' '.join(arguments)}: {getattr(error, 'message', error)}")
    return " ".join(names), dict(context.params)


def here(values: dict[str, Any]) -> bool:
    """Whether all that a command reads is in the folder."""
    inputs = [values.get(name) for name in ("folder", "data", "agents", "probes", "context", "db")]
    found = [str(value).removeprefix("sqlite:///") for value in inputs if value]
    return all(Path(name).exists() for name in found)


def runnable(words: list[str], name: str, values: dict[str, Any]) -> list[str]:
    """Returns the arguments with which a command is run here: no model to load, a run that exists."""
    arguments = words[1:]
    if name == "train" and "encoder" in setting_types(router_class(values["router"])):
        # Last: of a setting given twice the last one counts.
        arguments = [*arguments, "--set", "encoder=hash"]
    if name == "traces show":
        with TraceStore.open(values["db"]) as store:
            (run,) = store.runs(limit=1)
        arguments = [run.run_id if item == values["run_id"] else item for item in arguments]
    return arguments


SHELL_PAGES = [page for page in PAGES if any(block.kind in SHELL for block in blocks(page))]


@pytest.mark.parametrize("page", SHELL_PAGES, ids=identity)
def test_commands(page: Path, user_folder: Path) -> None:
    """Every `agentnet` line parses; the cheap ones whose inputs are here are run, in order."""
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    ran = set()
    for block in blocks(page):
        for words in command_lines(block) if block.kind in SHELL else ():
            if words[0] == "make":
                assert set(words[1:2]) <= set(targets), f"{identity(page)}: no target {words[1]}"
            if words[0] == "python" and words[1:2] and words[1].endswith(".py"):
                assert (REPOSITORY / words[1]).is_file(), f"{identity(page)}: {words[1]} is not there"
            if words[0] != "agentnet":
                continue
            name, values = parse(words[1:])
            if name in CHEAP and here(values):
                result = CliRunner().invoke(app, runnable(words, name, values))
                said = f"{result.output}\n{result.exception!r}"
                assert result.exit_code == 0, f"{identity(page)}: {shlex.join(words)}\n{said}"
                ran.add(name)
    if page.name == "README.md":
        assert ran >= {"traces ls", "traces export", "train", "evaluate", "route"}


@pytest.mark.parametrize(
    "line", ["agentnet evaluate routers/knn", "agentnet train knn --data a --out b --bogus 1", "agentnet fly"]
)
def test_a_wrong_command_line_is_noticed(line: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        parse(shlex.split(line)[1:])


# -- data in blocks ------------------------------------------------------------------------------
@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_data_blocks_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "json":
            json.loads(block.code)
        elif block.kind in ("yaml", "yml"):
            yaml.safe_load(block.code)
        else:
            known = ("python", "text", "mermaid", "toml", "sql", "html", *SHELL)
            assert block.kind in known, f"{identity(page)}:{block.line}: a block of kind {block.kind!r}"


def test_printing_something_else_is_noticed() -> None:
    check_printed("1\n2\n", ["1", "2"], "here")
    with pytest.raises(AssertionError, match="was not printed"):
        check_printed("2\n1\n", ["1", "2"], "here")
    assert expected("print(1)  # -> 1\nx = 2  # a comment\n") == ["1"]
