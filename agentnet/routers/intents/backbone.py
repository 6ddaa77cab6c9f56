"""`Backbone`: a small causal language model of which only the last blocks learn."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agentnet.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    import torch

EMBEDDED = "smollm2-135m-instruct"
"""Name of the embedded model, SmolLM2-135M-Instruct from its GGUF file."""
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterShape:
    """Where LoRA sits and how large it is (Hu et al., "LoRA", 2021).

    Attributes:
        blocks: The last so many transformer blocks get adapters.
        rank: r. 16 is a [default, not in paper].
        alpha: Scale is alpha / r. 32 is a [default, not in paper].
    """

    blocks: int = 6
    rank: int = 16
    alpha: int = 32


class Backbone:
    """A loaded Llama-like causal language model with its tokenizer.

    Attributes:
        name: How `load` finds it again.
        model: A transformers causal language model whose blocks are ``model.model.layers``.
        tokenizer: Its tokenizer.
        shape: Of the adapters; None while there are none.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str) -> None:
        """Takes a loaded model; `load` loads one."""
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.shape: AdapterShape | None = None

    @classmethod
    def load(cls, base: str = EMBEDDED, *, device: str = "auto") -> Backbone:
        """Loads a model in float32.

        Args:
            base: `EMBEDDED`, a ``.gguf`` file, or what transformers' ``from_pretrained`` takes.
            device: A torch device; ``auto`` is CUDA where there is one.

        Raises:
            MissingDependency: a package of the extra ``sft`` or the embedded model's weights are missing.
            InvalidInput: there is no such model.
        """
        need("transformers")
        file = _gguf_file(base)
        if file is not None:
            need("gguf")
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from agentnet.routers.gnn.training import pick_device

        place, options = (str(file.parent), {"gguf_file": file.name}) if file else (base, {})
        try:
            with _no_progress_bars():
                tokenizer = AutoTokenizer.from_pretrained(place, **options)
                model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options)
        except (OSError, ValueError) as error:
            raise InvalidInput(
                f"the language model {base!r} cannot be loaded ({error}); give {EMBEDDED!r}, a .gguf file "
                f"or a model's folder."
            ) from error
        return cls(model.to(pick_device(device)), tokenizer, name=base)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = next(self.model.parameters()).device
        return found

    @property
    def depth(self) -> int:
        """Number of transformer blocks."""
        return len(self.model.model.layers)

    def label_tokens(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Returns the first token of each label, as it stands behind a space.

        Raises:
            InvalidInput: two labels begin with the same token.
        """
        tokens = tuple(self._ids(f" {label}")[0] for label in labels)
        if len(set(tokens)) < len(tokens):
            raise InvalidInput(
                f"the labels {', '.join(labels)} do not differ in their first token; rename them."
            )
        return tokens

    def prompts(self, texts: Sequence[str], prompt: str, most: int) -> list[list[int]]:
        """Returns the token ids of each prompt; only the text is cut.

        Args:
            texts: The queries.
            prompt: Holds ``{text}``.
            most: Most tokens of a text.
        """
        before, _, after = prompt.partition("{text}")
        head = self._ids(before) if before else []
        tail = self._ids(after) if after else []
        # Characters are cut first: a long text must not be tokenised whole. A token rarely has over 32.
        return [head + self._ids(text[: 32 * most])[:most] + tail for text in texts]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    # -- adapters --------------------------------------------------------------------------------
    def adapt(self, shape: AdapterShape, *, seed: int = 0) -> None:
        """Puts fresh LoRA adapters into the last blocks; they change nothing until they learn.

        Raises:
            MissingDependency: peft is missing.
            InvalidInput: it has adapters already, or fewer blocks.
        """
        need("peft")
        if self.shape is not None:
            raise InvalidInput("this language model has adapters already; load it afresh.")
        if not 1 <= shape.blocks <= self.depth:
            raise InvalidInput(f"adapters in {shape.blocks} blocks; the model has {self.depth}.")
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=shape.rank,
            lora_alpha=shape.alpha,
            lora_dropout=0.0,
            target_modules=list(_TARGETS),
            layers_to_transform=list(range(self.depth - shape.blocks, self.depth)),
            layers_pattern="layers",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, self.model)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        self.shape = shape

    def adapters(self) -> dict[str, torch.nn.Parameter]:
        """Returns the adapters' parameters by name, in a fixed order."""
        found = {name: p for name, p in self.model.named_parameters() if "lora_" in name}
        return dict(sorted(found.items()))

    def set_adapters(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Overwrites the adapters.

        Raises:
            InvalidInput: the arrays are of another model or shape of adapters.
        """
        import torch

        own = self.adapters()
        if {name: tuple(p.shape) for name, p in own.items()} != {k: v.shape for k, v in arrays.items()}:
            raise InvalidInput(f"the saved adapters do not fit the language model {self.name!r}.")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))

    # -- running ---------------------------------------------------------------------------------
    def halves(self, blocks: int) -> tuple[Any, Any]:
        """Returns the embedding with all but the last ``blocks`` blocks, and those blocks with the norm.

        Both share this model's weights; the second takes the first's output as ``inputs_embeds``.
        """
        import torch

        cut = self.depth - blocks
        core = self.model.model
        return (
            _part(core, core.layers[:cut], torch.nn.Identity()),
            _part(core, core.layers[cut:], core.norm),
        )

    def last_hidden(self, core: Any, rows: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Returns [b, d]: the output at each row's last token.

        Rows are padded on the right, and attention is causal, so that no token looks at padding.

        Args:
            core: The model's decoder or a half of it.
            rows: [b, t] token ids, or [b, t, d] hidden states.
            lengths: [b] real tokens of each row.
        """
        import torch

        given = {"input_ids": rows} if rows.dim() == 2 else {"inputs_embeds": rows}
        hidden = core(**given, use_cache=False).last_hidden_state
        at = torch.tensor(lengths, device=hidden.device) - 1
        result: torch.Tensor = hidden[torch.arange(len(lengths), device=hidden.device), at]
        return result

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Returns [b, vocabulary] logits of the next token."""
        result: torch.Tensor = self.model.get_output_embeddings()(last)
        return result

    def padded(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """Returns [b, longest] token ids on the model's device, padded on the right with zeros."""
        import torch

        longest = max(map(len, ids))
        return torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids], device=self.device)


def _part(core: Any, layers: Any, norm: Any) -> Any:
    """A decoder of some of the blocks, sharing their weights."""
    import torch

    part = copy.copy(core)
    part.__dict__["_modules"] = dict(core._modules)  # a shallow copy shares the table of modules
    part.config = copy.copy(core.config)
    part.config.num_hidden_layers = len(layers)
    part.layers = torch.nn.ModuleList(layers)
    part.norm = norm
    return part


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Returns batches of row numbers, longest rows first, so that little is spent on padding.

    >>> by_length([1, 3, 2], 2)
    [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [order[start : start + size] for start in range(0, len(order), size)]


def need(package: str) -> None:
    """Raises `MissingDependency` if a package of the extra ``sft`` is not installed."""
    if find_spec(package) is None:
        raise MissingDependency(
            f"the package {package!r} is needed for task types by a language model; install it with "
            f"`pip install 'agentnet-routing[sft]'`."
        )


def _gguf_file(base: str) -> Path | None:
    if base == EMBEDDED:
        weights = import_module("agentnet.runtime.embedded.weights")  # by name: a floor above this one
        found: Path = weights.find_model()
        return found
    return Path(base) if base.endswith(".gguf") else None


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
