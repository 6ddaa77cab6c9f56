"""The prior from which societies are drawn; everything in it is simulated and chosen by us.

U is uniform, LU log-uniform; this is ``mixed`` unless stated.

* Agents, domains, difficulties: 9 agents; 4 of 8 domains; mean evidence is scaled by 1.3, 1.0, 0.7.
* Idle agents, 1 or 2 (``specialists``: none): skill U(-0.05, 0.05), susceptibility U(0.6, 0.9), loudness
  U(0.3, 0.6); they claim half of the domains at random.
* Adversarial agents, 0 or 1 (``adversarial``: 1 to 3; ``specialists``: none): skill -U(0.6, 1.2) in every
  domain, susceptibility U(0, 0.1), loudness U(1.0, 1.4). They help nobody and nobody helps them; their names
  and descriptions are those of the agents that they would be otherwise.
* Other agents: in each domain skilled with probability 0.5, and in one at least; skill U(0.6, 1.3), elsewhere
  U(0, 0.2); susceptibility U(0.1, 0.35), loudness U(0.8, 1.2). Every domain has two skilled agents or more
  that are neither idle nor adversarial.
* ``specialists``: every domain has 2 skilled agents of skill U(0.9, 1.4); the others have U(-0.05, 0.1).
* Synergy: roles help in turn, analyst -> solver -> checker. Two agents that follow each other in role and are
  both skilled in a domain have a synergy there with probability 0.5: U(0.3, 0.8).
* Redundancy: groups of 1 to 3 agents at random, rho U(0.2, 0.6).
* Tokens: prompt U(60, 140), completion LU(120, 480), the decision's prompt U(40, 100).
* Price: LU(0.02, 0.06) of a score for as many tokens as the dearest agent takes alone.
* Agents stand in random order.

``no_pruning`` is a society in which nothing is gained by leaving anybody out: the price of a token is 0, all
agents have the same skill in a domain (U(0.3, 0.5), drawn for each domain), no synergy, no susceptibility, no
redundancy, loudness 1, nobody idle or adversarial.

With a number of ``adversaries``, 0 to 3, so many agents are adversarial, and but for them the societies of a
seed and kind are the same: 0 gives the clean counterpart of 1 to 3.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from agentnet.bench.society.society import Floats, Society
from agentnet.bench.society.words import DOMAINS, ROLES
from agentnet.errors import InvalidInput

Kind = Literal["mixed", "no_pruning", "adversarial", "specialists"]
Array = NDArray[Any]
AGENTS = 9
DOMAIN_COUNT = 4
LEVELS = (1.3, 1.0, 0.7)
MOST_ADVERSARIES = 3
_SKILLED = 0.6
"""Least skill of an agent that says of itself that it knows a domain."""


def draw(seed: int, kind: Kind = "mixed", *, adversaries: int | None = None) -> Society:
    """Draws a society; the module tells the prior.

    Args:
        seed: The same seed and kind, the same society.
        kind: What sort of society.
        adversaries: How many agents are adversarial, 0 to 3; None draws it as the kind says.

    Raises:
        InvalidInput: no such kind, or adversaries where there can be none or not so many.

    >>> draw(3, "no_pruning").price
    0.0
    """
    if kind not in get_args(Kind):
        raise InvalidInput(f"no kind of society {kind!r}; there are {', '.join(get_args(Kind))}.")
    most = 0 if kind == "no_pruning" else MOST_ADVERSARIES
    if adversaries is not None and not 0 <= adversaries <= most:
        raise InvalidInput(f"a {kind} society has 0 to {most} adversaries; got {adversaries!r}.")
    rng = np.random.default_rng([seed, 31, get_args(Kind).index(kind)])
    n, d = AGENTS, DOMAIN_COUNT
    domains = tuple(sorted(rng.choice(list(DOMAINS), d, replace=False).tolist()))
    idle, loyal, bad = _casting(rng, n, kind, adversaries)
    roles = rng.permutation(np.resize(list(ROLES), n))
    prompt, completion = rng.uniform(60, 140, n).round(), _log_uniform(rng, 120, 480, n).round()
    decision = float(rng.integers(40, 101))
    dearest = float((prompt + 2 * completion).max()) + decision
    if kind == "no_pruning":
        price, group, rho = 0.0, np.arange(n), 0.0
        skill = np.tile(rng.uniform(0.3, 0.5, d), (n, 1))
        claims = np.ones((n, d), bool)
        synergy, susceptibility, loudness = np.zeros((n, n, d)), np.zeros(n), np.ones(n)
    else:
        price = float(_log_uniform(rng, 0.02, 0.06, 1)[0]) / dearest
        group, rho = rng.permutation(_groups(rng, n)), float(rng.uniform(0.2, 0.6))
        skill = _specialists(rng, n, d) if kind == "specialists" else _skills(rng, n, d, loyal)
        susceptibility, loudness = rng.uniform(0.1, 0.35, n), rng.uniform(0.8, 1.2, n)
        skill[idle] = rng.uniform(-0.05, 0.05, (len(idle), d))
        susceptibility[idle] = rng.uniform(0.6, 0.9, len(idle))
        loudness[idle] = rng.uniform(0.3, 0.6, len(idle))
        claims = skill >= _SKILLED
        claims[idle] = rng.random((len(idle), d)) < 0.5
        synergy = _synergy(rng, skill, roles)
    names = tuple(f"{role}-{i + 1}" for i, role in enumerate(roles.tolist()))
    descriptions = tuple(_describe(rng, roles[i], claims[i], domains) for i in range(n))
    # Last, and drawn for everybody: all else stays the same, whatever their number.
    evil = (-rng.uniform(0.6, 1.2, (n, d)), rng.uniform(0, 0.1, n), rng.uniform(1.0, 1.4, n))
    for usual, worse in zip((skill, susceptibility, loudness), evil, strict=True):
        usual[bad] = worse[bad]
    synergy[bad], synergy[:, bad] = 0.0, 0.0
    return Society(
        name=f"{kind}{'' if adversaries is None else adversaries}-{seed}",
        agents=names,
        descriptions=descriptions,
        domains=domains,
        levels=LEVELS,
        skill=skill,
        synergy=synergy,
        susceptibility=susceptibility,
        loudness=loudness,
        group=group,
        rho=rho,
        prompt=prompt,
        completion=completion,
        decision=decision,
        price=price,
    )


def _casting(
    rng: np.random.Generator, n: int, kind: Kind, adversaries: int | None
) -> tuple[Array, Array, Array]:
    """Returns the idle agents, those that are neither idle nor ever adversarial, and the adversarial ones."""
    order = rng.permutation(n)
    idle, some, few = int(rng.integers(1, 3)), int(rng.integers(0, 2)), int(rng.integers(1, 4))
    usual = {"mixed": some, "adversarial": few}.get(kind, 0)
    most = MOST_ADVERSARIES if kind == "adversarial" or adversaries is not None else 1
    count = usual if adversaries is None else adversaries
    if kind in ("specialists", "no_pruning"):
        idle = 0
    return order[:idle], order[idle : n - most], order[n - count :]


def _log_uniform(rng: np.random.Generator, low: float, high: float, n: int) -> Floats:
    drawn: Floats = np.exp(rng.uniform(float(np.log(low)), float(np.log(high)), n))
    return drawn


def _skills(rng: np.random.Generator, n: int, d: int, loyal: Array) -> Floats:
    """[N, D]; in every domain at least two of the ``loyal`` are skilled, and every agent somewhere."""
    while True:
        knows = rng.random((n, d)) < 0.5
        if knows.any(1).all() and (knows[loyal].sum(0) >= 2).all():
            return np.where(knows, rng.uniform(_SKILLED, 1.3, (n, d)), rng.uniform(0, 0.2, (n, d)))


def _specialists(rng: np.random.Generator, n: int, d: int) -> Floats:
    """[N, D]; two agents a domain, most in one domain only."""
    skill = rng.uniform(-0.05, 0.1, (n, d))
    who = rng.permutation(np.resize(rng.permutation(n), 2 * d)).reshape(d, 2)
    for domain in range(d):
        skill[who[domain], domain] = rng.uniform(0.9, 1.4, 2)
    return skill


def _synergy(rng: np.random.Generator, skill: Floats, roles: Array) -> Floats:
    """[N, N, D]: among agents skilled in the same domain, from a role to the next."""
    n, d = skill.shape
    rank = np.array([list(ROLES).index(role) for role in roles])
    follows = rank[:, None] + 1 == rank[None, :]
    both = (skill >= _SKILLED)[:, None] & (skill >= _SKILLED)[None, :]
    there = follows[..., None] & both & (rng.random((n, n, d)) < 0.5)
    return np.where(there, rng.uniform(0.3, 0.8, (n, n, d)), 0.0)


def _groups(rng: np.random.Generator, n: int) -> Array:
    """[N] numbers of groups of 1 to 3 agents."""
    sizes = rng.integers(1, 4, n)
    return np.repeat(np.arange(n), sizes)[:n]


def _describe(rng: np.random.Generator, role: str, claims: Array, domains: tuple[str, ...]) -> str:
    """Says the role and, of each domain it claims, the name and four of the words."""
    parts = []
    for domain in np.array(domains)[claims].tolist():
        words = rng.choice(DOMAINS[domain], 4, replace=False).tolist()
        parts.append(f"{domain} ({', '.join(words)})")
    knows = f" Knows {' and '.join(parts)}." if parts else " Knows a little of everything."
    return f"The {role} {ROLES[role]}.{knows}"
