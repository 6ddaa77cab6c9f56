"""Sequences that begin alike, run through a model as one: the common beginning is computed once.

Answers to one prompt share the prompt, and prompts over one pool share its agents. A group of such sequences
becomes a tree: the common tokens, then the branches, each of which sees the common tokens and itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Answered = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of the answer to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """b trees of at most t tokens, and the m tokens of the answers.

    Attributes:
        ids: [b, t] token ids.
        positions: [b, t] place of each token in its own sequence.
        mask: [b, 1, t, t] 0 where a token is seen, a very low number where not.
        tree: [m] tree of each answer token.
        source: [m] place in the tree of the token that predicts it.
        target: [m] its id.
        sequence: [m] number of its sequence, in the order given.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    tree: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    sequence: torch.Tensor


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Returns how many tokens all rows have in common at their start.

    >>> common_prefix([[1, 2, 3], [1, 2, 4, 5]])
    2
    """
    first, shortest = rows[0], min(map(len, rows))
    for place in range(shortest):
        if any(row[place] != first[place] for row in rows):
            return place
    return shortest


def pack(groups: Sequence[Sequence[Answered]], device: torch.device | str = "cpu") -> Packed:
    """Returns the trees of groups of sequences.

    Args:
        groups: Each group becomes a tree; its prompts are not empty.
        device: Where the tensors go.
    """
    import torch

    trees: list[list[int]] = []
    places: list[list[int]] = []
    branches: list[list[int]] = []
    tree, source, target, sequence = [], [], [], []
    number = 0
    for at, group in enumerate(groups):
        shared = common_prefix([prompt for prompt, _ in group])
        ids = list(group[0][0][:shared])
        place, branch = list(range(shared)), [0] * shared
        for which, (prompt, answer) in enumerate(group, 1):
            own = [*prompt[shared:], *answer]
            first = len(prompt) - shared  # of the answer, within the branch
            for k, token in enumerate(answer, first):
                tree.append(at)
                source.append(len(ids) + k - 1 if k else shared - 1)
                target.append(token)
                sequence.append(number)
            ids += own
            place += range(shared, shared + len(own))
            branch += [which] * len(own)
            number += 1
        trees.append(ids)
        places.append(place)
        branches.append(branch)
    longest = max(map(len, trees))

    def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], device=device)

    of = padded(branches, -1)
    seen = (of[:, None, :] == 0) | (of[:, :, None] == of[:, None, :])
    seen &= torch.ones(longest, longest, dtype=torch.bool, device=device).tril()
    mask = torch.zeros(seen.shape, device=device).masked_fill(~seen, torch.finfo(torch.float32).min)
    tree_, source_, target_, sequence_ = (
        torch.tensor(values, dtype=torch.long, device=device) for values in (tree, source, target, sequence)
    )
    return Packed(padded(trees, 0), padded(places, 0), mask[:, None], tree_, source_, target_, sequence_)
