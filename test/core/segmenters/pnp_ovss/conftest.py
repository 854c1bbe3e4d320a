"""Tiny matchers with random weights, saved and loaded like real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ovseg_ros.segmenters.pnp_ovss.matchers import Matcher, load_matcher

WORDS = (
    "a picture of photo mug duck table robot arm teddy bear soccer ball lego brick floor wall tray"
)
SIDE = 48
"""Side of the images of the tiny matchers; patches have 8 pixels."""


def bert_tokenizer():
    from transformers import BertTokenizer

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(97, 123)]
    pieces = [*dict.fromkeys(WORDS.split()), *letters[1:], *(f"##{x}" for x in letters)]
    return BertTokenizer(vocab={piece: i for i, piece in enumerate([*specials, *pieces])})


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BLIP matcher of three thin blocks; [ENC] is the row behind the tokenizer's last one."""
    from transformers import (
        BlipConfig,
        BlipForImageTextRetrieval,
        BlipImageProcessor,
        BlipProcessor,
    )

    folder = tmp_path_factory.mktemp("itm")
    tokenizer = bert_tokenizer()
    config = BlipConfig(
        text_config={
            "vocab_size": len(tokenizer) + 1,
            "hidden_size": 32,
            "encoder_hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 24,
            "initializer_range": 0.5,
        },
        vision_config={
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 8,
            "initializer_range": 0.3,
        },
        image_text_hidden_size=16,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = BlipForImageTextRetrieval(config)
        for parameter in (*model.itm_head.parameters(), *model.text_proj.parameters()):
            torch.nn.init.normal_(parameter, std=0.5)
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bridgetower_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BridgeTower of four thin blocks a tower, three of them bridged."""
    from transformers import (
        BridgeTowerConfig,
        BridgeTowerForImageAndTextRetrieval,
        BridgeTowerImageProcessor,
        BridgeTowerProcessor,
        RobertaTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("bridgetower")
    letters = [chr(code) for code in range(97, 123)]
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*specials, *letters, *(f"Ġ{x}" for x in letters), "A", "Ġ"]
    merges = [("Ġ", x) for x in letters]
    tokenizer = RobertaTokenizerFast(
        vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges
    )
    config = BridgeTowerConfig(
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        text_config={
            "vocab_size": len(pieces),
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_position_embeddings": 66,
            "initializer_factor": 8.0,
        },
        vision_config={
            "hidden_size": 64,
            "num_hidden_layers": 4,
            "patch_size": 8,
            "image_size": 64,
        },
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(2)
        model = BridgeTowerForImageAndTextRetrieval(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
        visual = model.bridgetower.vision_model.visual  # patches that differ, as real ones do
        torch.nn.init.normal_(visual.embeddings.position_embedding.weight, std=2.0)
        for layer in model.bridgetower.cross_modal_text_layers:
            torch.nn.init.normal_(layer.crossattention.self.value.weight, std=1.0)
    model.save_pretrained(folder)
    BridgeTowerProcessor(BridgeTowerImageProcessor(), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def blip(blip_folder: Path) -> Matcher:
    return load_matcher(str(blip_folder), size=SIDE, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def bridgetower(bridgetower_folder: Path) -> Matcher:
    return load_matcher(str(bridgetower_folder), size=SIDE, device="cpu", dtype="float32")


@pytest.fixture(params=["blip", "bridgetower"])
def matcher(request: pytest.FixtureRequest) -> Matcher:
    """Each kind of matcher."""
    return request.getfixturevalue(request.param)


def find_lively_head(matcher: Matcher, *lists: list[str]) -> int:
    """Return the head, from 1, in which every name of every list is salient: many are dead."""
    from ovseg_ros.segmenters.pnp_ovss.config import SaliencyConfig
    from ovseg_ros.segmenters.pnp_ovss.saliency import salience_maps

    pixels, least = matcher.prepare(two_pictures()), []
    for head in range(1, matcher.heads + 1):
        config = SaliencyConfig(layer=2, head=head, passes=1)
        maps = [m for own in lists for m in salience_maps(matcher, pixels, [own] * 2, config)]
        least.append(min(float(one.amax((1, 2)).min()) for one in maps))
    assert max(least) > 0
    return 1 + int(np.argmax(least))


@pytest.fixture(scope="session")
def lively_head() -> Callable[..., int]:
    return find_lively_head


def two_pictures() -> np.ndarray:
    """Two noisy pictures of coloured quarters, (2, 60, 80, 3) uint8."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 40, (2, 60, 80, 3), dtype=np.uint8)
    pictures[0, :30, :45, 0] += 200
    pictures[0, 30:, 45:, 1] += 200
    pictures[1, 10:40, 20:60, 2] += 200
    return pictures


@pytest.fixture
def images() -> np.ndarray:
    return two_pictures()
