"""What an agent scores alone: a small network over role and task, learned from single outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from agentnet.routers.gnn.plan import Plan, TrainingOptions
from agentnet.routers.gnn.training import seeded, train
from agentnet.routers.topology.network import Agents

FEWEST_HELD_OUT = 20
"""Held-out tasks below which nothing is chosen by them."""
_BATCH = 1024


@dataclass(frozen=True, slots=True, eq=False)
class SoloSeats:
    """What the network reads that does not depend on the task.

    Attributes:
        role: [N, w] projected descriptions.
        facts: [N, 3] as in `Agents`.
        start: [N] log-odds of the agents' mean scores.
    """

    role: Tensor
    facts: Tensor
    start: Tensor


class SoloNet(nn.Module):
    """Log-odds of a right answer: the agent's mean, corrected for the task; any pool will do.

    Args:
        text: d, width of the encodings of tasks and roles.
        width: Hidden width.
    """

    def __init__(self, text: int, *, width: int = 32) -> None:
        super().__init__()
        self.role = nn.Linear(text, width)
        self.task = nn.Linear(text, width)
        self.correct = nn.Sequential(nn.Linear(3 * width + 3, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, tasks: Tensor, agents: Agents) -> Tensor:
        """Returns [B, N] log-odds for tasks [B, d]."""
        return self.read(tasks, self.seats(agents))

    def seats(self, agents: Agents) -> SoloSeats:
        """Returns what is known before the tasks are."""
        start = torch.logit(agents.facts[:, 0].clamp(0.02, 0.98))
        return SoloSeats(self.role(agents.roles), agents.facts, start)

    def read(self, tasks: Tensor, seats: SoloSeats) -> Tensor:
        """Returns [B, N] log-odds for tasks [B, d]."""
        role = seats.role.expand(len(tasks), -1, -1)
        task = self.task(tasks)[:, None].expand(-1, len(seats.role), -1)
        facts = seats.facts.expand(len(tasks), -1, -1)
        change: Tensor = self.correct(torch.cat((role, task, role * task, facts), -1)).squeeze(-1)
        return seats.start + change

    @torch.inference_mode()
    def scores(self, tasks: Tensor, seats: SoloSeats) -> NDArray[np.float64]:
        """Returns [B, N] probabilities of a right answer for tasks [B, d]."""
        logits = [self.read(tasks[at : at + _BATCH], seats) for at in range(0, len(tasks), _BATCH)]
        # Four digits: a batch of another size differs in the last ones.
        scores: NDArray[np.float64] = torch.cat(logits).round(decimals=4).sigmoid().double().numpy()
        return scores


def learn_solo(
    tasks: Tensor,
    agents: Agents,
    score: Tensor,
    train_rows: Tensor,
    val_rows: Tensor,
    *,
    width: int,
    seed: int,
    device: str,
    options: TrainingOptions | None,
    label: str,
) -> SoloNet:
    """Learns single scores.

    Args:
        tasks: [n, d] encodings.
        agents: The N agents.
        score: [n, N] in [0, 1]; NaN unknown.
        train_rows: Tasks that are learned from.
        val_rows: Tasks that say when to stop.
        width: Hidden width.
        seed: Makes it deterministic.
        device: ``auto``, ``cpu`` or ``cuda``.
        options: Progress, log and checkpoint.
        label: Names the training.
    """
    with seeded(seed):
        net = SoloNet(tasks.shape[1], width=width)
    seen = ~score.isnan()
    filled = score.nan_to_num(0.0)

    def loss(rows: Tensor) -> Tensor:
        place = next(net.parameters()).device
        logits = net(tasks[rows].to(place), agents.to(str(place)))
        known = seen[rows].to(place).float()
        each = binary_cross_entropy_with_logits(logits, filled[rows].to(place), reduction="none")
        return (each * known).sum() / known.sum().clamp_min(1)

    def epoch(_: int, generator: torch.Generator) -> Iterator[Tensor]:
        order = train_rows[torch.randperm(len(train_rows), generator=generator)]
        for rows in torch.split(order, 128):
            yield loss(rows)

    judged = len(val_rows) >= FEWEST_HELD_OUT and bool(seen[val_rows].any())
    plan = Plan(epochs=40 if judged else 10, patience=6, lr=2e-3, weight_decay=0.05, clip=1.0)
    train(
        net, epoch=epoch, validate=(lambda: -float(loss(val_rows))) if judged else None, plan=plan, seed=seed,
        device=device, options=options, label=f"{label} single agents",
    )  # fmt: skip
    return net.cpu()
