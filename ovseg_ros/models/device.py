"""Where models run and in which numbers."""

from __future__ import annotations

import torch


def resolve_device(device: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ValueError: if CUDA is asked for by name and there is none; only ``auto`` may choose a CPU.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved: torch.device | None = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device: expected auto, cpu, cuda or cuda:N, got {device!r}")
    if resolved.type == "cuda":
        count = torch.cuda.device_count()
        if (resolved.index or 0) >= count:
            raise ValueError(f"device: expected one of {count} CUDA devices, got {device!r}")
    return resolved


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the models: ``auto`` is the fastest that the device computes natively.

    float16 on CUDA; on a CPU bfloat16 where it has bfloat16 instructions, else float32.

    Raises:
        ValueError: listing the valid names if ``dtype`` is none of them.
    """
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype in named:
        return named[dtype]
    if dtype != "auto":
        raise ValueError(f"dtype: expected auto, {', '.join(named)}, got {dtype!r}")
    if device.type == "cuda":
        return torch.float16
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch, as robots may have
        return torch.float32
    native = torch.cpu.get_capabilities()
    fast = native.get("avx512_bf16") or native.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32
