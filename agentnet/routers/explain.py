"""Decisions in words."""

from __future__ import annotations

import numpy as np

from agentnet.routers.decision import Decision


def explain(decision: Decision, top: int = 5) -> str:
    """Returns a decision in words: what was chosen, the best candidates, and why.

    Args:
        decision: Any router's decision.
        top: How many candidates to list, best first; chosen ones are always listed.
    """
    chosen = decision.agents
    lines = [f"{decision.router} {decision.version}: {_headline(decision)}"]
    scores = np.asarray(decision.calibrated, np.float64)
    ranked = [decision.candidates[i] for i in np.argsort(-scores, kind="stable")]
    shown = [*ranked[:top], *(name for name in ranked[top:] if name in chosen)]
    width = max((len(name) for name in shown), default=5)
    lines.append(f"    {'agent':<{width}}  score    raw    USD per call")
    for name in shown:
        score = decision.scores[name]
        cost = "unknown" if score.cost is None else f"{score.cost:.6f}"
        mark = "->" if name in chosen else "  "
        lines.append(f" {mark} {name:<{width}}  {score.calibrated:5.3f}  {score.raw:5.3f}  {cost:>13}")
    if len(ranked) > len(shown):
        lines.append(f"    ... and {len(ranked) - len(shown)} more")
    lines.append("why:")
    lines.extend(f"    {line}" for line in decision.evidence.lines())
    return "\n".join(lines)


def _headline(decision: Decision) -> str:
    graph = decision.graph
    if graph is None:
        return "abstains, no agent fits"
    if len(graph.nodes) == 1:
        text = graph.nodes[0].agent
    else:
        text = " + ".join(graph.agents) + f", joined by {graph.aggregation.kind}"
    if decision.propensity is not None and decision.propensity < 1:
        text += f" (drawn with probability {decision.propensity:.3g})"
    return text
