"""Salience maps of every name of an image: attention x GradCAM, completed by Salience DropOut."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ovseg_ros.segmenters.pnp_ovss.config import SaliencyConfig
from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher
from ovseg_ros.segmenters.pnp_ovss.prompts import Prompt


def check_place(matcher: Matcher, config: SaliencyConfig) -> None:
    """Raise ValueError if a model has no such layer or head."""
    if config.layer > matcher.layers:
        raise ValueError(f"layer: expected 1..{matcher.layers}, got {config.layer}")
    if config.head > matcher.heads:
        raise ValueError(f"head: expected 1..{matcher.heads}, got {config.head}")


def salience_maps(
    matcher: Matcher,
    pixels: Tensor,
    names: Sequence[Sequence[str]],
    config: SaliencyConfig,
    *,
    as_released: bool = False,
) -> list[Tensor]:
    """Return how strongly each patch stands for each name.

    All names of an image share a text, and all images a pass. A pass adds its maps to the total and
    blackens the patches that stood out most, so that the next one looks elsewhere (Salience
    DropOut; every pass weighs 1).

    Args:
        matcher: The image-text matcher.
        pixels: Normalised images, (B, 3, S, S) float32.
        names: For every image its K_i names, which may be none.
        config: Where to look.
        as_released: The first pass counts twice, a patch counts no more once it was dropped, and
            the end mark of all texts but the longest votes, too, on what is dropped next.

    Returns:
        For every image (K_i, grid, grid) float32, at least 0.

    Raises:
        ValueError: if the model has no such layer or head.
    """
    check_place(matcher, config)
    prompts = [matcher.write(own, config.opening) if own else [] for own in names]
    lengths = [max((len(prompt.ids) for prompt in own), default=0) for own in prompts]
    ends = [config.end_votes or (as_released and own < max(lengths)) for own in lengths]
    patches = matcher.grid**2
    totals = [torch.zeros(len(own), patches, device=matcher.device) for own in names]
    dropped = torch.zeros(len(pixels), patches, dtype=torch.bool, device=matcher.device)
    for number in range(config.passes):
        summed = torch.zeros(len(pixels), patches, device=matcher.device)
        for group in group_rows([len(own) for own in prompts], config.rows):
            seen = blacken(pixels[group], dropped[group])
            mapped = _pass(
                matcher, seen, [prompts[i] for i in group], [ends[i] for i in group], config
            )
            for image, (maps, tokens) in zip(group, mapped, strict=True):
                if as_released:
                    maps = maps.masked_fill(dropped[image], 0.0) * (2 if number == 0 else 1)
                totals[image] += maps
                summed[image] = tokens
        if number < config.passes - 1:
            dropped = drop(dropped, summed, config.dropped)
    side = matcher.grid
    return [total.view(-1, side, side) for total in totals]


def blacken(pixels: Tensor, dropped: Tensor) -> Tensor:
    """Set dropped patches (B, P) bool of images (B, 3, S, S) to zero, the model's mean colour."""
    side = round(dropped.shape[1] ** 0.5)
    patch = pixels.shape[-1] // side
    dark = dropped.view(-1, 1, side, side)
    return pixels.masked_fill(dark.repeat_interleave(patch, 2).repeat_interleave(patch, 3), 0.0)


def drop(dropped: Tensor, summed: Tensor, count: int) -> Tensor:
    """Drop those ``count`` patches of each image that stand out most among the remaining.

    Args:
        dropped: What is dropped so far, (B, P) bool.
        summed: Salience summed over the tokens of all names, (B, P).
        count: How many patches more.
    """
    left = summed.masked_fill(dropped, -torch.inf)
    order = left.sort(dim=1, descending=True, stable=True).indices  # ties: the first patch
    return dropped.scatter(1, order[:, :count], True)


def group_rows(counts: Sequence[int], most: int) -> list[list[int]]:
    """Group images so that each group has at most ``most`` texts (or is one image).

    Args:
        counts: Number of texts of each image; images without texts are in no group.
        most: Most texts of a group.
    """
    groups: list[list[int]] = []
    used = most
    for image, count in enumerate(counts):
        if count == 0:
            continue
        if used + count > most:
            groups.append([])
            used = 0
        groups[-1].append(image)
        used += count
    return groups


def _pass(
    matcher: Matcher,
    pixels: Tensor,
    prompts: Sequence[Sequence[Prompt]],
    ends: Sequence[bool],
    config: SaliencyConfig,
) -> list[tuple[Tensor, Tensor]]:
    """Return for each image the maps of its names (K_i, P), and of all their tokens summed (P,).

    The sum has the end marks of an image's texts as well where ``ends`` says so.
    """
    flat = [prompt for own in prompts for prompt in own]
    rows = [image for image, own in enumerate(prompts) for _ in own]
    attention, gradient = matcher.attend(matcher.encode(pixels), rows, flat, config.layer)
    maps = weigh(attention[:, config.head - 1], gradient[:, config.head - 1], config.gradcam)
    found = [
        (maps.new_zeros(len(own[0].words), maps.shape[-1]), maps.new_zeros(maps.shape[-1]))
        for own in prompts
    ]
    for index, (image, prompt) in enumerate(zip(rows, flat, strict=True)):
        words = prompt.words.to(maps.device)  # (K, L)
        tokens = maps[index, : words.shape[1]]  # (L, P)
        names, summed = found[image]
        names += words @ tokens
        voting = (words > 0).any(0)
        voting[-1] |= ends[image]
        summed += tokens[voting].sum(0)
    return found


def weigh(attention: Tensor, gradient: Tensor, gradcam: bool) -> Tensor:
    """Return attention times what of its gradient is positive, or attention alone (GradCAM)."""
    return attention * gradient.clamp_min(0) if gradcam else attention
