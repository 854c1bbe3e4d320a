"""What limits the result: perfect masks, and perfect names (Figure 2 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ovseg_ros.evaluation.datasets import Dataset, Sample
from ovseg_ros.evaluation.evaluate import Evaluation, score
from ovseg_ros.evaluation.metrics.panoptic import Regions
from ovseg_ros.evaluation.predict import Prediction
from ovseg_ros.evaluation.protocol import EvaluationConfig
from ovseg_ros.segmenters.fisa.model import SURE
from ovseg_ros.segmenters.fisa.segmenter import FisaSegmenter
from ovseg_ros.segmenters.xdecoder.inference import Sizes
from ovseg_ros.types import Vocabulary

Proposals = tuple[Tensor, Tensor, Sizes]
"""Mask logits (1, Q, h, w), probabilities (1, Q, K), sizes."""


def perfect_masks(segmenter: FisaSegmenter, sample: Sample, names: tuple[str, ...]) -> Proposals:
    """Let the classifier name the true segments."""
    assert sample.segments is not None
    canvas, sizes = segmenter.canvas(sample.image[None])
    true = [i for i in np.unique(sample.segments.ids).tolist() if i in sample.segments.of]
    masks = np.stack([sample.segments.ids == i for i in true] or [sample.labels > 0])
    placed = _to_canvas(torch.from_numpy(masks).float()[None].to(canvas.device), sizes)
    logits = SURE * (2 * placed - 1)
    with torch.inference_mode():
        text = segmenter.class_text(names)
        classifier = segmenter.model.classifier
        vectors, _ = classifier(segmenter.seen(canvas), logits, text)
        return logits, classifier.match(vectors, text).softmax(-1), sizes


def perfect_names(segmenter: FisaSegmenter, sample: Sample, names: tuple[str, ...]) -> Proposals:
    """Name every proposal after the true segment that it overlaps most (IoU).

    Its probability is that IoU: of proposals of one segment the best comes first.
    """
    assert sample.segments is not None
    masks, probabilities, sizes = segmenter.propose(sample.image[None], names)
    inner = masks[0].sigmoid() >= 0.5  # (Q, h, w)
    odds = torch.zeros_like(probabilities)
    of = sample.segments.of
    true = [i for i in np.unique(sample.segments.ids).tolist() if i in of]
    if true:
        wanted = torch.from_numpy(np.stack([sample.segments.ids == i for i in true])).float()
        placed = _to_canvas(wanted[None].to(masks.device), sizes)[0]  # (T, h, w)
        found, target = inner.flatten(1).float(), placed.flatten(1)
        shared = found @ target.T  # (Q, T)
        iou = shared / (found.sum(1, keepdim=True) + target.sum(1) - shared).clamp_min(1e-6)
        best, which = iou.max(1)
        labels = torch.tensor([of[i].label - 1 for i in true], device=masks.device)[which]
        odds[0].scatter_(1, labels[:, None], best[:, None])
    return masks, odds, sizes


def oracle_study(
    segmenter: FisaSegmenter, dataset: Dataset, *, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Return ``miou`` and ``pq`` of the segmenter as it is, with true masks, and with true names.

    Args:
        segmenter: The segmenter.
        dataset: Data set with panoptic ground truth.
        limit: Only the first images.
    """
    kinds: dict[str, Callable[..., Proposals]] = {
        "as it is": lambda segmenter, sample, names: segmenter.propose(sample.image[None], names),
        "oracle masks": perfect_masks,
        "oracle classifier": perfect_names,
    }
    stuff = [name for name in dataset.words if name not in dataset.things]
    words = Vocabulary.of(*dataset.words, stuff=stuff)
    order = np.arange(len(words))
    count = min(limit or len(dataset), len(dataset))
    records: dict[str, list[Any]] = {kind: [] for kind in kinds}
    for index in tqdm(range(count), desc="oracles"):
        sample = dataset[index]
        for kind, propose in kinds.items():
            found = segmenter.merge(*propose(segmenter, sample, words.names), words, order)
            assert found.segment_ids is not None
            labels = {s.id: s.category_id for s in found.segments[0]}
            prediction = Prediction(
                segments=found.labels[0],
                classes=found.labels[0].astype(np.uint16),
                names=words.names,
                mapping={name: name for name in words.names},
                instances=Regions(ids=found.segment_ids[0].astype(np.int32), labels=labels),
            )
            records[kind].append(score(sample, prediction, index, dataset, EvaluationConfig()))
    return {kind: _summary(own, dataset) for kind, own in records.items()}


def _summary(records: list[Any], dataset: Dataset) -> dict[str, float]:
    """Return mIoU and PQ of a data set's records."""
    from ovseg_ros.evaluation.protocol import describe

    protocol = describe(EvaluationConfig(), dataset=dataset, mapping="none", options=None)
    found = Evaluation(protocol=protocol, records=tuple(records)).summary()
    return {"miou": found["miou"], "pq": found["panoptic"]["all"]["pq"]}


def _to_canvas(masks: Tensor, sizes: Sizes) -> Tensor:
    """Return masks (1, T, H, W) of an image at stride 4 of its canvas, (1, T, h, w)."""
    height, width = sizes.padded
    inner = F.interpolate(masks, size=sizes.inner, mode="area")
    padded = F.pad(inner, (0, width - sizes.inner[1], 0, height - sizes.inner[0]))
    return F.avg_pool2d(padded, 4)
