from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agentnet.bench import page, plots


def test_a_plot_is_well_formed_and_shows_every_series() -> None:
    svg = plots.line_plot(
        [
            plots.Series("knn & friends", [(0, 0.5), (1, 0.7)], intervals=[(0.4, 0.6), (0.6, 0.8)]),
            plots.Series("oracle", [(0.5, 0.9)], dashed=True),
            plots.Series("empty", []),
        ],
        x_label="USD",
        y_label="score",
        y_percent=True,
    )
    root = ET.fromstring(svg)
    text = "".join(root.itertext())
    assert "knn & friends" in text and "oracle" in text and "empty" not in text
    assert "90%" in text or "100%" in text


def test_a_plot_of_one_point_and_of_nothing() -> None:
    ET.fromstring(plots.line_plot([plots.Series("a", [(3, 0.5)])], x_label="x", y_label="y"))
    assert "Nothing to plot" in plots.line_plot([], x_label="x", y_label="y")
    assert "Nothing to plot" in plots.bars({})


def test_bars_escape_names() -> None:
    svg = plots.bars({"<script>": 0.25, "b": 0.75})
    ET.fromstring(svg)
    assert "<script>" not in svg.replace("&lt;script&gt;", "")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.731, 0.744), (-3, 1e6), (5, 5), (0, 1e-7)])
def test_ticks_cover_the_data(low: float, high: float) -> None:
    ticks = plots.nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 12


def test_a_page_is_one_file_without_links(tmp_path: Path) -> None:
    where = tmp_path / "sub" / "report.html"
    page.write_page(
        where,
        title="A <b>",
        lead="offline",
        sections=[page.section("t", page.table(["x"], [["<i>"]], strong=[0]))],
    )
    text = where.read_text(encoding="utf-8")
    assert "http://" not in text and "https://" not in text and "src=" not in text
    assert "<i>" not in text and "&lt;i&gt;" in text
    assert list(where.parent.iterdir()) == [where]
