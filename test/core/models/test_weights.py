"""Where weights are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovseg_ros.models import weights


def test_folder_is_itself(tmp_path: Path) -> None:
    assert weights.resolve_weights(str(tmp_path)) == str(tmp_path)


def test_public_name_is_itself() -> None:
    name = "Salesforce/blip-image-captioning-base"
    assert weights.resolve_weights(name) == name


def test_packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ASSETS", tmp_path)
    (tmp_path / "blip").mkdir()
    assert weights.resolve_weights("robot_cell/blip") == str(tmp_path / "blip")
    with pytest.raises(FileNotFoundError, match="ovseg train other"):
        weights.resolve_weights("robot_cell/other")


def test_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVSEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="ovseg convert simzss FILE"):
        weights.resolve_weights("converted/simzss_s")
    (tmp_path / "weights" / "simzss_s").mkdir(parents=True)
    found = weights.resolve_weights("converted/simzss_s")
    assert found == str(tmp_path / "weights" / "simzss_s")


def test_empty() -> None:
    with pytest.raises(ValueError, match="weights: expected"):
        weights.resolve_weights(" ")


class TestFiles:
    def test_local_ones_are_themselves(self, tmp_path: Path) -> None:
        path = tmp_path / "model.pt"
        path.touch()
        assert weights.resolve_file(str(path)) == str(path)
        assert weights.resolve_file(str(tmp_path)) == str(tmp_path)

    def test_public_ones_come_from_the_cache_by_repository_and_name(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []
        monkeypatch.setattr(
            "huggingface_hub.try_to_load_from_cache",
            lambda *names: asked.append(names) or "/cache/x.pt",
        )
        assert weights.resolve_file("owner/repository/folder/x.pt") == "/cache/x.pt"
        assert asked == [("owner/repository", "folder/x.pt")]

    def test_what_cannot_be_had_says_how_to_get_it(self) -> None:
        with pytest.raises(
            FileNotFoundError, match=r"owner/repository/x\.pt .* `ovseg pull PRESET`"
        ):
            weights.resolve_file("owner/repository/x.pt")  # tests are offline
        with pytest.raises(FileNotFoundError, match="neither a file or folder here nor OWNER"):
            weights.resolve_file("owner/repository")

    @pytest.mark.parametrize("name", ["x.pt", "owner/x", "owner//x.pt", "/owner/x.pt", "a/b/"])
    def test_other_names_are_no_files(self, name: str) -> None:
        assert weights.split_file(name) is None
