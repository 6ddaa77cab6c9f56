from __future__ import annotations

from itertools import combinations

import numpy as np

from agentnet.bench.intents.data import Labels
from agentnet.bench.intents.joins import TEST_TEMPLATES, VAL_TEMPLATES, mixed, of_test, templates_of
from agentnet.routers.sets.joins import TEMPLATES


def test_the_templates_of_both_sides_differ_and_hold_both_utterances() -> None:
    assert len(set(TEST_TEMPLATES)) == len(TEST_TEMPLATES) >= 12
    assert not set(TEST_TEMPLATES) & set(VAL_TEMPLATES)
    assert not {*TEST_TEMPLATES, *VAL_TEMPLATES} & set(TEMPLATES)  # those a router learns from
    for template in (*TEST_TEMPLATES, *VAL_TEMPLATES):
        assert template.count("{a}") == template.count("{b}") == 1


def test_half_of_the_pairs_of_intents_belong_to_the_test() -> None:
    names = [f"intent {i}" for i in range(60)]
    share = np.mean([of_test(a, b) for a, b in combinations(names, 2)])
    assert 0.45 < share < 0.55
    assert all(of_test(a, b) == of_test(b, a) for a, b in combinations(names[:9], 2))


def test_joined_queries_hold_two_utterances_of_the_split_with_different_intents(data: Labels) -> None:
    for side in ("val", "test"):
        made = mixed(data, side, count=20)
        assert made.joined.sum() == 20 == (~made.joined).sum()
        texts = {data.text(i).strip(): int(data.gold[i]) for i in data.rows(side, inside=True)}
        for text, gold, joined, template in zip(
            made.text, made.sets(), made.joined, made.template, strict=True
        ):
            inside = {column for said, column in texts.items() if said in text}
            assert gold <= inside
            if joined:
                a, b = sorted(gold)
                assert of_test(data.names[a], data.names[b]) == (side == "test")
                assert any(
                    text == templates_of(side)[template].format(a=one, b=two)
                    for one in texts
                    for two in texts
                    if one in text and two in text and one != two
                )
            else:
                assert text in texts and len(gold) == 1


def test_every_template_is_used_about_equally_often(data: Labels) -> None:
    made = mixed(data, "test", count=32)
    counts = np.bincount(made.template[made.joined], minlength=len(TEST_TEMPLATES))
    assert counts.min() == counts.max() == 2


def test_queries_are_drawn_by_the_seed(data: Labels) -> None:
    first, again, other = (mixed(data, "test", count=12, seed=seed) for seed in (1, 1, 2))
    assert first.text == again.text != other.text
