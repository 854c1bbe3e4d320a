"""Where the user's files lie: as the environment says, else in the user's cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from ovseg_ros.folders import cache_folder, data_folder

FOLDERS = [(cache_folder, "OVSEG_CACHE"), (data_folder, "OVSEG_DATA")]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OVSEG_CACHE", "OVSEG_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("folder", "variable"), FOLDERS)
def test_the_environment_says_where(folder, variable, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder("text") == tmp_path / ".cache" / "ovseg_ros" / "text"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert folder("text") == tmp_path / "x" / "ovseg_ros" / "text"
    monkeypatch.setenv(variable, "~/mine")
    assert folder("text") == tmp_path / "mine" / "text"


@pytest.mark.parametrize(("folder", "variable"), FOLDERS)
def test_a_user_without_a_home_has_folders_too(folder, variable, monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert folder("text").is_relative_to(tempfile.gettempdir())
    assert os.access(tempfile.gettempdir(), os.W_OK)
