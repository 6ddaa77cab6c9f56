"""The layers of a BERT encoder as functions of its weights: shared by encoding and by fine-tuning.

Source: Devlin et al. (2019), BERT; names of the weights as in the checkpoints of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

HIDDEN, LAYERS, HEADS, EPSILON, POSITIONS = 384, 6, 12, 1e-12, 512
"""The shape of all-MiniLM-L6-v2."""


class States(NamedTuple):
    """A batch inside the encoder.

    Attributes:
        hidden: [b, t, HIDDEN] float32; rows are padded on the right.
        mask: [b, t] bool, True at real tokens.
    """

    hidden: torch.Tensor
    mask: torch.Tensor


def embed(weights: Mapping[str, torch.Tensor], ids: Sequence[Sequence[int]], device: str) -> States:
    """Returns the embeddings of token ids: what the first layer takes."""
    import torch
    from torch.nn.functional import layer_norm

    longest = max(map(len, ids))
    lengths = torch.tensor([len(tokens) for tokens in ids], device=device)
    padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in ids], device=device)
    x = (
        weights["embeddings.word_embeddings.weight"][padded]
        + weights["embeddings.position_embeddings.weight"][:longest]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    scale, shift = (weights[f"embeddings.LayerNorm.{name}"] for name in ("weight", "bias"))
    mask = torch.arange(longest, device=device)[None] < lengths[:, None]
    return States(layer_norm(x, (HIDDEN,), scale, shift, EPSILON), mask)


def run_layers(
    weights: Mapping[str, torch.Tensor], states: States, first: int, last: int, *, dropout: float = 0.0
) -> States:
    """Returns the states after layers ``first`` to ``last`` - 1.

    Args:
        weights: Of the whole encoder.
        states: What layer ``first`` takes.
        first: Counted from 0.
        last: One more than the last layer to run.
        dropout: Share of the outputs of attention and of the inner layer that is dropped; for training.
    """
    from torch.nn.functional import dropout as drop
    from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention

    def dense(x: torch.Tensor, name: str) -> torch.Tensor:
        return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return layer_norm(x, (HIDDEN,), weights[f"{name}.weight"], weights[f"{name}.bias"], EPSILON)

    x, mask = states
    shape = (*x.shape[:2], HEADS, HIDDEN // HEADS)
    for layer in range(first, last):
        part = f"encoder.layer.{layer}"
        query, key, value = (
            dense(x, f"{part}.attention.self.{name}").view(*shape).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        seen = dense(seen.transpose(1, 2).flatten(2), f"{part}.attention.output.dense")
        x = norm(x + drop(seen, dropout, dropout > 0), f"{part}.attention.output.LayerNorm")
        inner = dense(gelu(dense(x, f"{part}.intermediate.dense")), f"{part}.output.dense")
        x = norm(x + drop(inner, dropout, dropout > 0), f"{part}.output.LayerNorm")
    return States(x, mask)


def mean_pool(states: States) -> torch.Tensor:
    """Returns [b, HIDDEN]: the mean over each row's real tokens."""
    total: torch.Tensor = (states.hidden * states.mask[..., None]).sum(1)
    return total / states.mask.sum(1, keepdim=True)
