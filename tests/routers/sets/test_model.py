"""What was learned for a pool: the same columns however the pool came about, and under load."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from agentnet.graphs.agent import Agent
from agentnet.graphs.pool import Pool
from agentnet.routers.sets.linear import Columns
from agentnet.routers.sets.model import SetModel, described
from agentnet.routers.sets.parts import Splitter
from agentnet.routers.sets.strangers import Rule, Rules
from agentnet.routers.sets.views import PoolView, Views

from .planted import ENCODER, TOPICS, agent, encode, name, pool_of

KNOWN = TOPICS[:4]


class Counted:
    """The encoder, and what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Any) -> np.ndarray:
        self.texts += texts
        return encode(texts)


def model(**fields: Any) -> SetModel:
    rng = np.random.default_rng(0)
    columns = Columns(
        tuple(name(topic) for topic in KNOWN),
        rng.standard_normal((ENCODER.dim, len(KNOWN))).astype(np.float32),
        rng.standard_normal(len(KNOWN)).astype(np.float32),
    )
    rules = Rules((Rule(0, 9.0, 0.5), Rule(3, 12.0, -1.0, 2.0)))
    return SetModel(**({"columns": columns, "rules": rules, "temperature": 0.7} | fields))


QUERIES = encode(["recipe oven", "guitar chord melody", "soil and seedling", "nothing at all"])


def bits(view: PoolView) -> bytes:
    return view.predict(QUERIES).logits.tobytes()


def test_known_agents_have_their_columns_and_others_their_rules() -> None:
    made = model()
    new = agent("music", examples=4)
    view = Views(made, encode).of(Pool([agent("travel"), new, agent("cooking"), agent("garden")]))
    assert view.known.tolist() == [True, False, True, False]
    logits = view.predict(QUERIES).logits
    own = made.columns.logits(QUERIES)
    np.testing.assert_allclose(logits[:, [0, 2]], own[:, [1, 0]], rtol=1e-4, atol=1e-5)
    weight, bias = made.rules.column(encode([new.description])[0], encode(new.examples))
    np.testing.assert_allclose(logits[:, 1], QUERIES @ weight + bias, rtol=1e-4, atol=1e-5)
    assert np.linalg.norm(weight) == pytest.approx(12.0, rel=1e-4)  # four examples: the rule for three


def test_adding_and_removing_gives_the_columns_of_a_pool_made_anew() -> None:
    made, rng = model(), np.random.default_rng(1)
    views, pool = Views(made, encode), pool_of(TOPICS[:6])
    spare = [agent(topic, examples=int(rng.integers(4))) for topic in TOPICS[6:]]
    for _ in range(40):
        present = [one for one in spare if one.name in pool]
        if present and rng.random() < 0.5:
            pool = pool.remove(present[int(rng.integers(len(present)))].name)
        elif absent := [one for one in spare if one.name not in pool]:
            pool = pool.add(absent[int(rng.integers(len(absent)))])
        view = views.of(pool)
        assert view.names == pool.names
        assert bits(view) == bits(Views(made, encode).of(pool))


def test_an_agent_met_before_is_not_encoded_again() -> None:
    counted = Counted()
    views, pool = Views(model(), counted), pool_of(TOPICS[:6])
    views.of(pool)
    assert sorted(counted.texts) == sorted(described(agent(topic)) for topic in TOPICS[4:6])
    counted.texts.clear()
    views.of(pool.add(agent("finance", examples=2)))
    assert len(counted.texts) == 3
    counted.texts.clear()
    views.of(Pool(Agent.from_dict(one.to_dict()) for one in pool))  # equal agents, other objects
    assert counted.texts == []


def test_a_changed_description_or_example_is_another_column() -> None:
    views = Views(model(), encode)
    plain = pool_of(["music", "garden"])
    told = Pool([plain.agents[0].with_(description="violin orchestra"), plain.agents[1]])
    shown = Pool([plain.agents[0].with_(examples=("a violin concert",)), plain.agents[1]])
    assert len({bits(views.of(pool)) for pool in (plain, told, shown)}) == 3
    assert bits(views.of(plain)) == bits(Views(model(), encode).of(plain))


def test_old_views_stay_as_they_were_while_others_are_made() -> None:
    views = Views(model(), encode)
    first = views.of(pool_of(TOPICS[:6]))
    before = bits(first)
    for topic in TOPICS[6:]:
        views.of(pool_of((*TOPICS[:6], topic)))
    assert bits(first) == before


def test_probes_count_as_examples() -> None:
    texts = ("guitar chord", "melody rhythm", "violin concert")
    bare = agent("music")
    probed = Views(model(probes={bare.name: texts}), encode).of(Pool([bare]))
    given = Views(model(), encode).of(Pool([bare.with_(examples=texts)]))
    assert bits(probed) == bits(given)


@pytest.mark.parametrize(
    "agents",
    [
        [Agent(name="lost_card")],
        [Agent(name="a", description="the same"), Agent(name="b", description="the same")],
        [Agent(name="a", description=" "), Agent(name="---")],
        [Agent(name="a", description="!?", examples=("", "??"))],
    ],
    ids=["no description", "descriptions twice", "nothing but a name", "no words"],
)
@pytest.mark.parametrize("learned", [True, False])
def test_odd_agents_give_probabilities(agents: list[Agent], learned: bool) -> None:
    made = model() if learned else SetModel()
    found = Views(made, encode).of(Pool(agents)).predict(QUERIES)
    assert np.isfinite(found.logits).all() and np.isfinite(found.familiarity).all()
    np.testing.assert_allclose(found.chances.sum(1), 1, rtol=1e-5)


def test_a_permuted_pool_has_permuted_columns() -> None:
    views, pool = Views(model(), encode), pool_of(TOPICS[:8])
    order = [3, 7, 0, 5, 1, 6, 2, 4]
    turned = views.of(pool.subset([pool.names[i] for i in order]))
    np.testing.assert_allclose(
        turned.predict(QUERIES).logits, views.of(pool).predict(QUERIES).logits[:, order], rtol=1e-5, atol=1e-5
    )


def test_a_model_is_restored_to_the_bit() -> None:
    made = model(
        threshold=1.25,
        exemplars={"a": ("x", "y")},
        probes={"new": ("z",)},
        splitter=Splitter((1.0,), (2.0,), (3.0,), (4.0, 5.0, 6.0)),
    )
    config, arrays = made.state()
    back = SetModel.restore(json.loads(json.dumps(config, allow_nan=False)), arrays)
    assert (back.rules, back.temperature, back.threshold) == (made.rules, 0.7, 1.25)
    assert (back.exemplars, back.probes, back.splitter) == (made.exemplars, made.probes, made.splitter)
    assert back.calibration_id == made.calibration_id != SetModel().calibration_id
    pool = pool_of(TOPICS[:6])
    assert bits(Views(back, encode).of(pool)) == bits(Views(made, encode).of(pool))


def test_views_may_be_used_by_threads_while_others_are_made() -> None:
    """Making them is for one thread at a time; predicting is not."""
    views, lock, errors = Views(model(), encode), threading.Lock(), []
    wanted = {k: bits(Views(model(), encode).of(pool_of(TOPICS[:k]))) for k in range(5, 12)}

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            k = int(rng.integers(5, 12))
            with lock:
                view = views.of(pool_of(TOPICS[:k]))
            if bits(view) != wanted[k]:
                errors.append(k)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
