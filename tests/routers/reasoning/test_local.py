"""The local model writes what its weights say, batched as alone, and keeps to the form when held to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput, RouterLoadError
from agentnet.graphs.task import Task
from agentnet.routers.intents.backbone import AdapterShape, Backbone
from agentnet.routers.reasoning.generate import Decoding, generate, merged
from agentnet.routers.reasoning.learner import Learner
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.model import RouterModel
from agentnet.routers.reasoning.packing import common_prefix, pack
from agentnet.routers.reasoning.prompt import Prompt, make_prompt, reply_schema
from agentnet.routers.reasoning.reply import parse_reply
from agentnet.runtime.embedded.weights import find_model

Make = Callable[..., Any]
QUERIES = ("a question on cards", "loans", "what about the weather of today and of tomorrow", "music please")


def prompts(agents: Make, n: int = 4) -> list[Prompt]:
    return [make_prompt(Task(text), agents(3 + at % 3), compact=True) for at, text in enumerate(QUERIES[:n])]


def adapted(model: Backbone, *, scale: float = 0.3, seed: int = 0) -> LocalModel:
    """A model with adapters that change something."""
    model.adapt(AdapterShape(blocks=2, rank=2))
    rng = np.random.default_rng(seed)
    model.set_adapters(
        {name: rng.normal(0, scale, p.shape).astype(np.float32) for name, p in model.adapters().items()}
    )
    return LocalModel(model, compact=True)


def plain_greedy(backbone: Backbone, ids: list[int], steps: int) -> tuple[list[int], list[float]]:
    """Greedy generation without cache, batch or tricks."""
    import torch

    tokens: list[int] = []
    logs: list[float] = []
    for _ in range(steps):
        with torch.no_grad():
            last = torch.log_softmax(backbone.model(torch.tensor([ids + tokens])).logits[0, -1], 0)
        tokens.append(int(last.argmax()))
        logs.append(float(last.max()))
        if tokens[-1] == backbone.tokenizer.eos_token_id:
            break
    return tokens, logs


def test_a_batch_writes_what_each_prompt_alone_would(backbone: Make, agents: Make) -> None:
    model = adapted(backbone())
    found = model.answer(prompts(agents), Decoding(max_tokens=8, batch=3))
    for prompt, (written,) in zip(prompts(agents), found, strict=True):
        tokens, logs = plain_greedy(model.backbone(), model.encode(prompt.messages), 8)
        assert list(written.tokens) == tokens
        assert np.allclose(written.logs, logs, atol=1e-3)
    assert len({written.tokens for (written,) in found}) > 1  # or the comparison would say little


def test_merged_weights_come_back_to_the_bit(backbone: Make, agents: Make) -> None:
    import torch

    model = adapted(backbone()).backbone()
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        wanted = model.model(ids).logits
        with merged(model):
            assert torch.allclose(model.model(ids).logits, wanted, atol=1e-3)
            assert not torch.equal(
                model.model.state_dict()["model.layers.0.self_attn.q_proj.base_layer.weight"],
                before["model.layers.0.self_attn.q_proj.base_layer.weight"],
            )
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.adapters().values())


def test_sampled_answers_follow_the_seed_and_have_the_models_probabilities(
    backbone: Make, agents: Make
) -> None:
    model = adapted(backbone(), scale=0.05)
    decoding = Decoding(max_tokens=6, temperature=1.0, batch=8)
    a, b, c = (model.answer(prompts(agents), decoding, repeats=4, seed=seed) for seed in (0, 0, 1))
    assert a == b
    assert a != c
    assert all(len(group) == 4 for group in a)
    assert len({written.tokens for written in a[0]}) > 1
    # The same numbers as the training's log-probabilities, which compute a group as one tree.
    learner = Learner(model.backbone(), AdapterShape(), seed=0)
    ids = [model.encode(prompt.messages) for prompt in prompts(agents)]
    packed = pack([[(p, one.tokens) for one in group] for p, group in zip(ids, a, strict=True)])
    logs = learner.log_probabilities(packed).detach().numpy()
    assert np.allclose(logs, [log for group in a for one in group for log in one.logs], atol=1e-3)


def test_an_answer_ends_at_the_end_of_turn_or_the_last_id(backbone: Make, agents: Make) -> None:
    import torch

    model = LocalModel(backbone(), compact=True)
    tokenizer = model.backbone().tokenizer
    item = tokenizer("<ID>A1</ID>", add_special_tokens=False)["input_ids"]
    script = [*item, *item, *item, 0]

    class Scripted:
        """Writes the script whatever it is asked."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.place = inner, 0
            self.parameters = inner.parameters

        def __call__(self, **given: Any) -> Any:
            out = self.inner(**given)
            out.logits = torch.full_like(out.logits, -50.0)
            out.logits[:, -1, script[self.place]] = 0.0
            self.place += 1
            return out

    inner = model.backbone().model
    ids = [[5, 6, 7]]
    for most, text, ended in ((2, "<ID>A1</ID><ID>A1</ID>", True), (9, "<ID>A1</ID>" * 3, True)):
        model.backbone().model = Scripted(inner)
        written = generate(model.backbone(), ids, Decoding(max_tokens=99, most=most))[0][0]
        assert (written.text, written.ended) == (text, ended)
    model.backbone().model = Scripted(inner)
    assert not generate(model.backbone(), ids, Decoding(max_tokens=3))[0][0].ended


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_constrained_answer_always_has_the_form_and_only_ids_of_its_prompt(
    most: int, backbone: Make, agents: Make
) -> None:
    model = LocalModel(backbone(), compact=True)
    asked = [
        *prompts(agents),
        make_prompt(Task("many"), [a.with_(name=f"{a.name} {i}") for i in (1, 2) for a in agents()]),
    ]
    decoding = Decoding(max_tokens=60, temperature=3.0, most=most)
    sizes = set()
    for prompt, group in zip(
        asked, model.answer(asked, decoding, repeats=8, constrain=True, seed=most), strict=True
    ):
        for written in group:
            reply = parse_reply(written.text, prompt.ids, most=most)
            assert reply.readable
            assert written.ended
            assert not reply.unknown
            assert not reply.cut
            assert written.text.startswith("<Reason>")
            assert written.text.count("<ID>") - written.text.split("</Reason>")[0].count("<ID>") <= most
            sizes.add(len(reply.agents))
    assert max(sizes) == most
    assert 0 in sizes  # out of scope can be written too


async def test_it_is_a_router_model_and_a_schema_holds_it(backbone: Make, agents: Make) -> None:
    model = LocalModel(backbone(), compact=True)
    assert isinstance(model, RouterModel)
    assert (model.name, adapted(backbone()).name) == ("tiny", "tiny+lora")
    prompt = prompts(agents)[0]
    free = await model.complete(prompt.messages, max_tokens=20)
    assert not parse_reply(free.text, prompt.ids).readable
    held = await model.complete(
        prompt.messages, max_tokens=60, json_schema=reply_schema(["A1", "A3"], most=1)
    )
    reply = parse_reply(held.text, prompt.ids)
    assert reply.readable
    assert set(reply.agents) <= {"cards", "savings"}
    assert held.prompt_tokens == len(model.encode(prompt.messages))
    assert held.completion_tokens is not None
    assert held.cost is None


def test_prompts_that_are_too_long_are_refused(backbone: Make, agents: Make) -> None:
    model = LocalModel(backbone(), max_prompt=10)
    with pytest.raises(InvalidInput, match="fewer agents"):
        model.encode(prompts(agents)[0].messages)
    with pytest.raises(InvalidInput):
        LocalModel(max_prompt=0)


def test_a_saved_model_answers_the_same(backbone: Make, agents: Make, tmp_path: Path) -> None:
    model = adapted(backbone())
    wanted = model.answer(prompts(agents), Decoding(max_tokens=6))
    assert wanted != LocalModel(backbone()).answer(prompts(agents), Decoding(max_tokens=6))
    model.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["adapter.safetensors", "config.json"]
    again = LocalModel.load(tmp_path, base=backbone())
    assert again.compact
    assert again.answer(prompts(agents), Decoding(max_tokens=6)) == wanted
    config, arrays = again.state()
    third = LocalModel.restore(json.loads(json.dumps(config)), arrays | {"x": np.zeros(1)}, base=backbone())
    assert third.state()[1].keys() == arrays.keys()  # before it is loaded, too
    assert third.answer(prompts(agents), Decoding(max_tokens=6)) == wanted


def test_broken_folders_are_refused(backbone: Make, tmp_path: Path) -> None:
    with pytest.raises(RouterLoadError, match="no reasoning model"):
        LocalModel.load(tmp_path)
    adapted(backbone()).save(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    for change in ({"format": 99}, {"kind": "other"}, {"adapter": {"shape": 1}}):
        file.write_text(json.dumps(config | change))
        with pytest.raises(RouterLoadError):
            LocalModel.load(tmp_path)
    file.write_text(json.dumps(config))
    (tmp_path / "adapter.safetensors").write_bytes(b"rubbish")
    with pytest.raises(RouterLoadError):
        LocalModel.load(tmp_path)


def test_trees_give_each_sequence_the_log_probabilities_it_has_alone(backbone: Make) -> None:
    import torch

    model = backbone()
    learner = Learner(model, AdapterShape(blocks=1, rank=2), seed=0)
    groups = [
        [([5, 6, 7, 8], [9, 10]), ([5, 6, 7, 11, 12], [13]), ([5, 6, 7, 8], [14, 15, 16])],
        [([20], [21, 22])],
        [([30, 31], [32]), ([40, 41], [42, 43])],  # nothing in common
    ]
    packed = pack(groups)
    logs = learner.log_probabilities(packed).detach()
    flat = [sequence for group in groups for sequence in group]
    assert packed.ids.numel() < 40
    for number, (prompt, answer) in enumerate(flat):
        with torch.no_grad():
            alone = torch.log_softmax(model.model(torch.tensor([prompt + answer])).logits[0], -1)
        wanted = [float(alone[len(prompt) + at - 1, token]) for at, token in enumerate(answer)]
        assert np.allclose(logs[packed.sequence == number], wanted, atol=1e-3)
    assert common_prefix([[1, 2], [1, 2, 3]]) == 2


def test_unusable_decodings_are_refused(backbone: Make) -> None:
    with pytest.raises(InvalidInput):
        Decoding(max_tokens=0)
    with pytest.raises(InvalidInput, match="generator"):
        generate(backbone(), [[1]], Decoding(temperature=1.0))
    with pytest.raises(InvalidInput, match="no tokens"):
        generate(backbone(), [[]], Decoding())


@pytest.mark.model
def test_the_embedded_model_answers_in_the_form_when_held_to_it(agents: Make) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    try:
        find_model(allow_hub=False)
    except ImportError as error:
        pytest.skip(f"the embedded model is not installed: {error}")
    model = LocalModel(compact=True, device="cpu", threads=1)
    prompt = prompts(agents)[0]
    ((written,),) = model.answer([prompt], Decoding(max_tokens=40, most=1), constrain=True)
    assert parse_reply(written.text, prompt.ids).readable
