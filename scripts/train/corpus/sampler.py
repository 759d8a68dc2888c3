"""Draws training examples and held-out pairs; the two can never meet.

Every sentence pair has a key (its Chinese sentence, or question plus answer). One key
in HELD_OUT_ONE_IN, chosen by its hash, is never trained on, in whatever wording or
direction, and only those keys can become held-out pairs.
"""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass

from . import facts, prompts
from .lexicon import data_lines, words
from .slots import BOUNDARY, choices, fill, render, slot_names

HELD_OUT_ONE_IN = 25
# What an example is made of, with its share of the training data.
SHARES = {"sentence": 0.63, "question": 0.20, "phrase": 0.05, "word": 0.04, "fact": 0.08}
FACT_SHARES = {"talk": 0.4, "capitals": 0.2, "opposites": 0.1, "calendar": 0.1, "arithmetic": 0.2}


@dataclass(frozen=True)
class Template:
    """Two patterns: source and target languages, or question and answer."""

    group: str
    left: str
    right: str
    slots: tuple[str, ...]

    @property
    def weight(self) -> float:
        """More for a template with more words to teach."""
        size = sum(len({e.zh for e in choices(name.rstrip("0123456789"))}) for name in self.slots)
        return 12 + size**0.7


def _load(name: str) -> list[Template]:
    templates, group = [], ""
    for line in data_lines(name):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
            continue
        left, right = line.split(" | ")
        templates.append(Template(group, left, right, tuple(slot_names(left, right))))
    return templates


@functools.cache
def templates(name: str) -> tuple[list[Template], list[float]]:
    """The templates of a file and the running total of their weights."""
    found = _load(name)
    totals, total = [], 0.0
    for template in found:
        total += template.weight
        totals.append(total)
    return found, totals


def is_held_out(key: str) -> bool:
    """Whether a key belongs to the held-out part."""
    plain = key.replace(BOUNDARY, "")
    return int.from_bytes(hashlib.sha256(plain.encode()).digest()[:4], "big") % HELD_OUT_ONE_IN == 0


def draw_template(name: str, rng: random.Random) -> Template:
    """A template by weight."""
    found, totals = templates(name)
    return rng.choices(found, cum_weights=totals)[0]


def build_sentence(template: Template, rng: random.Random) -> tuple[str, str, str]:
    """(key, Chinese, English) of a template with freshly drawn words."""
    filled = fill(list(template.slots), rng)
    zh = render(template.left, filled, "zh")
    return zh, zh, render(template.right, filled, "en")


def build_question(template: Template, rng: random.Random) -> tuple[str, str, str]:
    """(key, question, answer) of a question template."""
    filled = fill(list(template.slots), rng)
    question = render(template.left, filled, template.group)
    answer = render(template.right, filled, template.group)
    return question + answer, question, answer


def plain(text: str) -> str:
    """A rendered sentence without the marks between its pieces."""
    return text.replace(BOUNDARY, "")


def _sentence(rng: random.Random) -> tuple[str, str]:
    while True:
        key, zh, en = build_sentence(draw_template("templates.txt", rng), rng)
        if not is_held_out(key):
            return _either_direction(plain(zh), en, plain(zh), en, rng)


def _either_direction(zh: str, en: str, zh_answer: str, en_answer: str, rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.5:
        return prompts.translation_prompt(zh, True, rng), en_answer
    return prompts.translation_prompt(en, False, rng), zh_answer


def _question(rng: random.Random) -> tuple[str, str]:
    while True:
        key, question, answer = build_question(draw_template("questions.txt", rng), rng)
        if not is_held_out(key):
            return prompts.question_prompt(plain(question), rng), plain(answer)


def _phrase(rng: random.Random) -> tuple[str, str]:
    zh, en = rng.choice(facts.phrases())
    return _either_direction(rng.choice(zh), rng.choice(en), zh[0], en[0], rng)


def _word(rng: random.Random) -> tuple[str, str]:
    entries = words()[rng.choice(list(words()))] if rng.random() < 0.3 else rng.choice(_all_words())
    entry = rng.choice(entries) if isinstance(entries, list) else entries
    return _either_direction(entry.zh, entry.en, entry.zh, entry.en, rng)


@functools.cache
def _all_words() -> list:
    return [entry for entries in words().values() for entry in entries]


def _fact(name: str, rng: random.Random) -> tuple[str, str]:
    family = rng.choices(list(FACT_SHARES), weights=list(FACT_SHARES.values()))[0]
    question, answer = rng.choice(facts.fixed_questions()[family])
    return prompts.question_prompt(question, rng), answer.replace("NAME", name)


def example(name: str, rng: random.Random) -> tuple[str, str]:
    """One training example (prompt, answer) for the model of that name."""
    kind = rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
    if kind == "fact":
        return _fact(name, rng)
    return {"sentence": _sentence, "question": _question, "phrase": _phrase, "word": _word}[kind](rng)
