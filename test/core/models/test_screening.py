"""Screening in half the width drops nothing that may be above its floor."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from ovseg_ros.models.screening import MANY, may_exceed, pays


@given(seed=st.integers(0, 10_000), width=st.integers(1, 400), length=st.floats(0.01, 0.99))
def test_rounding_is_bounded(seed: int, width: int, length: float):
    generator = torch.Generator().manual_seed(seed)
    tokens = F.normalize(torch.randn(1, width, 3, 4, generator=generator), dim=1)
    # Texts along tokens: there products are largest, and so is what rounding may do to them.
    text = length * tokens[0].flatten(1).T * torch.randn(12, 1, generator=generator).sign()
    highest = torch.einsum("bdhw,kd->kbhw", tokens.double(), text.double()).flatten(1).amax(1)
    assert may_exceed(tokens, text, (highest - 1e-6).float()).all()
    assert not may_exceed(tokens, text, (highest.clamp(min=0) + 0.03).float()).any()


@pytest.mark.parametrize("capable", [True, False])
def test_it_pays_for_many_texts_where_bfloat16_is_fast(
    monkeypatch: pytest.MonkeyPatch, capable: bool
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": capable})
    assert pays(MANY, torch.device("cpu")) is capable
    assert not pays(MANY - 1, torch.device("cpu"))
    assert not pays(MANY, torch.device("cuda"))
