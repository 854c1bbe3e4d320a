"""Two gloo processes learn what one process learns from the doubled batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ovseg_ros.segmenters.simzss.losses import Occurrences, caption_loss, concept_loss
from ovseg_ros.training.distributed import average_gradients, gathered, leave, total
from ovseg_ros.training.loop import LoopConfig, optimise

PAIRS, WORDS, PATCHES, WIDTH = 4, 5, 7, 6


class Towers(nn.Module):
    """Something to learn on both sides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image = nn.Linear(WIDTH, WIDTH).double()
        self.text = nn.Linear(WIDTH, WIDTH).double()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2))


def batch(part: slice, named: list[list[int]]) -> dict[str, Any]:
    """Return a part of one and the same batch, of pairs that name some concepts."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    images, patches = random(PAIRS, WIDTH), random(PAIRS, PATCHES, WIDTH)
    captions, tokens = random(PAIRS, WIDTH), random(PAIRS, WORDS, WIDTH)
    spans = (random(PAIRS, 8, WORDS) > 0).double()
    rows = range(PAIRS)[part]
    found = [
        (row - rows[0], label, spans[row, k]) for row in rows for k, label in enumerate(named[row])
    ]
    return {
        "images": images[part],
        "patches": patches[part],
        "captions": captions[part],
        "tokens": tokens[part],
        "occurrences": Occurrences(
            torch.tensor([row for row, _, _ in found], dtype=torch.int64),
            torch.tensor([label for _, label, _ in found], dtype=torch.int64),
            torch.stack([s for *_, s in found]) if found else torch.zeros(0, WORDS).double(),
        ),
    }


def loss_of(model: Towers, data: dict[str, Any]) -> Tensor:
    caption = caption_loss(model.image(data["images"]), model.text(data["captions"]), model.scale)
    concept = concept_loss(
        model.image(data["patches"]), model.text(data["tokens"]), data["occurrences"], 6
    )
    return caption + 0.5 * concept


def gradients(model: Towers) -> list[Tensor]:
    return [p.grad for p in (*model.image.parameters(), *model.text.parameters(), model.scale)]


NAMED = {
    "each has some": [[0, 1], [2, 0, 0], [1], [5, 0]],
    "one has none": [[0, 1], [2, 0], [], []],
    "nobody has any": [[], [], [], []],
}


def worker(out: str, number: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=number, world_size=2)
    half = slice(number * 2, number * 2 + 2)
    results: dict[str, Any] = {}
    for name, named in NAMED.items():
        model = Towers()
        loss = loss_of(model, batch(half, named))
        loss.backward()
        average_gradients(model)
        mean = total(loss.detach()) / 2
        results[name] = (mean, gradients(model), model.unused.grad)
    rows = torch.full((2, 1), float(number), requires_grad=True)
    (gathered(rows) * torch.arange(4.0)[:, None]).sum().backward()
    results["gathered"] = (gathered(rows).flatten().detach(), rows.grad)
    model, data = Towers(), batch(half, NAMED["each has some"])
    config = LoopConfig(steps=3, lr=0.01, save_every=1, device="cpu")
    optimise(model, lambda n, g: {"loss": loss_of(model, data)}, config, Path(out) / "run")
    results["trained"] = model.state_dict()
    torch.save(results, Path(out) / f"{number}.pt")
    leave()
    assert not dist.is_initialized()


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, two_processes: Callable[..., None]
) -> list[dict[str, Any]]:
    """What the two processes found."""
    out = tmp_path_factory.mktemp("two")
    two_processes(__file__, out)
    assert (out / "run" / "checkpoint.pt").is_file()
    return [torch.load(out / f"{number}.pt") for number in range(2)]


@pytest.mark.parametrize("name", NAMED)
def test_two_processes_are_one_with_the_doubled_batch(name: str, two: list[dict[str, Any]]):
    model = Towers()
    loss = loss_of(model, batch(slice(0, 4), NAMED[name]))
    loss.backward()
    for results in two:
        mean, found, unused = results[name]
        torch.testing.assert_close(mean, loss.detach(), rtol=0, atol=1e-12)
        for mine, expected in zip(found, gradients(model), strict=True):
            torch.testing.assert_close(mine, expected, rtol=0, atol=1e-12)
        assert (unused == 0).all()


def test_rows_are_gathered_in_order_and_gradients_come_home(two: list[dict[str, Any]]):
    for number, results in enumerate(two):
        rows, gradient = results["gathered"]
        assert rows.tolist() == [0, 0, 1, 1]
        # Both processes sum the same, so every row counts twice.
        assert gradient.flatten().tolist() == [2 * (2 * number), 2 * (2 * number + 1)]


def test_both_processes_train_the_weights_of_one(two: list[dict[str, Any]], tmp_path: Path):
    model, data = Towers(), batch(slice(0, 4), NAMED["each has some"])
    config = LoopConfig(steps=3, lr=0.01, device="cpu")
    optimise(model, lambda n, g: {"loss": loss_of(model, data)}, config, tmp_path)
    for key, value in model.state_dict().items():
        if key != "unused":  # has no gradient here, and a zero one there: weight decay only
            assert torch.equal(two[0]["trained"][key], two[1]["trained"][key])
            torch.testing.assert_close(two[0]["trained"][key], value, rtol=1e-6, atol=1e-9)


def test_alone_nothing_is_summed():
    x = torch.ones(2, requires_grad=True)
    assert total(x) is x
    assert gathered(x) is x
    leave()


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]))
    os._exit(0)  # Python's own end may meet threads of gloo, and abort
