"""`Bank`: the colonies of all settings of the quality-cost dial, as one immutable snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import RouterError
from agentnet.routers.colony.evidence import walked
from agentnet.routers.colony.heuristic import SystemCost
from agentnet.routers.colony.pheromones import Colony
from agentnet.routers.colony.space import PathSpace
from agentnet.routers.colony.update import Rules, Trajectory, update
from agentnet.routers.online import Served
from agentnet.routers.selection import exchange_rate

FORMAT = 1


def reads(evidence: Mapping[str, Any]) -> bool:
    """Whether evidence, as JSON values, is that of a colony."""
    if not {"types", "weights", "dial", "hops", "agents"} <= set(evidence):
        return False
    keys = {"layer", "after", "agreed", "chosen", "node", "parent", "room"}
    return all(isinstance(hop, Mapping) and keys <= set(hop) for hop in evidence["hops"])


def agents_in(batch: Iterable[Served]) -> set[str]:
    """Returns all agents of the pools that served tasks were served by."""
    return {name for one in batch if reads(one.evidence) for name in one.evidence["agents"]}


def _log_rates(dials: Sequence[float]) -> NDArray[np.float64]:
    rates: NDArray[np.float64] = np.log10([exchange_rate(dial) + 1e-6 for dial in dials])
    return rates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bank:
    """One colony per setting of the dial: what a deposit is worth depends on the price of money.

    Attributes:
        dials: Settings of the dial, ascending; a single one serves for all.
        colonies: The colony of each; all over the same space and types.
        number: How many updates made the snapshot.
        cost: Reads f_sys off a run.
        learns_cost: Whether the references of ``cost`` are the largest values seen so far, because no
            training data gave them.
    """

    dials: tuple[float, ...]
    colonies: tuple[Colony, ...]
    number: int = 0
    cost: SystemCost
    learns_cost: bool = False
    _rates: NDArray[np.float64] = field(init=False, repr=False)
    """Logarithm of each setting's exchange rate: every route asks for the nearest."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rates", _log_rates(self.dials))

    @property
    def space(self) -> PathSpace:
        """Where paths go."""
        return self.colonies[0].space

    @property
    def types(self) -> tuple[str, ...]:
        """The task types."""
        return self.colonies[0].types

    def nearest(self, dial: float) -> int:
        """Returns the position of the setting whose exchange rate is nearest."""
        return int(np.abs(self._rates - _log_rates([dial])).argmin())

    def learned(self, batch: Sequence[Served], rules: Rules) -> tuple[Bank, int]:
        """Returns the next snapshot, and how many of the served tasks could be used."""
        readable = [one for one in batch if self._reads(one.evidence)]
        bank = self._with_agents(readable)._with_references(readable)
        paths: dict[int, list[Trajectory]] = {}
        allowed = bank.space.allowed  # made anew whenever it is asked for
        settings = {dial: bank.nearest(dial) for dial in {float(one.evidence["dial"]) for one in readable}}
        for one in readable:
            at = settings[float(one.evidence["dial"])]
            path = bank.trajectory(one, allowed)
            if path.edges:
                paths.setdefault(at, []).append(path)
        used = sum(map(len, paths.values()))
        if not used:
            return self, 0
        colonies = list(bank.colonies)
        for at, found in paths.items():
            colonies[at] = update(colonies[at], found, rules)
        return replace(bank, colonies=tuple(colonies), number=self.number + 1), used

    def _reads(self, evidence: Mapping[str, Any]) -> bool:
        return reads(evidence) and tuple(evidence["types"]) == self.types

    def trajectory(self, one: Served, allowed: NDArray[np.bool_] | None = None) -> Trajectory:
        """Returns a served task as edges of this bank's space; hops of other spaces are left out.

        Args:
            one: The served task.
            allowed: ``space.allowed``, where the caller has it already.
        """
        hops = walked(one.evidence, one.ran)
        allowed = self.space.allowed if allowed is None else allowed
        edges = tuple(edge for hop in hops if (edge := self._edge(hop, allowed)) is not None)
        rooms = [float(hop["room"]) for hop in hops if hop["room"] is not None]
        load = 1 - sum(rooms) / len(rooms) if rooms else None
        cost = self.cost.of(usd=one.cost, latency_s=one.latency_s, load=load)
        rate = exchange_rate(float(one.evidence["dial"]))
        weights = tuple(float(w) for w in one.evidence["weights"])
        return Trajectory(weights, edges, rate * cost, one.score >= 0.5)

    def _edge(self, hop: Mapping[str, Any], allowed: NDArray[np.bool_]) -> tuple[int, int] | None:
        space, layer = self.space, int(hop["layer"]) - 1
        if layer >= space.layers:
            return None
        before = 0 if hop["after"] is None else space.column(hop["after"])
        column = space.column(hop["chosen"])
        agreed = hop["agreed"]
        if before is None or column is None or (space.stops and layer > 1 and agreed is None):
            return None
        row = space.row(layer, before, agreed)
        return (row, column) if allowed[row, column] else None

    def _with_agents(self, batch: Iterable[Served]) -> Bank:
        """The bank that also knows agents that have joined the pool since."""
        new = sorted(agents_in(batch) - set(self.space.agents))
        if not new:
            return self
        agents = tuple(sorted((*self.space.agents, *new)))
        return replace(self, colonies=tuple(colony.for_agents(agents) for colony in self.colonies))

    def _with_references(self, batch: Sequence[Served]) -> Bank:
        if not self.learns_cost:
            return self
        usd = max((one.cost for one in batch if one.cost is not None), default=0.0)
        latency = max((one.latency_s for one in batch if one.latency_s is not None), default=0.0)
        cost = replace(
            self.cost,
            usd_ref=max(self.cost.usd_ref or 0.0, usd) or None,
            latency_ref=max(self.cost.latency_ref or 0.0, latency) or None,
        )
        return replace(self, cost=cost)

    # -- as bytes ------------------------------------------------------------------------------
    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
        """Returns JSON values and arrays; the inverse of `restore`."""
        space = self.space
        config = {
            "agents": list(space.agents),
            "layers": space.layers,
            "stops": space.stops,
            "repeats": space.repeats,
            "types": list(self.types),
            "dials": list(self.dials),
            "numbers": [colony.number for colony in self.colonies],
            "number": self.number,
            "usd_ref": self.cost.usd_ref,
            "latency_ref": self.cost.latency_ref,
            "parts": [self.cost.usd, self.cost.latency, self.cost.load],
            "cut": self.cost.cut,
            "learns_cost": self.learns_cost,
        }
        return config, {"pheromones": np.stack([colony.tau for colony in self.colonies])}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Bank:
        """Builds a bank from what `state` returned."""
        space = PathSpace(
            tuple(config["agents"]),
            int(config["layers"]),
            stops=bool(config["stops"]),
            repeats=bool(config["repeats"]),
        )
        rows = zip(arrays["pheromones"], config["numbers"], strict=True)
        usd, latency, load = config["parts"]
        return cls(
            dials=tuple(config["dials"]),
            colonies=tuple(Colony(space, tuple(config["types"]), tau.copy(), int(n)) for tau, n in rows),
            number=int(config["number"]),
            cost=SystemCost(
                usd_ref=config["usd_ref"],
                latency_ref=config["latency_ref"],
                usd=usd,
                latency=latency,
                load=load,
                cut=bool(config["cut"]),
            ),
            learns_cost=bool(config["learns_cost"]),
        )

    def to_bytes(self, fit: str) -> bytes:
        """Returns the snapshot as safetensors, with the version of the fit it learned on."""
        from safetensors.numpy import save

        config, arrays = self.state()
        data: bytes = save(arrays, {"format": str(FORMAT), "fit": fit, "bank": json.dumps(config)})
        return data

    def adopted(self, data: bytes, fit: str) -> Bank:
        """Returns the snapshot that `to_bytes` gave, here or in another process.

        Args:
            data: The snapshot.
            fit: Version of the fit it has to be of.

        Raises:
            RouterError: it is no such snapshot, or one of another fit, other layers, types or settings.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            size = int.from_bytes(data[:8], "little")
            meta = json.loads(data[8 : 8 + size])["__metadata__"]
            bank = Bank.restore(json.loads(meta["bank"]), load(data))
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise RouterError(f"this is not a colony's snapshot: {type(error).__name__}.") from None
        if meta.get("fit") != fit or meta.get("format") != str(FORMAT):
            raise RouterError(
                f"the snapshot is of fit {meta.get('fit')!r} (format {meta.get('format')}), this router of "
                f"{fit!r} (format {FORMAT}); load the router it came from, or give the learner another name."
            )
        mine, other = self.space, bank.space
        alike = (mine.layers, mine.stops, mine.repeats) == (other.layers, other.stops, other.repeats)
        if not alike or bank.types != self.types or bank.dials != self.dials:
            raise RouterError(
                "the snapshot is of a colony with other layers, task types or dial settings; train the "
                "router anew, or give the learner another name."
            )
        return bank
