"""`LocalModel`: a reasoning router's language model in this process, with adapters that learn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from agentnet.errors import InvalidInput, RouterLoadError
from agentnet.graphs.task import Message
from agentnet.outcomes.encoders.threads import torch_threads
from agentnet.routers.intents.adapted import ADAPTER, CONFIG, FORMAT, AdaptedModel, write_adapted
from agentnet.routers.intents.backbone import EMBEDDED, Backbone
from agentnet.routers.reasoning.constraint import Constraint
from agentnet.routers.reasoning.generate import Decoding, Written, generate, merged
from agentnet.routers.reasoning.model import Completion
from agentnet.routers.reasoning.prompt import MOST_AGENTS, OUT_OF_SCOPE, Prompt

KIND = "reasoning_model"
_PREFIX = "router_lora."

State = tuple[dict[str, Any], dict[str, NDArray[Any]]]


class LocalModel:
    """A small causal language model as a `RouterModel`.

    TCAR trains Qwen3-4B-Instruct; the embedded SmolLM2-135M-Instruct and LoRA are ours, so that it runs on
    a CPU. The model is loaded when it is first asked. It answers one batch at a time.
    """

    def __init__(
        self,
        base: str | Backbone = EMBEDDED,
        *,
        compact: bool = False,
        max_prompt: int = 4096,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        """Names the model; nothing is loaded yet.

        Args:
            base: A model's name, see `Backbone.load`, or a loaded one, which is then this object's own.
            compact: Whether its prompts are to be made with ``make_prompt(..., compact=True)``: the caller
                looks here, since a model is asked as it was trained.
            max_prompt: Most tokens of a prompt.
            device: A torch device; ``auto`` is CUDA where there is one.
            threads: torch threads while it runs; None leaves the process's setting alone.
        """
        if max_prompt < 1:
            raise InvalidInput(f"max_prompt must be at least 1; got {max_prompt}.")
        self._model = AdaptedModel(base, device=device)
        self.base = self._model.base
        self.compact, self.max_prompt = compact, max_prompt
        self.threads = threads

    @property
    def name(self) -> str:
        """Names the model, for traces."""
        return f"{self.base}+lora" if self.tuned else self.base

    @property
    def tuned(self) -> bool:
        """Whether the model has adapters."""
        return self._model.tuned

    def backbone(self) -> Backbone:
        """Returns the model, loaded and with its adapters; see `AdaptedModel.backbone`."""
        return self._model.backbone()

    # -- asking ----------------------------------------------------------------------------------
    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Returns the token ids of a prompt, up to where the answer begins.

        Without a chat template the messages stand one after another.

        Raises:
            InvalidInput: it is longer than ``max_prompt``.
        """
        tokenizer = self.backbone().tokenizer
        said = [{"role": message.role, "content": message.content} for message in messages]
        if getattr(tokenizer, "chat_template", None):
            text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        else:
            text = "\n".join(item["content"] for item in said) + "\n"
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) > self.max_prompt:
            raise InvalidInput(
                f"the routing prompt has {len(ids)} tokens, the local model takes {self.max_prompt}: "
                f"offer it fewer agents, or raise max_prompt."
            )
        return ids

    def answer(
        self,
        prompts: Sequence[Prompt],
        decoding: Decoding | None = None,
        *,
        repeats: int = 1,
        seed: int = 0,
        constrain: bool = False,
    ) -> list[list[Written]]:
        """Answers a batch of prompts.

        Args:
            prompts: [n] prompts.
            decoding: How; None is greedy.
            repeats: Answers to each prompt.
            seed: Of the draws.
            constrain: Whether only ids of the prompt can be written, in the form asked for.

        Returns:
            [n] lists of ``repeats`` answers.
        """
        import torch

        backbone, decoding = self.backbone(), decoding or Decoding()
        held = None
        if constrain:
            held = [Constraint(backbone.tokenizer, tuple(p.ids), most=decoding.most) for p in prompts]
        ids = [self.encode(prompt.messages) for prompt in prompts]
        generator = torch.Generator().manual_seed(seed)
        with self._model.lock, torch_threads(self.threads), merged(backbone):
            return generate(backbone, ids, decoding, repeats=repeats, generator=generator, constraints=held)

    async def complete(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        json_schema: Mapping[str, Any] | None = None,
    ) -> Completion:
        """Answers greedily, in a thread of its own.

        A schema of `reply_schema` holds the answer to its ids; the answer has TCAR's elements all the same,
        which `parse_reply` reads as well.

        Args:
            messages: The prompt.
            max_tokens: Most tokens of the answer.
            json_schema: See above.

        Raises:
            InvalidInput: the prompt is too long.
            MissingDependency: a package of the extra ``sft`` or the model's weights are missing.
        """
        return await asyncio.to_thread(self._complete, messages, max_tokens, json_schema)

    def _complete(
        self, messages: tuple[Message, ...], max_tokens: int, schema: Mapping[str, Any] | None
    ) -> Completion:
        start = time.perf_counter()
        with self._model.lock:
            backbone, ids = self.backbone(), self.encode(messages)
            most, held = MOST_AGENTS, None
            if schema is not None:
                listed = schema["properties"]["ids"]
                most = int(listed["maxItems"])
                names = [name for name in listed["items"]["enum"] if name != OUT_OF_SCOPE]
                held = [Constraint(backbone.tokenizer, names, most=most)]
            with torch_threads(self.threads):
                decoding = Decoding(max_tokens=max_tokens, most=most)
                (written,) = generate(backbone, [ids], decoding, constraints=held)[0]
        return Completion(
            text=written.text,
            prompt_tokens=len(ids),
            completion_tokens=len(written.tokens),
            latency_s=time.perf_counter() - start,
        )

    # -- disk ------------------------------------------------------------------------------------
    def state(self) -> State:
        """Returns JSON values and the adapters' arrays; the base model is named, not copied."""
        shape, arrays = self._model.state(_PREFIX)
        config = {
            "kind": KIND,
            "base": self.base,
            "compact": self.compact,
            "max_prompt": self.max_prompt,
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
        threads: int | None = None,
    ) -> Self:
        """Makes a model from `state`.

        Args:
            config: JSON values.
            arrays: The adapters'; others are ignored.
            base: Where the base model is now, or a loaded one; None is the name it was saved with.
            device: A torch device; ``auto`` is CUDA where there is one.
            threads: torch threads while it runs.

        Raises:
            RouterLoadError: the values are not of such a model.
        """
        try:
            if config["kind"] != KIND:
                raise RouterLoadError(f"these are no values of a reasoning model but of {config['kind']!r}.")
            made = cls(
                config["base"] if base is None else base,
                compact=config["compact"],
                max_prompt=config["max_prompt"],
                device=device,
                threads=threads,
            )
            made._model.restore(config["adapter"], arrays, _PREFIX)
        except (KeyError, TypeError) as error:
            raise RouterLoadError(f"the saved reasoning model lacks values ({error}).") from error
        return made

    def save(self, folder: str | Path) -> None:
        """Writes ``config.json`` and ``adapter.safetensors`` into a folder; an older pair is replaced."""
        write_adapted(folder, *self.state())

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        base: str | Backbone | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> Self:
        """Reads what `save` wrote; see `restore`.

        Raises:
            RouterLoadError: a file is missing, corrupt or of a newer format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            config = json.loads((folder / CONFIG).read_text("utf-8"))
            if config["format"] > FORMAT:
                raise RouterLoadError(f"{folder} is of format {config['format']}, newer than {FORMAT}.")
            arrays = load_file(folder / ADAPTER)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise RouterLoadError(f"{folder} holds no reasoning model: {error}") from error
        return cls.restore(config, arrays, base=base, device=device, threads=threads)
