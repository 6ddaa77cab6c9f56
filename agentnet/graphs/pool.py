"""`Pool`: an immutable set of agents, and `PoolHandle`: the one place where it is swapped."""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentnet.errors import PoolError
from agentnet.graphs.agent import Agent, Backend, content_text, text_hash

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pool:
    """The agents to choose from: ordered, named once each, never changed in place.

    >>> pool = Pool([Agent(name="a"), Agent(name="b")])
    >>> pool.names, len(pool), pool.add(Agent(name="c")).names
    (('a', 'b'), 2, ('a', 'b', 'c'))
    """

    agents: tuple[Agent, ...]
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)
    _index: dict[str, int] = field(init=False, compare=False, repr=False)
    _texts: tuple[str, ...] = field(init=False, compare=False, repr=False)
    """Each agent's definition as JSON, written once per agent: pools made from this one take it over."""
    _version: list[str] = field(init=False, compare=False, repr=False)
    """Empty until somebody asks."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        items = tuple(agents)
        if not items:
            raise PoolError("a pool needs at least one agent; got none.")
        for item in items:
            if not isinstance(item, Agent):
                raise PoolError(f"a pool holds Agent values; got {type(item).__name__}.")
        self._fill(items, tuple([content_text(agent.to_dict()) for agent in items]))

    @classmethod
    def _made(cls, agents: tuple[Agent, ...], texts: tuple[str, ...]) -> Pool:
        """Returns a pool of agents that have been checked, and whose JSON is known."""
        pool = cls.__new__(cls)
        pool._fill(agents, texts)
        return pool

    def _fill(self, agents: tuple[Agent, ...], texts: tuple[str, ...]) -> None:
        if not agents:
            raise PoolError("a pool needs at least one agent; got none.")
        names = tuple([agent.name for agent in agents])
        index = dict(zip(names, range(len(names)), strict=True))
        if len(index) < len(names):
            twice = sorted(name for name, times in Counter(names).items() if times > 1)
            raise PoolError(f"agent names must be unique; given twice: {', '.join(twice)}.")
        values = {"agents": agents, "names": names, "_index": index, "_texts": texts, "_version": []}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def version(self) -> str:
        """12 hexadecimal digits that change whenever an agent's definition changes; made when asked for."""
        if not self._version:
            self._version.append(text_hash(f"[{', '.join(self._texts)}]"))
        return self._version[0]

    def __len__(self) -> int:
        return len(self.agents)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self.agents)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __getitem__(self, name: str) -> Agent:
        try:
            return self.agents[self._index[name]]
        except KeyError:
            raise PoolError(f"no agent {name!r} in the pool; it has {', '.join(self.names)}.") from None

    def index(self, name: str) -> int:
        """Returns the position of an agent; raises PoolError when there is none of that name."""
        self[name]
        return self._index[name]

    @property
    def backends(self) -> dict[str, Backend]:
        """The backends of all agents by name.

        Raises:
            PoolError: two different backends share a name.
        """
        found: dict[str, Backend] = {}
        for agent in self.agents:
            if agent.backend is None:
                continue
            if found.setdefault(agent.backend.name, agent.backend) != agent.backend:
                raise PoolError(f"two different backends are called {agent.backend.name!r}; rename one.")
        return found

    def add(self, agent: Agent) -> Pool:
        """Returns a pool with one more agent."""
        if not isinstance(agent, Agent):
            raise PoolError(f"a pool holds Agent values; got {type(agent).__name__}.")
        return self._made((*self.agents, agent), (*self._texts, content_text(agent.to_dict())))

    def remove(self, name: str) -> Pool:
        """Returns a pool without one agent."""
        at = self.index(name)
        agents, texts = self.agents, self._texts
        return self._made(agents[:at] + agents[at + 1 :], texts[:at] + texts[at + 1 :])

    def subset(self, names: Sequence[str]) -> Pool:
        """Returns a pool of these agents, in the order given."""
        at = [self.index(name) for name in names]
        return self._made(tuple([self.agents[i] for i in at]), tuple([self._texts[i] for i in at]))

    def to_list(self) -> list[dict[str, Any]]:
        """Returns JSON values in the schema of a pack's ``agents.json``."""
        return [agent.to_dict() for agent in self.agents]

    @classmethod
    def from_list(cls, data: Sequence[dict[str, Any]]) -> Pool:
        """Builds a pool from the JSON values of an ``agents.json``."""
        if not isinstance(data, (list, tuple)):
            raise PoolError("an agents file holds a JSON list of agents.")
        return cls(Agent.from_dict(item) for item in data)


class PoolHandle:
    """The pool that is being served: readers take a snapshot, writers swap it.

    Reading is one attribute look-up and never waits. A run keeps the snapshot it started with.

    >>> handle = PoolHandle(Pool([Agent(name="a")]))
    >>> handle.add(Agent(name="b")); handle.current.names, handle.revision
    (('a', 'b'), 1)
    """

    __slots__ = ("_listeners", "_lock", "_state", "id")

    def __init__(self, pool: Pool) -> None:
        self.id = uuid.uuid4().hex
        self._state = (pool, 0)
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Pool, int], None]] = []

    @property
    def current(self) -> Pool:
        """The snapshot served now."""
        return self._state[0]

    @property
    def revision(self) -> int:
        """How often the pool has been swapped."""
        return self._state[1]

    def swap(self, change: Pool | Callable[[Pool], Pool]) -> None:
        """Puts another pool in place, or the result of a function of the current one; atomic."""
        with self._lock:
            pool, revision = self._state
            new = change(pool) if callable(change) else change
            self._state = (new, revision + 1)
            for listener in self._listeners:
                try:
                    listener(new, revision + 1)
                except Exception:
                    # The swap has happened: whoever asked for it must not be told otherwise.
                    _log.warning("a listener failed on revision %d of a pool", revision + 1, exc_info=True)

    def add(self, agent: Agent) -> None:
        """Adds an agent: the next task can be routed to it."""
        self.swap(lambda pool: pool.add(agent))

    def remove(self, name: str) -> None:
        """Removes an agent: no task routed from now on gets it."""
        self.swap(lambda pool: pool.remove(name))

    def on_change(self, listener: Callable[[Pool, int], None]) -> Callable[[], None]:
        """Calls ``listener(pool, revision)`` inside every later swap, for example to trace it.

        Swaps wait for it: it must be quick. One that raises is logged, and the swap stands.

        Returns:
            A function that ends it.
        """
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                self._listeners = [item for item in self._listeners if item is not listener]

        return end
