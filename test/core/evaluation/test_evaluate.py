"""Evaluations of toy pipelines whose numbers can be computed by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.evaluation.evaluate import evaluate
from ovseg_ros.evaluation.mapping.lexical import NameMapper
from ovseg_ros.evaluation.metrics.panoptic import ClassCounts
from ovseg_ros.evaluation.metrics.semantic import VocabularyScore
from ovseg_ros.evaluation.predict import Predictor, clusters_as_segments
from ovseg_ros.evaluation.protocol import EvaluationConfig, digest, fingerprint
from ovseg_ros.evaluation.records import Evaluation, ImageRecord
from ovseg_ros.evaluation.report import confused, extremes, heat, write_html
from ovseg_ros.evaluation.sequence import evaluate_sequence
from ovseg_ros.evaluation.shards import Shard, device_of_process
from ovseg_ros.pipeline import Pipeline, PipelineConfig
from ovseg_ros.types import Discovery
from ovseg_ros.vocabulary.living import LivingVocabulary

AUTO = EvaluationConfig(vocabulary="auto", seed=100)


def test_ground_truth_vocabulary_of_a_perfect_segmenter(toy_data, toy_pipeline):
    result = evaluate(toy_pipeline, toy_data).summary()
    assert result["miou"] == result["c_miou"] == result["pixel_accuracy"] == 1
    assert result["per_category"] == {"floor": 1, "mug": 1, "duck": 1}
    assert result["images"] == 3
    assert result["vocabulary_precision"] is None
    assert result["vocabulary_recall"] is None
    assert result["names"] == {}
    assert toy_pipeline.discoverer.seeds == []


def test_automatic_vocabulary_by_hand(toy_data, toy_pipeline):
    """Names: ground, (red mug,) window. The duck is never found, so its pixels are unlabelled."""
    result = evaluate(toy_pipeline, toy_data, AUTO).summary()
    assert result["per_category"] == {"floor": 1, "mug": 1, "duck": 0}
    assert result["miou"] == pytest.approx(2 / 3, abs=1e-6)
    # per image 1, (floor 1 + duck 0) / 2, 1
    assert result["c_miou"] == pytest.approx(2.5 / 3, abs=1e-6)
    # right 2 + 1 + 2 of 3 + 2 + 3 names; found 2 + 1 + 2 of 2 + 2 + 2 classes
    assert result["vocabulary_precision"] == pytest.approx(5 / 8)
    assert result["vocabulary_recall"] == pytest.approx(5 / 6, abs=1e-6)
    assert result["vocabulary_precision_per_image"] == pytest.approx((4 / 3 + 1 / 2) / 3, abs=1e-6)
    assert result["vocabulary_recall_per_image"] == pytest.approx(2.5 / 3, abs=1e-6)
    assert list(result["names"].items()) == [
        ("ground", {"category": "floor", "images": 3}),
        ("window", {"category": None, "images": 3}),
        ("red mug", {"category": "mug", "images": 2}),
    ]
    assert toy_pipeline.discoverer.seeds == [100, 101, 102]
    # floor and mug match everywhere, the duck is missed once
    assert result["panoptic"]["all"] == {
        "pq": 0.666667,
        "sq": 0.666667,
        "rq": 0.666667,
        "classes": 3,
    }
    assert result["panoptic"]["things"]["pq"] == 0.5
    assert result["panoptic"]["stuff"]["pq"] == 1
    assert result["categories_found"] == 3
    assert result["miou_mmseg"] == result["miou_detectron2"] == result["miou"]


def test_the_living_vocabulary_is_left_alone(toy_data, toy_pipeline):
    evaluate(toy_pipeline, toy_data, AUTO)
    assert toy_pipeline.vocabulary.snapshot().version == 0


def test_clusters_alone(toy_data, toy_pipeline):
    config = EvaluationConfig(vocabulary="auto", segmentation="clusters")
    evaluation = evaluate(toy_pipeline, toy_data, config)
    assert toy_pipeline.segmenter.calls == 0
    # image 0: rows 0-9 are cluster 0 = floor; below, columns 0-19 are named mug, the rest nothing
    matrix = np.zeros((3, 4), int)
    matrix[0, 0] = 300
    for row, column, pixels in [(1, 1, 160), (1, 3, 80)]:
        matrix[row, column] = pixels
    counted = {tuple(cell[:2]): cell[2] for cell in evaluation.records[0].confusion}
    assert counted == {(r, c): matrix[r, c] for r, c in zip(*np.nonzero(matrix), strict=True)}
    assert evaluation.records[0].c_miou == pytest.approx((1 + 160 / 240) / 2)


def test_clusters_of_one_name_are_one_segment_and_nameless_ones_are_not():
    found = Discovery(clusters=np.array([[0, 1], [2, 3]]), cluster_names=("mug", "", "mug", ""))
    names, segments = clusters_as_segments(found, (4, 4))
    assert names == ("mug",)
    assert (segments[:2, :2] == 1).all()
    assert (segments[2:, :2] == 1).all()
    assert len(np.unique(segments)) == 3


def test_discovery_without_clusters_cannot_be_scored_by_them():
    with pytest.raises(ValueError, match="makes no clusters"):
        clusters_as_segments(Discovery(), (4, 4))


def test_wrong_combinations_are_refused(toy_data, toy_pipeline):
    with pytest.raises(ValueError, match="segmentation: clusters have discovered names"):
        EvaluationConfig(segmentation="clusters")
    with pytest.raises(ValueError, match="vocabulary: expected one of 'gt', 'auto', got 'open'"):
        EvaluationConfig(vocabulary="open")
    blind = Pipeline(toy_pipeline.segmenter, None, LivingVocabulary())
    with pytest.raises(ValueError, match="this pipeline has no discovery"):
        evaluate(blind, toy_data, AUTO)


def test_an_image_without_names_scores_zero(toy_data, toy_pipeline):
    toy_pipeline.discoverer.discover = lambda image, seed: Discovery()
    result = evaluate(toy_pipeline, toy_data, AUTO).summary()
    assert result["miou"] == result["c_miou"] == result["vocabulary_recall"] == 0
    assert result["vocabulary_precision"] is None


def test_a_killed_run_continues(toy_data, toy_pipeline, tmp_path):
    class Killed(type(toy_data)):
        def __getitem__(self, index):
            if index == 2:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    with pytest.raises(KeyboardInterrupt):
        evaluate(toy_pipeline, Killed(), AUTO, resume=tmp_path)
    (cache,) = tmp_path.iterdir()
    cache.write_text(cache.read_text() + '{"index": 2, "id"')  # cut off while writing
    resumed = evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path)
    assert toy_pipeline.discoverer.seeds == [100, 101, 102]
    fresh = evaluate(toy_pipeline, toy_data, AUTO)
    assert stable(resumed.summary()) == stable(fresh.summary())


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda line: line[:-2] + b"\n", id="cut"),
        pytest.param(lambda line: b"\n", id="empty"),
        pytest.param(lambda line: b"[" * 50_000 + b"\n", id="deep"),
        pytest.param(lambda line: b"\xff\xfe\n", id="no text"),
        pytest.param(lambda line: bytes(len(line)) + b"\n", id="zeros"),
        pytest.param(lambda line: b"[1, 2]\n", id="a list"),
        pytest.param(lambda line: b"null\n", id="null"),
        pytest.param(lambda line: line.replace(b'"confusion"', b'"confusio"'), id="a key"),
        pytest.param(lambda line: line.replace(b'"index": 1', b'"index": "1"'), id="a type"),
        pytest.param(lambda line: line.replace(b'"index": 1', b'"index": -1'), id="a sign"),
        pytest.param(lambda line: line.replace(b"[[", b"[[7, "), id="a cell"),
    ],
)
def test_a_damaged_record_is_named(toy_data, toy_pipeline, tmp_path, damage):
    evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path)
    (cache,) = tmp_path.iterdir()
    lines = cache.read_bytes().splitlines(keepends=True)
    broken = damage(lines[1])
    assert broken != lines[1]
    cache.write_bytes(lines[0] + broken + lines[2])
    with pytest.raises(ValueError, match=rf"resume: .*{cache.name}, line 2 is damaged: ") as caught:
        evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    cache.write_bytes(lines[0] + lines[2])
    evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path)
    assert toy_pipeline.discoverer.seeds == [100, 101, 102, 101]


def test_another_protocol_does_not_use_the_cache(toy_data, toy_pipeline, tmp_path):
    evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path)
    evaluate(toy_pipeline, toy_data, EvaluationConfig(vocabulary="auto", seed=7), resume=tmp_path)
    assert toy_pipeline.discoverer.seeds == [100, 101, 102, 7, 8, 9]
    assert len(list(tmp_path.iterdir())) == 2


def stable(summary):
    """A summary without what no two runs share."""
    return {**summary, "seconds_per_image": None}


def test_an_image_that_cannot_be_read_is_skipped_and_named(toy_pipeline, toy_data, caplog):
    broken = type(toy_data)(broken={1})
    result = evaluate(toy_pipeline, broken, AUTO).summary()
    assert result["images"] == 2
    assert result["per_category"]["duck"] is None
    reason = "masks/image1.png: not an image, or a damaged one"
    assert result["skipped"] == [{"index": 1, "reason": reason}]
    assert f"image 1 of toy is left out: {reason}" in caplog.text
    with pytest.raises(ValueError, match=r"masks/image1\.png"):
        evaluate(toy_pipeline, broken, AUTO, strict=True)


def test_shares_add_up_to_the_whole(toy_data, toy_pipeline, tmp_path):
    """Two processes one after the other leave what a third run needs not compute again."""
    for rank in range(2):
        shard = Shard(rank=rank, count=2)
        object.__setattr__(shard, "gather", lambda items: items)
        evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path, shard=shard)
    assert toy_pipeline.discoverer.seeds == [100, 102, 101]
    again = evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path).summary()
    assert len(toy_pipeline.discoverer.seeds) == 3
    assert stable(again) == stable(evaluate(toy_pipeline, toy_data, AUTO).summary())
    with pytest.raises(ValueError, match="rank: expected"):
        Shard(rank=2, count=2)


def test_torchrun_gives_what_one_process_gives(toy_data, toy_pipeline, tmp_path):
    script = Path(__file__).with_name("sharded_run.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [*launch, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=170,
        env={**os.environ, "PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    sharded = json.loads(next(line for line in done.stdout.splitlines() if line[:1] == "{"))
    alone = evaluate(toy_pipeline, type(toy_data)(broken={1}), AUTO).summary()
    assert stable(sharded) == stable(json.loads(json.dumps(alone)))
    assert len(list(tmp_path.iterdir())) == 1  # images 0 and 2 are the first process's, 1 broke


def test_every_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert device_of_process("auto") == "auto"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of_process("auto") == "cuda:1"
    assert device_of_process("cpu") == "cpu"


@pytest.fixture
def background_data(toy_data):
    """The toy data where the duck counts as background."""
    toy_data.classes = ("floor", "mug", "background")
    toy_data.words = ("floor", "mug", "duck", "background")
    toy_data.background = "background"
    return toy_data


@pytest.mark.parametrize("word", [True, False])
def test_what_is_no_class_is_background(toy_pipeline, background_data, word):
    given = []
    inner = toy_pipeline.segmenter.segment

    def segment(images, vocabulary):
        given.append(vocabulary.names)
        return inner(images, vocabulary)

    toy_pipeline.segmenter.segment = segment
    config = EvaluationConfig(background_word=word)
    result = evaluate(toy_pipeline, background_data, config).summary()
    assert given[0] == background_data.words[: 4 if word else 3]
    assert result["miou"] == 1  # the duck's pixels are called duck, and that is background
    auto = evaluate(toy_pipeline, background_data, AUTO).summary()
    assert auto["per_category"]["background"] == 1  # nobody finds the duck: unlabelled
    assert auto["vocabulary_recall"] == 1  # nobody has to name the background


def test_borders_can_be_left_out(toy_data, toy_pipeline):
    config = EvaluationConfig(vocabulary="auto", boundary_px=2)
    result = evaluate(toy_pipeline, toy_data, config)
    pixels = sum(cell[2] for cell in result.records[0].boundary_free)
    assert pixels == 30 * (8 + 4)  # of 10 rows floor and 8 rows mug, 2 go on either side
    assert result.summary()["miou_boundary_free"] == pytest.approx(2 / 3, abs=1e-6)


def test_steadiness_of_a_living_vocabulary(toy_data, toy_pipeline):
    mapper = NameMapper(toy_data.classes, synonyms=toy_data.synonyms)
    found = evaluate_sequence(toy_pipeline, toy_data, mapper, discover_every=1, fps=10.0)
    assert found["frames"] == 3
    assert toy_pipeline.vocabulary.snapshot().version == 0
    assert toy_pipeline.discoverer.seeds == [0, 1, 2]
    assert found["vc8"] is None  # three frames are no window
    assert found["vocabulary_jaccard"] == 1
    assert found["label_churn"] == 0
    assert found["vocabulary_stable_after_s"] == 0
    fixed = evaluate_sequence(toy_pipeline, toy_data, mapper, discover_every=0, fps=10.0)
    assert fixed["vocabulary_jaccard"] is None
    assert fixed["label_churn"] == 0
    blind = Pipeline(toy_pipeline.segmenter, None, LivingVocabulary())
    with pytest.raises(ValueError, match="discover_every: expected 0"):
        evaluate_sequence(blind, toy_data, mapper, discover_every=1, fps=10.0)


def test_limit(toy_data, toy_pipeline):
    assert evaluate(toy_pipeline, toy_data, limit=2).summary()["images"] == 2
    assert evaluate(toy_pipeline, toy_data, limit=9).summary()["images"] == 3


def test_protocol_says_what_was_measured(toy_data, toy_pipeline):
    protocol = evaluate(toy_pipeline, toy_data, AUTO, options=PipelineConfig()).protocol
    assert protocol["averaging"] == "detectron2"
    assert protocol["seed"] == 100
    assert protocol["device"] == "cpu"
    assert protocol["dtype"] in ("float32", "bfloat16")
    assert protocol["options"]["vocabulary.admit"] == 2
    used = {"segmenter.simzss.weights", "discovery.captioner.weights"}
    assert set(protocol["weights"]) == used  # and of no system that is not chosen
    assert {"python", "torch", "numpy"} <= set(protocol["versions"])
    assert json.loads(json.dumps(protocol)) == protocol


def test_fingerprints_tell_weights_apart(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"one")
    first = fingerprint(str(tmp_path))
    (tmp_path / "a.safetensors").write_bytes(b"two")
    assert first != fingerprint(str(tmp_path))
    assert fingerprint("some/public-name") == "some/public-name"
    assert fingerprint("robot_cell/no_such_model") == "robot_cell/no_such_model"


def test_digest_depends_on_values_and_not_on_their_order():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_records_survive_json():
    record = ImageRecord(
        index=1,
        id="x",
        confusion=[(0, 1, 5)],
        miou=float("nan"),
        c_miou=0.5,
        mapping={"mug": None},
        vocabulary=VocabularyScore(right=1, discovered=2),
        seconds={"segment": 0.1},
        boundary_free=[(0, 0, 2)],
        panoptic={2: ClassCounts(iou=0.75, matched=1)},
    )
    again = ImageRecord.from_json(record.to_json())
    assert np.isnan(again.miou)
    assert again.vocabulary == record.vocabulary
    assert again.confusion == record.confusion
    assert again.boundary_free == record.boundary_free
    assert again.panoptic == record.panoptic


def test_report_shows_best_and_worst_and_needs_nothing_else(toy_data, toy_pipeline, tmp_path):
    evaluation = evaluate(toy_pipeline, toy_data, AUTO)
    best, worst = extremes(evaluation, 4)
    assert [r.index for r in best] == [0, 2]
    assert [r.index for r in worst] == [1]
    assert confused(evaluation, 5) == [("duck", "no category", 1.0)]
    heads, rows = heat(evaluation, 2)
    assert heads == ["floor", "mug", "other", "none"]
    assert rows == [("floor", [1.0, 0.0, 0.0, 0.0]), ("mug", [0.0, 1.0, 0.0, 0.0])]
    page = tmp_path / "out" / "report.html"
    write_html(page, evaluation, toy_data, Predictor(toy_pipeline, toy_data, AUTO))
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 3
    assert "image1: mIoU 0.500" in text
    assert "none of them" in text
    assert "http" not in text


def test_summary_of_nothing_is_plain_json():
    protocol = {"classes": ["mug"], "averaging": "mmseg", "vocabulary": "auto"}
    summary = Evaluation(protocol=protocol, records=()).summary()
    assert summary["miou"] is None
    assert json.loads(json.dumps(summary, allow_nan=False))["images"] == 0


def test_instances_of_the_segmenter_are_scored_and_stuff_is_one(toy_data):
    """A mug cut in two by the segmenter is two mugs; a floor cut in two stays one floor."""
    from dataclasses import replace

    from ovseg_ros.evaluation.predict import Predictor
    from ovseg_ros.evaluation.protocol import EvaluationConfig
    from ovseg_ros.pipeline import Pipeline
    from ovseg_ros.types import Segment
    from ovseg_ros.vocabulary.living import LivingVocabulary

    from .conftest import ToySegmenter

    class Cutting(ToySegmenter):
        def segment(self, images, vocabulary):
            found = super().segment(images, vocabulary)
            ids = found.labels.astype(np.uint16) * 2
            ids[..., : ids.shape[-1] // 2] -= ids[..., : ids.shape[-1] // 2] > 0
            segments = tuple(
                Segment(
                    id=int(k),
                    category_id=(int(k) + 1) // 2,
                    score=1.0,
                    area=int((ids == k).sum()),
                    box_xywh=(0, 0, 1, 1),
                )
                for k in np.unique(ids)
                if k
            )
            return replace(found, segment_ids=ids, segments=(segments,))

    pipeline = Pipeline(Cutting(), None, LivingVocabulary())
    predictor = Predictor(pipeline, toy_data, EvaluationConfig(vocabulary="gt"))
    found = predictor.predict(toy_data[0].image, 0).instances
    assert found is not None
    assert sorted(found.labels.values()) == [1, 2, 2]  # one floor, two halves of the mug
    assert len(np.unique(found.ids[:10])) == 1
    assert len(np.unique(found.ids[10:18])) == 2
