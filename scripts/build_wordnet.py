#!/usr/bin/env python3
"""Rebuild ``ovseg_ros/data/wordnet_nouns.txt.gz`` from WordNet's own dictionary files.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python scripts/build_wordnet.py wordnet/usr/share/wordnet

The result is text, gzipped, in three parts that each end with an empty line:

1. synsets ``offset<TAB>lemma|lemma<TAB>hypernym offsets``, ascending by offset;
2. words ``lemma<TAB>offsets`` in WordNet's order of senses, ascending by lemma;
3. irregular plurals ``plural<TAB>singular``, ascending by plural.

Lemmas are lower case with spaces. Hypernyms include those of instances ("@" and "@i"). The same
input gives the same bytes. WordNet's licence lies beside the result.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from pathlib import Path

DEFAULT_OUTPUT = Path(__file__).resolve().parents[1] / "ovseg_ros/data/wordnet_nouns.txt.gz"


def read_synsets(path: Path) -> Iterator[str]:
    """Yield one line per synset of a ``data.noun`` file."""
    for line in _entries(path):
        fields = line.partition(" | ")[0].split()
        count = int(fields[3], 16)
        lemmas = [_plain(fields[4 + 2 * i]) for i in range(count)]
        start = 5 + 2 * count
        pointers = [fields[i : i + 4] for i in range(start, start + 4 * int(fields[start - 1]), 4)]
        parents = [offset for symbol, offset, pos, _ in pointers if symbol in ("@", "@i")]
        yield f"{int(fields[0])}\t{'|'.join(lemmas)}\t{' '.join(str(int(p)) for p in parents)}"


def read_words(path: Path) -> Iterator[str]:
    """Yield one line per word of an ``index.noun`` file."""
    for line in _entries(path):
        fields = line.split()
        offsets = fields[-int(fields[2]) :]
        yield f"{_plain(fields[0])}\t{' '.join(str(int(offset)) for offset in offsets)}"


def read_plurals(path: Path) -> Iterator[str]:
    """Yield one line per irregular plural of a ``noun.exc`` file."""
    for line in path.read_text(encoding="ascii").splitlines():
        plural, singular = line.split()[:2]
        yield f"{_plain(plural)}\t{_plain(singular)}"


def _entries(path: Path) -> Iterator[str]:
    return (
        line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("  ")
    )


def _plain(lemma: str) -> str:
    return lemma.lower().replace("_", " ")


def main() -> None:
    """Read the dictionary folder named on the command line, write the bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dict", type=Path, help="folder with data.noun, index.noun and noun.exc")
    parser.add_argument("output", type=Path, nargs="?", default=DEFAULT_OUTPUT)
    arguments = parser.parse_args()
    parts = (
        list(read_synsets(arguments.dict / "data.noun")),
        sorted(read_words(arguments.dict / "index.noun"), key=lambda line: line.split("\t")[0]),
        sorted(set(read_plurals(arguments.dict / "noun.exc"))),
    )
    text = "\n".join("\n".join(part) + "\n" for part in parts)
    arguments.output.write_bytes(gzip.compress(text.encode("ascii"), compresslevel=9, mtime=0))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
