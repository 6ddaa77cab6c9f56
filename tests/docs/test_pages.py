"""Pages tell the truth about the repository: links, modules, files, errors, routers, examples."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import agentnet.errors
from agentnet.routers.registry import RESERVED, ROUTERS

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *DOCS.rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```", re.DOTALL)
MODULE = re.compile(r"(?<![\w./:@-])agentnet(?:\.[A-Za-z_]\w*)+(?![\w/-])")
FILE = re.compile(r"`((?:agentnet|tests|examples|docs|scripts|benches)/[\w./-]*)`")
MACHINE = re.compile(
    r"(?<![\w.])/(?:work|root|home/\w+|mnt|Users/\w+)\b|[A-Z]:\\Users|(?<![\w./])\.\./shared\b"
)
NO_MODULE = (
    "agentnet.db",
    "agentnet.yaml",
    "agentnet.toml",
    "agentnet.scorers",
    "agentnet.propensity",
    "agentnet.router",
)


def identity(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def anchors(page: Path) -> set[str]:
    """Headings as GitHub names them."""
    headings = re.findall(r"^#+\s+(.+)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{identity(page)} links to {target}"
        assert file.is_relative_to(REPOSITORY), f"{identity(page)} links out of the repository: {target}"
        assert not anchor or anchor in anchors(file), f"{identity(page)}: no heading for {target}"


def exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = dotted.split(".")
    for at in range(len(parts), 0, -1):
        try:
            found = find_spec(".".join(parts[:at]))
        except ModuleNotFoundError:
            continue
        if found is not None:
            value: object = import_module(".".join(parts[:at]))
            for name in parts[at:]:
                if not hasattr(value, name):
                    return False
                value = getattr(value, name)
            return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_modules_and_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in sorted(set(MODULE.findall(text)) - set(NO_MODULE)):
        assert exists(name), f"{identity(page)} names {name}"
    for name in sorted(set(FILE.findall(text))):
        assert (REPOSITORY / name).exists(), f"{identity(page)} names the file {name}"


def test_a_wrong_name_is_noticed() -> None:
    assert exists("agentnet.graphs.builders.debate") and exists("agentnet.Pool")
    assert not exists("agentnet.graphs.nonsense") and not exists("agentnet.graphs.builders.nonsense")


@pytest.mark.parametrize("page", [*PAGES, *sorted((REPOSITORY / "examples").glob("*.*"))], ids=identity)
def test_no_path_of_a_machine(page: Path) -> None:
    assert MACHINE.findall(page.read_text(encoding="utf-8")) == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    missing = [
        identity(p)
        for p in DOCS.rglob("*.md")
        if p.name != "index.md" and str(p.relative_to(DOCS)) not in index
    ]
    assert missing == []


def test_every_example_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    files = [p.name for p in (REPOSITORY / "examples").iterdir() if p.suffix in (".py", ".yaml")]
    assert [name for name in files if f"../examples/{name}" not in index] == []


def test_every_error_is_explained() -> None:
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    errors = [
        name
        for name, value in vars(agentnet.errors).items()
        if isinstance(value, type) and issubclass(value, agentnet.errors.AgentnetError)
    ]
    assert [name for name in errors if f"`{name}`" not in page] == []


def test_the_readme_names_every_router_and_none_that_is_not_there() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [name for name in ROUTERS if f"`{name}`" not in readme and name != "oracle"] == []
    assert [name for name in RESERVED if name not in ROUTERS and f"`{name}`" in readme] == []
