"""The losses of SimZSS against the poster's equations, written out with loops in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ovseg_ros.segmenters.simzss import losses
from ovseg_ros.segmenters.simzss.losses import Occurrences, caption_loss, concept_loss


def random(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def length(vector: list[float]) -> float:
    return math.sqrt(sum(value * value for value in vector))


def scaled(vector: list[float]) -> list[float]:
    return [value / length(vector) for value in vector]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(values: list[float]) -> list[float]:
    exponents = [math.exp(value) for value in values]
    return [exponent / sum(exponents) for exponent in exponents]


def literal_concept_loss(patches: Tensor, tokens: Tensor, found: Occurrences) -> float:
    """Steps 1 to 5 of the specification, one scalar at a time."""
    z_v = [[scaled(patch) for patch in image] for image in patches.tolist()]
    z_t = [[scaled(token) for token in text] for text in tokens.tolist()]
    labels, size = found.label.tolist(), patches.shape[-1]
    concept_text = []  # c_t, one of every occurrence
    for image, span in zip(found.image.tolist(), found.span.tolist(), strict=True):
        vector = [0.0] * size
        for token, chosen in zip(z_t[image], span, strict=True):
            if chosen:
                vector = [a + b for a, b in zip(vector, token, strict=True)]
        concept_text.append(vector)
    classifier = {}  # h, only of the classes the batch names
    for label in labels:
        vector = [0.0] * size
        for other, text in zip(labels, concept_text, strict=True):
            if other == label:
                vector = [a + b for a, b in zip(vector, text, strict=True)]
        classifier[label] = scaled(vector)
    total = 0.0
    for image, label in zip(found.image.tolist(), labels, strict=True):
        s = softmax([dot(patch, classifier[label]) / 0.1 for patch in z_v[image]])
        c_v = [
            sum(w * patch[d] for w, patch in zip(s, z_v[image], strict=True)) for d in range(size)
        ]
        c_v = scaled(c_v)
        present = sorted(classifier)
        p = softmax([14.286 * dot(c_v, classifier[other]) for other in present])
        total -= math.log(p[present.index(label)])
    return total / len(labels)


def batch(labels: list[int], images: list[int], *, seed: int = 0) -> Occurrences:
    spans = (random(len(labels), 6, seed=seed) > 0).double()
    spans[:, 2] = 1.0
    kind = torch.int64
    return Occurrences(torch.tensor(images, dtype=kind), torch.tensor(labels, dtype=kind), spans)


CASES = [
    batch([0, 1, 2, 0], [0, 0, 1, 2]),
    batch([3, 3, 3], [0, 1, 2], seed=1),  # one class alone
    batch([6, 2], [2, 2], seed=2),  # most classes of the bank are absent
    batch([1], [0], seed=3),
    batch([5, 0, 5, 0, 5, 1, 1, 2], [0, 0, 0, 1, 1, 1, 2, 2], seed=4),
    batch([5, 0, 5, 0, 5, 1, 1, 2], [2, 0, 1, 0, 2, 1, 2, 0], seed=5),  # in no order
]


@pytest.mark.parametrize("found", CASES)
def test_the_concept_loss_is_the_one_of_the_poster(found: Occurrences):
    patches, tokens = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11)
    value = concept_loss(patches, tokens, found, concepts=7)
    assert value.item() == pytest.approx(literal_concept_loss(patches, tokens, found), abs=1e-9)


def test_the_concept_loss_in_float32_is_within_a_millionth():
    patches, tokens, found = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11), CASES[4]
    single = Occurrences(found.image, found.label, found.span.float())
    value = concept_loss(patches.float(), tokens.float(), single, concepts=7)
    assert value.item() == pytest.approx(literal_concept_loss(patches, tokens, found), abs=1e-6)


def test_the_authors_code_takes_the_nearest_present_concept_for_the_target():
    patches, tokens, found = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11), CASES[0]
    value = concept_loss(patches, tokens, found, 7, targets="nearest")
    values = []
    for labels in itertools.product([0, 1, 2], repeat=4):  # the nearest target costs least
        others = torch.tensor(labels)
        mixed = [
            concept_loss_of(patches, tokens, found, row, int(other))
            for row, other in enumerate(others)
        ]
        values.append(sum(mixed) / 4)
    assert value.item() == pytest.approx(min(values), abs=1e-9)
    assert value < concept_loss(patches, tokens, found, 7)


def test_as_released_is_nearest_and_the_paper_is_not():
    patches, tokens, found = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11), CASES[0]
    paper, nearest = (
        concept_loss(patches, tokens, found, 7, targets=targets) for targets in ("named", "nearest")
    )
    released = concept_loss(patches, tokens, found, 7, as_released=True)
    assert released.item() == pytest.approx(nearest.item(), abs=1e-12)  # one process: only that
    assert released < paper


def test_as_released_a_process_has_its_own_prototypes_and_everybodys_concepts(
    monkeypatch: pytest.MonkeyPatch,
):
    """Of two processes: what the other one names is present here, with a prototype of zeros."""
    patches, tokens, found = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11), CASES[0]
    others = torch.tensor([0, 0, 0, 4, 0, 0, 0], dtype=torch.float64)  # the other names concept 3

    def total(values: Tensor) -> Tensor:
        assert values.ndim == 1  # counts; prototypes are not shared
        return values + others

    monkeypatch.setattr(losses, "total", total)
    value = concept_loss(patches, tokens, found, 7, as_released=True)
    z_v, z_t = F.normalize(patches, dim=-1), F.normalize(tokens, dim=-1)
    h = torch.zeros(4, 5, dtype=torch.float64)
    for image, label, span in zip(found.image, found.label, found.span, strict=True):
        h[label] += z_t[image][span > 0].sum(0)
    h = F.normalize(h, dim=-1)  # the row of concept 3 stays zero
    expected = []
    for image, label in zip(found.image, found.label, strict=True):
        weights = (z_v[image] @ h[label] / 0.1).softmax(0)
        logits = 14.286 * F.normalize(weights @ z_v[image], dim=-1) @ h.T
        expected.append(-logits.log_softmax(-1).max())
    assert value.item() == pytest.approx(float(torch.stack(expected).mean()), abs=1e-9)
    nobody = Occurrences(found.image[:0], found.label[:0], found.span[:0])
    assert concept_loss(patches, tokens, nobody, 7, as_released=True) == 0


def concept_loss_of(
    patches: Tensor, tokens: Tensor, found: Occurrences, row: int, target: int
) -> float:
    """Return the loss of one occurrence if it were called ``target``."""
    z_v, z_t = F.normalize(patches, dim=-1), F.normalize(tokens, dim=-1)
    spelled = torch.stack(
        [z_t[i][span > 0].sum(0) for i, span in zip(found.image, found.span, strict=True)]
    )
    h = F.normalize(torch.stack([spelled[found.label == c].sum(0) for c in range(3)]), dim=-1)
    seen = z_v[found.image[row]]
    s = (seen @ h[found.label[row]] / 0.1).softmax(0)
    p = (14.286 * h @ F.normalize(s @ seen, dim=0)).softmax(0)
    return -math.log(p[target])


def test_lengths_of_tokens_and_patches_do_not_matter():
    patches, tokens, found = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11), CASES[0]
    longer = concept_loss(patches * 7, tokens * random(3, 6, 1, seed=1).abs(), found, 7)
    torch.testing.assert_close(longer, concept_loss(patches, tokens, found, 7))


@pytest.mark.parametrize("found", CASES)
def test_patches_that_are_not_there_do_not_count(found: Occurrences):
    patches, tokens = random(3, 9, 5, seed=10), random(3, 6, 5, seed=11)
    seen = torch.zeros(3, 9, dtype=torch.bool)
    seen[:, [1, 4, 5]] = True
    value = concept_loss(patches, tokens, found, 7, seen=seen)
    torch.testing.assert_close(value, concept_loss(patches[:, [1, 4, 5]], tokens, found, 7))


def test_a_class_of_its_own_is_no_choice():
    value = concept_loss(random(3, 9, 5, seed=1), random(3, 6, 5, seed=2), CASES[1], 7)
    assert value.item() == pytest.approx(0.0, abs=1e-12)


def test_matched_concepts_lose_less_than_mixed_up_ones():
    directions = torch.eye(4, dtype=torch.float64)
    found = Occurrences(torch.arange(3), torch.arange(3), torch.ones(3, 1, dtype=torch.float64))
    tokens = directions[:3, None]  # image i is called i
    patches = directions[
        torch.tensor([[0, 3], [1, 3], [2, 3]])
    ]  # and shows i beside something else
    right = concept_loss(patches, tokens, found, 3)
    wrong = concept_loss(patches[[1, 2, 0]], tokens, found, 3)
    assert right < 0.01 < 1 < wrong


@pytest.mark.parametrize("found", [*CASES, batch([], [])])
def test_gradients_are_finite_and_reach_the_named_words(found: Occurrences):
    patches = random(3, 9, 5, seed=10).float()
    tokens = random(3, 6, 5, seed=11).float().requires_grad_()
    found = Occurrences(found.image, found.label, found.span.float())
    concept_loss(patches, tokens, found, concepts=7).backward()
    assert tokens.grad is not None
    assert tokens.grad.isfinite().all()
    named = torch.zeros(3, 6, dtype=torch.bool)
    for image, span in zip(found.image, found.span, strict=True):
        named[image] |= span > 0
    moved = tokens.grad.abs().sum(-1) > 0
    assert not (moved & ~named).any()
    if len(set(found.label.tolist())) > 1:
        assert moved.equal(named)


def test_nothing_named_costs_nothing():
    value = concept_loss(random(3, 9, 5, seed=1), random(3, 6, 5, seed=2), batch([], []), 7)
    assert value.item() == 0


def literal_caption_loss(images: Tensor, captions: Tensor, scale: float) -> float:
    v, t = ([scaled(row) for row in side.tolist()] for side in (images, captions))
    count, total = len(v), 0.0
    for i in range(count):
        total -= math.log(softmax([scale * dot(v[i], t[j]) for j in range(count)])[i])
        total -= math.log(softmax([scale * dot(v[j], t[i]) for j in range(count)])[i])
    return total / (2 * count)


@pytest.mark.parametrize(
    ("log_scale", "scale"), [(math.log(1 / 0.07), 1 / 0.07), (0.0, 1.0), (-3.0, 1.0), (9.0, 100.0)]
)
def test_the_caption_loss_is_symmetric_infonce(log_scale: float, scale: float):
    images, captions = random(6, 5, seed=1), random(6, 5, seed=2)
    value = caption_loss(images, captions, torch.tensor(log_scale, dtype=torch.float64))
    expected = literal_caption_loss(images, captions, scale)
    assert value.item() == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(
        value, caption_loss(captions, images, torch.tensor(log_scale, dtype=torch.float64))
    )


def test_the_scale_learns():
    scale = torch.tensor(2.0, requires_grad=True)
    caption_loss(random(4, 5, seed=1).float(), random(4, 5, seed=2).float(), scale).backward()
    assert scale.grad is not None
    assert scale.grad.isfinite()
    assert scale.grad != 0
