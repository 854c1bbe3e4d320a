"""Options that several commands share."""

from __future__ import annotations

import typer

from ovseg_ros.presets import DEFAULT

PRESET = typer.Option(DEFAULT, "--preset", "-p", help="Preset by name, or a YAML file.")
SET = typer.Option(
    [], "--set", metavar="KEY=VALUE", help="Override an option: segmenter.simzss.weights=DIR."
)
DEVICE = typer.Option("", help="auto, cpu, cuda or cuda:N; the preset's by default.")


def with_commas(text: str) -> list[str]:
    """Return what stands between commas, blanks left out."""
    return [part.strip() for part in text.split(",") if part.strip()]


def image_size(text: str) -> tuple[int, int]:
    """Read ``WIDTHxHEIGHT`` in pixels."""
    width, by, height = text.lower().partition("x")
    if not (by and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise ValueError(f"--size: expected WIDTHxHEIGHT in pixels, got {text!r}")
    return int(width), int(height)
