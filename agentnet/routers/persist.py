"""Routers on disk: a folder with ``config.json`` and ``arrays.safetensors``; never pickle.

A folder is written beside its place under another name and then renamed, so that a reader never sees
half of it. A digest over settings, state and arrays is checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentnet import __version__
from agentnet.errors import AgentnetError, RouterError, RouterLoadError
from agentnet.routers.base import Router, Training

FORMAT = 1
"""Version of the layout; a reader refuses newer ones."""
CONFIG = "config.json"
ARRAYS = "arrays.safetensors"
_KEYS = {"format", "router", "version", "settings", "options", "state", "training", "digest"}


def fingerprint(router: Router) -> str:
    """Returns 12 hexadecimal digits of a router's name, settings and fitted state."""
    state, arrays = router._state()
    content = {"router": router.name, "settings": router.settings, "state": state}
    return _digest(content, arrays)[:12]


def save(router: Router, path: str | Path) -> None:
    """Writes a fitted router to a folder, atomically; an older router there is replaced.

    Raises:
        NotFitted: the router has learned nothing yet.
        RouterError: the place is taken by something that is not a router, or cannot be written.
    """
    router._check_fitted()
    path = Path(path)
    if path.exists() and not (path / CONFIG).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise RouterError(f"{path} exists and is not a router; choose another folder.")
    state, arrays = router._state()
    config: dict[str, Any] = {
        "format": FORMAT,
        "router": router.name,
        "version": router.version,
        "settings": router.settings,
        "options": {
            "cost_weight": router.options.cost_weight,
            "abstain_below": router.options.abstain_below,
        },
        "state": state,
        "training": router.training.to_dict() if router.training else None,
        "agentnet": __version__,
    }
    config["digest"] = _digest(config, arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
    except OSError as error:
        raise RouterError(f"cannot write to {path.parent}: {error.strerror}.") from None
    try:
        _write(fresh / ARRAYS, _to_bytes(arrays))
        _write(fresh / CONFIG, _json(config).encode("utf-8", "surrogatepass"))
        fresh.chmod(0o755)
        _swap(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load(path: str | Path) -> Router:
    """Reads a router of any kind from its folder.

    Raises:
        RouterLoadError: the folder is missing, incomplete, corrupt, changed by hand, or of a newer format.
    """
    from agentnet.routers.registry import make_router

    path = Path(path)
    config = _read_config(path)
    arrays = _read_arrays(path)
    stored = config.pop("digest")
    if _digest(config, arrays) != stored:
        raise RouterLoadError(
            f"{path} is corrupt or was changed by hand (its digest differs); train it again."
        )
    try:
        router = make_router(config["router"], **config["settings"])
        router._restore(config["state"], arrays)
        router.options = replace(router.options, **config["options"])
        if config["training"] is not None:
            router.training = Training.from_dict(config["training"])
    except (AgentnetError, KeyError, TypeError, ValueError, IndexError) as error:
        raise RouterLoadError(f"{path} cannot be restored: {error}") from error
    router.version = config["version"]
    return router


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise RouterLoadError(f"there is no router folder {path}; train one with `agentnet train`.")
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
    except FileNotFoundError:
        raise RouterLoadError(f"{path} is not a router: it has no {CONFIG}.") from None
    except (ValueError, OSError) as error:
        raise RouterLoadError(f"{path / CONFIG} cannot be read: {error}.") from None
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise RouterLoadError(f"{path / CONFIG} is not a router's configuration.")
    if config["format"] > FORMAT:
        raise RouterLoadError(
            f"{path} has format {config['format']}; this agentnet reads up to {FORMAT}. Update agentnet."
        )
    if missing := sorted(_KEYS - set(config)):
        raise RouterLoadError(f"{path / CONFIG} lacks {', '.join(missing)}; train the router again.")
    return config


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        arrays: dict[str, NDArray[Any]] = from_bytes((path / ARRAYS).read_bytes())
    except FileNotFoundError:
        raise RouterLoadError(f"{path} is incomplete: it has no {ARRAYS}; train it again.") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RouterLoadError(f"{path / ARRAYS} is corrupt: {error}.") from None
    return arrays


def _to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    from safetensors.numpy import save as to_bytes

    data: bytes = to_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    return data


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(fresh: Path, path: Path) -> None:
    """Puts ``fresh`` in the place of ``path``; what stood there comes back if that fails."""
    if not path.exists():
        fresh.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-", dir=path.parent))
    path.rename(old)
    try:
        fresh.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _digest(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(_json(content).encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
