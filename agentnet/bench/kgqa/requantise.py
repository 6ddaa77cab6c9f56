"""Rewrites a GGUF file's weights as Q4_0, which llama.cpp reads prompts with several times faster on x86.

The embedded model's file is Q4_1, a type without a packed kernel for prompts, and long contexts are bound by
reading them. Requantising loses a little: answers are those of the rewritten weights.

    python -m agentnet.bench.kgqa.requantise model-q4_0.gguf
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agentnet.errors import InvalidInput, MissingDependency

_FILE_TYPE = "general.file_type"
_MOSTLY_Q4_0 = 2
"""Of ``general.file_type``, see the GGUF specification."""


def requantise(source: str | Path, target: str | Path) -> dict[str, int]:
    """Writes a copy of a GGUF file with all its quantised weights as Q4_0; what is float stays float.

    Args:
        source: A GGUF file.
        target: Where to; must not exist.

    Returns:
        Number of tensors by their type in the source.

    Raises:
        MissingDependency: the package ``gguf`` is not installed.
        InvalidInput: the target exists.
    """
    try:
        import gguf
        from gguf import quants
    except ImportError:
        raise MissingDependency(
            "rewriting weights needs the package gguf; install it with `pip install 'agentnet-routing[sft]'`."
        ) from None
    if Path(target).exists():
        raise InvalidInput(f"{target} exists; name another file.")
    reader = gguf.GGUFReader(str(source))
    writer = gguf.GGUFWriter(str(target), arch=reader.fields["general.architecture"].contents())
    _copy_fields(gguf, reader, writer)
    kinds = gguf.GGMLQuantizationType
    plain = (kinds.F32, kinds.F16, kinds.BF16)
    found: dict[str, int] = {}
    for tensor in reader.tensors:
        found[tensor.tensor_type.name] = found.get(tensor.tensor_type.name, 0) + 1
        if tensor.tensor_type in plain:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        shape = tuple(int(size) for size in reversed(tensor.shape))
        values = quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        packed = quants.quantize(values, kinds.Q4_0)
        writer.add_tensor(tensor.name, packed, raw_dtype=kinds.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found


def _copy_fields(gguf: Any, reader: Any, writer: Any) -> None:
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue  # the writer makes these itself
        if field.name == _FILE_TYPE:
            writer.add_uint32(_FILE_TYPE, _MOSTLY_Q4_0)
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)


def main() -> None:
    """Rewrites the embedded model's weights into the file that the command line names."""
    from agentnet.runtime.embedded.weights import find_model

    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m agentnet.bench.kgqa.requantise TARGET.gguf")
    found = requantise(find_model(), sys.argv[1])
    sys.stdout.write(f"{sys.argv[1]}: tensors of the source by type: {found}\n")


if __name__ == "__main__":
    main()
