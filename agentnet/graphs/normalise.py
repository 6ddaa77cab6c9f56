r"""Turns answers into keys, so that "1,000.0", "$1000" and "\text{1000}" count as the same answer.

All functions are pure: text in, key out, in time linear in the text. An empty key means "no answer".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType

from agentnet.graphs.final_answer import final_answer

_SYMBOLS = str.maketrans({
    "−": "-", "–": "-", "—": "-", "×": "*", "·": "*", "÷": "/", "π": "pi", "∞": "inf", "≤": "<=", "≥": ">=",
    "²": "^2", "³": "^3", "√": "sqrt", "°": "\\circ ", "½": "1/2", "“": '"', "”": '"', "’": "'", "‘": "'",
    "∪": "cup", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "€": "", "£": "",
})  # fmt: skip
_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|rm|bf)\s*\{([^{}]*)\}")
_LAYOUT = re.compile(
    r"\\(?:left|right|displaystyle|limits|[Bb]igg?[lr]?)(?![a-zA-Z])|\\[,;:! ]|\\q?quad(?![a-zA-Z])"
)
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\(?:circ|degree)(?![a-zA-Z])(?:\s*[fc]$)?")
_FRAC = re.compile(r"\\[dtc]?frac\s*(\{[^{}]*\}|[0-9a-z])\s*(\{[^{}]*\}|[0-9a-z])")
_ROOT = re.compile(r"\s?\\?(?<![a-z])sqrt\s*(?:\[(\w+)\])?\s*(\{[^{}]*\}|\([^()]*\)|\d+|[a-z])")
_SCRIPT = re.compile(r"([\^_])\s*\{([^{}]*)\}")
_NAMES = {
    "cdot": "*", "times": "*", "div": "/", "infty": "inf", "leq": "<=", "le": "<=", "geq": ">=", "ge": ">=",
    "ldots": "...", "dots": "...", "pm": "+-", "neq": "!=", "ne": "!=",
}  # fmt: skip
_LITERAL = (
    ("\\%", "%"),
    ("\\(", ""), ("\\)", ""), ("\\[", ""), ("\\]", ""), ("\\{", "("), ("\\}", ")"), ("\\\\", " "),
)  # fmt: skip
_MACRO = re.compile(r"\\([a-z]+)\s*")
_WORD = re.compile(r"[^\W\d_]{3,}")
_MATH_WORDS = frozenset({
    "sqrt", "pi", "inf", "sin", "cos", "tan", "log", "ln", "exp", "cup", "cap", "mod", "deg", "and", "or",
    "arcsin", "arccos", "arctan", "sec", "csc", "cot",
})  # fmt: skip
_UNIT = re.compile(
    r"(?P<core>.*[\d)}\]])\s*(?P<unit>%|percent\b|[a-z][a-z .'/-]*(?:\^[23])?)\s*(?:\([a-z ]*\))?"
)
_NO_UNIT = _MATH_WORDS | {
    "am", "pm", "a.m", "p.m", "a.m.", "p.m.", "bc", "bce", "ad", "ce", "to", "if", "for", "when", "where",
    "thousand", "million", "billion", "trillion", "hundred",
}  # fmt: skip
_MAGNITUDES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MAGNITUDE = re.compile(r"(-?[\d.,]+)\s+(thousand|million|billion|trillion)\b(.*)")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)(?=\s|$)")
_WORKED = re.compile(r"[\d+*/().\s=-]+=\s*(-?[\d.]+)")
_ASSIGNED = re.compile(r"[a-z](?:_?\w)?(?:\([a-z]\))?\s*=\s*(?=[^=]*$)(.+)")
_GROUPED = re.compile(r"(?<![\d.,(\[{])(\d{1,3}(?:,\d{3})+)(?![\d,])")
_DECIMAL = re.compile(r"\d*\.\d+|\d+\.(?!\d)")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)")
_ANY_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|-?\d+(?:\.\d+)?|-?\.\d+")
_MIXED = re.compile(r"(-?)(\d{1,9})\s+(\d{1,9})/(\d{1,9})")
_MATRIX = re.compile(r"\\(begin|end)\s*\{[a-z]*(?:matrix|array)\}(?:\{[lcr|]*\})?")
_RATIO = re.compile(r"([-+]?)\(?(-?\d{1,15})\)?/\(?(\d{1,15})\)?|([-+]?)\((-?\d{1,15})/(\d{1,15})\)")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_NOT_WORD = re.compile(r"[^\w]+")
_NOT_WORD_OR_POINT = re.compile(r"[^\w.]+|(?<!\d)\.|\.(?!\d)")
_VARIABLE = re.compile(r"(?:^|(?<=[,(]))[a-z]=")
_LONGEST = 500
"""Most characters of an answer that is looked at as a number or formula; longer ones are plain text."""
_LETTER_FIRST = re.compile(
    r"[\W_]*(?:option|choice|answer)?[\W_]*([A-Za-z])(?:[\W_]*$|[).:\]}\s]*[).:\]}])", re.IGNORECASE
)
_LETTER_ANY = re.compile(r"\(([A-Za-z])\)|\b([B-HJ-Z])\b")
_LETTER_LAST = re.compile(r"\b([A-Z])\b")


def normalise_text(text: str) -> str:
    """Lower case, punctuation to spaces, no articles, single spaces (the usual QA normalisation).

    >>> normalise_text("The  Eiffel-Tower!")
    'eiffel tower'
    """
    return _words(text, _NOT_WORD)


def _words(text: str, gaps: re.Pattern[str]) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    plain = gaps.sub(" ", _APOSTROPHE.sub("", text.casefold())).replace("_", " ")
    kept = _ARTICLES.sub(" ", plain).split()
    return " ".join(kept or plain.split())


def normalise_number(text: str) -> str:
    """The last number of the final answer, canonical; empty when there is none.

    >>> normalise_number("so she pays $1,200.50 in all")
    '1200.5'
    """
    key = normalise_default(text)
    if _NUMBER.fullmatch(key):
        return key
    found = _ANY_NUMBER.findall(final_answer(text).translate(_SYMBOLS))
    return canonical_number(found[-1].replace(",", "")) if found else ""


def normalise_choice(text: str) -> str:
    """The letter of a multiple-choice answer in upper case; empty when there is none.

    >>> [normalise_choice(t) for t in ("(b) Paris", "The answer is C.", "I think it is D", "42")]
    ['B', 'C', 'D', '']
    """
    answer = final_answer(text).replace("\\text", "").replace("$", "")
    first = _LETTER_FIRST.match(answer[:80])  # bounded: its runs of non-letters would be tried quadratically
    if first:
        return first[1].upper()
    any_ = _LETTER_ANY.findall(answer) or [(a, "") for a in _LETTER_LAST.findall(answer)]
    return (any_[-1][0] or any_[-1][1]).upper() if any_ else ""


def normalise_raw(text: str) -> str:
    """The text itself without outer white space."""
    return text.strip()


def normalise_default(text: str) -> str:
    r"""Picks the final answer and makes numbers, fractions, light LaTeX and plain text comparable.

    >>> normalise_default(r"... so it is $\boxed{\dfrac{1}{2}}$.") == normalise_default("Answer: 0.50")
    True
    >>> normalise_default('{"answer": "$1,000.00"}'), normalise_default("The Beatles.")
    ('1000', 'beatles')
    """
    answer = final_answer(text)
    if len(answer) > _LONGEST:
        return _words(answer, _NOT_WORD_OR_POINT)
    plain, macros = _plain_latex(answer.translate(_SYMBOLS).casefold())
    plain = plain.strip().strip("*`\"'").rstrip(".!?;:, ").strip()
    plain = _GROUPED.sub(lambda m: m[1].replace(",", ""), plain)
    stated = _ASSIGNED.fullmatch(plain) or _WORKED.fullmatch(plain)
    plain = _ORDINAL.sub(r"\1", stated[1] if stated else plain)
    plain = _without_unit(_magnitude(plain))
    if _is_math(plain, macros):
        return _math_key(plain)
    return _words(_DECIMAL.sub(lambda m: canonical_number(m[0]), plain), _NOT_WORD_OR_POINT)


NORMALISERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "default": normalise_default,
        "text": normalise_text,
        "number": normalise_number,
        "choice": normalise_choice,
        "raw": normalise_raw,
    }
)
"""Normalisers by the name that ``Aggregation.normalise`` holds."""


def canonical_number(number: str) -> str:
    """Returns a plain decimal without leading plus, needless zeros or a bare point.

    >>> canonical_number("+1000.0"), canonical_number(".50"), canonical_number("-0")
    ('1000', '0.5', '0')
    """
    sign = "-" if number.startswith("-") else ""
    whole, _, part = number.lstrip("+-").partition(".")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    value = f"{whole}.{part}" if part else whole
    return value if value == "0" else sign + value


def _plain_latex(text: str) -> tuple[str, frozenset[str]]:
    """The text without LaTeX mark-up, and the names of the macros that were left as words."""
    text = text.replace("\\$", "").replace("$", "")
    if "\\begin" in text:
        text = _MATRIX.sub(lambda m: "(" if m[1] == "begin" else ")", text)
        text = text.replace("\\\\", ";").replace("&", ",")
    if "\\" in text or "{" in text:
        for old, new in _LITERAL:
            text = text.replace(old, new)
        text = _LAYOUT.sub("", text)
    text = _DEGREES.sub(" ", text)
    for _ in range(6):  # nested groups are opened from the inside out
        before = text
        text = _WRAPPED.sub(r" \1", text)
        text = _SCRIPT.sub(lambda m: m[1] + _group(m[2]), text)
        text = _FRAC.sub(lambda m: _fraction(m[1].strip("{}"), m[2].strip("{}")), text)
        text = _ROOT.sub(lambda m: f" sqrt{m[1] or ''}{_group(m[2].strip('{}()'))}", text)
        if text == before:
            break
    macros = frozenset(_MACRO.findall(text))
    text = _MACRO.sub(lambda m: _NAMES.get(m[1], " " + m[1] + " "), text)
    return text.replace("{", "").replace("}", "").replace("\\", ""), macros


def _group(inside: str) -> str:
    inside = inside.strip()
    return inside if re.fullmatch(r"\w*\.?\w+", inside) else f"({inside})"


def _fraction(top: str, bottom: str) -> str:
    return f" {_group(top)}/{_group(bottom)}"


def _magnitude(text: str) -> str:
    match = _MAGNITUDE.fullmatch(text)
    if not match or not _NUMBER.fullmatch(match[1]):
        return text
    whole, _, part = match[1].partition(".")
    places = _MAGNITUDES[match[2]]
    digits = f"{whole}{part[:places].ljust(places, '0')}" + (f".{part[places:]}" if part[places:] else "")
    return digits + match[3]


def _without_unit(text: str) -> str:
    """Drops the words after a number or formula: "50 miles per hour" is 50, "3 pm" stays."""
    match = _UNIT.fullmatch(text)
    if not match or _WORD.search(_without_math_words(match["core"])):
        return text
    words = match["unit"].split()
    if words[0] in _NO_UNIT or {"and", "or", "am", "pm"} & set(words):
        return text
    if len(words[0]) == 1 and words[0] not in "%mgslh":
        return text
    return match["core"].strip()


def _without_math_words(text: str) -> str:
    return _WORD.sub(lambda m: "" if m[0] in _MATH_WORDS else m[0], text)


def _is_math(text: str, macros: frozenset[str]) -> bool:
    rest = [word for word in _WORD.findall(text) if word not in _MATH_WORDS and word not in macros]
    if rest:
        return False
    return bool(macros) or bool(re.search(r"[\d+*/^=<>|()\[\]-]", text))


def _math_key(text: str) -> str:
    mixed = _MIXED.fullmatch(text.strip())
    if mixed:
        sign, whole, top, bottom = mixed.groups()
        return _ratio_key(sign, str(int(whole) * int(bottom) + int(top)), bottom)
    key = re.sub(r"[\s,]*\b(?:and|or)\b", ",", text)
    key = re.sub(r"\s+", "", key).replace("**", "^")
    if len(set(_VARIABLE.findall(key))) == 1:
        key = _VARIABLE.sub("", key)
    key = _DECIMAL.sub(lambda m: canonical_number(m[0]), key)
    if key.startswith("(") and key.endswith(")") and not set("(),") & set(key[1:-1]):
        key = key[1:-1]
    if _NUMBER.fullmatch(key):
        return canonical_number(key)
    ratio = _RATIO.fullmatch(key)
    if ratio:
        return _ratio_key(*(ratio.group(1, 2, 3) if ratio[2] else ratio.group(4, 5, 6)))
    return key.replace("*", "")


def _ratio_key(sign: str, top: str, bottom: str) -> str:
    """Lowest terms; a terminating fraction becomes its decimal, so that 1/2 and 0.5 agree."""
    if int(bottom) == 0:
        return f"{sign}{top}/{bottom}"
    value = Fraction(int(top), int(bottom)) * (-1 if sign == "-" else 1)
    rest, places = value.denominator, 0
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    for prime in (2, 5):
        while rest % prime == 0:
            rest, places = rest // prime, places + 1
    if rest != 1 or places > 12:
        return str(value)
    scaled = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    whole = scaled if not places else f"{scaled[:-places]}.{scaled[-places:]}"
    return canonical_number(("-" if value < 0 else "") + whole)
