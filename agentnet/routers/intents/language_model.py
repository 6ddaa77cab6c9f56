"""`LanguageModelTypes`: task types by a small language model's probabilities of the label tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput, RouterLoadError
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.intents.adapted import ADAPTER, CONFIG, FORMAT, AdaptedModel, write_adapted
from agentnet.routers.intents.backbone import EMBEDDED, Backbone, by_length
from agentnet.routers.intents.base import FLOOR, State, TaskTypes, Weights
from agentnet.routers.intents.head import softmax

MAX_TOKENS = 64
"""Tokens of a text that are read."""
_PREFIX = "types_lora."
_BATCH = 16


def default_prompt(types: Sequence[str]) -> str:
    r"""Returns the classification prompt; ``{text}`` stands for the query.

    >>> default_prompt(("math", "code"))
    'Query: {text}\nKind of task (math, code):'
    """
    return "Query: {text}\nKind of task (" + ", ".join(types) + "):"


class LanguageModelTypes(TaskTypes):
    """P(type | text) from the log-probability of each label's first token, softmax over the labels.

    AMRO-S's router is a fine-tuned small language model, Llama-3.2-1B-Instruct or Qwen2.5-1.5B, that gives
    normalised weights [digest]. How they are read out is not known: label-token log-probabilities, softmax
    at temperature 1.0 and the floor 0.01 are each a [default, not in paper]. The prompt and the much smaller
    embedded model are ours.

    The model is loaded at the first `weights`. Prompt tokens are read in float32; `finetune.finetune` gives
    a tuned one.
    """

    kind = "language_model"
    needs_text = True

    def __init__(
        self,
        types: Sequence[str],
        base: str | Backbone = EMBEDDED,
        *,
        prompt: str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 1.0,
        floor: float = FLOOR,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Names the types and the model; nothing is loaded yet.

        Args:
            types: Names of the T types; they are the labels, so plain words are best.
            base: A model's name, see `Backbone.load`, or a loaded one, which is then this object's own.
            prompt: Holds ``{text}`` once and ends where the label follows after a space; None is
                `default_prompt`.
            max_tokens: Tokens of a text that are read.
            temperature: Of the softmax over the labels, above 0.
            floor: Least weight of a type.
            device: A torch device; ``auto`` is CUDA where there is one.
            threads: torch threads while it runs; None leaves the process's setting alone.

        Raises:
            InvalidInput: a value cannot be used.
        """
        super().__init__(types, floor=floor)
        self.prompt = default_prompt(self.types) if prompt is None else prompt
        if self.prompt.count("{text}") != 1 or self.prompt.endswith((" ", "{text}")):
            raise InvalidInput("a prompt holds {text} once, with words behind it and no space at its end.")
        if max_tokens < 1 or temperature <= 0:
            raise InvalidInput(f"max_tokens ({max_tokens}) and temperature ({temperature}) must be above 0.")
        self._model = AdaptedModel(base, device=device)
        self.base = self._model.base
        self.max_tokens = max_tokens
        self.temperature = float(temperature)
        self._threads = threads

    @property
    def tuned(self) -> bool:
        """Whether the model has adapters."""
        return self._model.tuned

    def backbone(self) -> Backbone:
        """Returns the model, loaded and with its adapters; see `AdaptedModel.backbone`."""
        return self._model.backbone()

    def log_probabilities(self, texts: Sequence[str]) -> Weights:
        """Returns [n, T] log-probabilities of each label's first token, among all tokens.

        Raises:
            MissingDependency: a package of the extra ``sft`` or the model's weights are missing.
        """
        backbone = self.backbone()
        import torch

        result = np.zeros((len(texts), len(self.types)))
        labels = list(backbone.label_tokens(self.types))
        ids = backbone.prompts(texts, self.prompt, self.max_tokens)
        with self._model.lock, torch_threads(self._threads), torch.inference_mode():
            for rows in by_length([len(row) for row in ids], _BATCH):
                batch = [ids[row] for row in rows]
                last = backbone.last_hidden(
                    backbone.model.model, backbone.padded(batch), [len(row) for row in batch]
                )
                logs = torch.log_softmax(backbone.logits(last).double(), 1)
                result[rows] = logs[:, labels].cpu().numpy()
        return result

    def _probabilities(self, texts: Sequence[str], vectors: NDArray[np.float32] | None) -> Weights:
        return softmax(self.log_probabilities(texts) / self.temperature)

    # -- disk ------------------------------------------------------------------------------------
    def state(self) -> State:
        """Returns JSON values and the adapters' arrays; the base model is named, not copied."""
        config, _ = super().state()
        shape, arrays = self._model.state(_PREFIX)
        config |= {
            "base": self.base,
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "adapter": shape,
        }
        return config, arrays

    @classmethod
    def restore(
        cls,
        config: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        *,
        base: str | Backbone | None = None,
        device: str = "auto",
    ) -> Self:
        """Makes task types from `state`.

        Args:
            config: JSON values.
            arrays: The adapters'; others are ignored.
            base: Where the base model is now, or a loaded one; None is the name it was saved with.
            device: A torch device; ``auto`` is CUDA where there is one.
        """
        made = cls(
            config["types"],
            config["base"] if base is None else base,
            prompt=config["prompt"],
            max_tokens=config["max_tokens"],
            temperature=config["temperature"],
            floor=config["floor"],
            device=device,
        )
        made._model.restore(config["adapter"], arrays, _PREFIX)
        return made

    def save(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``adapter.safetensors`` into a folder; an older pair is replaced."""
        write_adapted(folder, *self.state())

    @classmethod
    def load(cls, folder: str | Path, *, base: str | Backbone | None = None, device: str = "auto") -> Self:
        """Reads what `save` wrote; see `restore`.

        Raises:
            RouterLoadError: a file is missing, corrupt or of a newer format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            config = json.loads((folder / CONFIG).read_text("utf-8"))
            if config["format"] > FORMAT or config["kind"] != cls.kind:
                raise RouterLoadError(f"{folder} holds {config['kind']!r} of format {config['format']}.")
            return cls.restore(config, load_file(folder / ADAPTER), base=base, device=device)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RouterLoadError(f"{folder} holds no language model's task types: {error}") from error
