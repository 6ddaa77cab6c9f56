from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentnet.bench.kgqa.requantise import requantise
from agentnet.errors import InvalidInput

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")


def test_quantised_weights_become_q4_0_and_the_rest_stays(tmp_path: Path) -> None:
    kinds = gguf.GGMLQuantizationType
    weights = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    norm = np.arange(8, dtype=np.float32)
    writer = gguf.GGUFWriter(str(tmp_path / "a.gguf"), arch="llama")
    writer.add_string("general.name", "tiny")
    writer.add_array("some.list", ["x", "y"])
    writer.add_tensor("w", gguf.quants.quantize(weights, kinds.Q4_1), raw_dtype=kinds.Q4_1)
    writer.add_tensor("norm", norm)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    target = tmp_path / "b.gguf"
    assert requantise(tmp_path / "a.gguf", target) == {"Q4_1": 1, "F32": 1}
    found = gguf.GGUFReader(str(target))
    tensors = {tensor.name: tensor for tensor in found.tensors}
    assert tensors["w"].tensor_type == kinds.Q4_0 and tensors["norm"].data.tolist() == norm.tolist()
    back = gguf.quants.dequantize(tensors["w"].data, kinds.Q4_0).reshape(weights.shape)
    assert np.corrcoef(back.ravel(), weights.ravel())[0, 1] > 0.98
    assert found.fields["general.name"].contents() == "tiny"
    assert found.fields["some.list"].contents() == ["x", "y"]
    with pytest.raises(InvalidInput, match="exists"):
        requantise(tmp_path / "a.gguf", target)
