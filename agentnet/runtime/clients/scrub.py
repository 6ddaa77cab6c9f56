"""Takes secrets out of texts that leave the program: errors, logs, records."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

MASK = "[secret]"
_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH", re.IGNORECASE)
_SHORTEST = 8
_WORDS = (
    r"x-api-key|api[-_ ]?key|apikey|(?:access|auth|bearer|refresh)[-_ ]?token|client[-_ ]?secret"
    r"|password|passwd|authorization"
)
_PATTERNS = (
    (re.compile(r"(?P<keep>://)[^/\s@]+@"), rf"\g<keep>{MASK}@"),
    (re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[^\s\"',;]+", re.IGNORECASE), rf"\g<keep>{MASK}"),
    (
        re.compile(
            rf"(?P<keep>\b(?:{_WORDS})\b[\"']?\s*(?:provided)?\s*[:=]\s*[\"']?)(?!(?:Bearer|Basic)\b)[^\s\"',;&}}]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{MASK}",
    ),
    (re.compile(r"(?P<keep>[?&](?:key|token|sig|signature)=)[^&\s\"']+", re.IGNORECASE), rf"\g<keep>{MASK}"),
    (re.compile(r"\b(?:sk|pk|rk|gsk|hf|xai|ghp|gho|glpat|pplx|r8|nvapi)[-_][A-Za-z0-9_*\-]{6,}"), MASK),
    (re.compile(r"\bAIza[\w\-]{20,}|\bAKIA[A-Z0-9]{12,}|\beyJ[\w\-]+\.[\w\-]+\.[\w\-]*"), MASK),
)


def secret_values(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Values of environment variables whose names say that they are secret, longest first."""
    found = {
        value
        for name, value in (os.environ if environ is None else environ).items()
        if _NAMES.search(name) and len(value) >= _SHORTEST and not value.isdigit() and os.sep not in value[:1]
    }
    return tuple(sorted(found, key=len, reverse=True))


def scrub(text: str, secrets: Iterable[str] | None = None) -> str:
    """Returns the text with keys, passwords and tokens masked.

    Masked are the values of secret-looking environment variables (or of ``secrets``), keys by their
    usual forms (``sk-...``), Authorization headers, ``api_key=...`` and passwords in addresses.

    >>> scrub("401 for sk-abcdef123456 at https://me:pw@host/v1", ())
    '401 for [secret] at https://[secret]@host/v1'
    """
    for value in secret_values() if secrets is None else secrets:
        text = text.replace(value, MASK)
    for pattern, mask in _PATTERNS:
        text = pattern.sub(mask, text)
    return text


def told(failure: BaseException) -> str:
    """Returns an error's type and message as they may leave the program: scrubbed, and valid Unicode.

    >>> told(ValueError("no key sk-abcdef123456"))
    'ValueError: no key [secret]'
    """
    text = f"{type(failure).__name__}: {failure}".removesuffix(": ")
    return scrub(text).encode("utf-8", "replace").decode()
