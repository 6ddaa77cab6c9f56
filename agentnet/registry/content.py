"""What is kept of a version beside its router: helpers that the registries share."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agentnet.errors import InvalidInput, RegistryError
from agentnet.graphs.plain import plain
from agentnet.registry.records import RouterVersion
from agentnet.routers.base import Router
from agentnet.traces.redact import environment_secrets
from agentnet.traces.values import Cleaner

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


def keepable(router: Router) -> Router:
    """Returns the router as it is kept: one that serves without a fit gets its content as version.

    Raises:
        InvalidInput: it is no router.
        NotFitted: it must be fitted first.
    """
    from agentnet.routers.persist import fingerprint

    if not isinstance(router, Router):
        raise InvalidInput(f"a registry keeps routers; got {type(router).__name__}.")
    if router.version == "unfitted" and not router.needs_fit:
        router = copy.copy(router)
        router.version = fingerprint(router)
    router._check_fitted()
    if not _ID.fullmatch(router.version):
        raise InvalidInput(f"a router's version is up to 64 letters and digits; got {router.version!r}.")
    return router


def content_of(router: Router) -> str:
    """Returns a hash of all that decides how a router serves: state, settings and options."""
    from agentnet.routers.persist import fingerprint

    options = [router.options.cost_weight, router.options.abstain_below]
    return hashlib.sha256(json.dumps([fingerprint(router), options]).encode()).hexdigest()[:16]


def described(
    router: Router, parent: str | None, data: str, metrics: Mapping[str, Any] | None, note: str
) -> RouterVersion:
    """Returns the version of a router that is about to be kept."""
    known = router.training
    return RouterVersion(
        id=router.version,
        router=router.name,
        created_at=time.time(),
        parent=parent,
        data=data or (known.data if known is not None else ""),
        metrics=json.loads(Cleaner(environment_secrets())(plain(metrics or {}))),
        note=clean(note),
    )


def clean(text: str) -> str:
    """Returns text as both kinds of registry can hold it, without secrets."""
    return Cleaner(environment_secrets()).text(text)


def merged(old: RouterVersion, new: RouterVersion, *, metrics: bool) -> RouterVersion:
    """Returns a version that is added again: it keeps its date and parent, and takes new metrics and note."""
    return replace(old, metrics=new.metrics if metrics else old.metrics, note=new.note or old.note)


def check_same(version_id: str, old: str, new: str) -> None:
    """Refuses a router that has a kept one's version and yet serves differently.

    Raises:
        RegistryError: it does.
    """
    if old != new:
        raise RegistryError(
            f"version {version_id} is kept already, with other options (`with_options`) or another state: "
            "set options where it serves (Runtime(route_options=...)), or fit it with that setting."
        )


def whole_id(ids: Iterable[str], start: str) -> str:
    """Returns the one id that begins like this.

    Raises:
        RegistryError: there is none, or several.

    >>> whole_id(["a1b2", "c3d4"], "a1")
    'a1b2'
    """
    if not isinstance(start, str) or not start:
        raise RegistryError("name a version by its id or the beginning of it.")
    known = sorted(ids)
    if start in known:
        return start
    found = [item for item in known if item.startswith(start)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RegistryError(
            f"several versions begin with {start!r}, such as {found[0]} and {found[1]}; say more."
        )
    there = (
        f"there are {', '.join(known[:5])}{', ...' if len(known) > 5 else ''}"
        if known
        else "there are none yet"
    )
    raise RegistryError(f"there is no version {start!r}: {there}.")
