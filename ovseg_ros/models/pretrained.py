"""Models of transformers by folder or public name; never random weights, never the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovseg_ros.models.device import resolve_device, resolve_dtype
from ovseg_ros.models.files import check_finite, first_damaged, first_line
from ovseg_ros.models.weights import resolve_folder

# Made anew by transformers where a checkpoint has none, and read by nothing here.
_SPARE = ("pooler.", "position_ids", "criterion.")


def load_pretrained(
    weights: str,
    expected: str,
    reader_type: Any,
    model_type: Any,
    *,
    device: str,
    dtype: str,
    option: str = "weights",
    **options: Any,
) -> tuple[Any, Any]:
    """Load a model with the tokenizer or processor that belongs to it.

    A public name is looked up in the cache that `ovseg pull` fills; nothing is downloaded.

    Args:
        weights: Folder, ``robot_cell/NAME`` or public name.
        expected: What kind of model that should be, for the error: "a sentence encoder".
        reader_type: Its tokenizer's or processor's class in transformers; None: none is read.
        model_type: The model's class in transformers.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16.
        option: Which option named it, for the errors.
        options: What else the model's ``from_pretrained`` takes.

    Returns:
        The tokenizer or processor, and the model in eval mode on its device.

    Raises:
        FileNotFoundError: if the weights cannot be had, or are something else.
        ValueError: if the device or the dtype is wrong, or the weights are NaN.
    """
    no_progress_bars()
    place, source = resolve_device(device), resolve_folder(weights)
    numbers = resolve_dtype(dtype, place)
    try:
        reader = reader_type and reader_type.from_pretrained(source, local_files_only=True)
        model, report = model_type.from_pretrained(
            source, dtype=numbers, local_files_only=True, output_loading_info=True, **options
        )
    except Exception as error:  # whatever a damaged or a foreign file leads its reader to
        reason = first_damaged(Path(source)) or first_line(error)
        raise FileNotFoundError(
            f"{option}: expected {expected}, could not load {weights!r}: {reason}"
        ) from error
    missing = sorted(k for k in report["missing_keys"] if not any(s in k for s in _SPARE))
    if missing:  # transformers only warns, and fills them with random numbers
        raise FileNotFoundError(
            f"{option}: expected {expected}, {len(missing)} of the tensors are not in {source}: "
            f"{', '.join(missing[:3])}"
        )
    check_finite(model.named_parameters(), source)
    return reader, model.to(place).eval()


def no_progress_bars() -> None:
    """Let transformers load without a progress bar: what lies on a disk is there in a moment.

    A bar is made for a terminal, and a robot's nodes write into a log.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def set_layer_norm_epsilon(model: Any, epsilon: float) -> None:
    """Set the epsilon of every LayerNorm in a model; 0 leaves what its configuration says.

    Salesforce trained BLIP's vision tower with 1e-6; the configuration of the converted weights
    says 1e-5, which changes features by 1e-4.
    """
    from torch import nn

    if epsilon:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = epsilon
