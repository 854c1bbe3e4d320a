"""Which characters a name may have: all that show something, and joiners where a script needs them.

Two names that look alike would be two ids; a name that shows nothing could not be told from none.
"""

from __future__ import annotations

import re
import unicodedata

_ZWNJ, _ZWJ, _BLACK_FLAG = "\u200c", "\u200d", "\U0001f3f4"

_BLANK = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0"
    "\U00013441\U00013442\U00016fe4\U0001d159]"
)
"""Letters, marks and symbols by their category, without a picture."""

_FLAG_OF_A_REGION = re.compile(
    f"{_BLACK_FLAG}[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f"
)
_STYLE = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors: how the character before them is drawn."""


def unseen(text: str) -> str | None:
    """Return the first character that shows nothing or stands where it means nothing, or None.

    Zero-width joiners are kept between emoji, and joiners and non-joiners after a virama or a
    letter of a joining script (Persian); variation selectors after symbols and ideographs.

    Args:
        text: A name in NFC.
    """
    text = _FLAG_OF_A_REGION.sub(_BLACK_FLAG, text)
    for at, character in enumerate(text):
        before, after = text[:at], text[at + 1 :]
        if character in (_ZWNJ, _ZWJ):
            fine = _joins(character, before, after)
        elif _STYLE.match(character):
            fine = bool(before) and _has_styles(before[-1])
        elif _BLANK.match(character):
            fine = False
        elif unicodedata.category(character).startswith("M"):
            fine = bool(before) and before[-1] != " "
        else:
            fine = character.isprintable() or _is_pictograph(character)
        if not fine:
            return character
    return None


def _joins(joiner: str, before: str, after: str) -> bool:
    if not before or not after or after[0] == " ":
        return False
    if joiner == _ZWJ and _is_pictograph(before.rstrip("\ufe0f")[-1:]):
        return _is_pictograph(after[0])
    if unicodedata.combining(before[-1]) == 9:  # a virama: conjunct or not
        return True
    letter = next((c for c in reversed(before) if unicodedata.category(c) != "Mn"), "")
    return _is_joining(letter) and (joiner == _ZWJ or after[0].isalpha())


def _is_joining(letter: str) -> bool:
    if not letter or not letter.isalpha():
        return False
    right_to_left = unicodedata.bidirectional(letter) in ("AL", "R")
    hebrew = "\u0590" <= letter <= "\u05ff"
    return (right_to_left and not hebrew) or "\u1820" <= letter <= "\u18aa"  # Mongolian


def _is_pictograph(character: str) -> bool:
    """Tell whether this is an emoji, also one that is newer than Python's tables."""
    if not character:
        return False
    reserved = "\U0001f000" <= character <= "\U0001faff"
    return (
        unicodedata.category(character) in ("So", "Sm") or character in "\u203c\u2049" or reserved
    )


def _has_styles(character: str) -> bool:
    if character == "\u2139" or unicodedata.category(character)[0] in "SNP":
        return True
    return unicodedata.name(character, "").startswith(("CJK", "MYANMAR", "PHAGS-PA", "MANICHAEAN"))
