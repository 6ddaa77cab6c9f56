"""Random graphs for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from agentnet.graphs.task_graph import Aggregation, Edge, Limits, Node, StopCondition, TaskGraph

shares = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
weights = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0])
stops = st.builds(
    StopCondition,
    kind=st.sampled_from(["agreement", "score", "answered"]),
    threshold=shares,
    min_answers=st.integers(1, 3),
)
limits = st.none() | st.builds(
    Limits, usd=st.sampled_from([None, "0.01", "2"]), calls=st.sampled_from([None, 3])
)
aggregations = st.one_of(
    st.builds(Aggregation, kind=st.sampled_from(["vote", "best", "last", "concat"])),
    st.just(Aggregation("refine", agent="editor")),
    st.just(Aggregation("custom", options={"name": ""})),
    st.just(Aggregation("custom", options={"name": "mine", "depth": 2})),
    st.builds(Aggregation, normalise=st.sampled_from(["text", "raw", "choice", "number"])),
)


@st.composite
def graphs(draw, *, max_nodes: int = 6, replayable: bool = False) -> TaskGraph:
    n = draw(st.integers(1, max_nodes))
    ids = draw(st.permutations([f"n{i}" for i in range(n)]))
    agents = draw(st.lists(st.sampled_from(["a", "b", "c", 'd é"<']), min_size=n, max_size=n))
    prompts = st.none() if replayable else st.none() | st.just("find the mistake")
    nodes = [Node(i, a, draw(weights), draw(prompts)) for i, a in zip(ids, agents, strict=True)]
    order = draw(st.permutations(ids))
    edges = []
    for i, source in enumerate(order):
        for target in order[i + 1 :]:
            if draw(st.booleans()):
                stop = draw(st.none() | stops)
                carries = False if replayable else draw(st.booleans())
                edges.append(Edge(source, target, draw(weights), "spatial", carries, stop))
    if not replayable:
        pairs = [(a, b) for a in ids for b in ids]
        for a, b in draw(st.lists(st.sampled_from(pairs), max_size=4, unique=True)):
            edges.append(Edge(a, b, draw(weights), "temporal", draw(st.booleans()), draw(st.none() | stops)))
    plain = st.builds(Aggregation, kind=st.sampled_from(["vote", "best", "last"]))
    return TaskGraph(
        nodes=tuple(nodes),
        edges=tuple(draw(st.permutations(edges))),
        rounds=1 if replayable else draw(st.integers(1, 3)),
        aggregation=draw(plain if replayable else aggregations),
        outputs=tuple(draw(st.lists(st.sampled_from(ids), unique=True))),
        limits=draw(limits),
        grow=False if replayable else draw(st.booleans()),
    )
