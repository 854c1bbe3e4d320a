"""Text embeddings: right, made once, and kept through crashes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ovseg_ros.models.class_text import ClassText, Prompt
from ovseg_ros.segmenters.prompts import TEMPLATES, templates


class Encoder:
    """Spells prompts as vectors and remembers what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, prompts: Sequence[Prompt]) -> np.ndarray:
        sentences = [prompt.sentence for prompt in prompts]
        self.prompts += sentences
        return np.stack([self.vector(sentence) for sentence in sentences])

    @staticmethod
    def vector(prompt: str) -> np.ndarray:
        """Return a vector of any length but one that only the prompt decides."""
        seed = int.from_bytes(prompt.encode(), "little") % 2**63
        return np.random.default_rng(seed).normal(size=5).astype(np.float32) * 3


def cache(
    directory: Path, encode: Encoder, *, model: str = "m", prompts: Sequence[str] = ("{}", "a {}.")
) -> ClassText:
    return ClassText(encode, model=model, templates=prompts, directory=directory)


@pytest.mark.parametrize(("name", "count"), [("none", 1), ("photo", 1), ("cell", 4), ("clip", 80)])
def test_template_sets(name: str, count: int):
    found = templates(name)
    assert len(set(found)) == len(found) == count
    assert all(template.count("{}") == 1 for template in found)
    assert all("mug" in template.format("mug") for template in found)


def test_the_80_prompts_are_those_of_clip():
    assert {"a bad photo of a {}.", "a tattoo of the {}.", "itap of my {}."} <= {*templates("clip")}


def test_an_unknown_template_set_lists_the_valid_ones():
    with pytest.raises(
        ValueError, match=r"expected one of none, photo, cell, clip, .*xdecoder.*, got 'cli'"
    ):
        templates("cli")
    assert "clip" not in TEMPLATES


def test_embeddings_are_the_renormalised_mean_of_normalised_prompts(tmp_path: Path):
    found = cache(tmp_path, Encoder()).embed(["mug", "teddy bear"])
    for row, name in zip(found, ["mug", "teddy bear"], strict=True):
        first, second = Encoder.vector(name), Encoder.vector(f"a {name}.")
        mean = first / np.linalg.norm(first) + second / np.linalg.norm(second)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5)
    assert (found.shape, found.dtype) == ((2, 5), np.float32)


def test_every_phrase_is_encoded_once_in_one_call(tmp_path: Path):
    encode = Encoder()
    text = cache(tmp_path, encode)
    first = text.embed(["mug", "duck", "mug"])
    assert encode.prompts == ["mug", "a mug.", "duck", "a duck."]
    assert text.encoded == 2
    np.testing.assert_array_equal(first[0], first[2])
    again = text.embed(["duck", "bear", "mug"])  # the order of the names is that of the rows
    assert encode.prompts[4:] == ["bear", "a bear."]
    np.testing.assert_array_equal(again[[2, 0]], first[:2])


def test_names_with_braces_are_only_names(tmp_path: Path):
    encode = Encoder()
    cache(tmp_path, encode).embed(["{0}", "{x}"])
    assert encode.prompts == ["{0}", "a {0}.", "{x}", "a {x}."]


def test_no_names_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="names: expected at least one name"):
        cache(tmp_path, Encoder()).embed([])


def test_the_disk_remembers(tmp_path: Path):
    first = cache(tmp_path, Encoder()).embed(["mug", "../escape", "\u676f\u5b50"])
    encode = Encoder()
    again = cache(tmp_path, encode)
    np.testing.assert_array_equal(again.embed(["mug", "../escape", "\u676f\u5b50"]), first)
    assert (encode.prompts, again.encoded) == ([], 0)


def test_another_process_need_not_encode(tmp_path: Path):
    code = """if True:
        import sys
        from pathlib import Path
        import numpy as np
        from ovseg_ros.models.class_text import ClassText

        def encode(prompts):
            print("encoded", *(prompt.name for prompt in prompts))
            return np.eye(3, dtype=np.float32)[: len(prompts)]

        text = ClassText(encode, model="m", templates=["{}"], directory=Path(sys.argv[1]))
        print(text.embed(["mug", "duck"]).tolist())
    """
    lines = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert lines[0][0] == "encoded mug duck"
    assert lines[1] == lines[0][1:] == ["[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]"]


@pytest.mark.parametrize(
    "other", [{"model": "n"}, {"prompts": ("{}",)}, {"prompts": ("a {}.", "{}")}]
)
def test_other_models_and_templates_have_their_own_embeddings(tmp_path: Path, other: dict):
    cache(tmp_path, Encoder()).embed(["mug"])
    encode = Encoder()
    cache(tmp_path, encode, **other).embed(["mug"])
    assert encode.prompts


def test_a_damaged_file_is_made_anew(tmp_path: Path):
    before = cache(tmp_path, Encoder()).embed(["mug"])
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    encode = Encoder()
    np.testing.assert_array_equal(cache(tmp_path, encode).embed(["mug"]), before)
    assert encode.prompts
    assert file.read_bytes() == whole


def test_vectors_of_another_length_are_made_anew(tmp_path: Path):
    """A file that is right in itself, as another encoder of the same name would write it."""
    text = cache(tmp_path, Encoder())
    text.embed(["mug"])
    text._disk.write({"duck": np.float32([1, 0, 0])})
    encode = Encoder()
    found = cache(tmp_path, encode).embed(["mug", "duck", "bear"])
    assert found.shape == (3, 5)
    assert len(encode.prompts) == 6
    np.testing.assert_array_equal(cache(tmp_path, Encoder()).embed(["mug", "duck", "bear"]), found)


def test_an_encoder_without_numbers_is_refused(tmp_path: Path):
    text = ClassText(
        lambda prompts: np.full((len(prompts), 5), np.nan),
        model="m",
        templates=["{}"],
        directory=tmp_path,
    )
    with pytest.raises(ValueError, match=r"weights: expected a text encoder .* NaN"):
        text.embed(["mug"])
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ovseg_ros.models.class_text._REMEMBERED", 3)
    text = cache(tmp_path, Encoder())
    first = text.embed(["a", "b", "c"])
    assert text.embed([f"thing {i}" for i in range(9)]).shape == (9, 5)
    assert len(text._memory) == 3
    np.testing.assert_array_equal(text.embed(["a", "b", "c"]), first)


def test_a_directory_that_cannot_be_made_costs_only_time(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    encode = Encoder()
    text = cache(tmp_path / "file" / "below", encode)
    first = text.embed(["mug"])
    np.testing.assert_array_equal(text.embed(["mug"]), first)
    assert text.encoded == 1


def test_a_full_disk_costs_only_time_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert cache(tmp_path, Encoder()).embed(["mug"]).shape == (1, 5)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_threads_and_instances_share_a_directory(tmp_path: Path):
    names = [f"thing {i}" for i in range(12)]
    expected = cache(tmp_path / "alone", Encoder()).embed(names)
    texts = [cache(tmp_path / "shared", Encoder()) for _ in range(2)]
    wrong: list[str] = []

    def ask(text: ClassText, shift: int) -> None:
        order = names[shift:] + names[:shift]
        found = text.embed(order)
        if not np.array_equal(found, np.roll(expected, -shift, axis=0)):
            wrong.append(f"shift {shift}")

    threads = [
        threading.Thread(target=ask, args=(text, shift)) for text in texts for shift in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    files = {path.suffix for path in (tmp_path / "shared").rglob("*") if path.is_file()}
    assert files == {".vectors"}
