"""What `ovseg doctor` finds, and what it says to do."""

import shutil
from types import SimpleNamespace

import pytest

from ovseg_ros import doctor
from ovseg_ros.doctor import ERROR, OK, WARN


def worst(findings):
    return max(findings, key=lambda one: (OK, WARN, ERROR).index(one.level))


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    found = worst(
        doctor.python_environment(["numpy>=1", "nowhere_to_be_found[x]>=2; python_version"])
    )
    assert found.level == ERROR
    assert found.what.endswith("missing: nowhere_to_be_found")
    assert found.remedy.endswith("-m pip install nowhere_to_be_found")


def test_optional_packages_are_not_missed():
    assert worst(doctor.python_environment(['nowhere; extra == "x"'])).level == OK


def test_this_environment_has_every_package():
    assert worst(doctor.python_environment()).level == OK


@pytest.mark.parametrize(("preset", "level"), [("robot_cell", OK), ("nowhere", ERROR)])
def test_weights(preset, level):
    found = worst(doctor.weights(preset))
    assert found.level == level


def test_weights_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_cached", lambda name: False)
    found = [one for one in doctor.weights("pnp_ovss") if one.level == ERROR]
    assert found
    assert all(one.remedy == "ovseg pull pnp_ovss" for one in found)


@pytest.mark.parametrize(("free_mib", "level"), [(1, WARN), (1000, OK)])
def test_shared_memory(monkeypatch, tmp_path, free_mib, level):
    usage = SimpleNamespace(free=free_mib << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert worst(doctor.shared_memory(tmp_path)).level == level


def test_no_shared_memory(tmp_path):
    assert worst(doctor.shared_memory(tmp_path / "nowhere")).level == WARN


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("FASTDDS_DEFAULT_PROFILES_FILE", "/nowhere.xml", ERROR),
        ("ROS_DOMAIN_ID", "233", ERROR),
        ("ROS_DOMAIN_ID", "home", ERROR),
        ("ROS_DOMAIN_ID", "42", OK),
        ("ROS_LOCALHOST_ONLY", "1", WARN),
    ],
)
def test_middleware(monkeypatch, name, value, level):
    for other in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    monkeypatch.setenv(name, value)
    found = worst(doctor.middleware())
    assert found.level == level
    assert bool(found.remedy) == (level != OK)


@pytest.mark.parametrize(("there", "level"), [(True, ERROR), (False, OK)])
def test_a_gpu_that_torch_cannot_use(monkeypatch, there, level):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if there else None)
    assert worst(doctor.processors()).level == level
