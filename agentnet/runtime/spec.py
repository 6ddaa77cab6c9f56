"""Reads a user's pipeline from a Python file or module (``module:attribute``) or from a YAML file."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from agentnet.errors import AgentnetError, PoolError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph

_MODULE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")
_FILE = re.compile(r"(.+\.py)(?::([A-Za-z_]\w*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Spec:
    """A pool, and the graph to run when there is no router."""

    pool: Pool
    graph: TaskGraph | None = None


def load_spec(source: str | Path) -> Spec:
    """Reads a pool from ``pipeline.py``, ``pipeline.py:my_pool``, ``my.module:pool`` or ``pipeline.yaml``.

    A Python file is executed, with its folder importable; it holds a `Pool` (default name ``pool``) and may
    hold a `TaskGraph` called ``graph``. A YAML file has ``backends`` and ``agents``, whose ``backend`` names
    one of them, and may have ``graph``.

    Raises:
        PoolError: the file is missing, fails, or holds no pool.
    """
    text = str(source)
    file = _FILE.fullmatch(text)
    path = Path(file[1] if file else text)
    if file and path.is_file():
        return _from_python(path, file[2] or "pool")
    if path.is_file():
        if path.suffix in (".yaml", ".yml", ".json"):
            return _from_yaml(path)
        raise PoolError(f"{path} is neither a .py nor a .yaml file.")
    named = _MODULE.fullmatch(text)
    if named and not file:
        return _from_module(named[1], named[2])
    raise PoolError(
        f"no file {path}; give a .py file with a Pool (pipeline.py:pool), a module (my.module:pool), or a "
        "YAML file with agents."
    )


def _from_python(path: Path, attribute: str) -> Spec:
    name = f"agentnet_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PoolError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[name] = module  # dataclasses and pickling look a module up by its name
    try:
        spec.loader.exec_module(module)
    except AgentnetError:
        raise
    except Exception as error:  # whatever the user's own code does
        raise PoolError(f"{path} failed{_line(error, path)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return _pick(module, attribute, str(path))


def _from_module(name: str, attribute: str) -> Spec:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise PoolError(f"no module {error.name!r} here and none installed; is {name} right?") from error
    except AgentnetError:
        raise
    except Exception as error:  # whatever the user's own code does
        raise PoolError(f"module {name} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)
    return _pick(module, attribute, name)


def _line(error: BaseException, path: Path) -> str:
    """Where in the user's file it happened; empty if not there."""
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" in line {lines[-1]}" if lines else ""


def _pick(module: ModuleType, attribute: str, where: str) -> Spec:
    pool = getattr(module, attribute, None)
    if isinstance(pool, Pool):
        graph = getattr(module, "graph", None)
        return Spec(pool, graph if isinstance(graph, TaskGraph) else None)
    pools = sorted(name for name, value in vars(module).items() if isinstance(value, Pool))
    hint = f"; it has {', '.join(pools)}: name one as {where}:{pools[0]}" if pools else ""
    raise PoolError(f"{where} has no Pool called {attribute!r}{hint}.")


def _from_yaml(path: Path) -> Spec:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise PoolError(f"{path} is not UTF-8 text.") from None
    except yaml.YAMLError as error:
        raise PoolError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if isinstance(data, list):
        data = {"agents": data}
    if not isinstance(data, Mapping) or not isinstance(data.get("agents"), list):
        raise PoolError(f"{path} needs a list of agents under the key 'agents'.")
    if unknown := sorted(set(data) - {"agents", "backends", "graph"}):
        raise PoolError(f"{path} has unknown keys {unknown}; known: agents, backends, graph.")
    backends = _backends(data.get("backends") or [], path)
    pool = Pool(_agent(item, backends, path) for item in data["agents"])
    graph = data.get("graph")
    return Spec(pool, TaskGraph.from_dict(graph) if graph else None)


def _backends(items: Any, path: Path) -> dict[str, Backend]:
    """Backends by name, from a list, or from a mapping of names to their fields."""
    if isinstance(items, Mapping):
        items = [{"name": name, **(fields or {})} for name, fields in items.items()]
    if not isinstance(items, list):
        raise PoolError(f"{path}: backends is a list; got {items!r}.")
    found: dict[str, Backend] = {}
    for item in items:
        _check_entry(item, "backend", path)
        try:
            backend = Backend.from_dict(item)
        except TypeError as error:  # a field is missing
            raise PoolError(f"backend {item['name']!r} in {path}: {error}") from None
        if found.setdefault(backend.name, backend) is not backend:
            raise PoolError(f"{path} names backend {backend.name!r} twice.")
    return found


def _check_entry(item: Any, kind: str, path: Path) -> None:
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
        raise PoolError(f"{path}: every {kind} is a mapping with a name; got {item!r}.")


def _agent(item: Any, backends: Mapping[str, Backend], path: Path) -> Agent:
    _check_entry(item, "agent", path)
    if isinstance(item.get("backend"), str):
        name = item["backend"]
        if name not in backends:
            raise PoolError(
                f"agent {item.get('name')!r} in {path} names backend {name!r}, which is not among "
                f"{sorted(backends)}."
            )
        item = {**item, "backend": backends[name].to_dict()}
    try:
        return Agent.from_dict(item)
    except TypeError as error:  # a field of its own backend is missing
        raise PoolError(f"agent {item['name']!r} in {path}: {error}") from None
