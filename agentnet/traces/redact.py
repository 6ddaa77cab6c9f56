"""Secrets and personal data: what never reaches the database, and what need not.

Secrets (API keys, bearer tokens, passwords in addresses) are replaced in every stored text whatever the
capture mode. Personal data is replaced in capture mode ``"redacted"`` by `redact_personal`, or by the
function the user gives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

SECRET = "[secret]"
"""What stands where a secret stood."""

_TOKENS = re.compile(
    r"""\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}          # OpenAI, Anthropic, Stripe and look-alikes
      | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b             # AWS access key ids
      | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_[A-Za-z0-9_]{20,}
      | \bglpat-[A-Za-z0-9_-]{16,}
      | \bxox[abeoprs]-[A-Za-z0-9-]{10,}          # Slack
      | \bAIza[A-Za-z0-9_-]{30,}                  # Google
      | \bhf_[A-Za-z0-9]{20,}                     # Hugging Face
      | \b(?:gsk|r8|xai|pplx|nvapi|tgp_v1)[_-][A-Za-z0-9_-]{20,}
      | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*   # JSON web tokens
    """,
    re.VERBOSE,
)
_HEADER = re.compile(r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{12,}")
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://[^\s:/@?#\"'<>]{0,200}:)[^\s/@\"'<>]{1,200}(?=@)")
_NAMES = (
    r"(?:api[_-]?key|secret[_-]?key|access[_-]?key|private[_-]?key|access[_-]?token|auth[_-]?token"
    r"|refresh[_-]?token|client[_-]?secret|password|passwd)"
)
_SECRET_NAME = re.compile(r"(?i)(?:\w*[_-])?" + _NAMES)
_JSON_NAME = re.compile(r"(?i)" + _NAMES + r"\"\s*:\s*\"")
_NAMED = re.compile(
    r"(?i)(" + _NAMES + r"\\?[\"']?\s*[:=]\s*\\?[\"']?)"
    r"(?!\[secret\])[^\s\"',;&()\[\]{}<>\\]{8,}"
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)

# What must stand in a text, in lower case, for a pattern to match. A substring search is far cheaper than
# the pattern, and most texts have none of these. The first ones are looked for only beside "-" or "_".
_JOINED_MARKS = (
    "sk-", "pk-", "rk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-", "xox", "hf_",
    "gsk_", "gsk-", "r8_", "r8-", "xai-", "xai_", "pplx-", "pplx_", "nvapi", "tgp_v1",
)  # fmt: skip
_PLAIN_MARKS = ("akia", "asia", "aiza", "eyj")
_NAME_MARKS = (
    "_key", "-key", "apikey", "secretkey", "accesskey", "privatekey", "_token", "-token", "accesstoken",
    "authtoken", "refreshtoken", "secret", "passw",
)  # fmt: skip

_ENVIRONMENT = re.compile(r"(?i)(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$")

_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+\b")
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_PHONE = re.compile(r"(?<![\w.])\+\d{1,3}[ ().-]?\d(?:[ ().-]?\d){6,12}(?!\w)")
_IPV4 = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")


def scrub(text: str, known: Iterable[str] = ()) -> str:
    """Replaces what looks like a secret, and every secret that is known.

    Args:
        text: Any text.
        known: Secrets known by value, see `environment_secrets`.

    >>> scrub("postgresql://me:pa55@host/db, Authorization: Bearer abcdefghijklmnop")
    'postgresql://me:[secret]@host/db, Authorization: Bearer [secret]'
    """
    for secret in known:
        if secret in text:
            text = text.replace(secret, SECRET)
    lowered = text.lower()
    joined = "-" in lowered or "_" in lowered
    if (joined and _holds(lowered, _JOINED_MARKS)) or _holds(lowered, _PLAIN_MARKS):
        text = _TOKENS.sub(SECRET, text)
    if joined and "-----begin" in lowered:
        text = _PEM.sub(SECRET, text)
    if "://" in lowered and "@" in lowered:
        text = _URL.sub(r"\g<1>" + SECRET, text)
    if "bearer" in lowered or "basic" in lowered:
        text = _HEADER.sub(r"\g<1>" + SECRET, text)
    if _may_name(lowered):
        text = _NAMED.sub(r"\g<1>" + SECRET, text)
    return text


def _holds(lowered: str, marks: tuple[str, ...]) -> bool:
    for mark in marks:  # noqa: SIM110 - half the time of any() with a generator
        if mark in lowered:
            return True
    return False


def _may_name(lowered: str) -> bool:
    some = "key" in lowered or "token" in lowered or "secret" in lowered or "passw" in lowered
    return some and _holds(lowered, _NAME_MARKS)


def is_secret_name(name: str) -> bool:
    """Whether a key of this name holds a secret, whatever its value looks like.

    >>> is_secret_name("api_key"), is_secret_name("key")
    (True, False)
    """
    return _SECRET_NAME.fullmatch(name) is not None


def has_secret_name(text: str) -> bool:
    """Whether JSON text holds a key for which `is_secret_name` is true and whose value is text."""
    lowered = text.lower()
    return _may_name(lowered) and _JSON_NAME.search(text) is not None


def environment_secrets(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Returns the values of environment variables named like secrets, the longest first.

    Args:
        environment: The variables; default: this process's.

    >>> environment_secrets({"ACME_API_KEY": "0123456789abcdef", "HOME": "/home/someone/long"})
    ('0123456789abcdef',)
    """
    values = os.environ if environment is None else environment
    found = {value for name, value in values.items() if len(value) >= 12 and _ENVIRONMENT.search(name)}
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def redact_personal(text: str) -> str:
    """Replaces e-mail addresses, card and phone numbers and IPv4 addresses by their kind.

    The default of capture mode ``"redacted"``. It knows no names and no street addresses: give your own
    function where those matter.

    >>> redact_personal("Write to ann@example.org or call +49 151 23456789.")
    'Write to [email] or call [phone].'
    """
    text = _EMAIL.sub("[email]", text)
    text = _PHONE.sub("[phone]", text)
    text = _CARD.sub(lambda found: "[card]" if _luhn(found[0]) else found[0], text)
    return _IPV4.sub("[ip]", text)


def _luhn(text: str) -> bool:
    """Whether a digit string has the check digit of a payment card (ISO/IEC 7812-1)."""
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
