"""`Constraint`: holds an answer to its form and to the ids of its prompt, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentnet.errors import InvalidInput
from agentnet.routers.reasoning.prompt import OUT_OF_SCOPE

if TYPE_CHECKING:
    import torch

_OPEN, _CLOSE = "<Reason>", "</Reason>"


class Constraint:
    """One answer: a free reason between fixed marks, then ids of the prompt, each once, then the end.

    Args:
        tokenizer: The model's.
        ids: What may be chosen; "out of scope" may always, but not beside an agent.
        most: Most ids.
    """

    def __init__(self, tokenizer: Any, ids: Sequence[str], *, most: int = 3) -> None:
        if tokenizer.eos_token_id is None:
            raise InvalidInput("a constrained answer needs a tokenizer with an end-of-turn token.")
        self.tokenizer, self.ids, self.most = tokenizer, tuple(ids), most

        def tokens(text: str) -> list[int]:
            found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            return found

        self._end: int = tokenizer.eos_token_id
        self._close = tokens(_CLOSE)
        self._items = {name: [*tokens(f"\n<ID>{name}</ID>")] for name in (*self.ids, OUT_OF_SCOPE)}
        # Room for the ids is never used up by the reason.
        self._room = len(self._close) + most * max(map(len, self._items.values())) + 1
        self._queue = tokens(_OPEN)
        self._reason: list[int] = []
        self._at = "reason"
        self._item: list[int] = []
        self._chosen: list[str] = []

    def fresh(self) -> Constraint:
        """Returns one for another answer of the same form."""
        return Constraint(self.tokenizer, self.ids, most=self.most)

    def apply(self, logs: torch.Tensor, left: int) -> None:
        """Puts out, in place, the tokens that may not come next.

        Args:
            logs: [vocabulary] log-probabilities.
            left: Tokens that may still be written, this one among them.
        """
        allowed = self._allowed(left)
        if allowed is None:
            logs[self._end] = -float("inf")
            return
        kept = logs[allowed].clone()
        logs.fill_(-float("inf"))
        logs[allowed] = kept

    def _allowed(self, left: int) -> list[int] | None:
        """Tokens that may come next; None for all but the end of turn."""
        if not self._queue and self._at == "reason" and left <= self._room:
            self._queue = list(self._close)
        if self._queue:
            return [self._queue[0]]
        if self._at == "reason":
            return None
        open_items = self._open_items()
        nexts = {item[len(self._item)] for item in open_items.values()}
        if not self._item and self._chosen:
            nexts.add(self._end)
        return sorted(nexts)

    def _open_items(self) -> dict[str, list[int]]:
        if len(self._chosen) >= self.most or OUT_OF_SCOPE in self._chosen:
            return {}
        begun = len(self._item)
        return {
            name: item
            for name, item in self._items.items()
            if name not in self._chosen
            and not (name == OUT_OF_SCOPE and self._chosen)
            and item[:begun] == self._item
        }

    def push(self, token: int) -> None:
        """Notes the token that was written."""
        if self._at == "ids":
            self._push_id(token)
            return
        self._reason.append(token)
        if self._queue:
            self._queue.pop(0)
        if not self._queue and _CLOSE in self.tokenizer.decode(self._reason):
            self._at = "ids"

    def _push_id(self, token: int) -> None:
        if token == self._end:
            return
        self._item.append(token)
        for name, item in self._open_items().items():
            # An id may begin another (A1, A10): its closing mark tells them apart.
            if item == self._item:
                self._chosen.append(name)
                self._item = []
                return
