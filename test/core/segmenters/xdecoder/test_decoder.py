"""The decoder against its rules written out: masks resized one by one, attention by einsum."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovseg_ros.segmenters.xdecoder.decoder import Decoder
from ovseg_ros.segmenters.xdecoder.model import XDecoder
from ovseg_ros.segmenters.xdecoder.pixel_decoder import sine_positions

from .conftest import TINY, make_model

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def attend(layer: nn.MultiheadAttention, q: Tensor, k: Tensor, v: Tensor, block: Tensor) -> Tensor:
    """Multi-head attention of one image, (Q, C); True in (Q, N) forbids."""
    heads = layer.num_heads
    parts = zip((q, k, v), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
    q, k, v = ((x @ w.T + b).unflatten(-1, (heads, -1)) for x, w, b in parts)
    odds = torch.einsum("qhd,nhd->hqn", q, k) / math.sqrt(q.shape[-1])
    odds = odds.masked_fill(block, -torch.inf).softmax(-1)
    read = torch.einsum("hqn,nhd->qhd", odds, v).flatten(1)
    return read @ layer.out_proj.weight.T + layer.out_proj.bias


def by_the_rules(
    decoder: Decoder, scales: list[Tensor], features: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Embeddings and mask logits after every layer for one image, as the paper's code orders it."""
    count = decoder.query_feat.weight.shape[0]
    apart = torch.zeros(count, count, dtype=torch.bool)
    apart[count - 1, : count - 1] = True
    apart[: count - 1, count - 1] = True

    def read_out(x: Tensor) -> tuple[Tensor, Tensor]:
        d = F.layer_norm(x, x.shape[-1:], decoder.decoder_norm.weight, decoder.decoder_norm.bias)
        unit = d / (d.norm(dim=-1, keepdim=True) + 1e-7)
        weights = torch.stack([unit[-1] @ u for u in unit[:-1]]).softmax(0)
        pooled = sum(w * row for w, row in zip(weights, d[:-1], strict=True))
        d = torch.cat([d[:-1], pooled[None]])
        kernels = d
        for number, layer in enumerate(decoder.mask_embed.layers):
            kernels = kernels @ layer.weight.T + layer.bias
            kernels = kernels.relu() if number < 2 else kernels
        return d @ decoder.class_embed.weight.T, torch.einsum("qc,chw->qhw", kernels, features[0])

    x = decoder.query_feat.weight
    places = decoder.query_embed.weight
    results = [read_out(x)]
    for number, layer in enumerate(decoder.layers):
        scale = scales[number % 3]
        memory = scale[0].flatten(1).T + decoder.level_embed.weight[number % 3]
        keys = memory + sine_positions(*scale.shape[2:], scale.shape[1], scale.device)
        small = F.interpolate(
            results[-1][1][None], size=scale.shape[2:], mode="bicubic", antialias=True
        )[0]
        block = (small.sigmoid() < 0.5).flatten(1)
        block[block.all(1)] = False
        cross, own, ffn = layer.cross_attention, layer.self_attention, layer.ffn
        x = cross.norm(x + attend(cross.attention, x + places, keys, memory, block))
        x = own.norm(x + attend(own.attention, x + places, x + places, x, apart))
        x = ffn.norm(x + ffn.linear2(ffn.linear1(x).relu()))
        results.append(read_out(x))
    return results


def inputs(batch: int, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scales = [
        torch.randn(batch, TINY.width, 2 * 2**s, 3 * 2**s, generator=generator) for s in range(3)
    ]
    return scales, torch.randn(batch, TINY.width, 16, 24, generator=generator)


@torch.no_grad()
def test_every_layer_follows_the_rules(model: XDecoder):
    scales, features = inputs(2)
    decoded = model.decoder(scales, features)
    assert len(decoded) == 5
    for row in range(2):
        alone = [scale[row : row + 1] for scale in scales]
        wanted = by_the_rules(model.decoder, alone, features[row : row + 1])
        for found, (embeddings, masks) in zip(decoded, wanted, strict=True):
            torch.testing.assert_close(found.embeddings[row], embeddings, **CLOSE)
            torch.testing.assert_close(found.masks(features)[row], masks, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_no_object_reads_the_class_token():
    given = inputs(1)
    first, second = make_model(TINY), make_model(TINY)
    second.decoder.query_feat.weight[-1] *= -1.0
    pairs = list(zip(first.decoder(*given), second.decoder(*given), strict=True))
    for one, other in pairs:
        torch.testing.assert_close(one.embeddings[:, :-1], other.embeddings[:, :-1], **CLOSE)
    one, other = pairs[0]
    assert (one.embeddings[:, -1] - other.embeddings[:, -1]).abs().max() > 1e-2


def test_who_sees_nothing_sees_everything(model: XDecoder):
    masks = torch.tensor([[[[-1.0, 2.0], [-3.0, 0.0]], [[-1.0, -2.0], [-3.0, -0.1]]]])
    unseen = model.decoder._unseen(masks)
    assert unseen.shape == (8, 2, 4)
    assert unseen[0, 0].tolist() == [True, False, True, False]  # one half itself is seen
    assert not unseen[:, 1].any()
    assert (unseen == unseen[:1]).all()


@torch.no_grad()
def test_logits_are_scaled_cosines(model: XDecoder):
    embeddings, text = torch.randn(2, 7, 16), F.normalize(torch.randn(5, 16), dim=-1)
    wanted = model.logit_scale.exp() * torch.stack(
        [F.cosine_similarity(embeddings, vector, dim=-1) for vector in text], -1
    )
    torch.testing.assert_close(model.match(embeddings, text), wanted, **CLOSE)


def test_images_are_normalised_before_they_are_padded(model: XDecoder):
    images = torch.full((1, 3, 33, 64), 255.0)
    found = model.normalise(images)
    assert found.shape == (1, 3, 64, 64)
    assert found[0, :, 0, 0].tolist() == pytest.approx(
        [(255 - 123.675) / 58.395, (255 - 116.28) / 57.12, (255 - 103.53) / 57.375], rel=1e-6
    )
    assert not found[:, :, 33:].any()
    with pytest.raises(ValueError, match="multiples of 32"):
        model(found[:, :, :33])


def test_one_query_is_refused():
    with pytest.raises(ValueError, match="queries"):
        replace(TINY, queries=1)
