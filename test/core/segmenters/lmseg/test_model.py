"""Fusion, cost map, aggregation and decoder against slow literal statements."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.lmseg.aggregation import (
    ClassLayer,
    WindowBlock,
    cut,
    linear_attention,
    uncut,
)
from ovseg_ros.segmenters.lmseg.features import Dense, cost_map, fuse
from ovseg_ros.segmenters.lmseg.losses import name_loss
from ovseg_ros.segmenters.lmseg.model import Decoder, Lmseg

from .conftest import SHAPE


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_fusion_is_the_weighted_sum_of_unit_vectors():
    clip, sam, w = double(2, 5, 3, 4), double(2, 5, 3, 4), torch.tensor(0.7, dtype=torch.float64)
    found = fuse(clip, sam, w)
    for b in range(2):
        for i in range(3):
            for j in range(4):
                c, s = clip[b, :, i, j], sam[b, :, i, j]
                mixed = w * c / c.norm() + (1 - w) * s / s.norm()
                torch.testing.assert_close(found[b, :, i, j], mixed / mixed.norm())


def test_the_cost_map_is_the_cosine():
    features, text = double(2, 5, 3, 4), double(6, 5)
    found = cost_map(features, text)
    for n in range(6):
        for i in range(3):
            for j in range(4):
                f, t = features[1, :, i, j], text[n]
                expected = sum(float(a) * float(b) for a, b in zip(f, t, strict=True))
                expected /= math.sqrt(float((f * f).sum())) * math.sqrt(float((t * t).sum()))
                assert found[1, n, i, j].item() == pytest.approx(expected, abs=1e-12)


def test_linear_attention_equals_its_quadratic_statement():
    query, key, value = double(3, 2, 7, 5), double(3, 2, 7, 5), double(3, 2, 7, 5)
    q, k = F.elu(query) + 1, F.elu(key) + 1
    weights = torch.einsum("...ic,...jc->...ij", q, k)  # (3, 2, 7, 7)
    expected = weights @ value / (weights.sum(-1, keepdim=True) + 1e-6)
    found = linear_attention(query, key, value)
    assert (found - expected).abs().max() < 1e-6


def test_the_order_of_names_only_orders_the_result():
    layer = ClassLayer(SHAPE).double()
    x, text = double(1, 5, 6, 6, SHAPE.width), double(5, SHAPE.guidance)
    order = torch.randperm(5)
    found = layer(x, text)
    torch.testing.assert_close(layer(x[:, order], text[order]), found[:, order])
    assert (found - x).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("size", "window", "shift"), [((6, 6), 4, 0), ((6, 7), 4, 2), ((5, 3), 3, 1)]
)
def test_windows_are_put_back_where_they_were(size, window, shift):
    x = double(2, *size, 3)
    torch.testing.assert_close(uncut(cut(x, window, shift), window, shift, size), x)


def attention_by_hand(block: WindowBlock, x: Tensor, guidance: Tensor) -> Tensor:
    """One map (h, w, C): every place attends to those of its window, one by one."""
    height, width = x.shape[:2]
    window, shift = min(block.window, height, width), block.shift
    if window >= max(height, width):
        shift = 0
    y = block.norm(x)
    seen = torch.cat([y, guidance], -1)
    q, k, v = block.query(seen), block.key(seen), block.value(y)
    heads, out = block.heads, torch.zeros_like(x)

    def group(i: int, j: int) -> tuple[int, ...]:
        r, c = (i - shift) % height, (j - shift) % width
        return r // window, c // window, int(i < shift), int(j < shift)

    for i in range(height):
        for j in range(width):
            near = [
                (a, b) for a in range(height) for b in range(width) if group(a, b) == group(i, j)
            ]
            parts = []
            for h in range(heads):
                part = slice(h * x.shape[-1] // heads, (h + 1) * x.shape[-1] // heads)
                scores = []
                for a, b in near:
                    side = 2 * block.window - 1
                    down = ((i - shift) % height) % window - ((a - shift) % height) % window
                    across = ((j - shift) % width) % window - ((b - shift) % width) % window
                    place = (down + block.window - 1) * side + across + block.window - 1
                    score = (q[i, j, part] * k[a, b, part]).sum() / math.sqrt(q[i, j, part].numel())
                    scores.append(score + block.bias[h, place])
                odds = torch.stack(scores).softmax(0)
                parts.append(sum(o * v[a, b, part] for o, (a, b) in zip(odds, near, strict=True)))
            out[i, j] = torch.cat(parts)
    x = x + block.output(out)
    return x + block.mlp(block.norm2(x))


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(6, 6), (4, 4), (5, 7)])
def test_spatial_attention_stays_in_its_windows(shift, size):
    block = WindowBlock(SHAPE, shift).double()
    torch.nn.init.normal_(block.bias)
    x, guidance = double(1, *size, SHAPE.width), double(1, *size, SHAPE.guidance)
    with torch.no_grad():
        found = block(x, guidance)[0]
        expected = attention_by_hand(block, x[0], guidance[0])
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def test_the_decoder_treats_every_name_alike_and_alone():
    decoder = Decoder(SHAPE, 16).double()
    x, middle, early = double(2, 3, 6, 6, SHAPE.width), double(2, 16, 6, 6), double(2, 16, 6, 6)
    found = decoder(x, middle, early)
    assert found.shape == (2, 3, 24, 24)
    for b in range(2):
        for k in range(3):
            y = x[b, k].permute(2, 0, 1)[None]
            for step, tokens in enumerate((middle, early)):
                guide = decoder.guides[step](tokens[b : b + 1])
                y = decoder.merges[step](torch.cat([decoder.ups[step](y), guide], 1))
            torch.testing.assert_close(found[b, k], decoder.last(y)[0, 0])


def test_w_begins_at_nine_tenths_and_is_learnt():
    model = Lmseg(SHAPE, space=16, clip=16, sam=16)
    assert float(model.mix.detach()) == pytest.approx(0.9, abs=0.01)
    dense = Dense(torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4))
    model(dense, torch.randn(1, 16, 4, 4), torch.randn(3, 16)).sum().backward()
    assert model.weight.grad is not None
    assert float(model.weight.grad.abs()) > 0


def test_the_skip_adds_the_cost_map_with_scale_and_shift():
    without = Lmseg(SHAPE, space=16, clip=16, sam=16).double().eval()
    model = Lmseg(replace(SHAPE, skip=True), space=16, clip=16, sam=16).double().eval()
    model.load_state_dict({**without.state_dict(), "skip": torch.tensor([3.0, -0.5])})
    dense = Dense(double(2, 16, 6, 6), double(2, 16, 6, 6), double(2, 16, 6, 6))
    neck, text = double(2, 16, 6, 6), double(3, 16)
    with torch.no_grad():
        cost = cost_map(model.see(dense, neck), text)
        cost = F.interpolate(cost, size=(24, 24), mode="bilinear")
        expected = without(dense, neck, text) + 3 * cost - 0.5
        torch.testing.assert_close(model(dense, neck, text), expected)


def test_the_loss_is_binary_cross_entropy_where_labels_are_known():
    logits = torch.tensor([[[[2.0, -1.0]], [[0.5, 3.0]]]])  # two names, two places
    labels = torch.tensor([[[1, -1]]])
    expected = (math.log(1 + math.exp(2.0)) + math.log(1 + math.exp(-0.5))) / 2
    assert float(name_loss(logits, labels)) == pytest.approx(expected)
    assert float(name_loss(logits, torch.full((1, 1, 2), -1))) == 0.0
    other = (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(3.0))) / 2  # neither name's
    assert float(name_loss(logits, torch.tensor([[[-1, 2]]]))) == pytest.approx(other)


def test_names_compete_where_it_is_asked_for():
    logits = torch.tensor([[[[2.0, 0.0, 1.0]], [[-1.0, 3.0, 1.0]]]])  # (1, 2, 1, 3)
    labels = torch.tensor([[[0, 2, -1]]])  # the first, none of them, nobody knows
    alone = float(name_loss(logits, labels))
    among = math.log(1 + math.exp(-3))  # of two logits that differ by three
    assert float(name_loss(logits, labels, compare=0.5)) == pytest.approx(alone + 0.5 * among)
    nobody = torch.full((1, 1, 3), -1)
    assert float(name_loss(logits, nobody, compare=0.5)) == 0.0


def test_with_the_skip_training_begins_with_the_cost_map():
    model = Lmseg(replace(SHAPE, skip=True), space=12, clip=10, sam=6)
    dense = Dense(torch.randn(1, 12, 6, 6), torch.randn(1, 10, 6, 6), torch.randn(1, 10, 6, 6))
    neck, text = torch.randn(1, 6, 4, 4), torch.randn(3, 12)
    cost = cost_map(model.see(dense, neck), text)
    expected = 10 * F.interpolate(cost, scale_factor=4.0, mode="bilinear") - 4
    torch.testing.assert_close(model(dense, neck, text), expected)
