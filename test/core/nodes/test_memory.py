"""Limits on what torch's kernels keep."""

from ovseg_ros.nodes.memory import bound_caches


def test_the_environment_goes_first(monkeypatch):
    environment = {"LRU_CACHE_CAPACITY": "1024"}
    monkeypatch.setattr("os.environ", environment)
    bound_caches()
    assert environment == {"LRU_CACHE_CAPACITY": "1024", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}
