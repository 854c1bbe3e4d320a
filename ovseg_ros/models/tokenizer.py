"""Tokenizers of the text tower: CLIP's own, or a small one that lies beside small weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer as FastTokenizer
from torch import Tensor

from ovseg_ros.models.files import first_line, read_json

FILE = "tokenizer.json"

_LONG = 200 * "a mug and a tray "
"""A text that is cut: where that is set wrongly, every long one would fail."""


class Tokenizer:
    """Byte-level BPE with start and end marks; its last id is the end mark, as in CLIP.

    The end mark has the largest id, so that "position of the largest id" finds it (the pooling of
    open_clip's text tower).
    """

    def __init__(self, fast: FastTokenizer, context_length: int) -> None:
        """Wrap a tokenizer of the ``tokenizers`` library.

        Args:
            fast: Tokenizer without padding, which adds the start and end marks.
            context_length: Length L of every encoded text, start and end marks included.
        """
        self._fast = fast
        self.context_length = context_length
        self.vocab_size: int = max(fast.get_vocab().values(), default=-1) + 1

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return ids (N, L) int64, zero-padded; too long texts keep their end mark."""
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.int64)
        for row, encoding in zip(ids, self._fast.encode_batch(list(texts)), strict=True):
            tokens = encoding.ids
            if len(tokens) > self.context_length:
                tokens = [*tokens[: self.context_length - 1], tokens[-1]]
            row[: len(tokens)] = torch.tensor(tokens)
        return ids

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return for every token its span of characters in ``text`` ((0, 0) for the marks)."""
        return list(self._fast.encode(text).offsets)[: self.context_length]

    def spelling(self, text: str, first: int, last: int) -> Tensor:
        """Return 1.0 for every token that spells some of the characters first..last, (L,)."""
        spelled = torch.zeros(self.context_length)
        for index, (start, end) in enumerate(self.offsets(text)):
            if end > first and start < last and end > start:
                spelled[index] = 1.0
        return spelled

    def save(self, directory: Path) -> None:
        """Write ``tokenizer.json``."""
        self._fast.save(str(directory / FILE))


class ClipTokenizer(Tokenizer):
    """CLIP's published tokenizer as open_clip ships it (49 408 ids, 77 tokens)."""

    def __init__(self, context_length: int = 77) -> None:
        """Load the vocabulary from the installed open_clip."""
        from open_clip import SimpleTokenizer

        self._clip = SimpleTokenizer(context_length=context_length)
        self.context_length = context_length
        self.vocab_size = self._clip.vocab_size

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return ids (N, L) int64."""
        ids: Tensor = self._clip(list(texts))
        return ids

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return for every token its span of characters in ``text`` ((0, 0) for the marks)."""
        spans, cursor, lower = [(0, 0)], 0, text.lower()
        for token in self._clip.encode(text):
            piece = self._clip.decode([token]).strip()
            start = lower.find(piece, cursor)
            start = cursor if start < 0 else start
            cursor = start + len(piece)
            spans.append((start, cursor))
        return [*spans[: self.context_length - 1], (0, 0)]

    def save(self, directory: Path) -> None:
        """Write nothing: the tokenizer comes with open_clip."""


def load_tokenizer(directory: Path, *, ids: int, length: int) -> Tokenizer:
    """Return the directory's own tokenizer, or CLIP's where it has none.

    Args:
        directory: Folder of the weights.
        ids: How many ids the text tower knows.
        length: How long a text it takes, in tokens.

    Raises:
        ValueError: naming the file if it is damaged, or gives the tower what that does not know.
    """
    path = directory / FILE
    found = _read(path) if path.is_file() else ClipTokenizer()
    if found.vocab_size > ids:
        raise ValueError(
            f"weights: expected a tokenizer of at most {ids} ids in {directory}, "
            f"got {found.vocab_size}"
        )
    if not 2 <= found.context_length <= length:
        raise ValueError(
            f"weights: expected a tokenizer of texts of 2 to {length} tokens in {directory}, got "
            f"{found.context_length}"
        )
    return found


def _read(path: Path) -> Tokenizer:
    read_json(path)
    try:
        fast = FastTokenizer.from_file(str(path))
        found = Tokenizer(fast, fast.truncation["max_length"] if fast.truncation else 77)
        fast.encode_batch(["a mug", "", _LONG])
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plain Exception, or a panic, which is none
        raise ValueError(f"weights: {path}: expected a tokenizer: {first_line(error)}") from None
    return found


def train_tokenizer(texts: Sequence[str], *, vocab_size: int, context_length: int) -> Tokenizer:
    """Train a small byte-level BPE tokenizer; every string can be written with it.

    Args:
        texts: Captions to learn the merges from.
        vocab_size: Upper bound of the number of ids (at least 258: 256 bytes and two marks).
        context_length: Length of encoded texts.
    """
    from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

    fast = FastTokenizer(models.BPE())
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=["<pad>"],
    )
    fast.train_from_iterator(texts, trainer)
    fast.add_special_tokens(["<start>", "<end>"])
    start, end = fast.token_to_id("<start>"), fast.token_to_id("<end>")
    fast.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", start), ("<end>", end)]
    )
    fast.enable_truncation(max_length=context_length)
    return Tokenizer(fast, context_length)
