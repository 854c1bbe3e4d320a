"""The pixel decoder against torch's encoder layer, transformers' positions and its formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.models.mask2former.modeling_mask2former import Mask2FormerSinePositionEmbedding

from ovseg_ros.segmenters.xdecoder.pixel_decoder import EncoderLayer, sine_positions

from .conftest import TINY, make_model

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.parametrize(("height", "width", "channels"), [(5, 7, 16), (1, 1, 8), (16, 24, 512)])
def test_positions_are_detrs(height: int, width: int, channels: int):
    theirs = Mask2FormerSinePositionEmbedding(num_position_features=channels // 2, normalize=True)
    shape = torch.Size([1, channels, height, width])
    wanted = theirs(shape, torch.device("cpu"), torch.float32)
    wanted = wanted.view(1, channels, -1)[0].T if wanted.ndim == 4 else wanted[0]
    found = sine_positions(height, width, channels, torch.device("cpu"))
    torch.testing.assert_close(found, wanted, **CLOSE)


@torch.no_grad()
def test_without_positions_a_layer_is_torchs():
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(16, 8, 24, dropout=0.0, batch_first=True).train()
    ours = EncoderLayer(16, 8, 24)
    ours.load_state_dict(theirs.state_dict())  # the names agree as well
    x = torch.randn(2, 11, 16)
    torch.testing.assert_close(ours(x, torch.zeros(11, 16)), theirs(x), **CLOSE)


@torch.no_grad()
def test_positions_enter_queries_and_keys_only():
    torch.manual_seed(0)
    layer = EncoderLayer(8, 2, 12)
    x, places = torch.randn(1, 5, 8), torch.randn(5, 8)
    weight, bias = layer.self_attn.in_proj_weight.chunk(3), layer.self_attn.in_proj_bias.chunk(3)
    q, k = (F.linear(x + places, weight[i], bias[i]).view(5, 2, 4) for i in (0, 1))
    v = F.linear(x, weight[2], bias[2]).view(5, 2, 4)
    odds = (torch.einsum("qhd,khd->hqk", q, k) / 2).softmax(-1)
    read = torch.einsum("hqk,khd->qhd", odds, v).reshape(5, 8)
    y = layer.norm1(x + layer.self_attn.out_proj(read))
    wanted = layer.norm2(y + layer.linear2(layer.linear1(y).relu()))
    torch.testing.assert_close(layer(x, places), wanted, **CLOSE)


@torch.no_grad()
def test_pyramid_follows_its_formula():
    decoder = make_model(TINY).pixel_decoder
    maps = [torch.randn(1, 8 * 2**s, 16 // 2**s, 24 // 2**s) for s in range(4)]

    def layer(number: int, x: torch.Tensor) -> torch.Tensor:
        conv = decoder.layers[number]
        y = F.conv2d(x, conv.weight, None, padding=1)
        return F.group_norm(y, TINY.groups, conv.norm.weight, conv.norm.bias).relu()

    projected = F.conv2d(maps[3], decoder.input_proj.weight, decoder.input_proj.bias)
    tokens = projected.flatten(2).transpose(1, 2)
    places = sine_positions(2, 3, TINY.width, torch.device("cpu"))
    for block in decoder.encoder:
        tokens = block(tokens, places)
    y = layer(3, tokens.transpose(1, 2).view(1, TINY.width, 2, 3))
    wanted = [y]
    for number in (2, 1, 0):
        adapter = decoder.adapters[number]
        lateral = F.conv2d(maps[number], adapter.weight)
        lateral = F.group_norm(lateral, TINY.groups, adapter.norm.weight, adapter.norm.bias)
        y = layer(number, lateral + y.repeat_interleave(2, 2).repeat_interleave(2, 3))
        wanted.append(y)
    scales, features = decoder(maps)
    assert [tuple(scale.shape[2:]) for scale in scales] == [(2, 3), (4, 6), (8, 12)]
    for found, expected in zip(scales, wanted, strict=False):
        torch.testing.assert_close(found, expected, **CLOSE)
    head = decoder.mask_features
    torch.testing.assert_close(
        features, F.conv2d(wanted[3], head.weight, head.bias, padding=1), **CLOSE
    )


@torch.no_grad()
def test_how_maps_lie_in_memory_changes_nothing():
    decoder = make_model(TINY).pixel_decoder
    maps = [torch.randn(1, 8 * 2**s, 64 // 2**s, 96 // 2**s) for s in range(4)]
    scales, features = decoder(maps)
    turned, same = decoder([one.to(memory_format=torch.channels_last) for one in maps])
    assert features.equal(same)
    assert all(a.equal(b) for a, b in zip(scales, turned, strict=True))
