"""Cuts the corpus into words, so that the tokenizers learn words and not phrases."""

from __future__ import annotations

import functools
import random
import re
from collections import Counter

from corpus import sampler
from corpus.lexicon import data_lines, words

PIECE = re.compile(r"[㐀-鿿]+|[A-Za-z]+|\d|[^\w\s]|_", re.ASCII)
CHINESE = re.compile(r"[㐀-鿿]")


@functools.cache
def known_chinese() -> tuple[frozenset[str], int]:
    """All Chinese words of the lists, and the length of the longest."""
    found = {entry.zh for group in words().values() for entry in group}
    for line in data_lines("function_words.txt"):
        found.update(line.split())
    found = {word for word in found if CHINESE.match(word) and len(word) <= 5}
    return frozenset(found), max(map(len, found))


def cut_chinese(text: str) -> list[str]:
    """The words of a run of Chinese characters: always the longest known one."""
    known, longest = known_chinese()
    cut, at = [], 0
    while at < len(text):
        size = next((n for n in range(longest, 1, -1) if text[at:at + n] in known), 1)
        cut.append(text[at:at + size])
        at += size
    return cut


def word_counts(examples: int, seed: int) -> Counter[str]:
    """How often each word occurs; an English word after a space bears it in front."""
    counts: Counter[str] = Counter()
    rng = random.Random(seed)
    for _ in range(examples):
        for text in sampler.example("nano-chatlm nano-qwen", rng):
            for match in PIECE.finditer(text):
                piece = match.group()
                if CHINESE.match(piece):
                    counts.update(cut_chinese(piece))
                else:
                    spaced = match.start() > 0 and text[match.start() - 1] == " "
                    counts[" " + piece if spaced else piece] += 1
    return counts
