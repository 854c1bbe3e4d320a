"""Names keep their tokens, however many words and texts they need."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher
from ovseg_ros.segmenters.pnp_ovss.prompts import Prompt, pad, split, write_prompts


def spelled(matcher: Matcher, prompt: Prompt, index: int) -> str:
    """What the tokens of a name say."""
    ids = prompt.ids[prompt.words[index] > 0]
    return matcher.tokenizer.decode(ids).strip()


def test_every_name_has_its_own_tokens(matcher: Matcher):
    names = ["teddy bear", "bear", "mug", "zzyx"]
    prompts = write_prompts(matcher.tokenizer, names, opening="a picture of", limit=64)
    (prompt,) = prompts
    assert [spelled(matcher, prompt, k).replace(" ", "") for k in range(4)] == [
        "teddybear", "bear", "mug", "zzyx",
    ]  # fmt: skip
    torch.testing.assert_close(prompt.words.sum(1), torch.ones(4))
    assert ((prompt.words > 0).sum(0) <= 1).all()  # no token belongs to two names
    opening = len(matcher.tokenizer("a picture of").input_ids) - 1
    assert (prompt.words[:, :opening] == 0).all()
    assert (prompt.words[:, -1] == 0).all()


def test_the_first_token_is_replaced(blip: Matcher):
    (prompt,) = write_prompts(blip.tokenizer, ["mug"], opening="a", limit=9, first=77)
    assert prompt.ids[0] == 77
    assert prompt.ids[1] == blip.tokenizer.convert_tokens_to_ids("a")


def test_150_names_are_split_into_texts_that_fit(matcher: Matcher):
    names = [f"robot {chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(150)]
    limit = matcher.text_limit
    prompts = write_prompts(matcher.tokenizer, names, opening="a picture of", limit=limit)
    assert len(prompts) > 5
    assert all(len(prompt.ids) <= limit for prompt in prompts)
    where = torch.stack([prompt.words.sum(1) for prompt in prompts])  # (texts, 150)
    torch.testing.assert_close(where.sum(0), torch.ones(150))
    sizes = [len(prompt.ids) for prompt in prompts]
    assert min(sizes) > limit / 2  # about equally long


def test_a_name_that_fits_into_no_text_is_cut(blip: Matcher):
    (prompt,) = write_prompts(blip.tokenizer, ["q" * 60], opening="a", limit=12)
    assert len(prompt.ids) == 12
    assert (prompt.words > 0).sum() == 9  # all but [CLS], "a" and [SEP], the name's first letters


@pytest.mark.parametrize(
    ("lengths", "room", "expected"),
    [
        ([1], 5, [[0]]),
        ([2, 2, 2, 2], 8, [[0, 1, 2, 3]]),
        ([2, 2, 2, 2, 2], 8, [[0, 1, 2], [3, 4]]),
        ([9, 1, 1], 4, [[0], [1, 2]]),
        ([1, 9, 1], 4, [[0], [1], [2]]),
    ],
)
def test_split(lengths, room, expected):
    assert [list(part) for part in split(lengths, room)] == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 40))
def test_split_keeps_order_and_room(lengths, room):
    parts = split(lengths, room)
    assert [k for part in parts for k in part] == list(range(len(lengths)))
    assert all(sum(lengths[k] for k in part) <= room or len(part) == 1 for part in parts)


def test_padding():
    short = Prompt(torch.tensor([4, 5]), torch.zeros(1, 2))
    long = Prompt(torch.tensor([1, 2, 3]), torch.zeros(1, 3))
    ids, mask = pad([short, long], 9)
    assert ids.tolist() == [[4, 5, 9], [1, 2, 3]]
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1]]
