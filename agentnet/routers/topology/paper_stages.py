"""Both stages of Adaptive Graph Pruning: policy gradient over edges, then learning from labels.

Source: arXiv 2506.02951 and the released code. Of what is known to be wrong with the release, this puts
right:

* labels, training and test share no task: a router's `fit` never sees the split ``test``;
* labels are the edges of the graphs that ran best (`paper_labels`), not the pairs that a cycle check let
  through;
* the decoder is trained (`PaperNet`);
* agents that are pruned stand in no graph (`paper_net.decode`);
* everything has a seed, and the step that is kept is chosen on labels held out, not on test tasks.

It keeps, because these are the method: a symmetric edge head of rank 16 within [0.27, 0.73]; the mask
threshold of 0.55 with a weak pressure to prune (`balanced_accuracy` tells what the mask is worth where most
labels keep most agents); plain REINFORCE on the score, without a baseline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from agentnet.errors import InvalidInput
from agentnet.routers.gnn.training import History, Plan, TrainingOptions, pick_device, train
from agentnet.routers.topology.environment import Environment
from agentnet.routers.topology.graphs import Graphs
from agentnet.routers.topology.paper_labels import PaperLabels, sub_complete
from agentnet.routers.topology.paper_net import PaperInputs, PaperNet, PaperOutput
from agentnet.routers.topology.sampler import Draw, log_edges, sample_visit

EdgeTarget = Literal["bce", "mse"]
_GATE = 0.85
_REPEAT = 0.8
_RETRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOne:
    """Settings of the first stage; the defaults are the paper's.

    Attributes:
        iterations: Steps.
        batch: Tasks a step.
        rollouts: Graphs a task and step; the paper draws 1.
        lr: Of Adam.
        scale: Factor of the loss: 100 for general tasks in the release, 1 for mathematics and code.
        price: Score per unit of the environment's cost; the paper counts the score alone.
        protected: Positions of agents that are never dropped.
        gate: Whether a step is taken only where the batch scored well, as in the release; else each is.
        subsets: Whether graphs are drawn over random sets of agents, as they are later mined; the release
            draws them over all agents.
    """

    iterations: int = 10
    batch: int = 10
    rollouts: int = 1
    lr: float = 0.1
    scale: float = 100.0
    price: float = 0.0
    protected: tuple[int, ...] = ()
    gate: bool = False
    subsets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTwo:
    """Settings of the second stage; the defaults are the paper's where it has any.

    Attributes:
        steps: Most steps; the one with the least loss on held-out labels is kept.
        batch: PaperLabels a step.
        lr: Of Adam.
        edge_target: How edges are compared with a label's: ``bce``, or ``mse`` as in the release.
        held_out: Share of the tasks whose labels choose the step, where no other labels are given for it.
        off: Weight of edges outside of the kept agents.
        sparse: Weight of the mean p.
        consist: Weight of edges at agents that the label leaves out.
        beta: Weight of all that concerns agents.
    """

    steps: int = 10
    batch: int = 10
    lr: float = 0.1
    edge_target: EdgeTarget = "bce"
    held_out: float = 0.2
    off: float = 1.0
    sparse: float = 0.05
    consist: float = 0.01
    beta: float = 1.0


class Terms(NamedTuple):
    """The parts of the second stage's loss, means over the labels, without their weights."""

    pos: Tensor
    off: Tensor
    bce: Tensor
    sparse: Tensor
    consist: Tensor

    def total(self, plan: StageTwo) -> Tensor:
        """The loss: L_edge + beta L_node."""
        node = self.bce + plan.sparse * self.sparse + plan.consist * self.consist
        return self.pos + plan.off * self.off + plan.beta * node


def label_terms(output: PaperOutput, keep: Tensor, edges: Tensor, *, target: EdgeTarget = "bce") -> Terms:
    """Compares the network's output with labels.

    With y = 1 for a kept agent, M_ij = y_i y_j, G the label's edges and A (its diagonal 0) the network's::

        pos     = mean over M = 1 of (A_ij - G_ij)^2, or of the cross-entropy of G_ij under A_ij
        off     = mean over M = 0 of A_ij^2
        bce     = cross-entropy of y under p
        sparse  = mean of p
        consist = sum of (1 - y_i) A_ij over N^2

    Args:
        output: Of B tasks.
        keep: [B, N] bool y.
        edges: [B, N, N] bool G.
        target: Form of ``pos``.
    """
    n = keep.shape[1]
    off_diagonal = ~torch.eye(n, dtype=torch.bool, device=keep.device)
    a = torch.where(off_diagonal, output.edges, 0.0)
    inside = keep[:, :, None] & keep[:, None, :]
    goal = (edges & inside).float()
    if target == "mse":
        each = (a - goal) ** 2
    else:
        each = binary_cross_entropy_with_logits(output.edge_logits, goal, reduction="none")
    each = torch.where(off_diagonal, each, 0.0)
    y = keep.float()
    if output.keep_logits is None:
        bce = binary_cross_entropy(output.keep, y)
    else:
        bce = binary_cross_entropy_with_logits(output.keep_logits, y)
    return Terms(
        pos=_mean_where(each, inside).mean(),
        off=_mean_where(a**2, ~inside).mean(),
        bce=bce,
        sparse=output.keep.mean(),
        consist=((1 - y)[:, :, None] * a).sum((1, 2)).mean() / n**2,
    )


def drop_weak(draw: Draw, weights: Tensor, floor: float, protected: tuple[int, ...] = ()) -> Draw:
    """Removes agents whose edges weigh too little, and agents without edges, with their edges.

    c_i is the sum of the weights of the drawn edges at i, in or out; an agent with c_i below ``floor`` goes.
    Its pairs stay open: that they have no edge counts in the log-probability. Where all would go, the agent
    of largest c_i stays.

    Args:
        draw: R drawn graphs.
        weights: [R, N, N] probabilities of edges.
        floor: The release takes 0.12 N, less 0.01 for every repeat of the step.
        protected: Positions of agents that stay.
    """
    drawn = torch.where(draw.edges, weights, 0.0)
    c = drawn.sum(1) + drawn.sum(2)
    stays = torch.zeros_like(draw.keep)
    stays[:, list(protected)] = True
    keep = draw.keep & ((c >= floor) | stays)
    edges = draw.edges & keep[:, :, None] & keep[:, None, :]
    keep &= edges.any(1) | edges.any(2) | stays
    heaviest = torch.where(draw.keep, c, -1.0).argmax(1, keepdim=True)
    keep = torch.where(keep.any(1, keepdim=True), keep, torch.zeros_like(keep).scatter(1, heaviest, True))
    edges = edges & keep[:, :, None] & keep[:, None, :]
    return Draw(keep, edges, draw.open, draw.order)


def stage_one(
    net: PaperNet,
    env: Environment,
    inputs: PaperInputs,
    *,
    tasks: Tensor,
    plan: StageOne | None = None,
    seed: int = 0,
    device: str = "cpu",
    options: TrainingOptions | None = None,
    label: str = "stage 1",
) -> History:
    """Trains the edges by policy gradient on sampled graphs: loss = -scale mean(u log pi).

    The mask head gets no gradient. Tasks come in one random order, over and over.

    Args:
        net: Trained in place, and left on ``device``.
        env: Runs the graphs.
        inputs: What the network reads.
        tasks: [m] positions of the tasks to train on.
        plan: Settings.
        seed: Of everything drawn.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint. With ``gate`` a resumed training forgets the last accuracy.
        label: Names this training.

    Raises:
        InvalidInput: there is no task.
    """
    if not len(tasks):
        raise InvalidInput("the first stage needs at least one task.")
    plan = plan or StageOne()
    inputs, n = inputs.to(pick_device(device)), len(env.agents)
    place = inputs.queries.device
    cycle = tasks.cpu()[torch.randperm(len(tasks), generator=torch.Generator().manual_seed(seed))]
    last = 0.0

    def attempt(number: int, retry: int, generator: torch.Generator) -> tuple[Tensor, float]:
        """One batch: its loss and mean score."""
        at = (torch.arange(plan.batch) + number * plan.batch) % len(cycle)
        rows = cycle[at].to(place)
        logits = net.read(inputs, rows).edge_logits.repeat_interleave(plan.rollouts, 0)
        weights = logits.detach().sigmoid()
        keep = torch.ones(logits.shape[:2], dtype=torch.bool, device=place)
        if plan.subsets:
            keep = sub_complete(len(logits), n, generator).to(place)
        floor = 0.12 * n - 0.01 * retry
        draw = drop_weak(sample_visit(weights, keep, generator), weights, floor, plan.protected)
        graphs = Graphs.joined(draw.keep, draw.edges, env.join)
        returns = env.run(rows.repeat_interleave(plan.rollouts), graphs, generator)
        value = returns.utility(plan.price).to(place)
        loss = -plan.scale * (value * log_edges(draw.edges, draw.open, logits)).mean()
        return loss, float(returns.score.mean())

    def epoch(number: int, generator: torch.Generator) -> Iterator[Tensor]:
        nonlocal last
        for retry in range(_RETRIES + 2):
            loss, accuracy = attempt(number, retry, generator)
            if not plan.gate or retry > _RETRIES or accuracy >= max(last - 0.2 - 0.01 * retry, _GATE):
                last = accuracy
                yield loss
                return
            if accuracy < _REPEAT:
                return

    return train(
        net, epoch=epoch, validate=None, plan=Plan(epochs=plan.iterations, patience=None, lr=plan.lr),
        seed=seed, device=device, options=options, label=label, identity=repr(plan),
    )  # fmt: skip


def stage_two(
    net: PaperNet,
    labels: PaperLabels,
    inputs: PaperInputs,
    *,
    valid: PaperLabels | None = None,
    plan: StageTwo | None = None,
    seed: int = 0,
    device: str = "cpu",
    options: TrainingOptions | None = None,
    label: str = "stage 2",
) -> History:
    """Trains both heads on labels; the values of the returned history are minus the loss on held-out labels.

    Args:
        net: Trained in place, from where the first stage left it; left on ``device``.
        labels: Graphs to imitate.
        inputs: What the network reads.
        valid: PaperLabels by which the step is chosen; None takes those of ``held_out`` of the tasks out of
            ``labels``, and where that leaves nothing on one side, the last step is kept.
        plan: Settings.
        seed: Of order and split.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
        label: Names this training.

    Raises:
        InvalidInput: there is no label.
    """
    plan = plan or StageTwo()
    if not len(labels):
        raise InvalidInput("the second stage needs at least one label: no sampled graph scored.")
    place = torch.device(pick_device(device))
    inputs = inputs.to(place)
    if valid is None:
        labels, valid = split_labels(labels, plan.held_out, seed)
    labels, held = labels.to(place), valid.to(place)
    cycle = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).to(place)

    def loss(rows: PaperLabels) -> Tensor:
        terms = label_terms(net.read(inputs, rows.task), rows.keep, rows.edges, target=plan.edge_target)
        return terms.total(plan)

    def epoch(number: int, generator: torch.Generator) -> Iterator[Tensor]:
        at = (torch.arange(plan.batch, device=place) + number * plan.batch) % len(cycle)
        yield loss(labels.take(cycle[at]))

    return train(
        net, epoch=epoch, validate=(lambda: -float(loss(held))) if len(held) else None,
        plan=Plan(epochs=plan.steps, patience=None, lr=plan.lr), seed=seed, device=device, options=options,
        label=label, identity=repr(plan),
    )  # fmt: skip


def split_labels(labels: PaperLabels, share: float, seed: int) -> tuple[PaperLabels, PaperLabels]:
    """Splits labels in two by task; the second part has about ``share`` of the tasks, but never all."""
    tasks = torch.unique(labels.task)
    drawn = torch.randperm(len(tasks), generator=torch.Generator().manual_seed(seed)).to(tasks.device)
    held = torch.isin(labels.task, tasks[drawn[: min(round(share * len(tasks)), len(tasks) - 1)]])
    return labels.take(~held), labels.take(held)


def balanced_accuracy(output: PaperOutput, keep: Tensor, threshold: float = 0.55) -> float:
    """Mean over kept and left-out agents of the share that the mask gets right.

    Keeping all agents has 0.5, though most labels keep most agents: in the released ones, keeping all is
    right for 85% to 89% of them.

    >>> out = PaperOutput(torch.zeros(1, 2, 2), torch.tensor([[3.0, 3.0]]))
    >>> balanced_accuracy(out, torch.tensor([[True, False]]))
    0.5
    """
    kept = output.keep > threshold
    sides = [(kept[keep == side] == side).float().mean() for side in (True, False) if (keep == side).any()]
    return float(torch.stack(sides).mean())


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """[B] mean of the [B, N, N] values where the mask holds; 0 where it holds nowhere."""
    return torch.where(where, values, 0.0).sum((1, 2)) / where.sum((1, 2)).clamp_min(1)
