"""Reads a user's pipeline from a Python file (``file.py:attribute``) or a YAML file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentnet.errors import PoolError
from agentnet.graphs.agent import Agent, Backend
from agentnet.graphs.pool import Pool
from agentnet.graphs.task_graph import TaskGraph


@dataclass(frozen=True, slots=True)
class Spec:
    """A pool, and the graph to run when there is no router."""

    pool: Pool
    graph: TaskGraph | None = None


def load_spec(source: str | Path) -> Spec:
    """Reads a pool from ``pipeline.py``, ``pipeline.py:my_pool`` or ``pipeline.yaml``.

    A Python file is executed; it holds a `Pool` (default name ``pool``) and may hold a `TaskGraph`
    called ``graph``. A YAML file has ``backends`` and ``agents``, whose ``backend`` names one of them,
    and may have ``graph``.

    Raises:
        PoolError: the file is missing or holds no pool.
    """
    text = str(source)
    path_text, _, attribute = text.partition(":") if ".py:" in text else (text, "", "")
    path = Path(path_text)
    if not path.is_file():
        raise PoolError(f"no file {path}; give a .py file with a Pool, or a YAML file with agents.")
    if path.suffix == ".py":
        return _from_python(path, attribute)
    if path.suffix in (".yaml", ".yml", ".json"):
        return _from_yaml(path)
    raise PoolError(f"{path} is neither a .py nor a .yaml file.")


def _from_python(path: Path, attribute: str) -> Spec:
    spec = importlib.util.spec_from_file_location(f"agentnet_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PoolError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    pool = getattr(module, attribute or "pool", None)
    if isinstance(pool, Pool):
        graph = getattr(module, "graph", None)
        return Spec(pool, graph if isinstance(graph, TaskGraph) else None)
    pools = sorted(name for name, value in vars(module).items() if isinstance(value, Pool))
    hint = f"; it has {', '.join(pools)}: name one as {path}:{pools[0]}" if pools else ""
    raise PoolError(f"{path} has no Pool called {attribute or 'pool'!r}{hint}.")


def _from_yaml(path: Path) -> Spec:
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PoolError(f"{path} is not valid YAML: {error}") from None
    if isinstance(data, list):
        data = {"agents": data}
    if not isinstance(data, Mapping) or not isinstance(data.get("agents"), list):
        raise PoolError(f"{path} needs a list of agents under the key 'agents'.")
    if unknown := sorted(set(data) - {"agents", "backends", "graph"}):
        raise PoolError(f"{path} has unknown keys {unknown}; known: agents, backends, graph.")
    backends = {b.name: b for b in (Backend.from_dict(item) for item in data.get("backends") or ())}
    pool = Pool(_agent(item, backends, path) for item in data["agents"])
    graph = data.get("graph")
    return Spec(pool, TaskGraph.from_dict(graph) if graph else None)


def _agent(item: Any, backends: Mapping[str, Backend], path: Path) -> Agent:
    if isinstance(item, Mapping) and isinstance(item.get("backend"), str):
        name = item["backend"]
        if name not in backends:
            raise PoolError(
                f"agent {item.get('name')!r} in {path} names backend {name!r}, which is not among "
                f"{sorted(backends)}."
            )
        item = {**item, "backend": backends[name].to_dict()}
    return Agent.from_dict(item)
