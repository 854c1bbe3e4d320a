"""segment-anything's models, loaded once in a process, and the features of their necks."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ovseg_ros.models.device import resolve_device
from ovseg_ros.models.files import (
    architecture,
    check_finite,
    first_line,
    halves,
    load_state,
    read_object,
    read_tensors,
    write_tensors,
)
from ovseg_ros.models.pretrained import load_pretrained
from ovseg_ros.models.weights import resolve_weights
from ovseg_ros.whole_files import write_json

_FILE = "sam.json"
"""Shapes of a small model, beside ``model.safetensors``."""

_loaded: WeakValueDictionary[tuple[str, str], nn.Module] = WeakValueDictionary()
_lock = threading.Lock()


class Neck(Protocol):
    """Features of whole images.

    Attributes:
        channels: Width C of the features (256 in the published models).
    """

    channels: int

    def features(self, image: np.ndarray) -> Tensor:
        """Return the neck's features (C, h, w) float32 of an image (H, W, 3) uint8 RGB.

        The map shows the image and nothing else: what pads it to a square is cut off.
        """
        ...


class RememberingEncoder(nn.Module):
    """An image encoder that remembers its last image.

    LMSeg and the masks of discovery ask about the same frame; the encoder is most of the work.

    Attributes:
        runs: How many times it really ran.
    """

    def __init__(self, encoder: nn.Module) -> None:
        """Wrap an encoder of images (1, 3, S, S)."""
        super().__init__()
        self.encoder = encoder
        self.img_size: int = encoder.img_size  # type: ignore[assignment]
        self.runs = 0
        self._lock = threading.Lock()
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return the neck's features (B, C, S / 16, S / 16)."""
        if torch.is_grad_enabled() or len(images) > 1:
            found: Tensor = self.encoder(images)
            return found
        with self._lock:
            if self._last is None or not torch.equal(self._last[0], images):
                self._last = images, self.encoder(images)
                self.runs += 1
            return self._last[1]


def load_sam_model(name: str, *, device: str, option: str = "sam.weights") -> Any:
    """Load an official checkpoint, whose size is read off it, or a small model of ours.

    The same weights on the same device are one model in a process.

    Args:
        name: File of a checkpoint, folder of a small model, or ``robot_cell/NAME``.
        device: auto, cpu, cuda or cuda:N.
        option: Which option names it, for errors.

    Returns:
        A ``segment_anything.modeling.Sam`` in eval mode, its encoder a
        :class:`RememberingEncoder`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint of segment-anything.
    """
    place = resolve_device(device)
    path = _path(name)
    key = str(path.resolve()), str(place)
    with _lock:
        model = _loaded.get(key)
        if model is None:
            folder = bool(name) and path.is_dir()
            model = _read_small(path) if folder else _read_official(name, path, option)
            model.image_encoder = RememberingEncoder(model.image_encoder)
            model = model.eval().requires_grad_(False).to(place)
            _loaded[key] = model
    return model


def _path(name: str) -> Path:
    ours = name.startswith(("robot_cell/", "trained/"))
    return Path(resolve_weights(name) if ours else name).expanduser()


def _read_official(name: str, path: Path, option: str) -> Any:
    from segment_anything import sam_model_registry

    if not name or not path.is_file():
        raise FileNotFoundError(
            f"{option}: expected the file of an official segment-anything checkpoint "
            f"(sam_vit_b, _l or _h), got {name!r}"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model = sam_model_registry[sam_size(state)]()
        model.load_state_dict(state)
    except Exception as error:  # UnpicklingError, BadZipFile, KeyError, RuntimeError, ...
        raise ValueError(
            f"{option}: expected a segment-anything checkpoint, {path} is none "
            f"({first_line(error)})"
        ) from None
    check_finite(state.items(), path)
    return model


def sam_size(state: dict[str, Tensor]) -> str:
    """Return which of the three models a checkpoint holds, by the width of its image encoder.

    Raises:
        KeyError: if it holds none of them.
    """
    width = state["image_encoder.pos_embed"].shape[-1]
    return {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}[width]


def build_small_sam(
    *, size: int, width: int, depth: int, heads: int, channels: int, window: int = 8
) -> Any:
    """Return segment-anything's own classes at another size, with random weights.

    Args:
        size: Side of the square image in pixels, a multiple of 16.
        width: Width of the image encoder.
        depth: Its blocks; every second one looks at the whole image.
        heads: Its heads.
        channels: Channels of the neck and width of the mask decoder.
        window: Side of the other blocks' windows in patches.
    """
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    grid = size // 16
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=size,
            patch_size=16,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            out_chans=channels,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=window,
            global_attn_indexes=tuple(range(1, depth, 2)),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=channels,
            image_embedding_size=(grid, grid),
            input_image_size=(size, size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=channels, mlp_dim=4 * channels, num_heads=4
            ),
            transformer_dim=channels,
            iou_head_depth=2,
            iou_head_hidden_dim=channels,
        ),
    )


def save_small_sam(model: Any, shape: dict[str, int], out: Path) -> None:
    """Write a small model: its shapes, and its weights in float16."""
    write_json(out / _FILE, shape)
    write_tensors(out / "model.safetensors", halves(model.state_dict()))


def _read_small(folder: Path) -> Any:
    shape = read_object(folder / _FILE, option="sam")
    with architecture(folder / _FILE, "a small segment-anything", option="sam"):
        model = build_small_sam(**shape)
    path = folder / "model.safetensors"
    load_state(model, read_tensors(path, option="sam"), path)
    return model


class SamNeck:
    """The neck of a ``segment_anything.modeling.Sam``."""

    def __init__(self, model: Any) -> None:
        """Take a loaded model."""
        self.model = model
        self.channels: int = model.prompt_encoder.embed_dim

    @torch.no_grad()
    def features(self, image: np.ndarray) -> Tensor:
        """Return features; see :class:`Neck`. Images are prepared as its predictor does it."""
        from segment_anything.utils.transforms import ResizeLongestSide
        from torchvision.transforms.functional import resize, to_pil_image

        side = self.model.image_encoder.img_size
        size = ResizeLongestSide.get_preprocess_shape(*image.shape[:2], side)
        size = [max(1, length) for length in size]  # of a sliver it makes nothing
        resized = np.array(resize(to_pil_image(np.ascontiguousarray(image)), size))
        pixels = torch.as_tensor(resized, device=self.model.device).permute(2, 0, 1)[None]
        found = self.model.image_encoder(self.model.preprocess(pixels.contiguous()))
        return _shown(found[0], resized.shape[:2], side)


class TransformersNeck:
    """The neck of a ``SamModel`` of transformers."""

    def __init__(self, model: Any, processor: Any) -> None:
        """Take a loaded model and its processor."""
        self.model, self._processor = model, processor
        self.channels = int(model.config.vision_config.output_channels)

    @torch.no_grad()
    def features(self, image: np.ndarray) -> Tensor:
        """Return features; see :class:`Neck`."""
        inputs = self._processor(images=image, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self.model.device, self.model.dtype)
        found = self.model.get_image_embeddings(pixels)
        found = found[0] if isinstance(found, (list, tuple)) else found
        size = inputs["reshaped_input_sizes"][0].tolist()
        return _shown(found[0].float(), (size[0], size[1]), pixels.shape[-1])


def _shown(features: Tensor, size_hw: tuple[int, int], side: int) -> Tensor:
    """Return the part (C, h, w) of square features that the image covers."""
    grid = features.shape[-1]
    rows, columns = (max(1, round(length / side * grid)) for length in size_hw)
    return features[:, :rows, :columns].float()


def load_neck(name: str, *, device: str, dtype: str = "auto") -> Neck:
    """Load a neck: an official checkpoint, a small model of ours, or a ``SamModel``.

    Raises:
        FileNotFoundError: if the weights are not there.
        ValueError: if they are damaged or of another kind.
    """
    path = _path(name)
    if path.is_file() or (path / _FILE).is_file():
        return SamNeck(load_sam_model(name, device=device, option="sam"))
    from transformers import SamModel, SamProcessor

    processor, model = load_pretrained(
        name, "a SamModel", SamProcessor, SamModel, device=device, dtype=dtype
    )
    return TransformersNeck(model, processor)
