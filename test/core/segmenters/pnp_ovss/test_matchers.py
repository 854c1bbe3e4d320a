"""Attention and gradients through hooks are those of the whole model, computed plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BlipForImageTextRetrieval, BridgeTowerForImageAndTextRetrieval

from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher, load_matcher
from ovseg_ros.segmenters.pnp_ovss.prompts import Prompt, write_prompts

NAMES = ["mug", "robot arm", "teddy bear"]


def prompts_of(matcher: Matcher, *lists: list[str]) -> list[Prompt]:
    return [
        write_prompts(
            matcher.tokenizer,
            names,
            opening="a picture of",
            limit=matcher.text_limit,
            first=matcher.first_token,
        )[0]
        for names in lists
    ]


def plain_blip(folder: Path, pixels: torch.Tensor, ids: torch.Tensor):
    """Every cross-attention and its gradient, with gradients everywhere, by transformers alone."""
    model = BlipForImageTextRetrieval.from_pretrained(folder).eval()
    states = model.vision_model(pixels, interpolate_pos_encoding=True)[0]
    output = model.text_encoder(
        input_ids=ids[None], encoder_hidden_states=states, output_attentions=True
    )
    fits = model.itm_head(output.last_hidden_state[:, 0])[0, 1]
    return output.cross_attentions, torch.autograd.grad(fits, output.cross_attentions)


def plain_bridgetower(folder: Path, pixels: torch.Tensor, ids: torch.Tensor):
    model = BridgeTowerForImageAndTextRetrieval.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    seen = []
    for layer in model.bridgetower.cross_modal_text_layers:
        layer.register_forward_hook(lambda m, i, output: seen.append(output[2]))
    logits = model(input_ids=ids[None], pixel_values=pixels, interpolate_pos_encoding=True).logits
    return seen, torch.autograd.grad(logits[0, 1], seen)


def test_attention_and_gradients_are_those_of_the_whole_model(
    request: pytest.FixtureRequest, matcher: Matcher, images: np.ndarray
):
    blip = "blip" in request.node.callspec.id.split("bridgetower")[0]
    folder = request.getfixturevalue("blip_folder" if blip else "bridgetower_folder")
    pixels = matcher.prepare(images)
    prompts = prompts_of(matcher, NAMES, ["duck"])  # unequal lengths: the second one is padded
    found = [
        matcher.attend(matcher.encode(pixels), [0, 1], prompts, layer)
        for layer in range(1, matcher.layers + 1)
    ]
    for row, prompt in enumerate(prompts):
        plain = plain_blip if blip else plain_bridgetower
        attentions, gradients = plain(folder, pixels[row : row + 1], prompt.ids)
        for (ours, gradient), theirs, reference in zip(found, attentions, gradients, strict=True):
            length = len(prompt.ids)
            assert ours.shape == (2, matcher.heads, ours.shape[2], matcher.grid**2)
            largest = float(reference.abs().max())
            assert largest > 1e-5
            torch.testing.assert_close(ours[row, :, :length], theirs[0, ..., 1:].detach())
            near = 1e-5 * largest  # the whole model in float32 is 2e-5 away from float64
            torch.testing.assert_close(
                gradient[row, :, :length], reference[0, ..., 1:], rtol=1e-3, atol=near
            )


def test_fit_is_the_softmax_of_the_models_own_score(blip: Matcher, blip_folder: Path, images):
    model = BlipForImageTextRetrieval.from_pretrained(blip_folder).eval()
    pixels = blip.prepare(images)
    prompts = prompts_of(blip, NAMES, ["duck"])
    found = blip.fit(blip.encode(pixels), [0, 1], prompts)
    for row, prompt in enumerate(prompts):
        with torch.no_grad():
            logits = model(prompt.ids[None], pixels[row : row + 1], interpolate_pos_encoding=True)
        torch.testing.assert_close(found[row], logits.itm_score.softmax(-1)[0, 1])
    assert abs(float(found[0] - found[1])) > 1e-4


def test_the_first_token_is_enc(blip: Matcher, bridgetower: Matcher):
    (prompt,) = prompts_of(blip, ["mug"])
    assert prompt.ids[0] == len(blip.tokenizer)  # not in the tokenizer, but in the model
    (prompt,) = prompts_of(bridgetower, ["mug"])
    assert prompt.ids[0] == bridgetower.tokenizer.bos_token_id


def test_images_are_resized_to_the_square_and_normalised(blip: Matcher):
    gray = np.full((1, 30, 70, 3), 128, np.uint8)
    pixels = blip.prepare(gray)
    clip = (128 / 255 - np.array([0.48145466, 0.4578275, 0.40821073])) / np.array(
        [0.26862954, 0.26130258, 0.27577711]
    )
    assert pixels.shape == (1, 3, 48, 48)
    np.testing.assert_allclose(pixels[0, :, 20, 20], clip, rtol=1e-5)


@pytest.mark.parametrize("size_hw", [(97, 131), (30, 25)])
def test_images_are_resized_as_bytes_like_pillow(blip: Matcher, size_hw: tuple[int, int]):
    from PIL import Image

    rng = np.random.default_rng(0)  # black and white, so that bicubic filters overshoot everywhere
    image = 255 * rng.integers(0, 2, (*size_hw, 3), dtype=np.uint8)
    found = blip.prepare(image[None])[0] * blip._std + blip._mean
    ours = 255 * found.permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.BICUBIC))
    assert np.abs(ours - theirs).max() < 1.001
    assert (np.abs(ours - theirs) < 0.01).mean() > 0.999


def test_hooks_are_gone_afterwards(matcher: Matcher, images: np.ndarray):
    seen = matcher.encode(matcher.prepare(images[:1]))
    matcher.attend(seen, [0], prompts_of(matcher, ["mug"]), 1)
    for module in matcher.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not any(parameter.requires_grad for parameter in matcher.model.parameters())


@pytest.mark.parametrize("size", [4, 50])
def test_the_size_must_fit_the_patches(blip_folder: Path, size: int):
    with pytest.raises(ValueError, match=f"image_size: expected a multiple of 8, got {size}"):
        load_matcher(str(blip_folder), size=size, device="cpu", dtype="float32")


def test_half_precision_keeps_gradients(blip_folder: Path, blip: Matcher, images: np.ndarray):
    half = load_matcher(str(blip_folder), size=48, device="cpu", dtype="bfloat16")
    prompts = prompts_of(blip, NAMES)
    results = []
    for one in (half, blip):
        _, gradient = one.attend(one.encode(one.prepare(images[:1])), [0], prompts, 2)
        results.append(gradient)
    assert half.model.vision_model.dtype == torch.bfloat16
    assert results[0].dtype == torch.float32
    assert float(results[0].abs().max()) > 0
    torch.testing.assert_close(
        results[0], results[1], rtol=0, atol=0.3 * float(results[1].abs().max())
    )


def test_missing_or_wrong_weights(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="weights: expected an image-text matcher"):
        load_matcher(str(tmp_path), size=48, device="cpu", dtype="float32")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="expected one of blip, bridgetower, got bert"):
        load_matcher(str(tmp_path), size=48, device="cpu", dtype="float32")
