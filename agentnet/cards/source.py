"""Reads foreign JSON from a file, a folder of files, or an address; bounded in size and time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from agentnet.errors import DataError

MAX_BYTES = 4_000_000
"""Most bytes of one file or answer."""
MAX_FILES = 1000
"""Most files of a folder."""
TIMEOUT_S = 10.0
"""Seconds that a fetch may take in all."""
_CHUNK = 65_536


def is_url(source: str | Path) -> bool:
    """Whether a source is an http(s) address.

    >>> is_url("https://example.com"), is_url("cards/one.json")
    (True, False)
    """
    return str(source).lower().startswith(("http://", "https://"))


def read_json(source: str | Path) -> Iterator[tuple[str, Any]]:
    """Yields the JSON of a file, or of every ``.json`` file of a folder by name, each with its place.

    Raises:
        DataError: it cannot be read, is too large, or is not JSON; the error names the file.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.suffix == ".json" and item.is_file())
        if not files:
            raise DataError(f"{path} holds no .json file.")
        if len(files) > MAX_FILES:
            raise DataError(f"{path} holds {len(files):,} files; at most {MAX_FILES:,} are read at once.")
    else:
        files = [path]
    for file in files:
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}.") from None
        yield str(file), parse_json(data, str(file))


def parse_json(data: bytes, where: str) -> Any:
    """Returns the value of JSON bytes.

    Raises:
        DataError: they are too many, not UTF-8, not JSON, or nested too deeply.

    >>> parse_json(b'{"name": "cards"}', "here")
    {'name': 'cards'}
    """
    if len(data) > MAX_BYTES:
        raise DataError(f"{where} is larger than {MAX_BYTES // 1_000_000} MB.")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{where} is not UTF-8 text.") from None
    except RecursionError:
        raise DataError(f"{where} is nested too deeply.") from None
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON: {error}.") from None


class _Redirects(HTTPRedirectHandler):
    """Follows few redirections, to http(s) only, and never from https to http."""

    max_redirections = 3

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise URLError("it redirects to an address that is not as safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch_json(
    urls: Sequence[str], *, timeout_s: float = TIMEOUT_S, max_bytes: int = MAX_BYTES
) -> tuple[str, Any]:
    """Gets JSON from the first of some addresses that has any (404 goes on to the next).

    Args:
        urls: Addresses to try, in order; http or https, without user name and password.
        timeout_s: Seconds in all.
        max_bytes: Most bytes of the answer.

    Returns:
        The address that answered, and the value.

    Raises:
        DataError: none answered in time with JSON of a bounded size; the error names the address.
    """
    end = time.monotonic() + timeout_s
    for url in urls:
        where = _shown(url)
        try:
            body = _get(url, end, max_bytes)
        except HTTPError as error:
            error.close()
            if error.code == 404 and url != urls[-1]:
                continue
            raise DataError(f"{where} answered {error.code}.") from None
        except TimeoutError:
            raise DataError(f"{where} did not answer within {timeout_s:g} s.") from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise DataError(f"{where} did not answer within {timeout_s:g} s.") from None
            raise DataError(f"{where} cannot be reached: {error.reason}.") from None
        except (OSError, HTTPException, ValueError) as error:
            raise DataError(f"{where} cannot be reached: {type(error).__name__}.") from None
        if len(body) > max_bytes:
            raise DataError(f"{where} answers with more than {max_bytes:,} bytes.")
        return where, parse_json(body, where)
    raise DataError("no address was given.")


def _get(url: str, end: float, max_bytes: int) -> bytes:
    """Returns the body; reads one byte more than allowed at most."""
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "agentnet"})
    opener = build_opener(_Redirects)
    body = bytearray()
    with opener.open(request, timeout=max(0.01, end - time.monotonic())) as answer:
        # The socket's limit holds for each read; a server that drips is stopped by the clock.
        while piece := answer.read1(min(_CHUNK, max_bytes + 1 - len(body))):
            body += piece
            if time.monotonic() > end:
                raise TimeoutError
    return bytes(body)


def _shown(url: str) -> str:
    """The address as it may stand in an error, checked.

    Raises:
        DataError: it holds a user name, is malformed, or is not http(s).
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise DataError("the address is malformed.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise DataError("an address begins with http:// or https:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise DataError(f"the address of {host} holds a user name or a password; leave them out.")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
