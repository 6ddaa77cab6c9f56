"""Heat maps: every cell says what it is, and darker always means more."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from agentnet.errors import InvalidInput
from agentnet.graphs.draw_heat import cut_label, cut_labels, to_heatmap
from agentnet.graphs.draw_page import html_page, html_table, stack_svgs, to_lines
from agentnet.graphs.draw_scale import Scale, heat_colour

NS = {"s": "http://www.w3.org/2000/svg"}


def cells(svg: str) -> dict[str, str | None]:
    """Fill of each cell by its tooltip."""
    found = {}
    for group in ElementTree.fromstring(svg).iter(f"{{{NS['s']}}}g"):
        tip, box = group.find("s:title", NS), group.find("s:rect", NS)
        if tip is not None and box is not None:
            assert tip.text is not None
            found[tip.text] = box.get("fill")
    return found


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_colours_only_get_darker() -> None:
    light = [luminance(heat_colour(i / 100)) for i in range(101)]
    assert all(a > b for a, b in pairwise(light))
    assert heat_colour(-1) == heat_colour(0) and heat_colour(2) == heat_colour(1)


def test_each_cell_tells_its_names_and_exact_value() -> None:
    found = cells(to_heatmap([[1.25, 2], [3, 123.456]], ["a", "b"], ["x", "y"], title="t"))
    assert set(found) == {"a → x: 1.25", "a → y: 2", "b → x: 3", "b → y: 123.456"}
    assert found["a → x: 1.25"] == heat_colour(0) and found["b → y: 123.456"] == heat_colour(1)


def test_a_log_scale_places_by_ratio_and_puts_zero_at_the_light_end() -> None:
    found = cells(to_heatmap([[0.01, 1, 100, 0]], ["r"], list("abcd"), title="", log=True))
    assert found["r → b: 1"] == heat_colour(0.5)
    assert found["r → d: 0"] == found["r → a: 0.01"] == heat_colour(0)


def test_masked_and_missing_cells_look_different_from_values_and_from_each_other() -> None:
    svg = to_heatmap([[1, np.nan, 7e9]], ["r"], list("abc"), title="", mask=[[0, 0, 1]], masked="no edge")
    found = cells(svg)
    assert found["r → b: no value"] == found["r → c: no edge"] == "#ffffff"
    hatched = re.search(r"r → c: no edge</title><rect[^>]*/><path", svg)
    assert hatched and not re.search(r"r → b: no value</title><rect[^>]*/><path", svg)
    assert ">no edge</text>" in svg and ">no value</text>" in svg
    assert ">all 1</text>" in svg, "a hidden value must not stretch the scale"


def test_given_ends_make_maps_comparable() -> None:
    one = cells(to_heatmap([[5.0]], ["r"], ["c"], title="", low=0, high=10))
    two = cells(to_heatmap([[5.0, 9.0]], ["r"], ["c", "d"], title="", low=0, high=10))
    assert one["r → c: 5"] == two["r → c: 5"] == heat_colour(0.5)


def test_names_are_escaped_cut_and_whole_in_the_tooltip() -> None:
    long = "<b>" + "x" * 60 + "&end"
    svg = to_heatmap([[1.0]], [long], ["c\x00"], title='a "quote" <t>')
    root = ElementTree.fromstring(svg)
    assert f"{long} → c\ufffd: 1" in cells(svg)
    texts = [node.text or "" for node in root.iter(f"{{{NS['s']}}}text")]
    assert cut_label(long) in texts and long not in texts
    assert root.get("aria-label") == 'a "quote" <t>' and root.find("s:desc", NS) is not None


def test_cut_labels_of_different_names_stay_different() -> None:
    for names in (
        [f"meta-llama/Llama-3.{i}-405B-Instruct-Turbo" for i in range(14)],
        ["x" * 40 + f"{i}" + "y" * 40 for i in range(12)],
        [f"{c}{'m' * 40}{i}{'n' * 40}{c}" for c in "ab" for i in range(3)],
    ):
        shown = cut_labels(names)
        assert len(set(shown)) == len(names) and max(map(len, shown)) <= 26
    assert cut_labels(["a", "b"]) == ["a", "b"]
    assert cut_labels([*names, "(stop)"])[-1] == "(stop)"


def test_groups_of_rows_have_headings_that_their_cells_repeat() -> None:
    svg = to_heatmap([[1.0], [2.0]], ["a", "a"], ["x"], title="", row_groups={0: "agree", 1: "disagree"})
    assert set(cells(svg)) == {"agree: a → x: 1", "disagree: a → x: 2"}
    assert ">agree</text>" in svg and ">disagree</text>" in svg


def test_nothing_is_drawn_outside_the_frame() -> None:
    names = [f"agent-with-a-long-name-{i}" for i in range(14)]
    root = ElementTree.fromstring(to_heatmap(np.ones((14, 14)), names, names, title="t", note="n" * 300))
    wide = float(root.get("width", "0"))
    boxes = list(root.iter(f"{{{NS['s']}}}rect"))
    assert max(float(b.get("x", "0")) + float(b.get("width", "0")) for b in boxes) <= wide


def test_a_thumbnail_has_no_labels_but_its_tooltips() -> None:
    svg = to_heatmap([[1.0, 2.0]], ["row"], ["c", "d"], title="snapshot 3", labels=False, width=120)
    texts = [node.text for node in ElementTree.fromstring(svg).iter(f"{{{NS['s']}}}text")]
    assert texts == ["snapshot 3"] and "row → c: 1" in cells(svg)


@pytest.mark.parametrize(
    ("matrix", "rows", "columns", "more"),
    [
        ([[1.0]], ["a", "b"], ["x"], {}),
        (np.zeros((0, 2)), [], ["x", "y"], {}),
        ([1.0], ["a"], ["x"], {}),
        ([[1.0]], ["a"], ["x"], {"mask": [[True, False]]}),
        ([[1.0]], ["a"], ["x"], {"low": 3.0, "high": 1.0}),
        ([[1.0]], ["a"], ["x"], {"low": 0.0, "log": True}),
        ([[1.0]], ["a"], ["x"], {"high": float("inf")}),
    ],
)
def test_what_does_not_fit_is_refused(matrix: object, rows: object, columns: object, more: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(InvalidInput):
        to_heatmap(matrix, rows, columns, title="", **more)  # type: ignore[arg-type]


def test_scale_and_its_inverse() -> None:
    for scale in (Scale(0.05, 20, log=True), Scale(-1, 3)):
        assert [scale.position(scale.value(p)) for p in (0, 0.25, 1)] == pytest.approx([0, 0.25, 1])
    assert Scale(2, 2).position(2) == 0.5


def test_stacked_images_do_not_overlap() -> None:
    images = [to_heatmap(np.ones((n, 2)), ["r"] * n, ["a", "b"], title="t") for n in (1, 5)]
    root = ElementTree.fromstring(stack_svgs(images, title="all"))
    inner = root.findall("s:svg", NS)
    assert float(inner[1].get("y", "0")) == float(inner[0].get("height", "0"))
    assert float(root.get("height", "0")) == sum(float(i.get("height", "0")) for i in inner)
    with pytest.raises(InvalidInput):
        stack_svgs([], title="none")
    with pytest.raises(InvalidInput):
        stack_svgs(["<p>"], title="no image")


def test_lines_show_every_point_and_refuse_gaps() -> None:
    svg = to_lines({"a": [1, 0], "b": [0.5, 0.25]}, [0, 10], title="t", x_label="x")
    ElementTree.fromstring(svg)
    assert "a: 0 at 10" in svg and "b: 0.25 at 10" in svg and svg.count("<polyline") == 2
    with pytest.raises(InvalidInput):
        to_lines({"a": [1]}, [0, 1], title="t", x_label="x")


def test_pages_escape_and_need_nothing_else() -> None:
    page = html_page("<x>", "a & b", [html_table(["<h>"], [["<c>", None]])])
    assert "<x>" not in page and "<c>" not in page and "<h>" not in page
    assert "a &amp; b" in page and "src=" not in page and "href=" not in page
