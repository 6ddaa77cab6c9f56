"""DAPO's objective against a plain one, its filters, and a task whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentnet.errors import InvalidInput, RouterError
from agentnet.graphs.agent import Agent
from agentnet.routers.intents.backbone import AdapterShape
from agentnet.routers.reasoning.dapo import DapoStep, advantages, dapo, dapo_loss
from agentnet.routers.reasoning.data import Example
from agentnet.routers.reasoning.generate import Written
from agentnet.routers.reasoning.learner import Learner
from agentnet.routers.reasoning.local import LocalModel
from agentnet.routers.reasoning.packing import pack
from agentnet.routers.reasoning.reply import parse_reply
from agentnet.routers.reasoning.rollouts import DapoRecipe, Group, prefilter, roll_out, score

torch = pytest.importorskip("torch")
Make = Callable[..., Any]
SHAPE = AdapterShape(blocks=2, rank=4)
AGENTS = tuple(Agent(name=name) for name in ("cards", "loans", "music"))
RECIPE = DapoRecipe(
    shape=SHAPE, steps=4, prompts=2, tries=1, learning_rate=1e-2, checkpoint_every=2, max_tokens=12
)


def plain_objective(
    logs: list[list[float]], old: list[list[float]], rewards: list[float], low: float, high: float
) -> float:
    """J of one group, written as it stands in the paper."""
    mean = sum(rewards) / len(rewards)
    std = math.sqrt(sum((r - mean) ** 2 for r in rewards) / len(rewards))
    total = 0.0
    for new, before, r in zip(logs, old, rewards, strict=True):
        a = (r - mean) / std
        for x, y in zip(new, before, strict=True):
            rho = math.exp(x - y)
            total += min(rho * a, min(max(rho, 1 - low), 1 + high) * a)
    return total / sum(map(len, logs))


def flat(rows: list[list[float]]) -> Any:
    return torch.tensor([value for row in rows for value in row], dtype=torch.float64)


def test_the_objective_is_the_plain_one_and_normalised_by_tokens() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sizes = rng.integers(1, 9, 8)
        old = [list(-rng.random(n) * 3) for n in sizes]
        logs = [[x + rng.normal(0, 0.4) for x in row] for row in old]
        rewards = list(rng.choice([0.0, 0.65, 0.75, 1.0], 8))
        rewards[:2] = [0.0, 1.0]
        each = advantages(np.array([rewards]))[0]
        spread = torch.tensor(np.repeat(each, sizes))
        loss = dapo_loss(flat(logs), flat(old), spread, low=0.2, high=0.28)
        assert -float(loss) == pytest.approx(plain_objective(logs, old, rewards, 0.2, 0.28), abs=1e-9)


def test_advantages_are_standardised_by_group_and_zero_where_all_are_equal() -> None:
    rewards = np.array([[0.0, 1.0, 1.0, 0.5], [0.1, 0.1, 0.1, 0.1], [0.3, 0.3, 0.3, -0.1]])
    found = advantages(rewards)
    assert np.allclose(found.mean(1), 0)
    assert np.allclose(found.std(1), [1, 0, 1])
    assert (found[1] == 0).all()


def gradient(ratio: float, advantage: float, low: float = 0.2, high: float = 0.28) -> float:
    logs = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    loss = dapo_loss(logs, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage]), low=low, high=high)
    loss.backward()
    return float(logs.grad[0])


def test_the_gradient_makes_good_answers_likelier_and_bad_ones_less() -> None:
    assert gradient(1.0, 2.0) == pytest.approx(-2.0)  # down the loss is up in probability
    assert gradient(1.0, -2.0) == pytest.approx(2.0)


def test_the_clip_is_wider_above_and_lets_mistakes_be_undone() -> None:
    # Good answers go on until 1.28, beyond the 1.2 of a symmetric clip; bad ones until 0.8.
    assert gradient(1.25, 1.0) < 0
    assert gradient(1.25, 1.0, high=0.2) == 0
    assert gradient(1.29, 1.0) == 0
    assert gradient(0.81, -1.0) > 0
    assert gradient(0.79, -1.0) == 0
    # On the other side nothing is clipped: a good answer that became rare comes back, whatever the ratio.
    assert gradient(0.5, 1.0) == pytest.approx(-0.5)
    assert gradient(2.0, -1.0) == pytest.approx(2.0)


def example(gold: tuple[str, ...], query: str = "a question") -> Example:
    return Example(query, AGENTS, gold, "it fits")


def group(*answers: tuple[str, ...] | None, gold: tuple[str, ...] = ("cards",)) -> Group:
    chosen = tuple(None if names is None else frozenset(names) for names in answers)
    blank = Written((1,), (0.0,), "", True)
    return Group(example(gold), (1,), (blank,) * len(answers), chosen, (0.0,) * len(answers))


def test_groups_all_right_or_all_wrong_are_not_informative() -> None:
    right, wrong, both = ("cards",), ("loans",), ("cards", "loans")
    assert not group(*[right] * 8).informative
    assert not group(*[wrong] * 4, *[both] * 3, None).informative
    assert group(right, *[wrong] * 7).informative
    assert group(wrong, *[right] * 7).informative
    assert group(("loans", "cards"), None, gold=both).informative  # the order does not count
    assert group((), right, gold=()).informative


def test_consistency_is_the_share_of_the_commonest_set() -> None:
    right, wrong = ("cards",), ("loans",)
    assert group(*[right] * 5, *[wrong] * 3).consistency == 5 / 8
    assert group(None, None, right, wrong).consistency == 0.5
    assert group(*[wrong] * 8).consistency == 1


def test_an_unreadable_answer_earns_nothing_even_where_nobody_is_right() -> None:
    nobody, cards = example(()), example(("cards",))
    prompt = nobody.prompt()
    assert score("<ID>oos</ID>", prompt, nobody.gold, RECIPE) == (1.0, frozenset())
    assert score("rubbish", prompt, nobody.gold, RECIPE) == (0.0, None)
    assert score("<ID>A1</ID>", prompt, cards.gold, RECIPE) == (1.0, frozenset({"cards"}))
    assert score("<ID>A1</ID><ID>A2</ID>", prompt, cards.gold, RECIPE)[0] == pytest.approx(0.65)
    assert score("<ID>A1</ID>", prompt, ("cards", "loans"), replace(RECIPE, strict=True))[0] == 0.5


# -- learning ---------------------------------------------------------------------------------------


def prompts(n: int, *, known: bool) -> list[Example]:
    """The right agent is the first one shown, or one that nothing tells."""
    rng = np.random.default_rng(5)
    found = []
    for number in range(n):
        agents = tuple(AGENTS[at] for at in rng.permutation(3))
        at = 0 if known else int(rng.integers(3))
        found.append(Example(f"question {number % 7}", agents, (agents[at].name,), "it fits"))
    return found


@pytest.fixture(scope="module")
def writer(backbone: Make) -> Callable[[], LocalModel]:
    """Makes a model that writes one of three ids, whichever, and stops."""
    model = LocalModel(backbone(), compact=True, threads=1)
    learner = Learner(model.backbone(), SHAPE, seed=0)
    tokenizer = model.backbone().tokenizer
    examples = prompts(300, known=False)
    steps = 100
    for step in range(steps):
        groups = []
        for example in (examples[(8 * step + at) % 300] for at in range(8)):
            answer = tokenizer(example.answer.split("\n")[1], add_special_tokens=False)["input_ids"]
            groups.append([(model.encode(example.prompt().messages), [*answer, 0])])
        loss = -learner.log_probabilities(pack(groups)).mean()
        learner.follow(loss, 1e-2 * (1 - 0.9 * step / steps))
    config, arrays = model.state()

    return lambda: LocalModel.restore(config, arrays, base=backbone(), threads=1)


def mean_reward(model: LocalModel, examples: list[Example]) -> float:
    groups = roll_out(model, examples, RECIPE, seed=99)
    return float(np.mean([group.rewards for group in groups]))


def test_the_reward_rises_where_there_is_something_to_learn_and_not_where_there_is_not(
    writer: Callable[[], LocalModel],
) -> None:
    recipe = replace(RECIPE, steps=15, prompts=4, learning_rate=1e-3)
    rewards = {}
    for known in (True, False):
        model, examples = writer(), prompts(80, known=known)
        before = mean_reward(model, examples[40:])
        assert 0.2 < before < 0.5
        assert dapo(model, examples[:40], recipe=recipe).done
        rewards[known] = mean_reward(model, examples[40:])
    assert rewards[True] > 0.85
    assert rewards[False] < 0.6
    prompt = examples[-1].prompt()
    assert parse_reply(model.answer([prompt])[0][0].text, prompt.ids).readable  # the form outlives it


def test_an_interrupted_run_ends_with_the_same_bits(writer: Callable[[], LocalModel], tmp_path: Path) -> None:
    examples = prompts(6, known=True)

    class Cut(Exception):
        """Stands for a crash."""

    def crash(step: DapoStep) -> None:
        if step.step == 3:
            raise Cut

    def bits(folder: str, progress: Any = None) -> dict[str, bytes]:
        model = writer()
        run = dapo(model, examples, tmp_path / folder, recipe=RECIPE, progress=progress)
        assert [step.step for step in run.history] == [1, 2, 3, 4]
        return {name: array.tobytes() for name, array in model.state()[1].items()}

    whole = bits("whole")
    assert whole != {name: array.tobytes() for name, array in writer().state()[1].items()}
    with pytest.raises(Cut):
        bits("cut", crash)
    assert bits("cut") == whole
    with pytest.raises(RouterError, match="another folder"):
        dapo(writer(), examples[1:], tmp_path / "cut", recipe=RECIPE)


def test_the_filter_leaves_out_what_is_learned_already(writer: Callable[[], LocalModel]) -> None:
    model = writer()
    candidates = prompts(12, known=False)
    kept, groups = prefilter(model, candidates, recipe=RECIPE)
    assert len(groups) == 12
    assert kept == [at for at, group in enumerate(groups) if group.consistency <= 0.6]
    assert len(kept) > 0
    none, groups = prefilter(model, candidates, recipe=replace(RECIPE, consistency=0.0))
    assert (none, len(groups)) == ([], 12)
    assert prefilter(model, candidates, recipe=RECIPE, seconds=0) == ([], [])


def test_a_step_without_a_group_to_learn_from_changes_nothing(writer: Callable[[], LocalModel]) -> None:
    model = writer()
    before = {name: array.tobytes() for name, array in model.state()[1].items()}
    nobody = [Example("question", AGENTS, ("cards", "loans", "music"), "never written")] * 2
    run = dapo(model, nobody, recipe=replace(RECIPE, steps=1))
    assert (run.history[0].kept, run.history[0].loss) == (0, None)
    assert run.history[0].reward < 1
    assert {name: array.tobytes() for name, array in model.state()[1].items()} == before


def test_wrong_recipes_and_no_prompts_are_refused(writer: Callable[[], LocalModel]) -> None:
    with pytest.raises(InvalidInput, match="no prompts"):
        dapo(writer(), [])
    for wrong in ({"rollouts": 1}, {"low": 1.0}, {"consistency": 2.0}, {"passes": 0}):
        with pytest.raises(InvalidInput):
            DapoRecipe(**wrong)
