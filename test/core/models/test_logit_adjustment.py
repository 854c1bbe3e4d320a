"""Logit adjustment undoes what weights do to a softmax (arXiv 2007.07314)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ovseg_ros.models.logit_adjustment import LogitAdjustment, category_sums
from ovseg_ros.training.tower import cross_entropy

SCALE = torch.tensor(14.0)


def test_borders_of_rare_things_are_where_they_were():
    """Patches of 60 % table and 40 % domino are the table's, however rare dominoes are."""
    rarity, share = torch.tensor([0.5, 5.0]), torch.tensor([0.6, 0.4])
    token = torch.nn.Parameter(torch.tensor([0.1, 0.1]))
    heads = torch.eye(2)
    optimiser = torch.optim.Adam([token], 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        cross_entropy(SCALE * F.normalize(token, dim=0) @ heads.T, share * rarity).backward()
        optimiser.step()
    cosines = F.normalize(token.detach(), dim=0) @ heads.T
    assert int(cosines.argmax()) == 1  # 5.0 x 0.4 is more than 0.5 x 0.6
    adjusted = cosines - LogitAdjustment(heads, rarity, SCALE)(heads)
    torch.testing.assert_close((SCALE * adjusted).softmax(0), share, atol=1e-3, rtol=0)


def test_text_has_the_head_start_of_what_it_is_near_to():
    adjust = LogitAdjustment(torch.eye(3), torch.tensor([0.5, 1.0, 4.0]), SCALE)
    found = adjust(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 0.5], [0, 0, 0], [0, 1, 1]]))
    log = torch.tensor([0.5, 1.0, 4.0, 1.0, 2.0]).log() / SCALE  # half way between 1 and 4: 2
    torch.testing.assert_close(found, log * torch.tensor([1, 1, 0.5, 0, 2**0.5]), atol=1e-4, rtol=0)


def test_only_patches_of_one_category_make_its_direction():
    tokens = torch.tensor([[2.0, 0], [0, 3], [5, 5], [0, 1]])
    shares = torch.tensor([[1.0, 0], [0, 1], [0.5, 0.5], [0, 1]])
    torch.testing.assert_close(category_sums(tokens, shares), torch.tensor([[1.0, 0], [0, 2]]))
