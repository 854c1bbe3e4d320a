"""Models of transformers by folder or public name; never random weights instead."""

from __future__ import annotations

from typing import Any

from ovseg_ros.models.device import resolve_device, resolve_dtype
from ovseg_ros.models.weights import resolve_weights


def load_pretrained(
    weights: str, expected: str, reader_type: Any, model_type: Any, *, device: str, dtype: str
) -> tuple[Any, Any]:
    """Load a model with the tokenizer or processor that belongs to it.

    Args:
        weights: Folder, ``robot_cell/NAME`` or public name.
        expected: What kind of model that should be, for the error: "a sentence encoder".
        reader_type: Its tokenizer's or processor's class in transformers.
        model_type: The model's class in transformers.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16.

    Returns:
        The tokenizer or processor, and the model in eval mode on its device.

    Raises:
        FileNotFoundError: if the weights cannot be had, or are something else.
        ValueError: if the device or the dtype is wrong.
    """
    place, source = resolve_device(device), resolve_weights(weights)
    numbers = resolve_dtype(dtype, place)
    try:
        reader = reader_type.from_pretrained(source)
        model = model_type.from_pretrained(source, dtype=numbers)
    except (OSError, ValueError) as error:  # a folder of something else is a ValueError there
        raise FileNotFoundError(
            f"weights: expected {expected}, could not load {weights!r}: {error}"
        ) from error
    return reader, model.to(place).eval()
