"""Edits the agents of a pool file, leaving everything else in it as it stands.

A YAML file is not loaded and dumped again: an entry's lines are cut out or put in, at the places that the
parser names, so that comments, order, quotes and indentation of all other lines stay byte for byte. Dumping a
parsed file anew would lose the comment above an entry when its neighbour goes. Whatever an edit wrote is read
back and compared before it may replace the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentnet.cards import splice
from agentnet.cards.texts import check_no_secret
from agentnet.errors import DataError, PoolError
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.runtime.spec import load_spec

EDITABLE = (".yaml", ".yml", ".json")

Entries = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PoolFile:
    r"""A pool file as text, and the pool in it; each edit returns another one, `write` puts it in place.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "pool.yaml")
    >>> _ = path.write_text("agents:\n  # asks first\n  - name: cards\n")
    >>> file = PoolFile.read(path).add(Agent(name="loans", description="Loans."))
    >>> file.write(); print(path.read_text().rstrip())
    agents:
      # asks first
      - name: cards
      - name: loans
        description: Loans.
    >>> folder.cleanup()
    """

    path: Path
    text: str
    pool: Pool | None
    """None for a file that is not there yet."""
    original: bytes | None
    """What the file held when it was read; None for a file that is not there yet."""

    @classmethod
    def read(cls, path: str | Path, *, create: bool = False) -> PoolFile:
        """Reads and checks a pool file.

        Args:
            path: A ``.yaml``, ``.yml`` or ``.json`` file.
            create: Whether a missing file stands for one without agents.

        Raises:
            PoolError: it is a Python file, is missing, or does not hold a pool.
        """
        path = _editable(path)
        if create and not path.exists():
            if not path.parent.is_dir():
                raise PoolError(f"no folder {path.parent}; make it first.")
            return cls(path, "[]\n" if path.suffix == ".json" else "agents: []\n", None, None)
        pool = load_spec(path).pool
        try:
            original = path.read_bytes()
            text = original.decode("utf-8")
        except OSError as error:
            raise PoolError(f"{path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise PoolError(f"{path} is not UTF-8 text.") from None
        return cls(path, text, pool, original)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the agents in the file."""
        return () if self.pool is None else self.pool.names

    def agent(self, name: str) -> Agent:
        """Returns an agent of the file; raises PoolError when there is none of that name."""
        if self.pool is None:
            raise PoolError(f"no agent {name!r}: there is no file {self.path} yet.")
        return self.pool[name]

    def add(self, *agents: Agent, backend: str | None = None) -> PoolFile:
        """Returns the file with agents at the end of its list.

        Args:
            agents: Agents whose names are not in the file yet.
            backend: Name of one of the file's backends that shall answer for them.

        Raises:
            PoolError: a name is taken, the backend is unknown, or an entry cannot be used.
        """
        for agent in agents:
            if agent.name in self.names:
                raise PoolError(
                    f"{self.path} has an agent {agent.name!r} already; remove or replace it, or take another "
                    "name."
                )
        entries = [entry(agent, backend) for agent in agents]

        def change(items: Entries) -> Entries:
            return [*items, *entries]

        if not entries:
            return self
        return self._changed(lambda text: splice.append(text, entries), change)

    def remove(self, *names: str) -> PoolFile:
        """Returns the file without these agents, and without the comment lines right above each of them.

        Raises:
            PoolError: a name is not in the file, it is the last agent, or the file's graph needs it.
        """
        for name in names:
            self.agent(name)

        def edit(text: str) -> str:
            for name in names:
                text = splice.remove(text, name)
            return text

        return self._changed(edit, lambda items: [item for item in items if item["name"] not in names])

    def replace(self, *agents: Agent, backend: str | None = None) -> PoolFile:
        """Returns the file with other entries in the places of agents' own; comments above them stay.

        Raises:
            PoolError: no agent has such a name, or an entry cannot be used.
        """
        for agent in agents:
            self.agent(agent.name)
        new = {agent.name: entry(agent, backend) for agent in agents}

        def edit(text: str) -> str:
            for name, item in new.items():
                text = splice.replace(text, name, item)
            return text

        return self._changed(edit, lambda items: [new.get(item["name"], item) for item in items])

    def update(self, name: str, **fields: Any) -> PoolFile:
        """Returns the file with some fields of an agent set; its other lines and comments stay.

        Raises:
            PoolError: no agent has this name, or a value cannot be used.
        """
        return self.update_all({name: fields})

    def update_all(self, changes: Mapping[str, Mapping[str, Any]]) -> PoolFile:
        """Returns the file with fields of several agents set, by name; as `update`.

        Raises:
            PoolError: a name is unknown, or a value cannot be used.
        """
        for name, fields in changes.items():
            self.agent(name).with_(**fields)
            _check_texts(name, fields)

        def change(items: Entries) -> Entries:
            return [{**item, **changes.get(item["name"], {})} for item in items]

        def edit(text: str) -> str:
            for name, fields in changes.items():
                for key, value in fields.items():
                    text = splice.set_field(text, name, key, value)
            return text

        return self._changed(edit, change)

    def write(self) -> None:
        """Replaces the file as a whole, if nobody changed it since it was read.

        Raises:
            DataError: it was changed meanwhile.
            OSError: it cannot be written.
        """
        target = self.path.resolve()  # a link stays a link
        now = target.read_bytes() if target.exists() else None
        if now != self.original:
            raise DataError(f"{self.path} was changed by somebody else meanwhile; nothing was written.")
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8", newline="") as stream:
                stream.write(self.text)
                stream.flush()
                os.fsync(stream.fileno())
            if now is not None:
                part.chmod(target.stat().st_mode & 0o7777)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _changed(self, edit: Callable[[str], str], change: Callable[[Entries], Entries]) -> PoolFile:
        """The file after an edit of its text, if that did to its data what it should."""
        before = _data(self.text, self.path)
        entries = change(_entries(before))
        if not entries:
            raise PoolError(f"a pool needs at least one agent; {self.path} would have none.")
        wanted = _with_entries(before, entries)
        if self.path.suffix == ".json":
            text = _json_text(wanted, self.text)
        else:
            try:
                text = edit(self.text)
            except splice.CannotEdit as error:
                raise PoolError(f"{self.path}: {error}; edit it by hand.") from None
            if _data(text, self.path) != wanted:
                raise PoolError(
                    f"{self.path} is laid out in a way that cannot be edited here; do it by hand."
                )
        return PoolFile(self.path, text, self._pool_of(text), self.original)

    def _pool_of(self, text: str) -> Pool:
        """The pool in a text, checked by the very loader of the file."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder, self.path.name)
            trial.write_bytes(text.encode("utf-8"))
            try:
                spec = load_spec(trial)
                _ = spec.pool.backends
            except PoolError as error:
                raise PoolError(str(error).replace(str(trial), str(self.path))) from None
        if spec.graph is not None and (gone := sorted(set(spec.graph.agents) - set(spec.pool.names))):
            raise PoolError(f"the graph in {self.path} needs {', '.join(gone)}; change the graph first.")
        return spec.pool


def entry(agent: Agent, backend: str | None = None) -> dict[str, Any]:
    """Returns an agent as an entry of a pool file.

    Args:
        agent: The agent; texts of it that hold a secret are refused.
        backend: Name of the backend that answers: strategy and options of an import are then left out, which
            belong to another way of answering.

    Raises:
        DataError: a text holds a secret.

    >>> entry(Agent(name="a", strategy="a2a", options={"url": "https://a.example"}), "small")
    {'name': 'a', 'backend': 'small'}
    """
    data = agent.to_dict()
    _check_texts(agent.name, data)
    if backend is not None:
        data = {key: value for key, value in data.items() if key not in ("strategy", "options", "backend")}
        data["backend"] = backend
    elif data.get("strategy") == "direct":
        del data["strategy"]
    return data


def _check_texts(name: str, data: Mapping[str, Any]) -> None:
    for key in ("name", "description", "system"):
        check_no_secret(str(data.get(key) or ""), f"agent {name!r}: {key}")
    examples: Sequence[str] = data.get("examples") or ()
    for i, text in enumerate(examples):
        check_no_secret(text, f"agent {name!r}: examples[{i}]")


def _editable(path: str | Path) -> Path:
    text = str(path)
    if ".py" in text and (text.endswith(".py") or ".py:" in text):
        raise PoolError(
            f"{text} is a Python file and read only: its pool is whatever its code makes. Change the code, "
            "or keep the agents in a .yaml file."
        )
    path = Path(path)
    if path.suffix not in EDITABLE:
        raise PoolError(f"{path} is no pool file that can be edited; it ends in {', '.join(EDITABLE)}.")
    return path


def _data(text: str, path: Path) -> Any:
    import yaml

    try:
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise PoolError(f"{path} would not be readable: {' '.join(str(error).split())}") from None


def _entries(data: Any) -> Entries:
    return list(data["agents"] if isinstance(data, dict) else data)


def _with_entries(data: Any, entries: Entries) -> Any:
    return {**data, "agents": entries} if isinstance(data, dict) else entries


def _json_text(data: Any, before: str) -> str:
    """JSON with the indentation that the file had."""
    line = next((line for line in before.splitlines()[1:] if line.strip()), "")
    indent = len(line) - len(line.lstrip(" ")) or (None if "\n" not in before.strip() else 1)
    return json.dumps(data, indent=indent, ensure_ascii=False) + "\n"
