"""`best_single`: always the agent with the best mean score in training; the reference of every router."""

from __future__ import annotations

from agentnet.routers.constant import ConstantRouter
from agentnet.routers.decision import Evidence, NoteEvidence
from agentnet.routers.single import Choice


class BestSingleRouter(ConstantRouter):
    """Takes the agent of highest mean utility: of highest mean score when the cost weight is 0.

    >>> from agentnet.routers.registry import make_router
    >>> make_router("best_single").settings
    {}
    """

    name = "best_single"

    def _explain(self, choice: Choice) -> Evidence:
        if choice.agent is None:
            return NoteEvidence("no agent's mean score reaches the threshold")
        agent = choice.pool.agents[choice.agent].name
        return NoteEvidence(
            f"{agent} has a mean score of {choice.raw[choice.agent]:.3f} in training and the best utility"
        )
