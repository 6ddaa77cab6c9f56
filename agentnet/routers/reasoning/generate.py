"""Batched generation with a cache of keys and values: greedy or sampled, free or held to the form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentnet.errors import InvalidInput
from agentnet.routers.intents.backbone import Backbone, by_length
from agentnet.routers.reasoning.constraint import Constraint

if TYPE_CHECKING:
    import torch

_END_ID = "</ID>"


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote.

    Attributes:
        tokens: Its tokens, with the end of turn where it wrote one.
        logs: Log-probability of each under the model, at the temperature of the draw (1 where greedy) and
            without the constraint.
        text: Without the end of turn.
        ended: Whether it came to an end by itself.
    """

    tokens: tuple[int, ...]
    logs: tuple[float, ...]
    text: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How to write.

    Attributes:
        max_tokens: Most tokens.
        temperature: 0 takes the likeliest token each time.
        most: An answer ends at the so-many-th closed ``ID`` element.
        batch: Most sequences at a time.
    """

    max_tokens: int = 48
    temperature: float = 0.0
    most: int = 3
    batch: int = 32

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.most, self.batch) < 1 or self.temperature < 0:
            raise InvalidInput("max_tokens, most and batch are at least 1, a temperature at least 0.")


def generate(
    backbone: Backbone,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    repeats: int = 1,
    generator: torch.Generator | None = None,
    constraints: Sequence[Constraint] | None = None,
) -> list[list[Written]]:
    """Returns ``repeats`` answers to each prompt.

    The caller holds `merged`, if at all: it is faster with it.

    Args:
        backbone: The model.
        prompts: [n] token ids of each, not empty.
        decoding: How.
        repeats: Answers to a prompt; the prompt is read once for all.
        generator: Of the draws; needed where the temperature is above 0.
        constraints: [n] what each answer is held to; taken afresh for each repeat.

    Raises:
        InvalidInput: a prompt is empty, or there is no generator to draw with.
    """
    import torch

    if any(not prompt for prompt in prompts):
        raise InvalidInput("a prompt has no tokens.")
    if decoding.temperature > 0 and generator is None:
        raise InvalidInput("sampled generation needs a generator.")
    found: list[list[Written]] = [[] for _ in prompts]
    with torch.inference_mode():
        for rows in by_length([len(prompt) for prompt in prompts], max(1, decoding.batch // repeats)):
            held = None if constraints is None else [constraints[row] for row in rows]
            batch = _Batch(backbone, [prompts[row] for row in rows], decoding, repeats, held)
            batch.run(generator)
            for at, row in enumerate(rows):
                found[row] = batch.written[at * repeats : (at + 1) * repeats]
    return found


class _Batch:
    """Some sequences on their way; those that have ended leave the batch when they are many."""

    def __init__(
        self,
        backbone: Backbone,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        repeats: int,
        constraints: list[Constraint] | None,
    ) -> None:
        import torch

        self.backbone, self.decoding = backbone, decoding
        n = len(prompts) * repeats
        self.tokens: list[list[int]] = [[] for _ in range(n)]
        self.logs: list[list[float]] = [[] for _ in range(n)]
        self.ended = [False] * n
        self.held = None if constraints is None else [c.fresh() for c in constraints for _ in range(repeats)]
        self.rows = list(range(n))
        """Sequences in the batch."""
        longest = max(map(len, prompts))
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        seen = torch.zeros(len(prompts), longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            # Padded on the left: all sequences then write at the same place.
            ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
            seen[row, longest - len(prompt) :] = 1
        seen = seen.to(backbone.device)
        places = (seen.cumsum(1) - 1).clamp(min=0)
        out = backbone.model(
            input_ids=ids.to(backbone.device),
            attention_mask=seen,
            position_ids=places,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache: Any = out.past_key_values
        if repeats > 1:
            self.cache.batch_repeat_interleave(repeats)
        self.seen = seen.repeat_interleave(repeats, 0)
        self.place = places[:, -1].repeat_interleave(repeats, 0) + 1
        self.logits = out.logits[:, -1].repeat_interleave(repeats, 0)

    @property
    def written(self) -> list[Written]:
        """What has been written, one entry a sequence."""
        end = self.backbone.tokenizer.eos_token_id
        return [
            Written(
                tuple(tokens),
                tuple(logs),
                self.backbone.tokenizer.decode([token for token in tokens if token != end]),
                ended,
            )
            for tokens, logs, ended in zip(self.tokens, self.logs, self.ended, strict=True)
        ]

    def run(self, generator: torch.Generator | None) -> None:
        """Writes until all have ended or the tokens are used up."""
        for left in range(self.decoding.max_tokens, 0, -1):
            chosen = self.choose(generator, left)
            live = [at for at, row in enumerate(self.rows) if not self.ended[row]]
            if not live or left == 1:
                return
            if len(live) <= 0.75 * len(self.rows):
                chosen = self.keep(live, chosen)
            self.step(chosen)

    def choose(self, generator: torch.Generator | None, left: int) -> torch.Tensor:
        """Picks and notes each sequence's next token; [rows] token ids."""
        import torch

        heat = self.decoding.temperature
        logs = torch.log_softmax(self.logits.float() / (heat or 1.0), 1)
        shown = logs
        if self.held is not None:
            shown = logs.clone()
            for at, row in enumerate(self.rows):
                if not self.ended[row]:
                    self.held[row].apply(shown[at], left)
        if heat:
            chosen = torch.multinomial(shown.softmax(1).cpu(), 1, generator=generator)[:, 0].to(logs.device)
        else:
            chosen = shown.argmax(1)
        picked = logs.gather(1, chosen[:, None])[:, 0]
        for row, token, log in zip(self.rows, chosen.tolist(), picked.tolist(), strict=True):
            if not self.ended[row]:
                self.tokens[row].append(token)
                self.logs[row].append(log)
                if self.held is not None:
                    self.held[row].push(token)
                self.ended[row] = self._at_end(row, token)
        return chosen

    def _at_end(self, row: int, token: int) -> bool:
        if token == self.backbone.tokenizer.eos_token_id:
            return True
        # Only the tail is decoded; an ID element is short.
        closed = ">" in self.backbone.tokenizer.decode([token])
        return (
            closed and self.backbone.tokenizer.decode(self.tokens[row]).count(_END_ID) >= self.decoding.most
        )

    def keep(self, live: list[int], chosen: torch.Tensor) -> torch.Tensor:
        """Drops the sequences that have ended."""
        import torch

        at = torch.tensor(live, device=self.seen.device)
        self.cache.batch_select_indices(at)
        self.seen, self.place = self.seen[at], self.place[at]
        self.rows = [self.rows[i] for i in live]
        return chosen[at]

    def step(self, chosen: torch.Tensor) -> None:
        """Reads the tokens just chosen."""
        import torch

        self.seen = torch.cat([self.seen, torch.ones_like(self.seen[:, :1])], 1)
        out = self.backbone.model(
            input_ids=chosen[:, None],
            attention_mask=self.seen,
            position_ids=self.place[:, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.logits = out.logits[:, -1]
        self.place = self.place + 1


@contextmanager
def merged(backbone: Backbone) -> Iterator[None]:
    """Adds the adapters into the weights inside the block: generation then costs what the bare model costs.

    The weights come back to the bit.
    """
    import torch

    layers = [module for module in backbone.model.modules() if hasattr(module, "get_delta_weight")]
    kept = [layer.base_layer.weight.data for layer in layers]
    try:
        with torch.no_grad():
            for layer, weight in zip(layers, kept, strict=True):
                layer.base_layer.weight.data = weight + layer.get_delta_weight("default")
                layer.enable_adapters(False)
        yield
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            layer.base_layer.weight.data = weight
            layer.enable_adapters(True)
