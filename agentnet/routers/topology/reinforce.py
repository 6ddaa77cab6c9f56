"""`reinforce`: policy gradient over the edges of sampled graphs, as GPTSwarm and those after it do it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agentnet.errors import InvalidInput
from agentnet.routers.gnn.training import History, Plan, TrainingOptions, pick_device, train
from agentnet.routers.topology.environment import Environment
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.sampler import log_edges, sample_visit

_MOMENTUM = 0.9
"""Of the moving average that is subtracted as baseline; no paper tells its own."""
NEVER = -200.0
"""Log-odds of an edge that is not allowed; its probability is 0 in single precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a topology is learned from, and how.

    Attributes:
        env: Runs the graphs.
        tasks: [m] positions of the tasks to learn from.
        steps: Steps; None is the method's own number.
        batch: Tasks a step; None is the method's own number.
        rollouts: Graphs a task and step. The papers draw one: a run is a set of model calls there. More
            make the gradient less noisy where a run is cheap.
        lr: Of Adam.
        price: Score per unit of the environment's cost; the papers count the score alone.
        seed: Of everything drawn.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
    """

    env: Environment
    tasks: Tensor
    steps: int | None = None
    batch: int | None = None
    rollouts: int = 1
    lr: float = 0.1
    price: float = 0.0
    seed: int = 0
    device: str = "cpu"
    options: TrainingOptions | None = None


class EdgePolicy(nn.Module):
    """Log-odds of edges, for each task; subclasses give `edge_logits`."""

    average: Tensor
    """Moving average of the utility."""
    seen: Tensor
    """Steps that it holds."""

    def __init__(self) -> None:
        super().__init__()
        # Buffers, so that a training that goes on from a checkpoint goes on with them.
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @abstractmethod
    def edge_logits(self, tasks: Tensor) -> Tensor:
        """[B, N, N] log-odds of edges for B tasks, given by position."""

    @abstractmethod
    def taking_part(self) -> Tensor:
        """[N] bool: the agents that take part."""


def reinforce(
    policy: EdgePolicy,
    lesson: Lesson,
    *,
    steps: int,
    batch: int,
    baseline: bool,
    label: str,
    penalty: Callable[[], Tensor] | None = None,
    after: Callable[[int], None] | None = None,
) -> History:
    """Trains a policy by loss = mean(-(u - b) log pi) + penalty, and leaves the last weights in it.

    Graphs are drawn by visiting pairs row by row (`sample_visit`); u is the utility. Tasks come in one random
    order, over and over.

    Args:
        policy: Trained in place.
        lesson: Environment, tasks and settings.
        steps: Steps, where the lesson does not say.
        batch: Tasks a step, where the lesson does not say.
        baseline: Whether b is a moving average of u, before it the mean of the first batch; else 0.
        label: Names this training.
        penalty: Added to the loss.
        after: Called with the step's number, from 0, when the step is taken.

    Raises:
        InvalidInput: there is no task.
    """
    if not len(lesson.tasks):
        raise InvalidInput("a topology is learned from at least one task.")
    env, size = lesson.env, lesson.batch or batch
    place = torch.device(pick_device(lesson.device))
    g = torch.Generator().manual_seed(lesson.seed)
    cycle = lesson.tasks.cpu()[torch.randperm(len(lesson.tasks), generator=g)]

    def epoch(number: int, generator: torch.Generator) -> Iterator[Tensor]:
        rows = cycle[(torch.arange(size) + number * size) % len(cycle)].to(place)
        logits = policy.edge_logits(rows).repeat_interleave(lesson.rollouts, 0)
        keep = policy.taking_part().expand(len(logits), -1)
        draw = sample_visit(logits.detach().sigmoid(), keep, generator)
        graphs = Graphs.joined(draw.keep, draw.edges, env.join)
        returns = env.run(rows.repeat_interleave(lesson.rollouts), graphs, generator)
        value = returns.utility(lesson.price).to(place)
        if baseline:
            with torch.no_grad():
                mean = value.mean()
                before = torch.where(policy.seen > 0, policy.average, mean)
                policy.average.copy_(_MOMENTUM * before + (1 - _MOMENTUM) * mean)
                policy.seen += 1
            value = value - before
        loss = -(value * log_edges(draw.edges, draw.open, logits)).mean()
        yield loss if penalty is None else loss + penalty()
        if after is not None:
            after(number)

    plan = Plan(epochs=lesson.steps or steps, patience=None, lr=lesson.lr)
    told = (size, lesson.rollouts, lesson.price, baseline)
    return train(
        policy, epoch=epoch, validate=None, plan=plan, seed=lesson.seed, device=lesson.device,
        options=lesson.options, label=label, identity=repr(told),
    )  # fmt: skip
