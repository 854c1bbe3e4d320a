"""The training loop: a run that was killed ends like one that was not."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.training.loop import LoopConfig, check_run, optimise
from ovseg_ros.training.pyramid import PyramidConfig


class Toy(nn.Module):
    """Has all kinds of parameters: in blocks and outside, matrices and vectors, frozen and free."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4, 1)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = F.gelu(block(self.drop(x)))
        return self.head(self.frozen(x))[:, 0]


class Killed(Exception):
    pass


def run(out: Path, *, killed_at: int | None = None, **options: object) -> tuple[Toy, LoopConfig]:
    """Learn a sum from random numbers; steps differ in what they log, as BLIP's do."""
    defaults = {"steps": 24, "batch": 8, "lr": 0.01, "save_every": 7, "seed": 3}
    config = LoopConfig(**{**defaults, **options})  # type: ignore[arg-type]
    model = Toy()

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        if number == killed_at:
            raise Killed
        x = torch.randn(config.batch, 4, generator=generator)
        loss = (model(x) - x.sum(1)).square().mean()
        return {"loss": loss, "even" if number < 15 else "late": loss}

    optimise(model, step, config, out)
    return model, config


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("muon_lr", [0.0, 0.02])
@pytest.mark.parametrize("killed_at", [3, 7, 17])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, killed_at: int, muon_lr: float):
    whole, _ = run(tmp_path / "whole", muon_lr=muon_lr)
    with pytest.raises(Killed):
        run(tmp_path / "parts", killed_at=killed_at, muon_lr=muon_lr)
    torch.manual_seed(99)
    parts, _ = run(tmp_path / "parts", muon_lr=muon_lr)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[key]), key
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_a_finished_run_is_not_repeated(tmp_path: Path):
    first, _ = run(tmp_path)
    again, _ = run(tmp_path, killed_at=0)
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert (tmp_path / "curves.png").is_file()


@pytest.mark.parametrize("changed", [{"lr": 0.02}, {"steps": 30}, {"batch": 9}, {"seed": 4}])
def test_a_run_does_not_go_on_with_other_options(tmp_path: Path, changed: dict[str, float]):
    with pytest.raises(Killed):
        run(tmp_path, killed_at=9)
    (name,) = changed
    with pytest.raises(ValueError, match=rf"out: .* holds a run with loop.{name}=.* \(now "):
        run(tmp_path, **changed)
    run(tmp_path, save_every=5, device="cpu")  # what does not touch the result may change


def test_the_options_of_the_recipe_count_too(tmp_path: Path):
    model, loop = Toy(), LoopConfig(steps=1)

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": model(torch.ones(1, 4)).sum()}

    def again(**options: object) -> None:
        recipe = PyramidConfig(loop=loop, **options)  # type: ignore[arg-type]
        optimise(model, step, loop, tmp_path, recipe=recipe)

    again(width=64, data="a")
    again(width=64, data="moved")
    with pytest.raises(ValueError, match=r"width=64 \(now 128\)"):
        again(width=128)
    check_run(tmp_path, PyramidConfig(loop=loop, width=64))
    check_run(tmp_path / "new", PyramidConfig(loop=loop, width=128))
    with pytest.raises(ValueError, match=r"width=64 \(now 128\)"):  # before any data are read
        check_run(tmp_path, PyramidConfig(loop=loop, width=128))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, bad: float):
    model = Toy()
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def step(number: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": model(torch.ones(1, 4)).sum() * bad}

    with pytest.raises(ValueError, match=r"expected finite numbers, got .* in step 0"):
        optimise(model, step, LoopConfig(steps=3), tmp_path)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())


def test_mixed_precision_is_an_option():
    x = torch.ones(2, 2)
    with LoopConfig(device="cpu").autocast():
        assert (x @ x).dtype == torch.bfloat16
    with LoopConfig(device="cpu", precision="float32").autocast():
        assert (x @ x).dtype == torch.float32


def test_the_log_has_every_loss_where_it_was_computed(tmp_path: Path):
    run(tmp_path)
    table = rows(tmp_path)
    assert list(table[0]) == ["step", "loss", "even", "late"]
    assert [row["step"] for row in table] == ["0", "10", "20", "23"]
    assert [bool(row["even"]) for row in table] == [True, True, False, False]
    assert [bool(row["late"]) for row in table] == [False, False, True, True]
    assert all(row["loss"] == (row["even"] or row["late"]) for row in table)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_it_learns_what_may_be_learned(tmp_path: Path):
    untouched = Toy()
    model, _ = run(tmp_path, steps=300, lr=0.02, save_every=300)
    table = rows(tmp_path)
    assert float(table[-1]["loss"]) < 0.5 * float(table[0]["loss"])
    assert torch.equal(model.frozen.weight, untouched.frozen.weight)
    assert not torch.equal(model.blocks[0].bias, untouched.blocks[0].bias)


def test_another_seed_is_another_run(tmp_path: Path):
    first, _ = run(tmp_path / "a", seed=1)
    second, _ = run(tmp_path / "b", seed=2)
    assert not torch.equal(first.head.weight, second.head.weight)


def test_the_learning_rate_warms_up_and_comes_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[list[float]] = []
    real = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *args: object) -> object:
        seen.append([group["lr"] for group in self.param_groups])
        assert [group["weight_decay"] > 0 for group in self.param_groups] == [True, False]
        assert all(p.ndim > 1 for p in self.param_groups[0]["params"])
        assert all(p.ndim <= 1 for p in self.param_groups[1]["params"])
        return real(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run(tmp_path, steps=40, warmup=0.25, lr=0.01)
    rates = [matrices for matrices, _ in seen]
    assert rates == [vectors for _, vectors in seen]
    assert rates[:11] == sorted(rates[:11])
    assert rates[5] == pytest.approx(0.005, rel=0.05)
    assert rates[10] == max(rates) == pytest.approx(0.01)
    assert rates[25] == pytest.approx(0.005)  # half-way down
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[39] == pytest.approx(0.005 * (1 + math.cos(math.pi * 29 / 30)))


def test_muon_takes_the_matrices_inside_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shapes: list[list[torch.Size]] = []
    real = torch.optim.Muon.step

    def spy(self: torch.optim.Muon, *args: object) -> object:
        shapes.append([p.shape for group in self.param_groups for p in group["params"]])
        return real(self, *args)

    monkeypatch.setattr(torch.optim.Muon, "step", spy)
    run(tmp_path / "without", steps=2)
    assert shapes == []
    run(tmp_path / "with", steps=2, muon_lr=0.02)
    assert shapes == [[(4, 4), (4, 4)]] * 2


@pytest.mark.parametrize(
    "damage", [lambda d: b"", lambda d: d[: len(d) // 2], lambda d: bytes(len(d)), lambda d: b"cut"]
)
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage):
    with pytest.raises(Killed):
        run(tmp_path, killed_at=16)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(ValueError, match=r"out: .*checkpoint\.pt is damaged") as caught:
        run(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    checkpoint.unlink()
    run(tmp_path)


@pytest.mark.parametrize(
    "log",
    [
        "step,loss,even\n0,4.3,2.1\n10,3.9,1.2e",
        "step,loss\n0,4.3,2.1,7\n",
        "loss\n4.3\n",
        "step,loss\nzero,1\n",
        "step,loss\n0,\x00\n",
    ],
)
def test_a_damaged_log_is_named(tmp_path: Path, log: str):
    with pytest.raises(Killed):
        run(tmp_path, killed_at=16)
    (tmp_path / "log.csv").write_text(log)
    with pytest.raises(
        ValueError, match=r"out: .*log\.csv is damaged .*without it training goes on"
    ):
        run(tmp_path)
    (tmp_path / "log.csv").unlink()
    run(tmp_path)


def test_a_log_is_written_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(Killed):
        run(tmp_path, killed_at=16)
    before = (tmp_path / "log.csv").read_text()

    def cut(path: Path, data: str, **options: object) -> None:
        with path.open("w") as file:
            file.write(data[:10])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_text", cut)
        run(tmp_path)
    assert (tmp_path / "log.csv").read_text() == before


def test_a_checkpoint_without_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(state: object, path: Path) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 8 vs 4")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=f"no checkpoint can be written in {tmp_path}; is the disk"):
        run(tmp_path)
