"""A tiny world: flat-coloured images, a segmenter that knows colours, a discoverer that cheats."""

import cv2
import numpy as np
import pytest

from ovseg_ros.evaluation.datasets import Sample, Segment, Segments
from ovseg_ros.types import Discovery, Proposal, Segmentation

COLORS = {"floor": 40, "mug": 120, "duck": 200}
SPOKEN = {"floor": "ground", "mug": "red mug", "duck": "duck"}


class ToyData:
    """Three images of 20 x 30 pixels: floor above, then a strip of mug or duck, then void."""

    name = "toy"
    classes = words = tuple(COLORS)
    background = None
    things = frozenset({"mug", "duck"})

    def __init__(self, broken=()):
        self.synonyms = {"floor": ("ground",)}
        self._broken = broken

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index in self._broken:
            raise ValueError(f"masks/image{index}.png: not an image, or a damaged one")
        thing = ("mug", "duck", "mug")[index]
        labels = np.zeros((20, 30), np.uint8)
        labels[:10] = 1
        labels[10:18] = 1 + list(COLORS).index(thing)
        image = np.zeros((20, 30, 3), np.uint8)
        image[:10] = COLORS["floor"]
        image[10:18] = COLORS[thing]
        of = {label: Segment(label, crowd=False) for label in (1, 2, 3)}
        segments = Segments(ids=labels.astype(np.int32), of=of)
        return Sample(id=f"image{index}", image=image, labels=labels, segments=segments)


class ToySegmenter:
    """Labels every pixel by its brightness; takes a duck for a mug if it has no word for ducks."""

    cadence = "frame"
    dtype = "float32"
    name = "toy"
    device = "cpu"

    def __init__(self):
        self.calls = 0

    def segment(self, images, vocabulary):
        self.calls += 1
        labels = np.zeros(images.shape[:3], np.uint8)
        for label, name in enumerate(vocabulary.names, start=1):
            for word, level in COLORS.items():
                if name in (word, SPOKEN[word]):
                    labels[images[..., 0] == level] = label
        return Segmentation(
            labels=labels, confidence=np.full_like(labels, 255), vocabulary=vocabulary
        )


class ToyDiscoverer:
    """Finds what is there, says "ground" for floor, and dreams of a window; misses the duck."""

    name = "toy"
    device = "cpu"

    def __init__(self):
        self.seeds = []

    def discover(self, image, *, seed=0):
        self.seeds.append(seed)
        names = ["ground", "window"]
        if (image == COLORS["mug"]).any():
            names.insert(1, "red mug")
        clusters = np.array([[0, 0, 0], [1, 1, 2]])
        return Discovery(
            proposals=tuple(Proposal(name=name, score=1.0) for name in names),
            captions=("a ground",),
            clusters=clusters,
            cluster_names=("ground", "red mug", ""),
        )


@pytest.fixture
def toy_data():
    return ToyData()


@pytest.fixture
def toy_pipeline():
    from ovseg_ros.pipeline import Pipeline
    from ovseg_ros.vocabulary.living import LivingVocabulary

    return Pipeline(ToySegmenter(), ToyDiscoverer(), LivingVocabulary())


@pytest.fixture
def toy_folder(tmp_path):
    """The toy data as a user's own folder, with 16-bit masks and a value that is void."""
    root = tmp_path / "mine"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    data = ToyData()
    for index in range(len(data)):
        sample = data[index]
        cv2.imwrite(str(root / "images" / f"{sample.id}.png"), sample.image[..., ::-1])
        values = np.array([65_535, 7, 3, 1000], np.uint16)[sample.labels]
        cv2.imwrite(str(root / "masks" / f"{sample.id}.png"), values)
    (root / "classes.txt").write_text("7: floor, ground\n3: mug\n1000: duck\n")
    return root
