"""Tells a refusal from an answer, by rules: no model is asked whether there is anything to merge."""

from __future__ import annotations

import re

MOST_CHARS = 400
"""A longer text is taken for an answer: it says more than that there is none."""
_APOLOGY = re.compile(
    r"^(?:(?:(?:i am|i'm|we are|we're)\s+)?(?:very |so |really )?(?:sorry|afraid)|unfortunately|apologies|"
    r"i apologi[sz]e|as an ai(?: language)?(?: model| assistant)?|regrettably)\b"
    r"[\s,.:;-]*(?:but\b|that\b)?[\s,]*"
)
_CORE = re.compile(
    r"^(?:that\s+)?(?:i|we)\s+(?:really\s+)?(?:"
    r"(?:can ?not|can't|could not|couldn't|am unable to|are unable to|am not able to|are not able to|"
    r"am not allowed to|won't|will not|must decline to)\s+(?:be able to\s+)?"
    r"(?:help|answer|assist|say|tell|provide|comply|find|do that|do this|respond|determine|discuss|know)\b"
    r"|(?:do not|don't)\s+(?:know|have (?:the |any |enough |access|information|an answer)|understand)"
    r"|have no (?:information|answer|idea|data|knowledge)"
    r"|must decline|decline\b)"
)
_SCOPE = re.compile(r"\b(?:is|are|falls?|lies?)\s+(?:outside|beyond|not within|out)\s+(?:of\s+)?(?:my|our)\b")
_WHOLE = re.compile(r"^(?:n/?a|none|unknown|no answer|oos|out of scope|i don't know|no idea)$")
_POINTER = re.compile(
    r"^(?:please|try|contact|ask|if|let me|is there|thanks?|thank you|sorry|you may want)\b"
)
_TURN = re.compile(r"\b(?:but|however|although|though|nevertheless)\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def is_refusal(text: str) -> bool:
    """Returns whether a text is empty or says, in English, only that there is no answer.

    It errs on the side of the answer: a text that refuses one half and answers the other is none.

    >>> is_refusal("I'm sorry, but I can't help with that. Please ask the billing team.")
    True
    >>> is_refusal("I can't say when it arrives, but the fee is 4 euros."), is_refusal("We cannot refund it.")
    (False, False)
    """
    if len(text) > MOST_CHARS:
        return False
    plain = text.strip().lower().replace("\u2019", "'")
    parts = [part.strip(" .!*\"'") for part in _SENTENCE.split(plain)]
    said = [part for part in parts if part]
    if not said:
        return True
    return any(map(_refuses, said)) and all(_refuses(part) or _POINTER.match(part) for part in said)


def _refuses(sentence: str) -> bool:
    core = _APOLOGY.sub("", sentence)
    if _TURN.search(core):
        return False
    return bool(_WHOLE.match(core) or _CORE.match(core) or _SCOPE.search(core))
