"""AGP: speed of rollouts by the thousand and of one decision, as ratios of works that take turns.

    python benches/agp.py [--quick] [--rounds 20] [--parts rollouts,society,decision]
        [--out benches/results/agp.json]

- ``rollouts``: draw graphs from each task's own log-odds, take their log-probability and replay them on
  recorded answers; 4,096 at once (`sample_ordered`, `log_prob_ordered`, `ReplayEnvironment.run`), against
  loops that do the same for one graph at a time. ``objects``: `agentnet.graphs.sampling` draws in numpy, and
  `agentnet.graphs.replay` runs the `TaskGraph`. ``plain``: Python lists and bit sets, made fast by hand.
  ``singly``: the same functions as at once, called with one graph.
- ``society``: the same with the closed-form accuracy of a simulated society instead of recorded answers;
  ``numpy`` draws by `agentnet.graphs.sampling` and computes in numpy, ``plain`` and ``singly`` as above.
- ``decision``: one ``route`` of the router ``agp`` for 9 agents, the text encoded beforehand, against
  ``network``, one bare forward of `TopologyNet` on the raw encodings, nothing kept from passes before;
  ``energies``, this and the energies of the graphs in the bank; and ``forward_once``, the router's own method
  for the bare forward: the first, and the look-up of the pool.

The loops run on fewer graphs; times are per graph. One thread. The loops' replays and log-probabilities are
first checked against those of the arrays on the same graphs. Ratios are medians of the ratios of paired
rounds with their 95 % bootstrap intervals, of wall and of processor time.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erf, sqrt
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from agp_plain import PlainReplay, PlainSociety, Row, Run, plain_chance, plain_draw, plain_loop
from amro_s_paths import Result, alternated, ratio_of, sig
from torch import Tensor

from agentnet.bench.society import Society, SocietyEnvironment
from agentnet.graphs import sampling
from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.graphs.replay import replay
from agentnet.graphs.task import Task
from agentnet.graphs.task_graph import Edge, Node, TaskGraph
from agentnet.outcomes.table import Outcomes, Queries
from agentnet.routers.registry import make_router, router_names
from agentnet.routers.topology.environment import Environment
from agentnet.routers.topology.graphs import STOP, Graphs
from agentnet.routers.topology.replay import ReplayEnvironment
from agentnet.routers.topology.sampler import Draw, forward_pairs, log_prob_ordered, sample_ordered

DIM, TASKS, AT_ONCE = 384, 400, 4096
LOOPED = {"objects": 100, "numpy": 200, "plain": 500, "singly": 50}
"""Graphs that a loop runs in a round."""


@dataclass(frozen=True)
class Odds:
    """Log-odds of R graphs of N agents, each with its task; the same as tensors, arrays and lists."""

    tasks: Tensor
    keep: Tensor
    order: Tensor
    edge: Tensor

    @classmethod
    def random(cls, agents: int, r: int, tasks: int) -> Odds:
        """Half of the edges and most agents, near what an untrained policy draws."""
        g = torch.Generator().manual_seed(0)
        shapes = ((r, agents), (r, agents), (r, agents, agents))
        keep, order, edge = (torch.randn(shape, generator=g) for shape in shapes)
        return cls(torch.randint(tasks, (r,), generator=g), keep + 1, order, edge)

    def lists(self, r: int) -> list[Row]:
        """The first r as lists."""
        parts = (getattr(self, name)[:r].tolist() for name in ("tasks", "keep", "order", "edge"))
        return list(zip(*parts, strict=True))

    def arrays(self, r: int) -> list[tuple[int, Any, Any, Any]]:
        """The first r as arrays."""
        parts = (getattr(self, name)[:r].double().numpy() for name in ("keep", "order", "edge"))
        return list(zip(self.tasks[:r].tolist(), *parts, strict=True))


# -- by the thousand ---------------------------------------------------------------------------
def at_once(odds: Odds, env: Environment) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)

    def work() -> object:
        with torch.no_grad():
            draw = sample_ordered(odds.keep, odds.order, odds.edge, generator)
            chance = log_prob_ordered(draw, odds.keep, odds.order, odds.edge)
            return chance, env.run(odds.tasks, Graphs.joined(draw.keep, draw.edges, env.join), generator)

    return work


def singly_loop(odds: Odds, r: int, env: Environment) -> Callable[[], list[Any]]:
    """What `at_once` does, a graph a call."""
    parts = [getattr(odds, name)[:r].split(1) for name in ("tasks", "keep", "order", "edge")]
    works = [at_once(Odds(*one), env) for one in zip(*parts, strict=True)]
    return lambda: [work() for work in works]


# -- one by one, numpy and objects -------------------------------------------------------------
def numpy_draw(odds: Sequence[Any], rng: np.random.Generator) -> tuple[Any, Any, Any, float]:
    """Kept agents, their order, edges, and the log-probability of all."""
    _, on, rank, edge = odds
    chance = 1 / (1 + np.exp(-on))
    keep = rng.random(len(on)) < chance
    if not keep.any():
        keep[on.argmax()] = True
    order = (rank + rng.gumbel(size=len(rank))).argsort()[::-1]
    drawn = sampling.sample_ordered(1 / (1 + np.exp(-edge)), rng, order=order, keep=keep)
    told = float(np.log(np.where(keep, chance, 1 - chance)).sum())
    if keep.sum() == 1 and keep[on.argmax()]:
        told = float(np.logaddexp(told, np.log(1 - chance).sum()))
    sorted_rank = rank[order]
    told += float((sorted_rank - np.log(np.exp(sorted_rank)[::-1].cumsum()[::-1])).sum())
    return keep, order, drawn.edges, told + drawn.log_prob


def task_graph(env: ReplayEnvironment, keep: Any, order: Any, edges: Any) -> TaskGraph:
    """What `Shape.task_graph` makes, without tensors."""
    depth = [0] * len(keep)
    for j in order:
        depth[j] = max((depth[i] + 1 for i in np.flatnonzero(edges[:, j])), default=0)
    kept = sorted(np.flatnonzero(keep).tolist(), key=lambda i: (depth[i], i))
    return TaskGraph(
        nodes=tuple(Node(env.agents[i], env.agents[i], weight=env.weights[i]) for i in kept),
        edges=tuple(
            Edge(env.agents[i], env.agents[j], carries=False, stop=STOP)
            for i, j in zip(*np.nonzero(edges), strict=True)
        ),
        outputs=tuple(env.agents[i] for i in kept),
    )


def objects_loop(
    odds: Odds, r: int, env: ReplayEnvironment, data: Outcomes, checked: bool = False
) -> Callable[[], list[Any]]:
    rows, rng = odds.arrays(r), np.random.default_rng(0)
    assert data.response is not None
    answers = [dict(zip(env.agents, data.response[row], strict=True)) for row in env.rows]
    where = {name: i for i, name in enumerate(env.agents)}

    def work() -> list[Any]:
        found = []
        for row in rows:
            keep, order, edges, chance = numpy_draw(row, rng)
            done = replay(task_graph(env, keep, order, edges), answers[row[0]])
            at = env.rows[row[0]]
            cost = sum(data.cost[at, where[name]] for name in done.ran)
            score = data.score[at, where[done.winner or done.ran[0]]]
            found.append((chance, score, cost))
            if checked:
                graphs = Graphs.joined(torch.tensor(keep)[None], torch.tensor(edges)[None], env.join)
                told = env.run(torch.tensor([row[0]]), graphs)
                assert float(told.score) == score and np.isclose(float(told.cost), cost)
        return found

    return work


def numpy_society_loop(odds: Odds, r: int, env: SocietyEnvironment) -> Callable[[], list[Any]]:
    rows, rng, d = odds.arrays(r), np.random.default_rng(0), env.dynamics
    names = ("mean", "synergy", "correlation", "susceptibility", "loudness", "prompt", "completion")
    mean, synergy, correlation, follows, loud, prompt, completion = (
        getattr(d, name).double().numpy() for name in names
    )
    conditions = env.conditions.tolist()

    def work() -> list[Any]:
        found = []
        for row in rows:
            keep, _, edges, chance = numpy_draw(row, rng)
            condition = conditions[row[0]]
            reads = edges.sum(0)
            passed = edges * (follows / np.maximum(reads, 1))
            total = np.linalg.solve(np.eye(len(keep)) - passed, keep.astype(float))
            weights = np.where(reads > 0, 1 - follows, 1.0) * loud * total * keep
            signal = weights @ (mean[condition] + (edges * synergy[condition]).sum(0))
            right = 0.5 * (1 + erf(signal / sqrt(2 * (weights @ correlation @ weights))))
            cost = float(d.decision) + keep @ (prompt + 2 * completion) + edges.sum(1) @ completion
            found.append((chance, float(rng.random() < right), cost))
        return found

    return work


# -- parts -------------------------------------------------------------------------------------
def recorded(agents: int) -> Outcomes:
    """Right answers, four kinds of wrong ones and now and then none."""
    rng = np.random.default_rng(0)
    score = (rng.random((TASKS, agents)) < rng.uniform(0.3, 0.8, agents)).astype(np.float32)
    wrong = rng.choice(["12", "13", "14", "15", ""], (TASKS, agents))
    return Outcomes(
        queries=Queries(
            query_id=np.arange(TASKS).astype(str),
            text=tuple(f"sum number {i}?" for i in range(TASKS)),
            split=np.where(np.arange(TASKS) % 5 == 0, "val", "train"),
        ),
        pool=Pool(Agent(name=f"agent{i:02}", description=f"model {i}") for i in range(agents)),
        score=score,
        cost=rng.uniform(1e-4, 1e-2, (TASKS, agents)),
        response=np.where(score == 1, "11", wrong).astype(object),
    )


def check(odds: Odds, env: Environment, run: Run, r: int = 300) -> None:
    """The plain loop's probabilities and returns are those of the arrays, graph by graph."""
    rng = Random(1)
    for row in odds.lists(r):
        keep, order, above = drawn = plain_draw(row, rng)
        n = len(keep)
        edges = torch.tensor([[bool(above[j] >> i & 1) for j in range(n)] for i in range(n)])
        graphs = Graphs.joined(torch.tensor([keep]), edges[None], env.join)
        places = torch.tensor([order])
        is_open = forward_pairs(places) & graphs.keep[:, :, None] & graphs.keep[:, None, :]
        told = log_prob_ordered(
            Draw(graphs.keep, edges[None], is_open, places), *(torch.tensor([part]) for part in row[1:])
        )
        assert abs(float(told) - plain_chance(drawn, row)) < 1e-3
        found = env.run(torch.tensor([row[0]]), graphs, torch.Generator())
        plain = run(row[0], drawn, rng)
        assert np.allclose([float(found.score), float(found.cost)], plain, rtol=1e-4, atol=1e-5)


def compared(odds: Odds, env: Environment, loops: dict[str, Callable[[], list[Any]]], rounds: int) -> Result:
    sides: dict[str, Callable[[], Any]] = {"at_once": at_once(odds, env), **loops}
    graphs = {"at_once": len(odds.tasks), **{name: len(work()) for name, work in loops.items()}}
    wall, busy = alternated(sides, rounds)
    for times in (wall, busy):
        for name, values in times.items():
            times[name] = [value / graphs[name] for value in values]
    return {
        "graphs": graphs,
        "rollouts_per_second": {name: sig(1 / statistics.median(values)) for name, values in wall.items()},
        "ratio_to_at_once": {
            name: {
                "wall": ratio_of(wall[name], wall["at_once"]),
                "processor": ratio_of(busy[name], busy["at_once"]),
            }
            for name in loops
        },
    }


def bench_rollouts(rounds: int, at_once_graphs: int) -> Result:
    found: Result = {}
    for agents in (4, 9, 14):
        data = recorded(agents)
        env = ReplayEnvironment.of(data, data.pool)
        assert env is not None
        odds, plain = Odds.random(agents, at_once_graphs, env.n), PlainReplay(env)
        check(odds, env, plain)
        objects_loop(odds, 50, env, data, checked=True)()
        loops = {
            "objects": objects_loop(odds, LOOPED["objects"], env, data),
            "plain": plain_loop(odds.lists(LOOPED["plain"]), plain),
            "singly": singly_loop(odds, LOOPED["singly"], env),
        }
        found[f"{agents}_agents"] = compared(odds, env, loops, rounds)
    return found


def bench_society(rounds: int, at_once_graphs: int) -> Result:
    society = Society.draw(0)
    tasks = society.outcomes(TASKS)
    env = society.environment(tasks, society.pool)
    plain = PlainSociety(env)
    odds = Odds.random(len(env.agents), at_once_graphs, env.n)
    # The expectation is compared; what is drawn from it differs with the generator.
    expected = society.environment(tasks, society.pool, expected=True)
    check(odds, expected, lambda task, drawn, rng: plain.expected(task, drawn))
    loops = {
        "numpy": numpy_society_loop(odds, LOOPED["numpy"], env),
        "plain": plain_loop(odds.lists(LOOPED["plain"]), plain),
        "singly": singly_loop(odds, LOOPED["singly"], env),
    }
    return {"agents": len(env.agents)} | compared(odds, env, loops, rounds)


def bench_decision(rounds: int) -> Result:
    """A decision of a router with the bank of a full search; what its weights are has no bearing."""
    data = recorded(9)
    router: Any = make_router("agp", encoder=f"hash:{DIM}", epochs=2)
    router.fit(data, data.pool, device="cpu")
    tasks: list[Task] = data.tasks()[:100]
    vectors = router.encode(tasks)
    pruner = router._prepared(data.pool)[0].pruner
    assert pruner is not None, "the router found no environment: this would not time the network"
    rows, price = torch.from_numpy(vectors), torch.full((1,), 0.1)

    def each(work: Callable[[int], object]) -> Callable[[], object]:
        return lambda: [work(i) for i in range(len(tasks))]

    @torch.inference_mode()
    def network(i: int) -> object:
        return pruner.net(rows[i : i + 1], pruner.agents, price)

    @torch.inference_mode()
    def energies(i: int) -> object:
        worth = pruner.net(rows[i : i + 1], pruner.agents, price)
        return pruner.bank.energy(rows[i : i + 1], price, worth)

    sides = {
        "route": each(lambda i: router.route_batch(tasks[i : i + 1], data.pool, vectors=vectors[i : i + 1])),
        "network": each(network),
        "energies": each(energies),
        "forward_once": each(lambda i: router.forward_once(vectors[i : i + 1], data.pool)),
    }
    wall, busy = alternated(sides, rounds)
    return {
        "agents": 9,
        "graphs_in_the_bank": len(pruner.bank),
        "decisions_a_round": len(tasks),
        "median_ms": {
            name: sig(statistics.median(values) / len(tasks) * 1e3) for name, values in wall.items()
        },
        "ratio_of_route": {
            name: {
                "wall": ratio_of(wall["route"], wall[name]),
                "processor": ratio_of(busy["route"], busy[name]),
            }
            for name in sides
            if name != "route"
        },
    }


def table(result: Result) -> str:
    """The result's parts in lines."""
    lines = []
    for name, part in {**result.get("rollouts", {}), "society": result.get("society", {})}.items():
        if not isinstance(part, dict) or "graphs" not in part:
            continue
        speeds = part["rollouts_per_second"]
        lines.append(f"{name}: {speeds['at_once']:,.0f} rollouts/s at once")
        for loop, ratios in part["ratio_to_at_once"].items():
            wall = ratios["wall"]
            lines.append(
                f"  {loop:8} {speeds[loop]:>10,.0f}/s  slower by {wall['median']:g} {wall['interval']}"
            )
    if decision := result.get("decision"):
        lines.append(f"decision: {decision['median_ms']['route']} ms")
        for name, ratios in decision["ratio_of_route"].items():
            wall = ratios["wall"]
            lines.append(f"  {wall['median']:g} {wall['interval']} times {name}")
    return "\n".join(lines)


def main() -> int:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short look; its figures mean little")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--parts", default="rollouts,society,decision")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "agp.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rounds = 3 if args.quick else args.rounds
    result: Result = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    result["machine"] = {
        "processor": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    command = " ".join(["python", "benches/agp.py", *sys.argv[1:]])
    parts: dict[str, Callable[[], Result]] = {
        "rollouts": lambda: bench_rollouts(rounds, AT_ONCE),
        "society": lambda: bench_society(rounds, AT_ONCE),
        "decision": lambda: bench_decision(rounds),
    }
    for name in args.parts.split(","):
        if name == "decision" and "agp" not in router_names():
            continue
        result[name] = {"command": command, "rounds": rounds} | parts[name]()
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
