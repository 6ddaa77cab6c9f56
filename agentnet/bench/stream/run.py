"""`serve`: one simulated stream through the colony: walk, outcome, gate, update."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.stream.world import AGENTS, LAYERS, TYPES, Floats, Ints, Stream, World
from agentnet.routers.colony.heuristic import Heuristic, Moment, SystemCost
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.space import PathSpace
from agentnet.routers.colony.update import Rules, Trajectory, update

SPACE = PathSpace(AGENTS, layers=LAYERS)
HALF_LIFE = 32
"""Calls after which a moving average has forgotten half (default, not in paper)."""
USUAL_HALF_LIFE = 1024
"""The same for what a node usually takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a stream is served and learned from; the defaults are the specification's.

    Attributes:
        rules: Of the update.
        shared: One matrix for all types instead of a specialist each.
        eta: The heuristic; None leaves it out (eta = 1).
        alpha: Exponent of the pheromone.
        beta: Exponent of the heuristic.
        tau0: Pheromone at the start.
        cost: Weights of f_sys; its references are those of the dearest and slowest path.
        price: Factor of f_sys in the deposit: the exchange rate of the quality-cost dial.
        prior: Whether eta knows abilities; otherwise all have the same.
        sampling: Share of the queries that are logged for learning.
        batch: Trajectories an update.
        false_accept: Chance that the judge accepts a wrong answer.
        false_reject: Chance that it rejects a right one.
        learns: False leaves the colony as it started.
        shuffled: The gate's verdicts are dealt out among a batch's paths at random.
    """

    rules: Rules = field(default_factory=Rules)
    shared: bool = False
    eta: Heuristic | None = field(default_factory=Heuristic)
    alpha: float = 1.0
    beta: float = 1.0
    tau0: float = 1.0
    cost: SystemCost = field(default_factory=SystemCost)
    price: float = 1.0
    prior: bool = True
    sampling: float = 0.2
    batch: int = 32
    false_accept: float = 0.0
    false_reject: float = 0.0
    learns: bool = True
    shuffled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Log:
    """Simulated: what became of n queries.

    Attributes:
        right: [n] whether the answer was right.
        chance: [n] success probability of the path that was taken, of idle nodes.
        best: [n] that of the type's best path.
        usd: [n].
        latency_s: [n].
        f_sys: [n] cost of the path in [0, 1], as the setup weighs it.
        columns: [n, 3] the path.
        colony: What was learned.
    """

    right: NDArray[np.bool_]
    chance: Floats
    best: Floats
    usd: Floats
    latency_s: Floats
    f_sys: Floats
    columns: Ints
    colony: Colony

    def last(self, share: float = 0.25) -> slice:
        """Returns the last part of the stream."""
        n = len(self.right)
        return slice(n - round(n * share), n)


@dataclass(slots=True)
class _Nodes:
    """What the router is told of the nodes: calls in flight, moving averages."""

    capacity: Floats
    in_flight: Floats
    latency_s: Floats
    usual_s: Floats
    errors: Floats

    @classmethod
    def idle(cls, world: World) -> _Nodes:
        zeros = np.zeros(len(AGENTS))
        return cls(world.capacity, zeros, world.latency_s, world.latency_s, zeros)

    def moment(self) -> Moment:
        return Moment(
            room=1 / (1 + self.in_flight / self.capacity),
            speed=self.latency_s.min() / self.latency_s,
            pace=np.minimum(1.0, self.usual_s / self.latency_s),
            sound=1 - self.errors,
            open=np.ones(len(AGENTS), bool),
        )

    def call(self, columns: Ints, idle_s: Floats) -> tuple[Floats, Floats]:
        """Takes a moment's calls; returns [A] seconds a call and its chance to fail.

        A call lasts about a moment, so the last moment's calls are what is in flight. Latency grows with
        the load. Of the calls past the capacity half fail and half wait for the next moment.
        """
        calls = np.bincount(columns.ravel(), minlength=len(AGENTS)).astype(np.float64)
        waiting = np.maximum(self.in_flight - self.capacity, 0) / 2
        demand = waiting + calls
        load = demand / self.capacity
        seconds = idle_s * (1 + load)
        fails = np.where(load > 1, (1 - 1 / np.maximum(load, 1)) / 2, 0.0)
        step = 1 - 0.5 ** (calls / HALF_LIFE)
        self.latency_s = self.latency_s + step * (seconds - self.latency_s)
        slow = 1 - 0.5 ** (calls / USUAL_HALF_LIFE)
        self.usual_s = self.usual_s + slow * (seconds - self.usual_s)
        self.errors = self.errors + step * (fails - self.errors)
        self.in_flight = demand
        return seconds, fails


def serve(
    world: World, stream: Stream, setup: Setup, *, after: World | None = None, congested: bool = False
) -> Log:
    """Serves a stream moment by moment; learning sees what was logged, a batch at a time.

    Args:
        world: What paths are worth.
        stream: The queries.
        setup: How they are served and learned from.
        after: The world of the second half of the stream, if it drifts.
        congested: Whether nodes have a limited capacity and the router sees their load.
    """
    served = _Serving(world, stream, setup)
    half = len(stream) // 2
    for start, stop in zip(stream.ticks[:-1], stream.ticks[1:], strict=True):
        now = after if after is not None and start >= half else world
        served.moment(now, slice(int(start), int(stop)), congested)
    return served.log()


class _Serving:
    """A stream half served."""

    def __init__(self, world: World, stream: Stream, setup: Setup) -> None:
        n = len(stream)
        self.stream, self.setup = stream, setup
        self.types = ("all",) if setup.shared else TYPES
        self.weights = np.ones((n, 1)) if setup.shared else stream.weights
        self.colony = Colony.start(SPACE, self.types, tau0=setup.tau0)
        self.nodes = _Nodes.idle(world)
        self.cost = SystemCost(
            usd_ref=world.most_usd, latency_ref=world.most_latency_s,
            usd=setup.cost.usd, latency=setup.cost.latency, load=setup.cost.load,
        )  # fmt: skip
        self.prior = stream.weights @ world.ability if setup.prior else np.full((n, len(AGENTS)), 0.5)
        self.buffer: list[Trajectory] = []
        self.rng = np.random.default_rng(0)
        self.right = np.zeros(n, bool)
        self.chance, self.best, self.usd, self.latency, self.f_sys = np.zeros((5, n))
        self.columns = np.zeros((n, LAYERS), np.intp)

    def moment(self, world: World, part: slice, congested: bool) -> None:
        from agentnet.routers.colony.walk import walk

        setup, stream = self.setup, self.stream
        moment = self.nodes.moment()
        eta = np.ones((1, len(AGENTS)))
        if setup.eta is not None:
            eta = setup.eta.eta(self.prior[part], moment)
        found = walk(
            self.colony.tau, self.weights[part], eta, SPACE, stream.draws[part],
            alpha=setup.alpha, beta=setup.beta,
        )  # fmt: skip
        columns = found.columns.numpy()
        kinds = stream.types[part]
        chance = world.success[kinds, columns[:, 0], columns[:, 1], columns[:, 2]]
        seconds, works = world.latency_s, 1.0
        if congested:
            seconds, fails = self.nodes.call(columns, world.latency_s)
            works = (1 - fails)[columns].prod(1)
        self.columns[part] = columns
        self.chance[part] = chance
        self.best[part] = world.best()[kinds]
        self.right[part] = stream.answer[part] < chance * works
        self.usd[part] = world.usd[columns].sum(1)
        self.latency[part] = seconds[columns].sum(1)
        load = 1 - moment.room[columns].mean(1) if congested else None
        self.f_sys[part] = self._f_sys(part, load)
        if setup.learns:
            self._learn(part)

    def _f_sys(self, part: slice, load: Floats | None) -> list[float]:
        usd, latency = self.usd[part].tolist(), self.latency[part].tolist()
        loads = [None] * len(usd) if load is None else load.tolist()
        rows = zip(usd, latency, loads, strict=True)
        return [self.cost.of(usd=u, latency_s=s, load=x) for u, s, x in rows]

    def _learn(self, part: slice) -> None:
        setup, stream = self.setup, self.stream
        for i in np.flatnonzero(stream.logged[part] < setup.sampling) + part.start:
            error = setup.false_reject if self.right[i] else setup.false_accept
            self.buffer.append(
                Trajectory(
                    weights=tuple(self.weights[i].tolist()),
                    edges=_edges(self.columns[i].tolist()),
                    cost=setup.price * self.f_sys[i],
                    accepted=bool(self.right[i]) != bool(stream.judged[i] < error),
                )
            )
        while len(self.buffer) >= setup.batch:
            batch, self.buffer = self.buffer[: setup.batch], self.buffer[setup.batch :]
            self.colony = update(self.colony, self._dealt(batch), setup.rules)

    def _dealt(self, batch: list[Trajectory]) -> list[Trajectory]:
        if not self.setup.shuffled:
            return batch
        order = self.rng.permutation(len(batch))
        return [
            Trajectory(path.weights, path.edges, path.cost, batch[k].accepted)
            for path, k in zip(batch, order, strict=True)
        ]

    def log(self) -> Log:
        return Log(
            right=self.right,
            chance=self.chance,
            best=self.best,
            usd=self.usd,
            latency_s=self.latency,
            f_sys=self.f_sys,
            columns=self.columns,
            colony=self.colony,
        )


def _edges(columns: list[int]) -> tuple[tuple[int, int], ...]:
    before = [0, *columns[:-1]]
    return tuple((SPACE.row(layer, before[layer]), column) for layer, column in enumerate(columns))


def recovery(log: Log, target: float, *, since: int, window: int = 500) -> int | None:
    """Returns after how many queries past ``since`` the mean chance of a window is at ``target``.

    Args:
        log: A served stream.
        target: Success probability to come back to.
        since: The query at which the world changed.
        window: Queries of the moving mean; the count is that of the window's last query.
    """
    sums = np.cumsum(np.insert(log.chance[since:], 0, 0.0))
    means = (sums[window:] - sums[:-window]) / window
    back = np.flatnonzero(means >= target)
    return int(back[0]) + window if len(back) else None
