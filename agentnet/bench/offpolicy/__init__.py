"""Off-policy evaluation: what another router would have done, from the log of the one that served."""

from agentnet.bench.offpolicy.compare import PolicyComparison, compare_policies
from agentnet.bench.offpolicy.evaluate import OffPolicyReport, evaluate_policy
from agentnet.bench.offpolicy.intervals import Estimate, compare_runs
from agentnet.bench.offpolicy.model import encode_queries, reduce_vectors
from agentnet.bench.offpolicy.overlap import Limits, Overlap

__all__ = [
    "Estimate",
    "Limits",
    "OffPolicyReport",
    "Overlap",
    "PolicyComparison",
    "compare_policies",
    "compare_runs",
    "encode_queries",
    "evaluate_policy",
    "reduce_vectors",
]
