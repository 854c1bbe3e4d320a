"""CLIP and BLIP give transformers' own similarities, SimZSS those of its patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ovseg_ros.segmenters.pnp_ovss.scorers import load_scorer
from ovseg_ros.segmenters.simzss.config import SimZSSConfig
from ovseg_ros.segmenters.simzss.segmenter import SimZSSSegmenter

NAMES = ["mug", "teddy bear"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(97, 123)]
    pieces = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
             "num_attention_heads": 2}  # fmt: skip
    config = CLIPConfig(
        text_config={**shape, "vocab_size": len(pieces), "eos_token_id": len(pieces) - 1},
        vision_config={**shape, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)
    return folder


def test_clip(clip_folder: Path):
    from transformers import CLIPModel, CLIPProcessor

    scorer = load_scorer(str(clip_folder), device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
    ours = scorer.images(scorer.prepare(image)) @ scorer.names(NAMES).T
    model = CLIPModel.from_pretrained(clip_folder).eval()
    processor = CLIPProcessor.from_pretrained(clip_folder)
    texts = [f"a photo of a {name}" for name in NAMES]
    tokens = processor.tokenizer(texts, padding=True, return_tensors="pt")
    mean, std = processor.image_processor.image_mean, processor.image_processor.image_std
    pixels = (image[0] / 255 - mean) / std
    with torch.no_grad():
        theirs = model(
            **tokens, pixel_values=torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        )
    cosines = theirs.logits_per_image / model.logit_scale.exp()
    torch.testing.assert_close(ours, cosines, rtol=1e-4, atol=1e-5)


def test_blip(blip_folder: Path):
    from transformers import BlipForImageTextRetrieval, BlipProcessor

    scorer = load_scorer(str(blip_folder), device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)
    ours = scorer.images(scorer.prepare(image)) @ scorer.names(NAMES).T
    model = BlipForImageTextRetrieval.from_pretrained(blip_folder).eval()
    tokenizer = BlipProcessor.from_pretrained(blip_folder).tokenizer
    tokens = tokenizer([f"a picture of {n}" for n in NAMES], padding=True, return_tensors="pt")
    pixels = (scorer.prepare(image) - scorer._mean) / scorer._std
    with torch.no_grad():
        theirs = model(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            pixel_values=pixels,
            use_itm_head=False,
        ).itm_score
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert abs(float(ours[0, 0] - ours[0, 1])) > 1e-4


def test_features_have_unit_length_and_padding_is_invisible(blip_folder: Path):
    scorer = load_scorer(str(blip_folder), device="cpu")
    together = scorer.names(["mug", "lego brick table robot arm"])
    torch.testing.assert_close(together[:1], scorer.names(["mug"]))
    torch.testing.assert_close(F.normalize(together, dim=-1), together)


def test_simzss():
    """An image is the mean of its patches; names are their own tokens."""
    scorer = load_scorer("robot_cell/simzss", device="cpu")
    image = np.random.default_rng(0).integers(1, 255, (2, 320, 320, 3), dtype=np.uint8)
    ours = scorer.images(scorer.prepare(image)) @ scorer.names(NAMES).T
    config = SimZSSConfig(templates="photo", class_text="concept", short_side=320)
    segmenter = SimZSSSegmenter(config, device="cpu", dtype="float32")
    theirs = segmenter.similarity(image, NAMES).mean((2, 3))
    length = segmenter.patches(scorer.prepare(image)).mean((1, 2)).norm(dim=-1, keepdim=True)
    torch.testing.assert_close(ours, theirs / length, rtol=1e-3, atol=1e-4)
    assert abs(float(ours[0, 0] - ours[0, 1])) > 1e-3
    image[:, :, 160:] = 0  # a mask of the left half
    patches = segmenter.patches(scorer.prepare(image))[:, :, :20].mean((1, 2))
    half = scorer.images(scorer.prepare(image))
    torch.testing.assert_close(half, F.normalize(patches, dim=-1), rtol=1e-2, atol=2e-3)
    assert not scorer.images(scorer.prepare(0 * image)).any()


def test_names_stand_alone_without_a_template():
    alone = load_scorer("robot_cell/simzss", device="cpu", template=False).names(NAMES)
    config = SimZSSConfig(templates="none", class_text="concept")
    text = SimZSSSegmenter(config, device="cpu", dtype="float32").text.embed(NAMES)
    np.testing.assert_allclose(alone.numpy(), text, atol=1e-6)
    said = load_scorer("robot_cell/simzss", device="cpu").names(NAMES)
    assert not torch.allclose(alone, said, atol=1e-3)


def test_missing_or_wrong_weights(tmp_path: Path, bridgetower_folder: Path):
    with pytest.raises(FileNotFoundError, match="weights: expected a CLIP or BLIP"):
        load_scorer(str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match="expected one of clip, blip, got bridgetower"):
        load_scorer(str(bridgetower_folder), device="cpu")
