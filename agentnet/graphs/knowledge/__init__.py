"""Knowledge graphs of single tasks: which entities and relations a question and its context name."""

from agentnet.graphs.knowledge.arrays import GraphArrays
from agentnet.graphs.knowledge.cache import GraphCache
from agentnet.graphs.knowledge.extract import EXTRACTORS, Extractor, make_extractor
from agentnet.graphs.knowledge.graph import NO_ENTITY, Entity, KnowledgeGraph, Near, Relation

__all__ = [
    "EXTRACTORS",
    "NO_ENTITY",
    "Entity",
    "Extractor",
    "GraphArrays",
    "GraphCache",
    "KnowledgeGraph",
    "Near",
    "Relation",
    "make_extractor",
]
