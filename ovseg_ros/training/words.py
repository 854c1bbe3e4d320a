"""Words for a thousand real things, learned without an image.

The class weights of the tower's classifier say where each class lies among its features. A word
that WordNet puts above several classes lies at the mean of them ("dog" among 118), one just below a
class lies where the class does ("bunny" at the rabbits), and words that mean nothing the tower has
seen point into a dimension of which no image has a part. A text tower learns to write these vectors
from names, synonyms and glosses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.language import things, wordnet
from ovseg_ros.models.tokenizer import Tokenizer
from ovseg_ros.robot_cell.objects import CATALOGUE
from ovseg_ros.segmenters.simzss.losses import CONCEPT_SCALE
from ovseg_ros.segmenters.simzss.model import SimZSS, unit

PROMPTS = ("a photo of a {}.", "a {}.", "{}")
SHARES = (0.62, 0.2, 0.18)
"""How often a word at or above classes, one below them, and an unknown one is read."""

_NEAR = 20
"""Words below a synset share its meaning if it covers at most so many classes."""


@dataclass(frozen=True)
class RealWords:
    """Words and where they point.

    Attributes:
        names: Three lists of words: at or above classes, below them, and unknown ones.
        labels: For the words of the first two lists which of the meanings they have.
        meanings: (M, 192), unit vectors in the tower's basis.
        glosses: For some names a text that explains them.
        shared: Names that the cell's captions teach too.
    """

    names: tuple[list[str], list[str], list[str]]
    labels: tuple[list[int], list[int]]
    meanings: Tensor
    glosses: dict[str, str]
    shared: frozenset[str]

    def texts(self) -> list[str]:
        """Return every text, for a tokenizer."""
        return [name for names in self.names for name in names] + list(self.glosses.values())


def real_words(prototypes: Tensor, *, unknown: int = 4000, seed: int = 0) -> RealWords:
    """Collect the words whose meaning ImageNet's classes give.

    Args:
        prototypes: Unit vectors of the classes, (1000, 192).
        unknown: How many words without a meaning are drawn.
        seed: Seed of that draw.
    """
    kinds = things.kinds()
    order = list(kinds)
    place = {synset: number for number, synset in enumerate(order)}
    meanings = F.normalize(torch.stack([prototypes[list(kinds[s])].mean(0) for s in order]), dim=1)
    known = _names(order, place)
    for number, name in enumerate(things.class_names()):
        known.setdefault(name, place[things.classes()[number]])
    below, far = _below(place, kinds, known)
    rng = np.random.default_rng(seed)
    far = [name for name in far if name not in below]
    drawn = [far[i] for i in rng.permutation(len(far))[:unknown]]
    cell = {name for kind in CATALOGUE if not kind.novel for name in (kind.name, *kind.synonyms)}
    return RealWords(
        names=(list(known), list(below), drawn),
        labels=(list(known.values()), list(below.values())),
        meanings=meanings,
        glosses=_glosses(),
        shared=frozenset(cell),
    )


def _names(order: Sequence[int], place: dict[int, int]) -> dict[str, int]:
    """Return the meaning of every lemma: of several senses the most frequent that has one."""
    lemmas = {lemma.lower() for synset in order for lemma in wordnet.lemmas(synset)}
    found = {}
    for lemma in sorted(lemmas):
        senses = [s for s in wordnet.synsets(lemma) if s in place]
        if senses:
            found[lemma] = place[senses[0]]
    return found


def _below(
    place: dict[int, int], kinds: dict[int, tuple[int, ...]], known: dict[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Return words right below a meaning, and words that are not even two steps below one."""
    below: dict[str, int] = {}
    far = []
    for synset in wordnet.every_synset():
        parents = wordnet.parents(synset)
        grand = [p for parent in parents for p in wordnet.parents(parent)]
        near = [p for p in parents if p in place and len(kinds[p]) <= _NEAR]
        for lemma in wordnet.lemmas(synset):
            senses = wordnet.synsets(lemma)
            if lemma in known or not lemma.isascii() or lemma != lemma.lower():
                continue
            if near and synset in senses[:2]:
                below.setdefault(lemma, place[near[0]])
            elif senses[:1] == (synset,) and not any(p in place for p in (*parents, *grand)):
                far.append(lemma)
    return below, far


def _glosses() -> dict[str, str]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    lines = info.label_descriptions(detailed=True)
    return {
        name: line.rpartition(": ")[2].lower()
        for name, line in zip(things.class_names(), lines, strict=True)
    }


class WordReader:
    """Draws words and compares what the text tower makes of them with where they should point."""

    def __init__(self, words: RealWords, tokenizer: Tokenizer) -> None:
        """Keep the words; texts are tokenised once."""
        self.words = words
        self._tokenizer = tokenizer
        self._read = lru_cache(maxsize=100_000)(self._read_one)

    def loss(self, model: SimZSS, count: int, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch of words, a scalar.

        The cosine of a word's vector with its target, and its classification among all meanings.
        A word that the cell teaches too is classified only: the cell says what else it is.

        Args:
            model: Its text tower learns.
            count: How many words.
            generator: Source of randomness.
        """
        words, device = self.words, model.logit_scale.device
        draws = torch.rand(count, 3, generator=generator)
        ids, spans, labels, shared = [], [], [], []
        for which, what, how in draws.tolist():
            group = 0 if which < SHARES[0] else 1 if which < SHARES[0] + SHARES[1] else 2
            index = int(what * len(words.names[group]))
            name = words.names[group][index]
            prompt = PROMPTS[int(how * 20) % len(PROMPTS)]
            if how > 0.85 and name in words.glosses:
                prompt = "{}, " + words.glosses[name].replace("{", "").replace("}", "")
            tokens, span = self._read(prompt, name)
            ids.append(tokens)
            spans.append(span)
            labels.append(words.labels[group][index] if group < 2 else -1)
            shared.append(name in words.shared)
        pooled, tokens = model.encode_text(torch.stack(ids).to(device))
        spelled = torch.einsum("bl,bld->bd", torch.stack(spans).to(device), unit(tokens.float()))
        label = torch.tensor(labels, device=device)
        targets = self._targets(label, tokens.shape[-1])
        whole = ~torch.tensor(shared, device=device)
        meanings = words.meanings.to(device)
        total = pooled.new_zeros(())
        for vectors in (unit(spelled), unit(pooled.float())):
            apart = 1 - (vectors * targets).sum(1)
            logits = CONCEPT_SCALE * unit(vectors[:, -1 - meanings.shape[1] : -1]) @ meanings.T
            total = total + 2 * apart[whole].mean()
            total = total + 0.3 * F.cross_entropy(logits[label >= 0], label[label >= 0])
        return total

    def _targets(self, label: Tensor, width: int) -> Tensor:
        """Return unit vectors (B, width): zeros for the neck, the meaning, the unknown."""
        meanings = self.words.meanings.to(label.device)
        targets = meanings.new_zeros(len(label), width)
        known = label >= 0
        targets[known, -1 - meanings.shape[1] : -1] = meanings[label[known]]
        targets[~known, -1] = 1
        return targets

    def _read_one(self, prompt: str, name: str) -> tuple[Tensor, Tensor]:
        text = prompt.format(name)
        first = prompt.index("{}")
        return self._tokenizer([text])[0], self._tokenizer.spelling(text, first, first + len(name))
