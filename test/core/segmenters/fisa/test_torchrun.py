"""Two gloo processes: the CLIP's loss is that of the whole batch, and the recipe keeps in step."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.config import override
from ovseg_ros.segmenters.fisa import recipe
from ovseg_ros.segmenters.fisa.clip_recipe import pair_loss
from ovseg_ros.segmenters.fisa.losses import fisa_losses
from ovseg_ros.training.distributed import average_gradients, leave

WHICH = torch.tensor([0, 2, 0, 1, 2, 2])
SEGMENTS = (3, 0)
"""Of the image that each process has: one may have none."""


class Towers(nn.Module):
    """Something to learn on both sides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.image, self.text = nn.Linear(5, 5).double(), nn.Linear(5, 5).double()

    def loss(self, part: slice) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(6, 5, generator=generator, dtype=torch.float64)
        texts = torch.randn(3, 5, generator=generator, dtype=torch.float64)
        scale = torch.tensor(math.log(7.0), dtype=torch.float64)
        vectors = F.normalize(self.image(images[part]), dim=-1)
        return pair_loss(vectors, self.text(texts), WHICH, scale)


def criterion(count: int) -> Tensor:
    """Return the gradient's length of an image with some segments, all alike."""
    torch.manual_seed(5)  # of the points that are compared
    masks = torch.zeros(1, 4, 8, 8, requires_grad=True)
    logits = torch.zeros(1, 4, 3)
    targets = torch.zeros(count, 8, 8)
    targets[:, :4] = 1.0
    labels = torch.zeros(count, dtype=torch.int64)
    fisa_losses(logits, masks, [targets], [labels], points=32)["mask"].backward()
    return torch.zeros(()) if masks.grad is None else masks.grad.abs().sum()


def worker(out: str, number: int, cell: str, generator: str, clip: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=number, world_size=2)
    model = Towers()
    loss = model.loss(slice(3 * number, 3 * number + 3))
    loss.backward()
    average_gradients(model)
    found: dict[str, Any] = {
        "gradients": [p.grad for p in model.parameters()],
        "criterion": criterion(SEGMENTS[number]),
    }
    fixed = {
        "out": out, "data": cell, "generator": generator, "clip": clip, "crop": [64, 64],
        "points": 32, "views": 4, "loop.steps": 3, "loop.batch": 1, "loop.device": "cpu",
    }  # fmt: skip
    built: list[Any] = []
    build = recipe.build_fisa
    recipe.build_fisa = lambda *args: built.append(build(*args)) or built[-1]  # type: ignore[func-returns-value]
    recipe.train(override(recipe.FisaRecipe(), [], fixed))
    found["trained"] = dict(built[0][0].trained())
    torch.save(found, Path(out) / f"{number}.pt")
    leave()


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory,
    two_processes: Callable[..., None],
    cell: Path,
    folders: dict[str, str],
) -> tuple[Path, list[dict[str, Any]]]:
    """Folder of the run, and what the two processes found."""
    out = tmp_path_factory.mktemp("two")
    two_processes(__file__, out, str(cell), folders["generator"], folders["clip"])
    return out, [torch.load(out / f"{number}.pt", weights_only=False) for number in range(2)]


def test_the_clips_loss_is_that_of_the_whole_batch(two: tuple[Path, list[dict[str, Any]]]):
    model = Towers()
    model.loss(slice(0, 6)).backward()
    for found in two[1]:
        for mine, expected in zip(found["gradients"], model.parameters(), strict=True):
            torch.testing.assert_close(mine, expected.grad, rtol=0, atol=1e-12)


def test_masks_are_divided_by_the_mean_number_of_segments(
    two: tuple[Path, list[dict[str, Any]]],
):
    alone = criterion(SEGMENTS[0])
    found = [results["criterion"] for results in two[1]]
    # Two processes have three segments, 1.5 each, so that the mean of both is the sum over three.
    assert float(found[0]) == pytest.approx(2 * float(alone), rel=1e-3)
    assert float(found[1]) == 0


def test_both_processes_have_learned_the_same(two: tuple[Path, list[dict[str, Any]]]):
    out, (first, other) = two
    assert (out / "card.json").is_file()
    assert first["trained"].keys() == other["trained"].keys()
    for name, value in first["trained"].items():
        assert torch.equal(value, other["trained"][name])


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
    os._exit(0)
