"""Words of the simulated tasks and agents: domains, difficulties, roles, and noise that tells nothing."""

from __future__ import annotations

DOMAINS: dict[str, tuple[str, ...]] = {
    "algebra": (
        *("equation", "polynomial", "unknown", "factor", "quadratic", "coefficient"),
        *("root", "variable", "inequality", "exponent", "logarithm", "matrix"),
    ),
    "law": (
        *("contract", "liability", "statute", "plaintiff", "clause", "tenant"),
        *("verdict", "appeal", "damages", "breach", "court", "licence"),
    ),
    "medicine": (
        *("patient", "symptom", "dosage", "fever", "diagnosis", "artery"),
        *("infection", "therapy", "insulin", "lesion", "antibiotic", "chronic"),
    ),
    "software": (
        *("function", "compiler", "recursion", "pointer", "thread", "loop"),
        *("exception", "database", "cache", "parser", "array", "bug"),
    ),
    "history": (
        *("empire", "treaty", "dynasty", "revolution", "medieval", "colony"),
        *("parliament", "siege", "monarch", "archive", "republic", "crusade"),
    ),
    "physics": (
        *("momentum", "voltage", "photon", "friction", "gravity", "wavelength"),
        *("entropy", "torque", "magnet", "velocity", "electron", "pressure"),
    ),
    "economics": (
        *("inflation", "tariff", "demand", "supply", "interest", "budget"),
        *("unemployment", "market", "monopoly", "currency", "subsidy", "deficit"),
    ),
    "geography": (
        *("river", "continent", "climate", "mountain", "delta", "latitude"),
        *("desert", "population", "volcano", "island", "plateau", "monsoon"),
    ),
}
"""Twelve words of each domain a society may have, in the order in which they are taken."""

DIFFICULTY: tuple[tuple[str, ...], ...] = (
    ("routine", "elementary", "familiar", "plain"),
    ("ordinary", "moderate", "standard", "usual"),
    ("intricate", "subtle", "advanced", "obscure"),
)
"""Words that tell a task's difficulty, the easiest first."""

ROLES: dict[str, str] = {
    "analyst": "takes a problem apart and drafts notes for those who solve it",
    "solver": "works a problem out and builds on an analyst's notes",
    "checker": "looks over a solver's work and settles the answer",
}
"""Roles, in the order in which the one helps the next, and how an agent's description puts them."""

OPENINGS: tuple[str, ...] = (
    "Is it so that",
    "Decide whether",
    "Say if",
    "True or false:",
    "Judge whether",
    "Please tell whether",
)

NOISE: tuple[str, ...] = (
    *("the", "given", "case", "holds", "under", "these", "terms", "and", "when", "both", "parts"),
    *("are", "taken", "together", "with", "some", "other", "facts", "that", "follow", "from", "what"),
    *("was", "stated", "before", "although", "one", "might", "object", "here", "since", "each", "of"),
    *("them", "seems", "likely", "after", "all", "in", "this", "setting", "once", "more", "details"),
)
