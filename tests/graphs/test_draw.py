from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given

from agentnet.errors import GraphError
from agentnet.graphs.builders import cascade, chain, complete, debate, single
from agentnet.graphs.draw import to_mermaid, to_svg
from agentnet.graphs.draw_labels import stop_label, wrap_label
from agentnet.graphs.draw_layout import layered_layout
from agentnet.graphs.ops import mask_nodes
from agentnet.graphs.task_graph import Edge, Limits, Node, StopCondition, TaskGraph

from .strategies import graphs

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == SVG + "svg"
    return root


def words(root: ET.Element) -> str:
    return " ".join("".join(text.itertext()) for text in root.iter(SVG + "text"))


@given(graphs())
def test_every_graph_can_be_drawn(graph):
    root = parsed(to_svg(graph, title="a < b & c"))
    boxes = [group for group in root.iter(SVG + "g")]
    assert len(boxes) == len(graph.nodes)
    assert not re.search(r"(href|<script|url\((?!#)|nan|inf\b)", to_svg(graph))
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    for group in boxes:
        box = group.find(SVG + "rect").attrib
        x, y = float(box["x"]), float(box["y"])
        assert left <= x and x + float(box["width"]) <= left + width
        assert top <= y and y + float(box["height"]) <= top + height
    lines = to_mermaid(graph).splitlines()
    assert lines[0] == "flowchart LR"
    assert sum(bool(re.match(r'    n\d+\["', line)) for line in lines) == len(graph.nodes)


@given(graphs())
def test_boxes_of_a_drawing_do_not_overlap(graph):
    boxes = [g.find(SVG + "rect").attrib for g in parsed(to_svg(graph)).iter(SVG + "g")]
    spots = [[float(box[key]) for key in ("x", "y", "width", "height")] for box in boxes]
    for i, (x, y, w, h) in enumerate(spots):
        for x2, y2, w2, h2 in spots[i + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_an_edge_has_its_own_lane_through_the_columns_it_crosses():
    layout = layered_layout(
        [["a"], ["b"], ["c"]], [("a", "b"), ("b", "c"), ("a", "c")], dict.fromkeys("abc", (50.0, 20.0))
    )
    (x1, y1), (x2, y2) = layout.routes["a", "c"]
    assert y1 == y2 and abs(y1 - layout.boxes["b"].y) >= 10 and x2 - x1 == 50
    assert layout.routes["a", "b"] == ()


def test_hostile_names_are_escaped_everywhere():
    name = 'x"]; <script>alert(1)</script> & `"|#\x00\ud800'
    g = TaskGraph(nodes=(Node(name, "agent"), Node("b", name)), edges=(Edge(name, "b"),))
    svg = to_svg(g, title=name, names={"agent": name})
    parsed(svg)
    assert "<script" not in svg
    labels = [line for line in to_mermaid(g).splitlines() if re.match(r"    n\d", line)]
    assert all(line.count('"') in (0, 2) and "<script" not in line for line in labels)
    svg.encode("utf-8")


def test_stop_conditions_rounds_limits_and_weights_are_told():
    g = cascade([["a"], ["b"]], 0.75).with_(limits=Limits(usd="0.01"))
    text = words(parsed(to_svg(g)))
    for part in (
        "skip if 75% of 2+ agree",
        "at most 0.01 USD",
        "dashed: stop condition",
        "weight 1.5",
        "vote",
    ):
        assert part in text
    assert 'n0 -.->|"skip if 75% of 2+ agree"| n1' in to_mermaid(g)
    assert "3 rounds" in words(parsed(to_svg(debate(["a", "b"], 3))))
    assert "3 rounds" in to_mermaid(debate(["a", "b"], 3))
    assert words(parsed(to_svg(single("a")))).split() == ["a", "answer"]


def test_line_width_follows_weight():
    g = TaskGraph.of("abc").with_(edges=[Edge("a", "b", 1.0), Edge("b", "c", 0.1)], outputs=())
    paths = [p for p in parsed(to_svg(g)).iter(SVG + "path") if "weight" in (p.findtext(SVG + "title") or "")]
    assert [float(p.attrib["stroke-width"]) for p in paths] == [3.5, 1.25]


def test_pruned_parts_are_grey():
    full = complete(["a", "b", "c"])
    kept = mask_nodes(full, ["a", "c"])
    root = parsed(to_svg(kept, full=full))
    fills = {g.findtext(SVG + "title"): g.find(SVG + "rect").attrib["fill"] for g in root.iter(SVG + "g")}
    assert fills["b"] != fills["a"] == fills["c"]
    assert "grey box: pruned" in words(root)
    mermaid = to_mermaid(kept, full=full)
    assert "class n1 pruned" in mermaid and "linkStyle 1,2 stroke" in mermaid
    with pytest.raises(GraphError, match="not in the full graph"):
        to_svg(full, full=kept)


def test_long_names_are_wrapped_and_shown_whole_on_hover():
    name = "a-very-long-agent-name-" * 8
    root = parsed(to_svg(chain([name, "b"])))
    assert max(len("".join(t.itertext())) for t in root.iter(SVG + "text")) <= 25
    assert name in [title.text for title in root.iter(SVG + "title")]
    assert len(wrap_label(name)) == 4 and wrap_label("") == [""]


def test_names_for_people():
    assert "Alice" in words(parsed(to_svg(single("a1"), names={"a1": "Alice"})))


def test_stop_labels():
    assert stop_label(StopCondition("score", 0.8)) == "skip if score >= 0.8"
    assert stop_label(StopCondition("answered", min_answers=3)) == "skip if 3+ answered"
    assert stop_label(StopCondition("agreement", 1.0, 2)) == "skip if all of 2+ agree"
