"""The backbone against transformers' FocalNet, and Focal-T's block against its formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import FocalNetConfig
from transformers.models.focalnet.modeling_focalnet import FocalNetLayer, FocalNetPatchEmbeddings

from ovseg_ros.segmenters.xdecoder.architecture import Architecture
from ovseg_ros.segmenters.xdecoder.focalnet import DepthwiseFocalBlock, FocalBlock, FocalNet

from .conftest import TINY, TINY_T, make_model

NAMES = {
    "modulation.f": "modulation.projection_in",
    "modulation.h": "modulation.projection_context",
    "modulation.proj": "modulation.projection_out",
}
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def theirs(block: FocalBlock, config: Architecture, index: int = 0) -> FocalNetLayer:
    """Return transformers' layer with the weights of our block."""
    dim = block.gamma_1.numel()
    layer = FocalNetLayer(
        FocalNetConfig(
            focal_levels=[config.focal_levels] * 4,
            focal_windows=[config.focal_window] * 4,
            use_layerscale=True,
            use_post_layernorm=True,
            normalize_modulator=True,
            use_conv_embed=True,
        ),
        index,
        dim,
        (1, 1),
    )
    state = {}
    for key, value in block.state_dict().items():
        for ours, other in NAMES.items():
            key = key.replace(ours + ".", other + ".")
        state[key] = value
    layer.load_state_dict(state)
    return layer.eval()


@pytest.mark.parametrize(("levels", "window"), [(4, 3), (2, 3), (1, 5)])
def test_focal_l_block_is_transformers_layer(levels: int, window: int):
    torch.manual_seed(0)
    block = FocalBlock(12, levels=levels, window=window, scale=0.7).eval()
    config = Architecture(focal_levels=levels, focal_window=window)
    x = torch.randn(2, 9, 13, 12)
    found = block(x)
    wanted = theirs(block, config)(x.flatten(1, 2), (9, 13)).view_as(x)
    torch.testing.assert_close(found, wanted, **CLOSE)


@torch.no_grad()
def test_maps_are_those_before_downsampling():
    backbone: FocalNet = make_model(TINY).backbone
    images = torch.randn(2, 3, 64, 96)
    stem = F.conv2d(
        images, backbone.patch_embed.proj.weight, backbone.patch_embed.proj.bias, 4, padding=2
    )
    x = F.layer_norm(
        stem.permute(0, 2, 3, 1),
        (8,),
        backbone.patch_embed.norm.weight,
        backbone.patch_embed.norm.bias,
    )
    maps = backbone(images)
    for stage, (layer, found) in enumerate(zip(backbone.layers, maps, strict=True)):
        _, height, width, dim = x.shape
        tokens = x.flatten(1, 2)
        for block in layer.blocks:
            tokens = theirs(block, TINY)(tokens, (height, width))
        norm = getattr(backbone, f"norm{stage}")
        wanted = F.layer_norm(tokens, (dim,), norm.weight, norm.bias)
        wanted = wanted.transpose(1, 2).unflatten(2, (height, width))
        assert found.shape == (2, 8 * 2**stage, 64 // (4 * 2**stage), 96 // (4 * 2**stage))
        torch.testing.assert_close(found, wanted, **CLOSE)
        if layer.downsample is None:
            continue
        down = FocalNetPatchEmbeddings(
            FocalNetConfig(), (height, width), 2, dim, 2 * dim, add_norm=True, use_conv_embed=True
        )
        down.load_state_dict(
            {k.replace("proj.", "projection."): v for k, v in layer.downsample.state_dict().items()}
        )
        grid = tokens.transpose(1, 2).unflatten(2, (height, width))
        tokens, (height, width) = down(grid)
        x = tokens.unflatten(1, (height, width))


def modulate(module: torch.nn.Module, x: torch.Tensor, levels: int) -> torch.Tensor:
    """Focal modulation written out, on one image (C, H, W)."""
    dim = len(x)
    mixed = torch.einsum("oc,chw->ohw", module.f.weight, x) + module.f.bias[:, None, None]
    query, context, gates = mixed[:dim], mixed[dim : 2 * dim], mixed[2 * dim :]
    gathered = torch.zeros_like(query)
    for level in range(levels):
        kernel = module.focal_layers[level][0].weight
        rows = [
            F.conv2d(context[None, c : c + 1], kernel[c : c + 1], padding=kernel.shape[-1] // 2)
            for c in range(dim)
        ]
        context = F.gelu(torch.cat(rows, 1)[0])
        gathered += context * gates[level]
    gathered += F.gelu(context.mean((1, 2)))[:, None, None] * gates[levels]
    gathered = gathered / (levels + 1)
    modulator = torch.einsum("oc,chw->ohw", module.h.weight[..., 0, 0], gathered)
    modulator = modulator + module.h.bias[:, None, None]
    out = torch.einsum("oc,chw->ohw", module.proj.weight, query * modulator)
    return out + module.proj.bias[:, None, None]


@torch.no_grad()
def test_focal_t_block_follows_its_formula():
    torch.manual_seed(1)
    block = DepthwiseFocalBlock(6, levels=3, window=3, scale=0.5)
    for parameter in block.parameters():
        parameter += 0.2 * torch.randn_like(parameter)
    x = torch.randn(6, 10, 7)

    def norm(layer: torch.nn.LayerNorm, y: torch.Tensor) -> torch.Tensor:
        mean, var = y.mean(0), y.var(0, unbiased=False)
        scale, shift = layer.weight[:, None, None], layer.bias[:, None, None]
        return (y - mean) / (var + 1e-5).sqrt() * scale + shift

    g1, g2 = block.gamma_1[:, None, None], block.gamma_2[:, None, None]
    y = x + F.conv2d(x[None], block.dw1.weight, block.dw1.bias, padding=1, groups=6)[0]
    y = norm(block.norm1, y + g1 * modulate(block.modulation, y, 3))
    y = y + F.conv2d(y[None], block.dw2.weight, block.dw2.bias, padding=1, groups=6)[0]
    mlp = block.mlp
    hidden = F.gelu(torch.einsum("oc,chw->ohw", mlp.fc1.weight, y) + mlp.fc1.bias[:, None, None])
    out = torch.einsum("oc,chw->ohw", mlp.fc2.weight, hidden) + mlp.fc2.bias[:, None, None]
    wanted = norm(block.norm2, y + g2 * out)
    found = block(x.permute(1, 2, 0)[None])[0].permute(2, 0, 1)
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_focal_t_has_its_own_stem_and_blocks():
    backbone = FocalNet(TINY_T)
    assert backbone.patch_embed.proj.padding == (3, 3)
    assert backbone(torch.zeros(1, 3, 32, 64))[0].shape == (1, 8, 8, 16)
    assert all(
        isinstance(b, DepthwiseFocalBlock) for layer in backbone.layers for b in layer.blocks
    )


def test_kernels_grow_with_the_level():
    block = FocalBlock(4, levels=4, window=3)
    assert [layer[0].kernel_size for layer in block.modulation.focal_layers] == [
        (3, 3),
        (5, 5),
        (7, 7),
        (9, 9),
    ]
