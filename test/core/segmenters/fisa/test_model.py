"""The classifier against slow, literal re-statements in float64, and against open_clip and timm."""

from __future__ import annotations

import math
from typing import Any

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.fisa.attention import visible_tokens
from ovseg_ros.segmenters.fisa.config import Adaptation
from ovseg_ros.segmenters.fisa.model import Classifier
from ovseg_ros.segmenters.fisa.towers import show_tower

BASELINE = Adaptation(seve=False, query="none", adapter=0)


def inputs(masks: int = 5, size: int = 48) -> tuple[Tensor, Tensor, Tensor]:
    """Images, mask logits of another resolution (one of them empty) and text, float64."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
    logits = torch.randn(2, masks, 13, 17, generator=generator, dtype=torch.float64) - 1
    logits[0, 0] = -9.0
    text = torch.randn(7, 24, generator=generator, dtype=torch.float64)
    return images, logits, F.normalize(text, dim=-1)


def scrambled(model: Classifier) -> Classifier:
    """Give what starts at zero, or as a copy, other values."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.adapted():
            if name.startswith("adapter."):
                parameter.copy_(0.3 * torch.randn_like(parameter))
            elif name.startswith(("queries.", "lora.")):
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.double().eval()


def literal(model: Classifier, images: Tensor, masks: Tensor, text: Tensor) -> Tensor:
    """Equations 1 to 5, one image, one mask, one head, one token at a time."""
    clip, options = model.clip.visual, model.config
    found = torch.zeros(*masks.shape[:2], 24, dtype=torch.float64)
    for b in range(len(images)):
        x = clip.conv1(images[b : b + 1])[0]  # (C, h, w)
        rows, columns = x.shape[1:]
        table = clip.positional_embedding
        grid = table[1:].T.reshape(1, -1, *clip.grid_size)
        grid = F.interpolate(grid, size=(rows, columns), mode="bilinear")[0]
        tokens = [clip.class_embedding + table[0]]
        for r in range(rows):
            tokens += [x[:, r, c] + grid[:, r, c] for c in range(columns)]
        image = clip.ln_pre(torch.stack(tokens))
        adapted = masks[b]
        if options.adapter:
            adapted = torch.stack([m + model.adapter.layers(m[None, None])[0, 0] for m in adapted])
        tall, wide = adapted.shape[1:]
        for m in range(len(adapted)):
            seen = [0]
            for r in range(rows):
                for c in range(columns):
                    top, bottom = r * tall // rows, -(-(r + 1) * tall // rows)
                    left, right = c * wide // columns, -(-(c + 1) * wide // columns)
                    inside = adapted[m, top:bottom, left:right].sigmoid() >= 0.5
                    if bool(inside.any()):
                        seen.append(1 + r * columns + c)
            found[b, m] = _literal_token(model, image, seen, text)
    return found


def _literal_token(model: Classifier, image: Tensor, seen: list[int], text: Tensor) -> Tensor:
    clip, options = model.clip.visual, model.config
    token, width = image[0], image.shape[1]
    for number, block in enumerate(clip.transformer.resblocks):
        weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
        wq, wk, wv = weight[:width], weight[width : 2 * width], weight[2 * width :]
        bq, bk, bv = bias[:width], bias[width : 2 * width], bias[2 * width :]
        y, z = block.ln_1(image), block.ln_1(token)
        if options.seve:
            g = model.seve[number if not options.seve_shared else 0]
            target = text * 24**0.5  # unit root mean square
            q = g.query.weight @ z + g.query.bias
            scores = torch.stack([q @ (g.key.weight @ t + g.key.bias) for t in target])
            share = (scores / len(q) ** 0.5).exp()
            share = share / share.sum()
            read = sum(
                s * (g.value.weight @ t + g.value.bias) for s, t in zip(share, target, strict=True)
            )
            z = z + read if options.seve_residual else read
        asked = wq @ z + bq
        if options.query != "none":
            asked = model.queries[number].weight @ z + model.queries[number].bias
        own_wq, own_bq = wq, bq
        if options.query == "shared":
            own_wq, own_bq = model.queries[number].weight, model.queries[number].bias
        places = range(len(image))
        keys, values = ([w @ y[j] + bias for j in places] for w, bias in ((wk, bk), (wv, bv)))
        heads = block.attn.num_heads
        everywhere = list(places)
        attended = torch.stack(
            [
                _literal_attend(own_wq @ y[i] + own_bq, keys, values, heads, everywhere)
                for i in places
            ]
        )
        token = _close(block, token, _literal_attend(asked, keys, values, heads, seen))
        image = _close(block, image, attended)
    vector = clip.ln_post(token) @ clip.proj
    return vector / vector.norm()


def _literal_attend(
    query: Tensor, keys: list[Tensor], values: list[Tensor], heads: int, places: list[int]
) -> Tensor:
    size, parts = len(query) // heads, []
    for h in range(heads):
        cut = slice(h * size, (h + 1) * size)
        scores = torch.stack([query[cut] @ keys[j][cut] for j in places])
        share = (scores / size**0.5).exp()
        share = share / share.sum()
        parts.append(sum(s * values[j][cut] for s, j in zip(share, places, strict=True)))
    return torch.cat(parts)


def _close(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    x = x + attended @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
    return x + block.mlp(block.ln_2(x))


@pytest.mark.parametrize(
    "adaptation",
    [
        BASELINE,
        Adaptation(seve_width=8),
        Adaptation(seve_width=8, query="none", adapter=3),
        Adaptation(seve_width=8, query="shared", adapter=1),
        Adaptation(seve_width=8, seve_shared=False, seve_residual=True, adapter=0),
    ],
    ids=["baseline", "fisa", "seve", "shared queries", "own residual text attention"],
)
@torch.no_grad()
def test_is_what_the_equations_say(adaptation: Adaptation, tiny_clip: Any):
    model = scrambled(Classifier(tiny_clip(), adaptation, 24))
    images, masks, text = inputs()
    found, _ = model(images, masks, text)
    assert found.dtype == torch.float64
    assert (found - literal(model, images, masks, text)).abs().max() < 1e-8


@torch.no_grad()
def test_the_image_goes_through_clip_unchanged(tiny_clip: Any):
    """A mask over everything is named as CLIP's own class token, whatever other masks there are."""
    clip = tiny_clip()
    model = Classifier(clip, BASELINE, 24)
    images = torch.randn(2, 3, 32, 32)
    masks = torch.randn(2, 4, 8, 8)
    masks[:, 2] = 5.0
    found, _ = model(images, masks, torch.zeros(3, 24))
    assert torch.allclose(found[:, 2], F.normalize(clip.encode_image(images), dim=-1), atol=1e-5)


@torch.no_grad()
def test_an_untrained_adaptation_of_queries_and_adapter_changes_nothing(tiny_clip: Any):
    images, masks, text = (x.float() for x in inputs())
    plain = Classifier(tiny_clip(), BASELINE, 24)(images, masks, text)
    for options in (
        {"query": "copy", "adapter": 2},
        {"query": "shared", "adapter": 1},
        {"query": "none", "adapter": 3, "lora": 4},
    ):
        model = Classifier(tiny_clip(), Adaptation(seve=False, **options), 24)
        found = model(images, masks, text)
        assert torch.allclose(found[0], plain[0], atol=1e-5)
        assert torch.equal(found[1], plain[1])


def test_visible_are_patches_with_any_pixel_and_the_class_token():
    masks = torch.full((1, 3, 8, 8), -4.0)
    masks[0, 0, 3, 4] = 0.0  # exactly one half
    masks[0, 1, :, :2] = 3.0
    found = visible_tokens(masks, (4, 4))[0]
    assert found[:, 0].all()
    assert found[0, 1:].nonzero().flatten().tolist() == [1 * 4 + 2]
    assert found[1, 1:].view(4, 4)[:, 0].all()
    assert found[1, 1:].sum() == 4
    assert found[2].sum() == 1


def test_masks_may_be_coarser_than_patches():
    masks = torch.tensor([[[[1.0, -1.0], [-1.0, -1.0]]]])
    found = visible_tokens(masks, (4, 4))[0, 0, 1:].view(4, 4)
    assert found[:2, :2].all()
    assert found.sum() == 4


@torch.no_grad()
def test_no_proposals_give_no_vectors(tiny_clip: Any):
    images, masks, text = (x.float() for x in inputs())
    found, adapted = Classifier(tiny_clip(), Adaptation(seve_width=8), 24)(
        images, masks[:, :0], text
    )
    assert found.shape == (2, 0, 24)
    assert adapted.shape[1] == 0


def large(adaptation: Adaptation) -> Classifier:
    """The published classifier, without memory."""
    shapes = open_clip.get_model_config("ViT-L-14-336")
    with torch.device("meta"):
        model = Classifier(open_clip.CLIP(**shapes, quick_gelu=True), adaptation, 768)
    model.freeze()
    return model


def test_trains_as_many_parameters_as_published():
    model = large(Adaptation())
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    assert sum(trained.values()) == 26_437_425  # the paper: 26M
    assert sum(n for name, n in trained.items() if name.startswith("queries.")) == 25_190_400
    assert {name.split(".")[0] for name in trained} == {"seve", "queries", "adapter"}


@pytest.mark.parametrize(
    ("adaptation", "parts"),
    [
        (BASELINE, set()),
        (Adaptation(query="none"), {"seve", "adapter"}),
        (Adaptation(query="none", tuned=("clip",)), {"seve", "adapter", "clip.visual"}),
        (Adaptation(query="none", lora=64), {"seve", "adapter", "lora"}),
        (Adaptation(tuned=("text",)), {"seve", "queries", "adapter", "clip.text"}),
    ],
)
def test_every_row_trains_its_own_part(adaptation: Adaptation, parts: set[str]):
    model = large(adaptation)
    names = [name for name, p in model.named_parameters() if p.requires_grad]

    def part(name: str) -> str:
        if not name.startswith("clip."):
            return name.split(".")[0]
        return "clip.visual" if name.startswith("clip.visual.") else "clip.text"

    assert {part(name) for name in names} == parts
    assert "clip.visual.conv1.weight" not in names


class Eva(torch.nn.Module):
    """What open_clip wraps around timm's EVA."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        shape = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
        self.trunk = timm.models.eva.Eva(
            **shape, num_classes=24, global_pool="token", **options
        ).eval()
        self.head = torch.nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images))


class EvaClip(torch.nn.Module):
    """A CLIP with such a tower."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.visual = Eva(**options)


@pytest.mark.parametrize("options", [{}, {"init_values": 0.5}, {"qkv_bias": False}])
@torch.no_grad()
def test_eva_goes_through_unchanged(options: dict[str, Any]):
    torch.manual_seed(0)
    clip = EvaClip(**options)
    model = Classifier(clip, Adaptation(seve=False, query="copy", adapter=0), 24)
    images = torch.randn(2, 3, 32, 32)
    found, _ = model(images, torch.ones(2, 1, 8, 8), torch.zeros(3, 24))
    assert torch.allclose(found[:, 0], F.normalize(clip.visual(images), dim=-1), atol=1e-5)


def test_towers_without_mask_tokens_are_refused(tiny_clip: Any):
    with pytest.raises(ValueError, match="absolute positions"):
        show_tower(Eva(use_rot_pos_emb=True))
    with pytest.raises(ValueError, match="vision transformer"):
        show_tower(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="class token"):
        show_tower(tiny_clip(pool_type="avg").visual)


@pytest.mark.parametrize(
    ("learned", "scale"), [(1 / 0.07, 1 / 0.07), (100.0, 100.0), (500.0, 100.0)]
)
@torch.no_grad()
def test_logits_are_cosines_times_what_clip_learned(tiny_clip: Any, learned: float, scale: float):
    clip = tiny_clip()
    clip.logit_scale.fill_(math.log(learned))
    text = F.normalize(torch.randn(3, 24), dim=-1)
    found = Classifier(clip, BASELINE, 24).match(text[None, :2], text)
    assert torch.allclose(found[0], scale * text[:2] @ text.T, atol=1e-4)
