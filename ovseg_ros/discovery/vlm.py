"""The chat-model baseline: a vision-language model such as LLaVA lists what an image shows."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from ovseg_ros.discovery.config import VlmConfig
from ovseg_ros.language.nouns import NounConfig, support
from ovseg_ros.models.image_chat import ImageChat, load_image_chat
from ovseg_ros.types import Discovery, check_images


class VlmList:
    """Asks a chat model to list the objects and takes the nouns of its list."""

    name = "vlm"

    def __init__(self, chat: ImageChat, nouns: NounConfig, config: VlmConfig) -> None:
        """Combine a loaded model with which nouns become names and what is asked."""
        self.chat = chat
        self.nouns = nouns
        self.config = config
        self.device = str(chat.model.device)

    def discover(self, image: np.ndarray, *, seed: int = 0) -> Discovery:
        """Find the names of one image (H, W, 3) uint8 RGB; see ``Discoverer.discover``.

        The answer is greedy, so that ``seed`` changes nothing.
        """
        image = check_images(np.asarray(image)[None])[0]
        answers = [self.chat.ask(part, self.config.question) for part in views(image, self.config)]
        items = dict.fromkeys(item for answer in answers for item in parse_list(answer))
        found = support([[item] for item in items], self.nouns)
        return Discovery(proposals=found.proposals, captions=tuple(answers))


def views(image: np.ndarray, config: VlmConfig) -> list[np.ndarray]:
    """Return an image (H, W, 3), and its tiles if there are any, row by row.

    A tile's side is a share 3 / (2 tiles + 1) of the image's, so that neighbours overlap by a
    third of it and a thing on the border of one is whole in the other.
    """
    count = config.tiles
    if count == 1:
        return [image]
    spans = []
    for length in image.shape[:2]:
        side = max(1, -(-3 * length // (2 * count + 1)))
        starts = [round(k * (length - side) / (count - 1)) for k in range(count)]
        spans.append([slice(start, start + side) for start in starts])
    return [image, *(image[rows, columns] for rows in spans[0] for columns in spans[1])]


def load_vlm(config: VlmConfig, nouns: NounConfig, *, device: str, dtype: str) -> VlmList:
    """Load a chat model by folder or public name.

    Raises:
        FileNotFoundError: if the weights cannot be had.
        ValueError: if the model has no chat template.
    """
    chat = load_image_chat(config.weights, max_tokens=config.max_tokens, device=device, dtype=dtype)
    return VlmList(chat, nouns, config)


_BULLET = r"^\s*(?:[-*+\u2022\u2023\u25e6]|\(?\d{1,3}[.):]|[a-z][.)])\s+"


def parse_list(answer: str) -> list[str]:
    """Return the items of a list, however a model writes it; repeats once, in order.

    Understood are JSON arrays, bullets, numbered lines, commas, semicolons, "and" before the last
    item, headings ("Objects:"), bold and quotation marks, and remarks after a dash or in brackets.
    Prose gives its clauses, from which the noun extraction takes what it needs.
    """
    text = re.sub(r"```\w*", "", answer).strip()
    array = re.search(r"\[[^\[\]]*\]", text)
    if array:
        try:
            values = json.loads(array.group())
        except ValueError:
            values = array.group().strip("[]").split(",")
        return _distinct(str(value) for value in values)
    items: list[str] = []
    for line in text.splitlines():
        line = re.sub(r"\([^()]*\)|[*_]{2}", "", line)  # remarks in brackets, bold
        item, bullets = re.subn(_BULLET, "", line)
        # A remark follows the colon in "- mug: on the left", the list in "Objects: mug, duck".
        heading = r": .*$" if bullets else r"^[\w\s]{0,60}:(?=\s|$)"
        item = re.sub(heading, "", item)
        item = re.split(r"\s[-\u2013\u2014]\s", item)[0]
        items += re.split(r"[,;.]|\band\b|&", item)
    return _distinct(items)


def _distinct(items: Any) -> list[str]:
    clean = (" ".join(re.sub(r"[*_\"'`]", " ", item).split()).strip(" .:;!?-") for item in items)
    return [item for item in dict.fromkeys(clean) if item]
