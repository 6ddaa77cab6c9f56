"""Prompts with the passages first, so that one reading of them serves every agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentnet.runtime.embedded.transcript import Transcript

CONTEXT = "Context:\n"
"""How `agentnet.runtime.prompts` begins a user turn that has a context."""
REPLY = "\nReply: "
"""What stands behind this mark in an agent's instruction begins the model's reply."""


@dataclass(frozen=True, slots=True)
class PassagesFirst(Transcript):
    r"""The model's chat template with passages and question first; what an agent is told comes after them.

    All agents' prompts for one question then begin alike, up to the question's end, and the engine reads
    that beginning once. An assistant's message begins the reply, which the model goes on with: a small
    model keeps to a form that it has begun.

    >>> layout = PassagesFirst(role="You answer.")
    >>> messages = [{"role": "system", "content": "Be brief.\nReply: It is"},
    ...             {"role": "user", "content": "Context:\n[A] B.\n\nWho?"}]
    >>> print(layout.render(messages).replace("<|im_", "<"))
    <start|>system
    You answer.<end|>
    <start|>user
    Passages:
    [A] B.
    <BLANKLINE>
    Question: Who?
    Be brief.<end|>
    <start|>assistant
    It is
    >>> layout.render(messages).startswith(layout.prefix(messages))
    True
    """

    role: str = "You answer questions about passages."

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts at which an answer has ended."""
        return ("<|im_end|>", "\n\n")

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Returns the prompt."""
        told, _, begun = "\n".join(_of(messages, "system")).partition(REPLY)
        text = self.prefix(messages) + told + _REPLY + begun
        first = next(i for i, message in enumerate(messages) if message["role"] == "user")
        for message in messages[first + 1 :]:
            if message["role"] == "user":
                text = f"{text.rstrip()}{_END}{_START}user\n{message['content']}{_REPLY}"
            elif message["role"] == "assistant":
                text += message["content"]
        return text

    def prefix(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Returns what the prompts of all agents share: everything up to the question's end."""
        first = _of(messages, "user")[0]
        context, _, question = first.removeprefix(CONTEXT).rpartition("\n\n")
        passages = f"Passages:\n{context.strip()}\n\n" if context else ""
        asked = f"{self.question}: {' '.join(question.split())}\n"
        return f"{_START}system\n{self.role}{_END}{_START}user\n{passages}{asked}"


_START, _END = "<|im_start|>", "<|im_end|>\n"
_REPLY = f"{_END}{_START}assistant\n"


def _of(messages: Sequence[Mapping[str, str]], role: str) -> list[str]:
    return [message["content"] for message in messages if message["role"] == role]
