"""`make_encoder`: encoders by name."""

from __future__ import annotations

from pathlib import Path

from agentnet.errors import InvalidInput
from agentnet.outcomes.encoders.base import Encoder
from agentnet.outcomes.encoders.form import FormEncoder
from agentnet.outcomes.encoders.hashing import HashingEncoder


def make_encoder(name: str = "minilm") -> Encoder:
    """Returns an encoder by name; models are loaded at the first use only.

    Args:
        name: ``minilm`` (all-MiniLM-L6-v2), ``minilm:N`` (N tokens at most), ``minilm:FOLDER`` (weights
            from there), ``hash`` or ``hash:DIM`` (no model), ``form`` (what a text looks like), ``st:MODEL``
            (sentence-transformers) or ``litellm:MODEL``.

    Raises:
        InvalidInput: there is no such encoder.

    >>> make_encoder("hash:256").dim
    256
    """
    kind, _, rest = name.partition(":")
    if kind == "hash":
        if rest and not rest.isdigit():
            raise InvalidInput(f"write hash:DIM with a whole number, such as hash:256; got {name!r}.")
        return HashingEncoder(int(rest)) if rest else HashingEncoder()
    if name == "form":
        return FormEncoder()
    if kind == "minilm":
        from agentnet.outcomes.encoders.minilm import MiniLMEncoder

        if rest.isdigit():
            return MiniLMEncoder(max_tokens=int(rest))
        return MiniLMEncoder(Path(rest) if rest else None)
    if kind in ("st", "litellm") and rest:
        from agentnet.outcomes.encoders.remote import LiteLLMEncoder, SentenceTransformerEncoder

        return SentenceTransformerEncoder(rest) if kind == "st" else LiteLLMEncoder(rest)
    raise InvalidInput(
        f"no encoder {name!r}; there are minilm, minilm:FOLDER, hash, hash:DIM, form, st:MODEL and "
        "litellm:MODEL."
    )
