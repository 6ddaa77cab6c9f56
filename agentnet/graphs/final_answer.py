"""Finds the final answer inside a model's response: JSON field, box, marker line, or the whole text."""

from __future__ import annotations

import re

_FIELD = re.compile(r'"(?:final[_ ]?)?answer"\s*:\s*', re.IGNORECASE)
_BOXED = re.compile(r"\\{1,2}f?boxed\s*\{")
_HASHES = re.compile(r"####\s*(\S[^\n]*)")
_PHRASE = re.compile(
    r"(?:\b(?:final\s+)?answer\s*(?:is|:|=)|\banswer\s+should\s+be)[\s:*]*(?P<rest>[^\n]+)", re.IGNORECASE
)
_CLOSING = re.compile(r"\s*(?:[,}\]]|$)")
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_LINE_BREAK = re.compile(r"\\[nrt](?![a-zA-Z])")
_SENTENCE_END = re.compile(r"\.(?=\s|$)(?!\s*\d)")
_PAIRS = {"[": "]", "{": "}"}


def final_answer(response: str) -> str:
    r"""Returns the part of a response that states the answer, or all of it when none is marked.

    Looked for in this order: the last JSON field ``answer`` (also inside broken JSON), the last
    ``\boxed{...}``, the last ``#### ...`` line, the last "the answer is ..." or "Answer: ...".

    >>> final_answer('{"reasoning": "2 and 2", "answer": "4"')
    '4'
    >>> final_answer("Long thoughts. So the answer is 12 cm. Done.")
    '12 cm'
    >>> final_answer("Paris")
    'Paris'
    """
    found = _json_field(response)
    if found is None:
        found = _boxed(response)
    if found is None and "####" in response:
        lines = _HASHES.findall(response)
        found = lines[-1] if lines else None
    if found is None:
        found = _phrase(response)
    return (response if found is None else found).strip()


def _json_field(text: str) -> str | None:
    last = None
    for match in _FIELD.finditer(text):
        last = match
    return None if last is None else _json_value(text, last.end())


def _json_value(text: str, start: int) -> str:
    r"""The value at ``start``; never ``json.loads``, which reads an unescaped ``\frac`` as a form feed."""
    opening = text[start : start + 1]
    if opening == '"':
        return _unescape(text[start + 1 : _string_end(text, start + 1)])
    if opening in _PAIRS:
        return _unescape(_balanced(text, start, opening, _PAIRS[opening]).replace('"', ""))
    value = re.split(r"[,}\n]", text[start : start + 2000], maxsplit=1)[0].strip()
    return "" if value in ("null", "None") else value


def _string_end(text: str, start: int) -> int:
    """Index of the quote that closes a string; an unescaped inner quote does not close it."""
    at = start
    while (at := text.find('"', at)) >= 0:
        slashes = 0
        while at - slashes > start and text[at - slashes - 1] == "\\":
            slashes += 1
        if slashes % 2 == 0 and _CLOSING.match(text, at + 1):
            return at
        at += 1
    brace = text.find("\n", start)
    return brace if brace >= 0 else len(text)


def _balanced(text: str, start: int, opening: str, closing: str) -> str:
    depth = 0
    for at in range(start, len(text)):
        if text[at] == opening:
            depth += 1
        elif text[at] == closing:
            depth -= 1
            if depth == 0:
                return text[start + 1 : at]
    return text[start + 1 :]


def _unescape(value: str) -> str:
    if "\\" not in value:
        return value
    value = _UNICODE.sub(lambda m: chr(int(m[1], 16)), value)
    value = value.replace('\\"', '"').replace("\\/", "/").replace("\\\\", "\\")
    return _LINE_BREAK.sub(" ", value)


def _boxed(text: str) -> str | None:
    last = None
    for match in _BOXED.finditer(text):
        last = match
    if last is None:
        return None
    return _unescape(_balanced(text, last.end() - 1, "{", "}"))


def _phrase(text: str) -> str | None:
    last = None
    for match in _PHRASE.finditer(text):
        last = match
    if last is None:
        return None
    rest = last["rest"].strip(" *")
    return _SENTENCE_END.split(rest, maxsplit=1)[0].strip(" *") or None
