"""Who says which class a generated name means: WordNet, a language model, or embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ovseg_ros.config import Config, option
from ovseg_ros.evaluation.mapping.lave import LaveConfig
from ovseg_ros.evaluation.mapping.lexical import Match, NameMapper
from ovseg_ros.evaluation.mapping.sentence_bert import SentenceBertConfig


@dataclass(frozen=True, kw_only=True)
class MapperConfig(Config):
    """Which mapper, and the options of each."""

    name: str = option(
        "lexical",
        "lexical (WordNet), lave (a language model, AutoSeg's) or sbert (Sentence-BERT's cosine)",
        choices=("lexical", "lave", "sbert"),
    )
    lave: LaveConfig = LaveConfig()
    sbert: SentenceBertConfig = SentenceBertConfig()


class Mapper(Protocol):
    """Maps generated names to the classes of a data set."""

    rule: str

    def match(self, name: str) -> Match:
        """Return the class that a name means, or None, and why.

        Raises:
            ValueError: if ``name`` is not a valid name.
        """
        ...


def build_mapper(
    config: MapperConfig,
    classes: Sequence[str],
    synonyms: Mapping[str, Sequence[str]],
    *,
    dataset: str = "",
    device: str = "auto",
    dtype: str = "auto",
) -> Mapper:
    """Build the mapper a configuration names.

    Models are loaded with the first name that needs them.

    Args:
        config: The configuration.
        classes: Classes of the data set.
        synonyms: Further names of some classes.
        dataset: Name of the data set; a chat model may know it.
        device: auto, cpu, cuda or cuda:N, for the models.
        dtype: auto, float32, bfloat16 or float16, for the models.
    """
    if config.name == "lave":
        from ovseg_ros.evaluation.mapping.lave import Lave
        from ovseg_ros.models.chat import build_chat

        settings = config.lave
        chat = build_chat(settings.chat, device=device, dtype=dtype)
        return Lave(
            chat,
            classes,
            dataset=dataset,
            background_above=settings.background_above,
            unquoted=settings.unquoted,
        )
    if config.name == "sbert":
        from ovseg_ros.evaluation.mapping.sentence_bert import SentenceBert

        return SentenceBert(config.sbert, classes, device=device, dtype=dtype)
    return NameMapper(classes, synonyms=synonyms)
