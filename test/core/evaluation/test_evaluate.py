"""Evaluations of toy pipelines whose numbers can be computed by hand."""

import json

import numpy as np
import pytest

from ovseg_ros.evaluation.evaluate import Evaluation, ImageRecord, evaluate
from ovseg_ros.evaluation.metrics import VocabularyScore
from ovseg_ros.evaluation.predict import Predictor, clusters_as_segments
from ovseg_ros.evaluation.protocol import EvaluationConfig, digest, fingerprint
from ovseg_ros.evaluation.report import confused, extremes, write_html
from ovseg_ros.pipeline import Pipeline, PipelineConfig
from ovseg_ros.types import Discovery
from ovseg_ros.vocabulary import LivingVocabulary

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
    stable = [{**e.summary(), "seconds_per_image": None} for e in (resumed, fresh)]
    assert stable[0] == stable[1]


def test_another_protocol_does_not_use_the_cache(toy_data, toy_pipeline, tmp_path):
    evaluate(toy_pipeline, toy_data, AUTO, resume=tmp_path)
    evaluate(toy_pipeline, toy_data, EvaluationConfig(vocabulary="auto", seed=7), resume=tmp_path)
    assert toy_pipeline.discoverer.seeds == [100, 101, 102, 7, 8, 9]
    assert len(list(tmp_path.iterdir())) == 2


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
    assert set(protocol["weights"]) == {k for k in protocol["options"] if k.endswith("weights")}
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
    )
    again = ImageRecord.from_json(record.to_json())
    assert np.isnan(again.miou)
    assert again.vocabulary == record.vocabulary
    assert again.confusion == record.confusion


def test_report_shows_best_and_worst_and_needs_nothing_else(toy_data, toy_pipeline, tmp_path):
    evaluation = evaluate(toy_pipeline, toy_data, AUTO)
    best, worst = extremes(evaluation, 4)
    assert [r.index for r in best] == [0, 2]
    assert [r.index for r in worst] == [1]
    assert confused(evaluation, 5) == [("duck", "no category", 1.0)]
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
