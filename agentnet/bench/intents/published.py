"""What others measured, and how their protocol differs; no table holds these beside our own figures."""

from __future__ import annotations

from typing import Any

from agentnet.bench.suites.topology_figures import Cell, table

PAPER_NOTE = (
    "Not comparable with the tables above. Tan et al., arXiv 2601.04544: all 150 intents of CLINC150 "
    "and all 64 of HWU64, where the packs here have fewer; a query counts as right when the gold agent "
    "is among up to three that are named; the router reads every agent's description of about 67 words, "
    "generated from the training queries, and is not fitted on these sets."
)
PEER_NOTE = (
    "Measured on the rows of pack clinc150 (130 intents, 3,896 test queries in scope) with "
    "semantic-router 1.1.1 and the same MiniLM vectors, one random draw of the utterances. It never "
    "turns a query away unless told a threshold; recall is at 5% false alarms, with a threshold from "
    "val in scope on its raw score."
)
PAPER: tuple[tuple[str, float, float], ...] = (
    ("TCAR, 4B parameters", 91.25, 91.63),
    ("GPT-5.1", 93.84, 85.59),
    ("Claude-Sonnet-4.5", 94.21, 87.40),
    ("DeepSeek-v3.1-terminus", 88.29, 88.10),
    ("Qwen3-4B-Instruct-2507", 70.12, 80.29),
    ("Qwen3-Embedding-4B", 57.21, 54.27),
)
PEER: tuple[tuple[str, str, float, float], ...] = (
    ("10 of each intent", "mean (default)", 0.8095, 0.81),
    ("10 of each intent", "max", 0.8498, 0.82),
    ("all", "mean (default)", 0.8727, 0.81),
    ("all", "max", 0.8958, 0.80),
)


def report() -> dict[str, Any]:
    """Returns the two tables."""
    paper: list[dict[str, Cell]] = [
        {"model": name, "CLINC150, hit %": f"{clinc:.2f}", "HWU64, hit %": f"{hwu:.2f}"}
        for name, clinc, hwu in PAPER
    ]
    peer: list[dict[str, Cell]] = [
        {"utterances": given, "aggregation": how, "hit on test": f"{hit:.4f}", "recall": f"{recall:.2f}"}
        for given, how, hit, recall in PEER
    ]
    return {
        "name": "others",
        "tables": [
            table("Published by the authors of TCAR (another protocol)", paper, note=PAPER_NOTE),
            table("semantic-router 1.1.1 on clinc150 (replayed)", peer, note=PEER_NOTE),
        ],
        "plots": [],
        "bars": [],
    }
