"""The baseline that AutoSeg argues against: the class whose sentence embedding is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.mapping.lexical import Match
from ovseg_ros.models.pretrained import load_pretrained
from ovseg_ros.types import normalise_name


@dataclass(frozen=True, kw_only=True)
class SentenceBertConfig(Config):
    """Options of the baseline."""

    weights: str = option(
        "sentence-transformers/all-mpnet-base-v2",
        "folder or public name of a sentence encoder",
        kind="weights",
    )
    min_cosine: float = option(
        -1.0, "below this cosine a name means no class; -1 always decides", low=-1.0, high=1.0
    )


class SentenceBert:
    """Maps every name to the class with the largest cosine (Reimers & Gurevych, EMNLP 2019)."""

    def __init__(
        self,
        config: SentenceBertConfig,
        classes: Sequence[str],
        *,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        """Remember what to load and the classes."""
        self.classes = tuple(classes)
        self.rule = f"nearest class by cosine of {config.weights}, at least {config.min_cosine}"
        self._config = config
        self._device, self._dtype = device, dtype
        self._loaded: tuple[Any, Any, Tensor] | None = None
        self._known: dict[str, Match] = {}

    def match(self, name: str) -> Match:
        """Return the class nearest to ``name``, and its cosine.

        Raises:
            ValueError: if ``name`` is not a valid name.
            FileNotFoundError: if the weights cannot be had.
        """
        word = normalise_name(name)
        if word not in self._known:
            tokenizer, model, classes = self._load()
            cosines = classes @ embed(tokenizer, model, [word])[0]  # (C,)
            best = int(cosines.argmax())
            value = float(cosines[best])
            close = value >= self._config.min_cosine
            self._known[word] = Match(self.classes[best] if close else None, f"cosine {value:.3f}")
        return self._known[word]

    def _load(self) -> tuple[Any, Any, Tensor]:
        if self._loaded is None:
            from transformers import AutoModel, AutoTokenizer

            tokenizer, model = load_pretrained(
                self._config.weights,
                "a sentence encoder",
                AutoTokenizer,
                AutoModel,
                device=self._device,
                dtype=self._dtype,
            )
            self._loaded = tokenizer, model, embed(tokenizer, model, self.classes)
        return self._loaded


@torch.inference_mode()
def embed(tokenizer: Any, model: Any, texts: Sequence[str]) -> Tensor:
    """Return sentence embeddings, (N, D) float32 of unit length: the mean over a text's tokens."""
    inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    inputs = inputs.to(model.device)
    tokens = model(**inputs).last_hidden_state.float()  # (N, T, D)
    mask = inputs["attention_mask"][..., None].to(tokens.dtype)  # (N, T, 1), without padding
    return F.normalize((tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9), dim=1)
