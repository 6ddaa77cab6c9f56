"""The house keeps its floors, and its door is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import agentnet

PACKAGE = Path(agentnet.__file__).parent
FLOORS = {
    "errors": 0,
    "graphs": 1,
    "outcomes": 2,
    "routers": 3,
    "traces": 3,
    "registry": 4,
    "runtime": 5,
    "learning": 6,
    "cards": 6,
    "testing": 7,
    "bench": 7,
    "releases": 8,
    "demo": 8,
    "cli": 9,
}
HEAVY = ("torch", "torch_geometric", "litellm", "langgraph", "langchain_core", "sqlalchemy", "alembic")


def _imports(path: Path) -> set[str]:
    """Names of the agentnet rooms that a module imports, wherever in the module it does."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "agentnet":
                names = [f"agentnet.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("agentnet.")}
    return rooms


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_floors(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if len(parts) == 1 and parts[0] != "errors":
        pytest.skip("the package's own door")
    room = parts[0]
    for other in _imports(path) - {room}:
        if other in FLOORS:
            assert FLOORS[other] < FLOORS[room], f"{room} (floor {FLOORS[room]}) imports {other}"
        else:
            assert hasattr(agentnet, other) or other.startswith("__"), f"unknown room {other}"


def test_every_room_has_a_floor() -> None:
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms <= set(FLOORS)


@pytest.mark.parametrize(
    "code",
    ["import agentnet", "from agentnet import Agent, Pool, Task, TaskGraph", "from agentnet.cli import main"],
)
def test_the_door_loads_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom agentnet.cli.main import main\nsys.argv = ['agentnet', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    assert "evaluate" in done.stdout


def test_public_names_are_complete_and_sorted() -> None:
    assert agentnet.__all__ == sorted(agentnet.__all__)
    for name in agentnet.__all__:
        assert getattr(agentnet, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        agentnet.nonsense  # noqa: B018


def test_no_module_is_larger_than_400_lines() -> None:
    sizes = {p.relative_to(PACKAGE): len(p.read_text().splitlines()) for p in PACKAGE.rglob("*.py")}
    assert {path: n for path, n in sizes.items() if n > 400} == {}
