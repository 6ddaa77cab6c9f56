"""The training loop: deterministic, early stopping, resume, checkpoints and logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agentnet.errors import InvalidInput, RouterError, RouterLoadError
from agentnet.routers.gnn.training import (
    History,
    Plan,
    TrainingOptions,
    arrays_of,
    load_arrays,
    pick_device,
    seeded,
    train,
)

PLAN = Plan(epochs=8, patience=None, lr=0.05, weight_decay=0.01, schedule="linear", clip=1.0)


class Interrupted(Exception):
    """Stands for a killed process."""


def net() -> nn.Sequential:
    """With batch norm and dropout: buffers and torch's own generator matter."""
    with seeded(7):
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))


def learn(module: nn.Module, *, stop: int | None = None, options: TrainingOptions | None = None,
          plan: Plan = PLAN, seed: int = 0, validate: Callable[[], float] | None = None,
          watched: bool = True) -> History:  # fmt: skip
    x = torch.linspace(-1, 1, 60).view(20, 3)
    y = x.sum(1, keepdim=True)

    def epoch(number: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        if number == stop:
            raise Interrupted
        for rows in torch.randperm(20, generator=generator).view(2, 10):
            yield ((module(x[rows]) - y[rows]) ** 2).mean()

    def value() -> float:
        assert not module.training
        return -float(((module(x) - y) ** 2).mean())

    return train(module, epoch=epoch, validate=(validate or value) if watched else None, plan=plan, seed=seed,
                 device="cpu", options=options, label="net 1", identity="data")  # fmt: skip


def same(a: nn.Module, b: nn.Module) -> bool:
    one, two = arrays_of(a), arrays_of(b)
    return all(np.array_equal(one[name], two[name]) for name in one)


def test_it_learns_and_a_seed_decides_everything() -> None:
    one, two, other = net(), net(), net()
    before = learn(one)
    torch.rand(5)  # the global generator stands elsewhere: it must not matter
    assert learn(two) == before and same(one, two)
    learn(other, seed=1)
    assert not same(one, other)
    assert before.losses[-1] < before.losses[0] and not one.training


def test_torchs_generator_and_threads_are_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    learn(net())
    assert torch.equal(torch.rand(4), expected) and torch.get_num_threads() == threads


def test_the_best_weights_are_restored_and_the_first_wins_ties() -> None:
    module, weights, values = net(), [], iter([0.1, 0.5, 0.5, 0.4, 0.3, 0.9])

    def validate() -> float:
        weights.append({name: array.copy() for name, array in arrays_of(module).items()})
        return next(values)

    done = learn(module, validate=validate, plan=replace(PLAN, patience=3))
    assert done.best == 1 and done.value == 0.5 and done.epochs == 5  # epoch 5 and its 0.9 never came
    kept = arrays_of(module)
    assert all(np.array_equal(kept[name], weights[1][name]) for name in kept)
    assert not np.array_equal(kept["0.weight"], weights[4]["0.weight"])


def test_validation_comes_as_often_as_planned_and_after_the_last_epoch() -> None:
    done = learn(net(), plan=replace(PLAN, validate_every=3))
    assert [at for at, _ in done.values] == [2, 5, 7]


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("stop", [1, 5])
def test_an_interrupted_training_goes_on_to_the_same_bits(stop: int, watched: bool, tmp_path: Path) -> None:
    whole, parts = net(), net()
    expected = learn(whole, watched=watched)
    kept = TrainingOptions(checkpoint=tmp_path, checkpoint_seconds=0)
    with pytest.raises(Interrupted):
        learn(parts, stop=stop, options=kept, watched=watched)
    resumed = net()
    assert learn(resumed, options=kept, watched=watched) == expected and same(whole, resumed)
    again = net()
    assert learn(again, stop=0, options=kept, watched=watched) == expected  # complete: nothing is trained
    assert same(whole, again)


def test_checkpoints_are_safetensors_and_json(tmp_path: Path) -> None:
    learn(net(), options=TrainingOptions(checkpoint=tmp_path, checkpoint_seconds=0))
    files = sorted(path.name for path in (tmp_path / "net-1").iterdir())
    assert files == ["checkpoint.json", "step-000008.safetensors"]
    header = (tmp_path / "net-1" / files[1]).read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert "generator" in json.loads(header[8 : 8 + size])
    assert json.loads((tmp_path / "net-1" / files[0]).read_text())["run"]["label"] == "net 1"


def test_a_checkpoint_of_another_training_or_a_corrupt_one_is_refused(tmp_path: Path) -> None:
    kept = TrainingOptions(checkpoint=tmp_path)
    learn(net(), options=kept)
    with pytest.raises(RouterError, match="another training"):
        learn(net(), options=kept, seed=1)
    with seeded(8):
        other = nn.Sequential(nn.Linear(3, 1))
    with pytest.raises(RouterError, match="another training"):
        learn(other, options=kept)
    (tmp_path / "net-1" / "step-000008.safetensors").write_bytes(b"no")
    with pytest.raises(RouterLoadError, match="corrupt"):
        learn(net(), options=kept)


def test_metrics_are_written_and_a_resumed_training_repeats_none(tmp_path: Path) -> None:
    options = TrainingOptions(checkpoint=tmp_path / "c", checkpoint_seconds=0, log_dir=tmp_path / "log")
    with pytest.raises(Interrupted):
        learn(net(), stop=4, options=options)
    metrics = tmp_path / "log" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write(
            json.dumps({"label": "net 1", "epoch": 4, "loss": 9}) + '\n{"label": "other", "epoch": 6}\n{"la'
        )
    done = learn(net(), options=options)
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    mine = [row for row in rows if row["label"] == "net 1"]
    assert [row["epoch"] for row in mine] == list(range(8)) and len(rows) == 9
    assert [row["loss"] for row in mine] == list(done.losses)
    assert [row["value"] for row in mine] == [value for _, value in done.values]


def test_tensorboard_reads_the_curves(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    done = learn(net(), options=TrainingOptions(log_dir=tmp_path))
    found: Any = events.EventAccumulator(str(tmp_path / "net-1"))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == ["loss", "lr", "value"]
    read = [event.value for event in found.Scalars("loss")]
    assert read == pytest.approx(done.losses, rel=1e-6)


def test_progress_reaches_the_total_even_when_stopped_early() -> None:
    told: list[tuple[str, int, int]] = []
    options = TrainingOptions(progress=lambda *args: told.append(args))
    learn(net(), options=options, plan=replace(PLAN, patience=1), validate=iter([1.0, 0.5]).__next__)
    assert told == [("net 1", 1, 8), ("net 1", 8, 8)]


def test_what_diverges_is_an_error_and_bad_plans_are_refused() -> None:
    with pytest.raises(RouterError, match="lower its lr"):
        learn(net(), plan=replace(PLAN, epochs=50, lr=1e30, clip=None))
    with pytest.raises(RouterError, match="NaN"):
        learn(net(), validate=lambda: float("nan"))
    for change in ({"epochs": 0}, {"patience": 0}, {"lr": 0.0}, {"clip": 0.0}, {"schedule": "cosine"}):
        with pytest.raises(InvalidInput):
            replace(PLAN, **change)


def test_weights_go_to_arrays_and_back() -> None:
    one, two = net(), nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
    learn(one)
    load_arrays(two, arrays_of(one))
    assert same(one, two)
    with pytest.raises(RouterLoadError, match="do not fit"):
        load_arrays(nn.Linear(3, 8), arrays_of(one))


def test_auto_is_cuda_where_there_is_one() -> None:
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == "cpu"
