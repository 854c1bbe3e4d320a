"""Weakly supervised search of layer, head, threshold and blur: no mask is ever read.

The reward asks CLIP whether what a mask leaves of an image shows its name more than a black image
does (Eq. 4 and 5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ovseg_ros.config import Config, option
from ovseg_ros.photographs import shrink
from ovseg_ros.segmenters.pnp_ovss import CLIP
from ovseg_ros.segmenters.pnp_ovss.config import PnpOvssConfig
from ovseg_ros.segmenters.pnp_ovss.masks import label
from ovseg_ros.segmenters.pnp_ovss.saliency import salience_maps
from ovseg_ros.segmenters.pnp_ovss.scorers import TEMPERATURE, Scorer
from ovseg_ros.segmenters.pnp_ovss.segmenter import PnpOvssSegmenter
from ovseg_ros.whole_files import whole_lines

THRESHOLDS = (0.05, 0.15, 0.25, 0.35, 0.45)
SIGMAS = (0.01, 0.03, 0.05, 0.07, 0.09, 0.11)


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """How to search."""

    trials: int = option(60, "settings that are tried", low=1)
    seed: int = option(0, "seed of the settings", low=0)
    crf: bool = option(False, "reward masks after the CRF; else before, which is much faster")
    odds: str = option(
        "image",
        "names the reward's softmax is over: those that the image shows (published), or all of the "
        "vocabulary, which can reward an image of one name as well",
        choices=("image", "vocabulary"),
    )
    template: bool = option(
        False, "put the judge's opening, such as 'a photo of a', before the names (published: no)"
    )
    max_side: int = option(320, "longer side of the masks in pixels", low=16, high=4096)


@dataclass(frozen=True, order=True)
class Setting:
    """What is searched; layer and head from 1, as in the paper."""

    layer: int
    head: int
    threshold: float
    sigma: float

    def __str__(self) -> str:
        """Return the setting in words."""
        return (
            f"layer {self.layer}, head {self.head}, threshold {self.threshold:g}, "
            f"blur {self.sigma:g}"
        )


@dataclass(frozen=True)
class Trial:
    """A setting and its reward: the share of names, over all images, whose mask shows them."""

    setting: Setting
    reward: float


def judge_weights(scorer: str, options: PnpOvssConfig) -> str:
    """Return who rewards: a scorer that is named, else one as large as the segmenter."""
    return scorer or ("robot_cell/simzss" if options.tower else CLIP)


def trials_file(folder: Path, *what: object) -> Path:
    """Return the log of a search in a folder, which is made; one of another kind has another."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"trials-{hashlib.sha256(repr(what).encode()).hexdigest()[:10]}.jsonl"


def draw_settings(layers: int, heads: int, config: SearchConfig) -> list[Setting]:
    """Draw distinct settings at random; all there are, in random order, if that is fewer."""
    grid = [
        Setting(layer, head, threshold, sigma)
        for layer in range(1, layers + 1)
        for head in range(1, heads + 1)
        for threshold in THRESHOLDS
        for sigma in SIGMAS
    ]
    order = np.random.default_rng(config.seed).permutation(len(grid))
    return [grid[index] for index in order[: config.trials]]


def with_setting(options: PnpOvssConfig, setting: Setting) -> PnpOvssConfig:
    """Return options with a setting in the place of theirs."""
    return replace(
        options,
        saliency=replace(options.saliency, layer=setting.layer, head=setting.head),
        masks=replace(options.masks, threshold=setting.threshold, sigma=setting.sigma),
    )


class Judge:
    """Says how well masks show their names, by similarity of image and text alone."""

    def __init__(self, scorer: Scorer, names: Sequence[str], *, odds: str = "image") -> None:
        """Embed all names and the black image.

        Args:
            scorer: Compares images and names.
            names: All names.
            odds: See :class:`SearchConfig`.
        """
        self._scorer, self._text = scorer, scorer.names(names)  # (K, D)
        self._all = odds == "vocabulary"
        dark = torch.zeros(1, 3, scorer.size, scorer.size, device=scorer.device)
        self._black = self._similarity(dark)[0]  # (K,)

    def _similarity(self, pixels: Tensor) -> Tensor:
        """Return similarities over temperature (B, K) of images (B, 3, S, S) in 0..1."""
        return self._scorer.images(pixels) @ self._text.T / TEMPERATURE

    def odds(self, pixels: Tensor, names: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return Pr(I, k) and Pr(0, k), Eq. 5.

        Args:
            pixels: Images I, (B, 3, S, S) in 0..1.
            names: Indices k of the n names of an image, K(I).

        Returns:
            (B, n) and (n,).
        """
        own = torch.tensor(list(names), device=self._black.device)
        found, black = self._similarity(pixels), self._black
        if self._all:
            return found.softmax(-1)[:, own], black.softmax(-1)[own]
        return found[:, own].softmax(-1), black[own].softmax(-1)

    def reward(self, image: np.ndarray, labels: np.ndarray, names: Sequence[int]) -> int:
        """Return for how many names k of an image Pr(M(k) x I, k) > Pr(0, k), Eq. 4.

        Args:
            image: RGB, (H, W, 3) uint8.
            labels: Its labels, (H, W): 1.. in the order of ``names``, or 0.
            names: Indices of the names that the image shows.
        """
        seen = [index for index in range(len(names)) if (labels == index + 1).any()]
        if not seen:
            return 0  # black is not more than black
        masked = np.stack([image * (labels == index + 1)[..., None] for index in seen])
        odds, black = self.odds(self._scorer.prepare(masked.astype(np.uint8)), names)
        own = torch.tensor(seen, device=odds.device)
        better = odds.gather(1, own[:, None])[:, 0] > black[own]
        return int(better.sum())


class Masks:
    """Masks of the same images under many settings; salience is computed once per place."""

    def __init__(
        self, segmenter: PnpOvssSegmenter, images: Sequence[np.ndarray], names: Sequence[str],
        config: SearchConfig,
    ) -> None:  # fmt: skip
        """Resize the images and filter the names; ``config`` says at which size masks are made."""
        self._segmenter, self._config = segmenter, config
        self._names = list(names)
        self.images = [shrink(image, config.max_side) for image in images]
        self._salience: dict[tuple[int, int], list[np.ndarray]] = {}

    @cached_property
    def kept(self) -> list[list[int]]:
        """Indices of the names that each image shows, as the segmenter's filter says."""
        return [self._segmenter.filter.keep(one[None], self._names)[0] for one in self.images]

    @cached_property
    def _pixels(self) -> list[Tensor]:
        """What the matcher sees of each image, (1, 3, S, S); 1.4 MB each at 336."""
        return [self._segmenter.matcher.prepare(image[None]) for image in self.images]

    def labels(self, setting: Setting) -> Iterator[np.ndarray]:
        """Yield the labels of every image, (H, W): 1.. in the order of ``kept``, or 0."""
        options = with_setting(self._segmenter.config, setting).masks
        options = replace(options, crf=self._config.crf, max_side=self._config.max_side)
        for image, maps in zip(self.images, self._maps(setting), strict=True):
            if len(maps) == 0:
                yield np.zeros(image.shape[:2], np.int64)
            else:
                yield label(maps, image, options)[0]

    def _maps(self, setting: Setting) -> list[np.ndarray]:
        place = (setting.layer, setting.head)
        if place not in self._salience:
            matcher = self._segmenter.matcher
            options = with_setting(self._segmenter.config, setting).saliency
            as_released = self._segmenter.config.as_released
            self._salience[place] = []
            for start in range(0, len(self.images), options.rows):
                part = slice(start, start + options.rows)
                pixels = torch.cat(self._pixels[part])
                names = [[self._names[k] for k in own] for own in self.kept[part]]
                with torch.no_grad():
                    found = salience_maps(matcher, pixels, names, options, as_released=as_released)
                self._salience[place] += [maps.cpu().numpy() for maps in found]
        return self._salience[place]


def search(
    masks: Masks,
    judge: Judge,
    settings: Sequence[Setting],
    log: Path,
    *,
    report: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Try settings; what ``log`` already holds is not tried again.

    Args:
        masks: The images and how to make their masks.
        judge: Who rewards.
        settings: What to try, in order.
        log: A file that gets one line for every trial.
        report: Called with every trial, old ones as well.

    Returns:
        The trials, in the order of ``settings``.

    Raises:
        ValueError: if no image shows any of the names.
    """
    done = {trial.setting: trial for trial in read_trials(log)}
    trials = []
    for setting in settings:
        trial = done.get(setting)
        if trial is None:
            trial = Trial(setting, _reward(masks, judge, setting))
            with log.open("a") as stream:
                stream.write(json.dumps(asdict(trial)) + "\n")
        report(trial)
        trials.append(trial)
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest reward; of equals the one that came first."""
    return max(trials, key=lambda trial: trial.reward)


def read_trials(log: Path) -> list[Trial]:
    """Return the whole lines of a log as trials; one that was cut off is taken away."""
    if not log.is_file():
        return []
    lines = whole_lines(log, mend=True)
    return [_trial(line, f"{log}, line {number}") for number, line in enumerate(lines, start=1)]


def _trial(line: bytes, place: str) -> Trial:
    try:
        entry = json.loads(line)
        return Trial(Setting(**entry["setting"]), float(entry["reward"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"log: {place} is damaged: expected a trial ({error}); without that line it is tried "
            "again"
        ) from None


def _reward(masks: Masks, judge: Judge, setting: Setting) -> float:
    total = sum(len(own) for own in masks.kept)
    if total == 0:
        raise ValueError("names: expected at least one name that an image shows, got none")
    won = sum(
        judge.reward(image, labels, own)
        for image, labels, own in zip(masks.images, masks.labels(setting), masks.kept, strict=True)
    )
    return won / total
