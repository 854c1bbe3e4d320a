"""Prompts that hold the names of an image, and which of their tokens spell which name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Prompt:
    """A text for one image, or a part of one where its names do not fit into one text.

    Attributes:
        ids: Token ids, (L,) int64.
        words: Weights that average the tokens of a name, (K, L) float32; a row of zeros is a name
            that stands in another part.
    """

    ids: Tensor
    words: Tensor


def write_prompts(
    tokenizer: Any, names: Sequence[str], *, opening: str, limit: int, first: int | None = None
) -> list[Prompt]:
    """Write "A picture of" and all names, in as many texts as the limit makes necessary.

    Names are told apart by the tokenizer's offsets, so that they may have several words. The texts
    are about equally long.

    Args:
        tokenizer: A fast tokenizer of transformers.
        names: K names.
        opening: What every text begins with.
        limit: Most tokens of a text.
        first: Id that takes the place of the first token (BLIP's ``[ENC]``), or None.
    """
    bare = len(tokenizer(opening).input_ids)
    lengths = [max(1, len(tokenizer(f"{opening} {name}").input_ids) - bare) for name in names]
    return [
        _write(tokenizer, names, part, opening, limit, first)
        for part in split(lengths, max(1, limit - bare))
    ]


def split(lengths: Sequence[int], room: int) -> list[range]:
    """Split a list into runs of at most ``room`` in total, about equally long.

    What is too long by itself makes a run of its own.
    """
    fewest = len(_fill(lengths, room))
    for least in range(-(-sum(lengths) // fewest), room):
        parts = _fill(lengths, least)
        if len(parts) == fewest:
            return parts
    return _fill(lengths, room)


def _fill(lengths: Sequence[int], room: int) -> list[range]:
    starts, used = [0], 0
    for index, length in enumerate(lengths):
        if used and used + length > room:
            starts.append(index)
            used = 0
        used += length
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(lengths)], strict=True)]


def _write(
    tokenizer: Any, names: Sequence[str], part: range, opening: str, limit: int, first: int | None
) -> Prompt:
    text, spans = opening, []
    for index in part:
        spans.append((index, len(text) + 1, len(text) + 1 + len(names[index])))
        text = f"{text} {names[index]}"
    found = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True)
    ids = torch.tensor(found.input_ids)
    if first is not None:
        ids[0] = first
    words = torch.zeros(len(names), len(ids))
    for token, (start, end) in enumerate(found.offset_mapping):
        for index, begin, stop in spans:
            if end > begin and start < stop and end > start:
                words[index, token] = 1.0
    return Prompt(ids, words / words.sum(1, keepdim=True).clamp_min(1))


def pad(prompts: Sequence[Prompt], padding: int) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask of prompts as one batch, both (N, L) int64."""
    rows = [prompt.ids for prompt in prompts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()
