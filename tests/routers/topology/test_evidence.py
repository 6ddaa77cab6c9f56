"""Evidence of pruning: right signs of losses, nothing cyclic priced, cut agents drawn grey."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agentnet.routers.topology.evidence import PruningEvidence, gather
from agentnet.routers.topology.graphs import Graphs, Shape

from .test_bank import acyclic

NAMES = ("ann", "bob", "cat", "dan")
GREY, LINE_GREY = "#9aa3ad", "#c3c9d1"


@dataclass(eq=False)
class Planted:
    """Ann and bob are worth 0.3 each, a message from ann to bob 0.2, dan takes 0.4; agents cost 10 each."""

    names: tuple[str, ...] = NAMES
    blind: bool = False
    asked: Graphs | None = None

    def probabilities(self, evidence: Tensor) -> tuple[Any, Any]:
        edge = np.zeros((4, 4))
        edge[0, 1], edge[0, 3], edge[1, 0] = 0.9, 0.2, 0.3
        return np.array([0.95, 0.9, 0.3, 0.1]), edge

    def needed(self, keep: Any) -> Any:
        return None if self.blind else keep / 2

    def expect(self, task: Tensor, graphs: Graphs) -> Any:
        self.asked = graphs
        if self.blind:
            return None
        worth = torch.tensor([0.3, 0.3, 0.0, -0.4])
        score = graphs.keep.float() @ worth + 0.2 * graphs.edges[:, 0, 1].float()
        return score.double().numpy(), 10.0 * graphs.keep.sum(1).double().numpy()

    def seated(self, names: Sequence[str], roles: Tensor) -> Any: ...
    def forward(self, tasks: Tensor, rate: float) -> object: ...
    def pick(self, tasks: Tensor, rate: float) -> Any: ...
    def state(self) -> Any: ...


def evidence_of(pruner: Planted, *, abstained: bool = False) -> PruningEvidence:
    keep, edges = torch.tensor([[True, True, False, False]]), torch.zeros(1, 4, 4, dtype=torch.bool)
    edges[0, 0, 1] = True
    shape = Shape()
    return gather(
        pruner, shape, torch.zeros(3), Graphs.joined(keep, edges, "sinks"), torch.zeros(1),
        graph=None if abstained else shape.task_graph(NAMES, keep[0], edges[0]),
        score=0.8, cost=20.0, unit="tokens", rate=0.1,
    )  # fmt: skip


def test_losses_are_those_of_leaving_out() -> None:
    evidence = evidence_of(Planted())
    told = {part.agent: part for part in evidence.agents}
    assert [part.agent for part in evidence.agents] == list(NAMES), "the likeliest first"
    assert (told["ann"].loss, told["ann"].saved) == (0.5, 10.0), "with her goes what she says"
    assert (told["bob"].loss, told["bob"].saved) == (0.5, 10.0)
    assert (told["cat"].loss, told["cat"].saved) == (0.0, 10.0)
    assert (told["dan"].loss, told["dan"].saved) == (-0.4, 10.0), "that he was cut is a gain"
    assert told["ann"].needed == 0.475
    (edge,) = evidence.edges
    assert (edge.source, edge.target, edge.kept, edge.loss) == ("ann", "bob", True, 0.2)
    assert evidence.complete_score == pytest.approx(0.4) and evidence.complete_cost == 40.0


def test_every_graph_that_is_priced_is_acyclic_and_none_is_empty() -> None:
    pruner = Planted()
    evidence_of(pruner)
    assert pruner.asked is not None
    assert all(acyclic(edges) for edges in pruner.asked.edges) and pruner.asked.keep.any(1).all()
    assert pruner.asked.keep[1].all() and int(pruner.asked.edges[1].sum()) == 6, "the complete graph"


def test_the_last_agent_cannot_be_cut() -> None:
    keep = torch.tensor([[True, False, False, False]])
    graphs = Graphs.joined(keep, torch.zeros(1, 4, 4, dtype=torch.bool), "sinks")
    found = gather(
        Planted(), Shape(), torch.zeros(3), graphs, torch.zeros(1), graph=None, score=float("nan"),
        cost=float("nan"), unit="usd", rate=0.0,
    )  # fmt: skip
    told = {part.agent: part for part in found.agents}
    assert (told["ann"].loss, told["ann"].saved) == (None, None)
    assert found.score is None and "unknown" in found.lines()[0]


def test_lines_tell_what_was_cut() -> None:
    lines = evidence_of(Planted()).lines()
    assert lines[0].startswith("expected: score 0.800, cost 20 tokens; complete graph: score 0.400")
    assert any(line.startswith("cut  dan") and "score +0.4000, cost -10 tokens" in line for line in lines)
    assert any(line.startswith("kept ann -> bob") and "score -0.2000" in line for line in lines)


def test_it_is_json_and_a_picture_in_which_cut_agents_are_grey() -> None:
    evidence = evidence_of(Planted())
    assert json.loads(json.dumps(evidence.to_dict()))["unit"] == "tokens"
    picture = evidence.to_svg()
    assert picture is not None
    texts = [t for t in ET.fromstring(picture).iter() if t.tag.endswith("text") and t.text]
    grey = {t.text.split(" p=")[0] for t in texts if t.get("fill") == GREY and t.text and " p=" in t.text}
    dark = [t.text.split(" p=")[0] for t in texts if t.get("fill") != GREY and t.text and " p=" in t.text]
    assert grey == {"cat", "dan"}
    assert sorted(dark) == ["ann", "ann", "bob", "bob", "cat", "dan"], "before, all; after, the kept"


def test_what_expects_nothing_says_so() -> None:
    evidence = evidence_of(Planted(blind=True))
    assert all(part.loss is None and part.needed is None for part in evidence.agents)
    assert evidence.complete_score is None and "complete graph" not in evidence.lines()[0]
    assert evidence_of(Planted(), abstained=True).to_svg() is None
