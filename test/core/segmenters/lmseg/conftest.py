"""A tiny LMSeg of real classes: open_clip's CLIP and segment-anything, random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ovseg_ros.models.sam import build_small_sam, save_small_sam
from ovseg_ros.segmenters.lmseg.checkpoint import build_lmseg, save_lmseg
from ovseg_ros.segmenters.lmseg.config import Shape

SAM = {"size": 64, "width": 16, "depth": 2, "heads": 2, "channels": 16, "window": 2}
SHAPE = Shape(
    grid=6, width=16, guidance=8, layers=1, heads=2, window=4, decoder=(16, 8),
    decoder_guidance=(4, 4),
)  # fmt: skip


@pytest.fixture(scope="session")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small segment-anything."""
    folder = tmp_path_factory.mktemp("sam")
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        save_small_sam(build_small_sam(**SAM), SAM, folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of open_clip in its published layout."""
    import json

    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    config = {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "layers": 3, "width": 16, "patch_size": 8, "head_width": 8,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1,
        },
    }  # fmt: skip
    with torch.random.fork_rng([]):
        torch.manual_seed(2)
        model = open_clip.CLIP(**config)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": mean, "std": std}})
    )
    return folder


@pytest.fixture(scope="session")
def weights(clip_folder: Path, sam_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained LMSeg on both."""
    folder = tmp_path_factory.mktemp("lmseg")
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        parts = build_lmseg(str(clip_folder), str(sam_folder), SHAPE)
        for parameter in parts.model.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    save_lmseg(parts, folder, clip=str(clip_folder), sam=str(sam_folder))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVSEG_CACHE", str(tmp_path / "cache"))
