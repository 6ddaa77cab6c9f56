"""`TaskGraph`: the one output of every router.

A star joined by a vote, a path, a cascade, a pruned DAG with rounds: all are this value. It is inert
data; ``agentnet.runtime`` compiles and runs it.

Semantics
---------
* Nodes stand for agents; the same agent may stand twice under different ids.
* A **spatial** edge ``a -> b`` passes a's answer to b within a round; spatial edges form a DAG.
* A **temporal** edge ``a -> b`` passes a's answer of round t to b in round t + 1; any pair is allowed.
* ``carries=False`` makes an edge order the work without showing the answer (a cascade's escalation).
* A **stop condition** on an edge is looked at when the edge's target could start. If one holds, over
  the answers of the target's ancestors that ran (its edge sources for a temporal edge), the target is
  skipped. A node whose spatial predecessors were all skipped is skipped too.
* ``rounds = K`` repeats the spatial DAG K times. A round of which every node is skipped ends the run.
* The **aggregation** joins the last answers of the output nodes that ran (default: every sink).
* ``grow=True`` asks the router again with what has been seen when the graph has run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Literal, get_args

from agentnet.errors import GraphError, LimitError
from agentnet.graphs.agent import content_hash, frozen_mapping
from agentnet.graphs.checks import count, finite, is_name, typed
from agentnet.graphs.normalise import NORMALISERS

EdgeKind = Literal["spatial", "temporal"]
StopKind = Literal["agreement", "disagreement", "score", "answered"]
AggregationKind = Literal["vote", "best", "refine", "concat", "last", "custom"]

MAX_ROUNDS = 100
"""Most rounds of a graph; every round may ask every agent again."""


@dataclass(frozen=True, slots=True)
class Node:
    """An agent's place in a graph."""

    id: str
    agent: str
    """Name of the agent in the pool."""
    weight: float = 1.0
    """Weight of its answer in a vote; 0 takes no part."""
    prompt: str | None = None
    """Instruction added to the agent's own role here, such as "find the mistake"."""

    def __post_init__(self) -> None:
        if not (is_name(self.id) and is_name(self.agent)):
            raise GraphError(f"a node needs an id and an agent; got {self.id!r}, {self.agent!r}.")
        object.__setattr__(self, "weight", finite(self.weight, f"weight of node {self.id!r}"))


@dataclass(frozen=True, slots=True)
class StopCondition:
    """When to skip what comes after an edge.

    ``agreement``: the heaviest group of equal answers holds at least ``threshold`` of the weight of all
    that ran, among at least ``min_answers`` answers. ``disagreement``: the opposite of ``agreement`` with
    the same numbers; the two together send a run one way or the other. ``score``: an answer's own score
    (confidence, judge) reaches ``threshold``. ``answered``: at least ``min_answers`` answers are not empty.

    >>> StopCondition("agreement", threshold=1.0, min_answers=2).kind
    'agreement'
    """

    kind: StopKind
    threshold: float = 1.0
    min_answers: int = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(StopKind):
            raise GraphError(f"stop condition {self.kind!r} is none of {get_args(StopKind)}.")
        object.__setattr__(self, "threshold", finite(self.threshold, "a stop threshold", high=1.0))
        object.__setattr__(self, "min_answers", count(self.min_answers, "a stop condition's min_answers"))


@dataclass(frozen=True, slots=True)
class Edge:
    """A directed, weighted channel between two nodes."""

    source: str
    target: str
    weight: float = 1.0
    kind: EdgeKind = "spatial"
    carries: bool = True
    """Whether the target sees the source's answer; False only orders the work."""
    stop: StopCondition | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(EdgeKind):
            raise GraphError(f"edge kind {self.kind!r} is none of {get_args(EdgeKind)}.")
        if self.stop is not None and not isinstance(self.stop, StopCondition):
            raise GraphError(f"an edge's stop is a StopCondition or None; got {self.stop!r}.")
        if self.kind == "spatial" and self.source == self.target:
            raise GraphError(f"node {self.source!r} cannot send to itself within a round.")
        what = f"weight of edge {self.source!r} -> {self.target!r}"
        object.__setattr__(self, "weight", finite(self.weight, what))


@dataclass(frozen=True, slots=True)
class Aggregation:
    """How the output nodes' answers become one.

    ``vote``: the heaviest group of equal (normalised) answers; ties go to the first node. ``best``: the
    answer with the highest score, else weight. ``refine``: the agent ``agent`` merges them (left out
    when one answer stands; ``options={"conflicts": "off"}`` keeps an agent of the strategy ``refine`` from
    naming conflicts). ``concat``: all, under their agents' names. ``last``: the last node that
    ran. ``custom``: a function registered with the runtime under ``options["name"]``.
    """

    kind: AggregationKind = "vote"
    agent: str | None = None
    normalise: str = "default"
    """Name of the answer normaliser (see ``agentnet.graphs.answers``)."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(AggregationKind):
            raise GraphError(f"aggregation {self.kind!r} is none of {get_args(AggregationKind)}.")
        if self.kind == "refine" and not self.agent:
            raise GraphError("a refine aggregation needs the name of the agent that merges.")
        if self.kind == "custom" and "name" not in self.options:
            raise GraphError('a custom aggregation needs options={"name": ...}.')
        if self.normalise not in NORMALISERS:
            raise GraphError(f"no answer normaliser {self.normalise!r}; there are {', '.join(NORMALISERS)}.")
        object.__setattr__(self, "options", frozen_mapping(self.options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Most that a run may use; None is no limit.

    >>> Limits(usd="0.01", calls=5).usd
    Decimal('0.01')
    """

    usd: Decimal | None = None
    tokens: int | None = None
    """Prompt and completion tokens together."""
    calls: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.usd is not None:
            try:
                object.__setattr__(self, "usd", Decimal(str(self.usd)))
            except ArithmeticError:
                raise LimitError(f"limit usd must be a number; got {self.usd!r}.") from None
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
                raise LimitError(f"limit {item.name} must be a number; got {value!r}.")
            if not (float(value) > 0 and math.isfinite(value)):
                raise LimitError(
                    f"limit {item.name} must be above zero (got {value}): with nothing to spend, nothing "
                    "can run. Use None for no limit."
                )
            if item.name in ("tokens", "calls") and not isinstance(value, Integral):
                raise LimitError(f"limit {item.name} must be a whole number; got {value!r}.")

    def tightest(self, other: Limits | None) -> Limits:
        """Returns the stricter of two limits, field by field."""
        if other is None:
            return self
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return Limits(
            **{name: min((v for v in pair if v is not None), default=None) for name, pair in pairs.items()}
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values without the fields that are None."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: str(v) if isinstance(v, Decimal) else v for k, v in values.items() if v is not None}


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """A small weighted graph of agents, validated when made.

    Raises:
        GraphError: no node, a duplicate or unknown id, a doubled edge, a cycle inside a round.

    >>> g = TaskGraph.of(["solver", "checker"], edges=[("solver", "checker")])
    >>> g.layers, g.outputs, g.density
    ((('solver',), ('checker',)), ('checker',), 1.0)
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    rounds: int = 1
    aggregation: Aggregation = field(default_factory=Aggregation)
    outputs: tuple[str, ...] = ()
    """Ids of the nodes whose answers are aggregated; default: all sinks of the spatial DAG."""
    limits: Limits | None = None
    grow: bool = False
    layers: tuple[tuple[str, ...], ...] = field(init=False, compare=False, repr=False)
    """Topological layers of the spatial DAG: all of a layer can run at once."""

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "nodes", typed(self.nodes, Node, "nodes"))
        set_(self, "edges", typed(self.edges, Edge, "edges"))
        if not self.nodes:
            raise GraphError("a task graph needs at least one node.")
        ids = [node.id for node in self.nodes]
        known = set(ids)
        if len(known) < len(ids):
            raise GraphError(f"node ids must be unique; got {sorted(i for i in known if ids.count(i) > 1)}.")
        set_(self, "rounds", count(self.rounds, "rounds", most=MAX_ROUNDS))
        seen: set[tuple[str, str, str]] = set()
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in known:
                    raise GraphError(f"an edge names node {end!r}, which is not in the graph: {ids}.")
            key = (edge.source, edge.target, edge.kind)
            if key in seen:
                raise GraphError(f"the {edge.kind} edge {edge.source!r} -> {edge.target!r} stands twice.")
            seen.add(key)
        set_(self, "layers", _layers(ids, self.edges))
        outputs = typed(self.outputs, str, "outputs") or _sinks(ids, self.edges)
        if missing := [name for name in outputs if name not in known]:
            raise GraphError(f"outputs name nodes that are not in the graph: {missing}.")
        set_(self, "outputs", tuple(dict.fromkeys(outputs)))

    @classmethod
    def of(
        cls,
        agents: Iterable[str],
        edges: Iterable[tuple[str, str]] = (),
        **settings: Any,
    ) -> TaskGraph:
        """Builds a graph whose nodes carry the agents' names as ids; other fields by keyword."""
        return cls(
            nodes=tuple(Node(name, name) for name in agents),
            edges=tuple(Edge(a, b) for a, b in edges),
            **settings,
        )

    @property
    def agents(self) -> tuple[str, ...]:
        """Agent names in node order, each once; a refining agent last."""
        names = [node.agent for node in self.nodes]
        if self.aggregation.agent:
            names.append(self.aggregation.agent)
        return tuple(dict.fromkeys(names))

    @property
    def spatial(self) -> tuple[Edge, ...]:
        """Edges within a round."""
        return tuple(edge for edge in self.edges if edge.kind == "spatial")

    @property
    def temporal(self) -> tuple[Edge, ...]:
        """Edges from one round to the next."""
        return tuple(edge for edge in self.edges if edge.kind == "temporal")

    @property
    def density(self) -> float:
        """Spatial edges over the most a DAG of this size can have, n (n - 1) / 2; 0 for one node."""
        most = len(self.nodes) * (len(self.nodes) - 1) // 2
        return len(self.spatial) / most if most else 0.0

    @property
    def replayable(self) -> bool:
        """Whether recorded answers give exactly what a run would: no agent sees another's answer."""
        unseen = not any(edge.carries for edge in self.edges)
        plain = all(node.prompt is None for node in self.nodes)
        joins = self.aggregation.kind in ("vote", "last", "best")
        return unseen and plain and joins and self.rounds == 1 and not self.grow

    def node(self, node_id: str) -> Node:
        """Returns a node by id; raises GraphError when there is none."""
        for item in self.nodes:
            if item.id == node_id:
                return item
        raise GraphError(f"no node {node_id!r} in the graph: {[n.id for n in self.nodes]}.")

    def with_(self, **changes: Any) -> TaskGraph:
        """Returns a copy with some fields changed, validated again."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON values from which `from_dict` gives an equal graph."""
        return {
            "nodes": [_sparse(n, Node("?", "?")) | {"id": n.id, "agent": n.agent} for n in self.nodes],
            "edges": [
                _sparse(e, Edge("?", "!")) | {"source": e.source, "target": e.target} for e in self.edges
            ],
            "rounds": self.rounds,
            "aggregation": _sparse(self.aggregation, Aggregation()) | {"kind": self.aggregation.kind},
            "outputs": list(self.outputs),
            "limits": self.limits.to_dict() if self.limits else None,
            "grow": self.grow,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskGraph:
        """Builds a graph from JSON values.

        Raises:
            GraphError: a key or a value cannot be used.
        """
        try:
            edges = [
                Edge(**{**e, "stop": StopCondition(**e["stop"]) if e.get("stop") else None})
                for e in data.get("edges", ())
            ]
            limits = data.get("limits")
            return cls(
                nodes=tuple(Node(**node) for node in data["nodes"]),
                edges=tuple(edges),
                rounds=data.get("rounds", 1),
                aggregation=Aggregation(**data.get("aggregation", {})),
                outputs=tuple(data.get("outputs", ())),
                limits=Limits(**limits) if limits is not None else None,
                grow=bool(data.get("grow", False)),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise GraphError(f"this is not a task graph's JSON: {error!r}.") from None

    def to_json(self) -> str:
        """Returns the graph as JSON text, without loss."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TaskGraph:
        """Builds a graph from `to_json`'s text."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise GraphError(f"this is not JSON: {error}.") from None
        return cls.from_dict(data)

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits of the content: equal graphs, equal fingerprints."""
        return content_hash(self.to_dict())


def _sparse(value: Any, default: Any) -> dict[str, Any]:
    """The fields that differ from a default value's, as JSON values."""
    data: dict[str, Any] = {}
    for item in fields(value):
        got = getattr(value, item.name)
        if got == getattr(default, item.name):
            continue
        if isinstance(got, StopCondition):
            got = {f.name: getattr(got, f.name) for f in fields(got)}
        data[item.name] = dict(got) if isinstance(got, Mapping) else got
    return data


def _sinks(ids: list[str], edges: Iterable[Edge]) -> tuple[str, ...]:
    sources = {edge.source for edge in edges if edge.kind == "spatial"}
    return tuple(name for name in ids if name not in sources)


def _layers(ids: list[str], edges: Iterable[Edge]) -> tuple[tuple[str, ...], ...]:
    """Kahn's algorithm by layers; node order inside a layer is the graph's."""
    waiting = dict.fromkeys(ids, 0)
    after: dict[str, list[str]] = {name: [] for name in ids}
    for edge in edges:
        if edge.kind == "spatial":
            waiting[edge.target] += 1
            after[edge.source].append(edge.target)
    layers: list[tuple[str, ...]] = []
    ready = [name for name in ids if waiting[name] == 0]
    while ready:
        layers.append(tuple(ready))
        freed: set[str] = set()
        for name in ready:
            for target in after[name]:
                waiting[target] -= 1
                if waiting[target] == 0:
                    freed.add(target)
        ready = [name for name in ids if name in freed]
    placed = sum(len(layer) for layer in layers)
    if placed < len(ids):
        rest = [name for name in ids if waiting[name] > 0]
        raise GraphError(
            f"the spatial edges of nodes {rest} form a cycle; within a round messages cannot go in circles "
            "(make one edge temporal and set rounds)."
        )
    return tuple(layers)
