"""G-Designer: edges for each task, from a network that reads the task and the agents' roles.

Source: Zhang et al., "G-Designer: Architecting Multi-agent Communication Topologies via Graph Neural
Networks", arXiv 2410.11782. What is here is what its released code does: the backbone of `PaperNet`, a task
vector joined to every agent, and plain REINFORCE. The variational encoder, the anchor graph and the low-rank
term that the paper tells of are not in that code and not here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agentnet.routers.gnn.training import pick_device, seeded
from agentnet.routers.topology.paper_net import PaperInputs, PaperNet
from agentnet.routers.topology.reinforce import EdgePolicy, Lesson, reinforce

STEPS, BATCH = 10, 4
DROPOUT = 0.5


class Designer(EdgePolicy):
    """A `PaperNet` without mask head, over given inputs."""

    def __init__(self, inputs: PaperInputs) -> None:
        super().__init__()
        self.net = make_net(inputs.queries.shape[1])
        self._inputs = inputs

    def edge_logits(self, tasks: Tensor) -> Tensor:
        """[B, N, N] log-odds of edges."""
        return self.net.read(self._inputs, tasks).edge_logits

    def taking_part(self) -> Tensor:
        """[N] bool: every agent."""
        return torch.ones(len(self._inputs.roles), dtype=torch.bool, device=self._inputs.roles.device)


def make_net(d: int) -> PaperNet:
    """Makes G-Designer's network for vectors of width d."""
    return PaperNet(d, mask_head=False, dropout=DROPOUT)


def gdesigner(lesson: Lesson, inputs: PaperInputs) -> PaperNet:
    """Trains G-Designer's network, and leaves it on the CPU.

    Args:
        lesson: Environment and settings.
        inputs: Vectors of the lesson's tasks and agents.
    """
    with seeded(lesson.seed):
        policy = Designer(inputs.to(pick_device(lesson.device)))
    reinforce(policy, lesson, steps=STEPS, batch=BATCH, baseline=False, label="gdesigner")
    return policy.net.cpu()
