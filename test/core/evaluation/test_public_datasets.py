"""Miniature copies of the public data sets, each in the layout it is published in."""

import io
import json
import pickle

import numpy as np
import pytest
import scipy.io
from PIL import Image

from ovseg_ros.evaluation.datasets import Segment, open_dataset
from ovseg_ros.evaluation.datasets.ade import _PlainUnpickler
from ovseg_ros.evaluation.datasets.classes import bundled_classes
from ovseg_ros.evaluation.datasets.opening import PUBLIC
from ovseg_ros.evaluation.mapping.lexical import NameMapper

SIZE = (6, 8)


def photo(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def mask(path, *values, dtype=np.uint8, palette=False):
    """Write a mask whose columns have the given values, the last one filling up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.full(SIZE[1], values[-1], dtype)
    row[: len(values)] = values
    image = Image.fromarray(np.tile(row, (SIZE[0], 1)))
    if palette:  # as VOC's and Mapillary's: colours for people, indices for programs
        image.putpalette([(7 * i) % 256 for i in range(768)])
        assert image.mode == "P"
    image.save(path)


def colors(path, *pixels):
    """Write a mask whose columns have the given (R, G, B), the last one filling up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.full((SIZE[1], 3), pixels[-1], np.uint8)
    row[: len(pixels)] = pixels
    Image.fromarray(np.tile(row, (SIZE[0], 1, 1))).save(path)


def names(data, index=0):
    """Return the class names of the columns of one sample's labels, "-" for void."""
    sample = data[index]
    assert (sample.labels == sample.labels[:1]).all()
    assert sample.image.shape == (*SIZE, 3)
    return ["-" if v == 0 else data.classes[v - 1] for v in sample.labels[0].tolist()]


def segments(data, index=0):
    """Return the segments of the columns of one sample as (class, crowd), None where none is."""
    found = data[index].segments
    row = [found.of.get(int(i)) for i in found.ids[0]]
    return [None if s is None else (data.classes[s.label - 1], s.crowd) for s in row]


@pytest.fixture
def voc(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("2007_000033", "2007_000042"):
        photo(base / "JPEGImages" / f"{name}.jpg")
    values = (0, 1, 20, 255, 15)
    mask(base / "SegmentationClass" / "2007_000033.png", *values, palette=True)
    mask(base / "SegmentationClassAug" / "2007_000042.png", 12)
    (base / "ImageSets" / "Segmentation").mkdir(parents=True)
    (base / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n2007_000042\n")
    return tmp_path


def test_voc20_leaves_the_background_out(voc):
    data = open_dataset("voc20", root=voc)
    assert (data.name, len(data), len(data.classes)) == ("voc20/val", 2, 20)
    assert names(data)[:5] == ["-", "aeroplane", "tv monitor", "-", "person"]
    assert names(data, 1) == ["dog"] * 8
    assert data.background is None
    assert "table" in data.synonyms["dining table"]
    assert data[0].id == "2007_000033"


def test_voc21_scores_the_background(voc):
    data = open_dataset("voc21", root=voc)
    assert names(data)[:5] == ["background", "aeroplane", "tv monitor", "-", "person"]
    assert data.background == "background"
    assert data.words == data.classes


def test_voc20b_speaks_of_59_names(voc):
    data = open_dataset("voc20b", root=voc)
    assert names(data)[:4] == ["background", "aeroplane", "tv monitor", "-"]
    assert len(data.words) == 59
    assert len(set(data.words) & set(data.classes)) == 20
    assert {"sky", "grass"} <= set(data.words)
    assert "background" not in data.words


@pytest.fixture
def context(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2010"
    photo(base / "JPEGImages" / "2008_000002.jpg")
    mask(base / "SegmentationClassContext" / "2008_000002.png", 0, 1, 59, 255)
    (base / "ImageSets" / "SegmentationContext").mkdir(parents=True)
    (base / "ImageSets/SegmentationContext/val.txt").write_text("2008_000002\n")
    (base / "trainval").mkdir()
    labels = np.tile(np.array([1, 459, 427, 0, 2, 2, 2, 2], np.uint16), (SIZE[0], 1))
    scipy.io.savemat(base / "trainval" / "2008_000002.mat", {"LabelMap": labels})
    return tmp_path


def test_pascal_context(context):
    plain, whole = open_dataset("pc59", root=context), open_dataset("pc60", root=context)
    assert names(plain)[:4] == ["-", "aeroplane", "wood", "-"]
    assert names(whole)[:4] == ["background", "aeroplane", "wood", "-"]
    assert (len(plain.classes), len(whole.classes)) == (59, 60)


def test_pascal_context_459_reads_matlab_files(context):
    data = open_dataset("pc459", root=context)
    assert names(data)[:5] == ["accordion", "wool", "tv monitor", "-", "aeroplane"]
    assert data[0].labels.dtype == np.uint16
    (context / "VOCdevkit/VOC2010/ImageSets/SegmentationContext/val.txt").unlink()
    (context / "VOCdevkit/VOC2010/pascalcontext_val.txt").write_text("2008_000002\n")
    assert len(open_dataset("pc459", root=context)) == 1
    mat = context / "VOCdevkit/VOC2010/trainval/2008_000002.mat"
    mat.write_bytes(mat.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"2008_000002\.mat: expected a MATLAB file"):
        data[0]
    mat.unlink()
    with pytest.raises(FileNotFoundError, match=r"trainval/2008_000002\.mat: no such file"):
        data[0]


@pytest.fixture
def ade(tmp_path):
    base = tmp_path / "ADEChallengeData2016"
    photo(base / "images" / "validation" / "ADE_val_00000001.jpg")
    mask(base / "annotations" / "validation" / "ADE_val_00000001.png", 0, 1, 150, 13)
    return base


def test_ade150(ade):
    data = open_dataset("ade150", root=ade.parent)
    assert names(data)[:4] == ["-", "wall", "flag", "person"]
    assert "edifice" in data.synonyms["building"]
    assert data[0].segments is None


def test_ade_panoptic_lies_beside(ade):
    colors(ade / "ade20k_panoptic_val" / "ADE_val_00000001.png", (0, 0, 0), (1, 0, 0), (5, 1, 2))
    info = [
        {"id": 1, "category_id": 0, "iscrowd": 0},
        {"id": 5 + 256 + 2 * 65_536, "category_id": 12, "iscrowd": 1},
    ]
    data = {
        "categories": [{"id": i, "name": str(i), "isthing": int(i in (7, 12))} for i in range(150)],
        "annotations": [{"file_name": "ADE_val_00000001.png", "segments_info": info}],
    }
    (ade / "ade20k_panoptic_val.json").write_text(json.dumps(data))
    opened = open_dataset("ade150", root=ade.parent)
    assert segments(opened)[:3] == [None, ("wall", False), ("person", True)]
    assert opened.things == {"bed", "person"}


@pytest.fixture
def ade_full(tmp_path):
    base = tmp_path / "ADE20K_2021_17_01"
    place = "ADE20K_2021_17_01/images/ADE/validation/urban/street"
    photo(tmp_path / place / "ADE_val_00000007.jpg")
    wall, building = 2978, 312
    pixels = [(wall // 256 * 10, wall % 256, 9), (building // 256 * 10 + 3, building % 256, 200)]
    colors(tmp_path / place / "ADE_val_00000007_seg.png", *pixels, (0, 0, 0))
    index = {
        "filename": np.array(["ADE_train_1.jpg", "ADE_val_00000007.jpg"], dtype=object),
        "folder": np.array([place.replace("validation", "training"), place], dtype=object),
        "objectPresence": np.zeros((3, 2)),
    }
    (base / "index_ade20k.pkl").write_bytes(pickle.dumps(index))
    return tmp_path


def test_ade847_reads_red_and_green(ade_full):
    data = open_dataset("ade847", root=ade_full)
    assert (len(data), len(data.classes)) == (1, 847)
    assert names(data)[:3] == ["wall", "building", "-"]
    assert data[0].labels.dtype == np.uint16


def test_a_pickle_from_the_net_runs_nothing(ade_full):
    class Evil:
        def __reduce__(self):
            return (eval, ("1 + 1",))

    index = ade_full / "ADE20K_2021_17_01" / "index_ade20k.pkl"
    index.write_bytes(pickle.dumps({"filename": Evil(), "folder": []}))
    with pytest.raises(ValueError, match=r"index_ade20k\.pkl: .*refused to load builtins\.eval"):
        open_dataset("ade847", root=ade_full)
    with pytest.raises(pickle.UnpicklingError):
        _PlainUnpickler(io.BytesIO(pickle.dumps(Evil()))).load()


@pytest.fixture
def city(tmp_path):
    base = tmp_path / "cityscapes"
    for place, number in (("lindau", 1), ("munster", 2)):
        stem = f"{place}_00000{number}_000019"
        photo(base / "leftImg8bit" / "val" / place / f"{stem}_leftImg8bit.png")
        mask(base / "gtFine" / "val" / place / f"{stem}_gtFine_labelTrainIds.png", 0, 18, 255, 13)
    return base


def test_cityscapes(city):
    data = open_dataset("cityscapes", root=city.parent)
    assert len(data) == 2
    assert names(data)[:4] == ["road", "bicycle", "-", "car"]
    assert data[1].id == "munster_000002_000019"
    assert data[0].segments is None


def test_cityscapes_as_published_with_16_bit_instances(city):
    for stem in ("lindau/lindau_000001_000019", "munster/munster_000002_000019"):
        path = city / "gtFine" / "val" / f"{stem}_gtFine_labelTrainIds.png"
        path.unlink()
        mask(path.with_name(path.name.replace("labelTrainIds", "labelIds")), 7, 33, 4, 26)
        values = (7, 33_001, 4, 26, 26_000, 26_001)
        deep = path.with_name(path.name.replace("labelTrainIds", "instanceIds"))
        mask(deep, *values, dtype=np.uint16)
    data = open_dataset("cityscapes", root=city.parent)
    assert names(data)[:4] == ["road", "bicycle", "-", "car"]
    group = ("car", True)
    expected = [("road", False), ("bicycle", False), None, group, ("car", False), ("car", False)]
    assert segments(data)[:6] == expected
    assert data[0].segments.of[26_001] == Segment(14, crowd=False)
    assert len(data.things) == 8


@pytest.mark.parametrize("folder", ["coco_stuff164k", "coco-stuff"])
def test_coco_stuff_and_object_share_sparse_masks(tmp_path, folder):
    base = tmp_path / folder
    photo(base / "images" / "val2017" / "000000000139.jpg")
    # person, (no class: street sign), toothbrush, banner, wood, void
    mask(base / "annotations" / "val2017" / "000000000139.png", 0, 11, 89, 91, 181, 255)
    mask(base / "annotations" / "val2017" / "000000000139_labelTrainIds.png", 3)
    stuff, objects = (open_dataset(n, root=tmp_path) for n in ("coco_stuff", "coco_object"))
    assert (len(stuff), len(stuff.classes), len(objects.classes)) == (1, 171, 81)
    assert names(stuff)[:6] == ["person", "-", "toothbrush", "banner", "wood", "-"]
    rest = "background"
    assert names(objects)[:6] == ["person", "-", "toothbrush", rest, rest, "-"]


@pytest.fixture
def coco(tmp_path):
    base = tmp_path / "coco"
    photo(base / "val2017" / "000000000139.jpg")
    colors(
        base / "panoptic_val2017" / "000000000139.png",
        *((1, 0, 0), (2, 3, 0), (9, 9, 9), (0, 0, 1), (0, 0, 0)),
    )
    data = {
        "categories": [
            {"id": 1, "name": "person", "isthing": 1},
            {"id": 200, "name": "wall-other-merged", "isthing": 0},
            {"id": 112, "name": "door-stuff", "isthing": 0},
        ],
        "annotations": [
            {
                "file_name": "000000000139.png",
                "segments_info": [
                    {"id": 1, "category_id": 1, "iscrowd": 1},
                    {"id": 2 + 3 * 256, "category_id": 1, "iscrowd": 0},
                    {"id": 65_536, "category_id": 200, "iscrowd": 0},
                ],
            }
        ],
    }
    (base / "annotations").mkdir()
    (base / "annotations" / "panoptic_val2017.json").write_text(json.dumps(data))
    return base


def test_coco_panoptic(coco):
    data = open_dataset("coco_panoptic", root=coco.parent)
    assert data.classes == ("person", "door", "wall")
    assert data.synonyms["wall"] == ("wall-other-merged",)
    assert data.things == {"person"}
    assert names(data)[:5] == ["person", "person", "-", "wall", "-"]
    assert segments(data)[:4] == [("person", True), ("person", False), None, ("wall", False)]


def test_panoptic_annotations_that_are_none_are_refused(coco):
    file = coco / "annotations" / "panoptic_val2017.json"
    file.write_text("[]")
    with pytest.raises(ValueError, match=r"panoptic_val2017\.json: expected panoptic"):
        open_dataset("coco_panoptic", root=coco.parent)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"panoptic_val2017\.json: no such file"):
        open_dataset("coco_panoptic", root=coco.parent)


def test_mapillary(tmp_path):
    base = tmp_path / "mapillary_vistas" / "validation"
    photo(base / "images" / "abc.jpg")
    mask(base / "labels" / "abc.png", 0, 55, 65, 13, palette=True)
    data = open_dataset("mapillary", root=tmp_path)
    assert names(data)[:4] == ["bird", "car", "-", "road"]
    assert (len(data.classes), data[0].segments) == (65, None)
    colors(base / "panoptic" / "abc.png", (1, 0, 0), (2, 0, 0), (0, 0, 0))
    info = [
        {"id": 1, "category_id": 1, "iscrowd": 0},
        {"id": 2, "category_id": 56, "iscrowd": 1},
    ]
    categories = [{"id": i, "name": str(i), "isthing": int(i in (1, 56))} for i in range(1, 66)]
    annotations = [{"file_name": "abc.png", "segments_info": info}]
    text = json.dumps({"categories": categories, "annotations": annotations})
    (base / "panoptic" / "panoptic_2018.json").write_text(text)
    data = open_dataset("mapillary", root=tmp_path)
    assert segments(data)[:3] == [("bird", False), ("car", True), None]
    assert data.things == {"bird", "car"}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_what_is_not_there_is_named(tmp_path, name, monkeypatch):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        open_dataset(name, root=tmp_path)
    monkeypatch.delenv("OVSEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="OVSEG_DATA"):
        open_dataset(name)
    monkeypatch.setenv("OVSEG_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        open_dataset(name)


def test_damaged_and_misfitting_files_are_named(voc):
    data = open_dataset("voc20", root=voc)
    photo(voc / "VOCdevkit/VOC2012/JPEGImages/2007_000033.jpg", size=(5, 5))
    with pytest.raises(ValueError, match=r"SegmentationClass/2007_000033\.png: expected the size"):
        data[0]
    path = voc / "VOCdevkit/VOC2012/JPEGImages/2007_000042.jpg"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"2007_000042\.jpg: not an image, or a damaged one"):
        data[1]
    colors(voc / "VOCdevkit/VOC2012/SegmentationClass/2007_000033.png", (1, 2, 3))
    with pytest.raises(ValueError, match="expected one channel of 8 or 16 bit"):
        data[0]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("voc", 20), ("context59", 59), ("context459", 459), ("ade150", 150), ("ade847", 847)),
        *(("coco_stuff", 171), ("mapillary", 65), ("cityscapes", 19)),
    ],
)
def test_bundled_class_lists(name, count):
    classes = bundled_classes(name)
    assert len(classes.names) == len(set(classes.values)) == count
    assert (np.bincount(classes.lookup())[1:] == 1).all()


@pytest.mark.parametrize(
    ("dataset", "word", "expected"),
    [
        ("coco_stuff", "brick wall", "wall-brick"),
        ("coco_stuff", "wall", "wall-other"),
        ("coco_stuff", "sky", "sky-other"),
        ("coco_stuff", "taxi", "car"),
        ("cityscapes", "taxi", "car"),
        ("ade150", "couch", "sofa"),
        ("voc", "airplane", "aeroplane"),
        ("context459", "parrot", "bird"),
    ],
)
def test_names_find_the_classes_of_public_data_sets(dataset, word, expected):
    classes = bundled_classes(dataset)
    assert NameMapper(classes.names, synonyms=classes.synonyms).match(word).category == expected


@pytest.mark.parametrize("name", ["voc", "context59", "context459", "ade150", "coco_stuff"])
def test_every_class_is_itself(name):
    classes = bundled_classes(name)
    mapper = NameMapper(classes.names, synonyms=classes.synonyms)
    assert [mapper.match(word).category for word in classes.names] == list(classes.names)
