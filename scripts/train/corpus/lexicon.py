"""Reads the word list: one Chinese word, one English word, in categories."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from . import english

DATA = Path(__file__).parent / "data"
# Uncountable English: these stand without article and plural.
MASS = {"food", "drink", "sport", "subject", "language", "colour"}


@dataclass(frozen=True)
class Entry:
    """A word pair; `measure` is the noun's Chinese measure word."""

    category: str
    zh: str
    en: str
    plural: str = ""
    measure: str = "个"
    person: str = "third"
    en_possessive: str = ""
    zh_possessive: str = ""


def data_lines(name: str) -> list[str]:
    """The lines of a data file without comments and blank lines."""
    text = (DATA / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def parse_entry(text: str, category: str, measure: str) -> Entry:
    """`老鼠 mouse/mice@只` -> Entry."""
    zh, _, rest = text.strip().partition(" ")
    rest, _, own_measure = rest.partition("@")
    word, _, irregular = rest.strip().partition("/")
    return Entry(
        category, zh, word, irregular or english.plural(word), own_measure or measure,
        en_possessive=word + "'s", zh_possessive=zh + "的",
    )


@functools.cache
def words() -> dict[str, list[Entry]]:
    """The word list, by category."""
    table: dict[str, list[Entry]] = {}
    category, measure = "", "个"
    for line in data_lines("words.txt"):
        header = re.fullmatch(r"\[(\w+) ?(.*)\]", line)
        if header:
            category, measure = header.group(1), header.group(2) or "个"
            table.setdefault(category, [])
            continue
        table[category] += [parse_entry(part, category, measure) for part in line.split(";") if part.strip()]
    return table


PRONOUNS = [
    ("我", "I", "I", "my"), ("你", "you", "plural", "your"), ("他", "he", "third", "his"),
    ("她", "she", "third", "her"), ("我们", "we", "plural", "our"), ("他们", "they", "plural", "their"),
]
OWNERS = [("我", "my"), ("你", "your"), ("他", "his"), ("她", "her")]


@functools.cache
def subjects() -> dict[str, list[Entry]]:
    """Who acts: pronouns, names, and relatives of the pronouns."""
    pronouns = [
        Entry("pronoun", zh, en, person=person, en_possessive=owner, zh_possessive=zh + "的")
        for zh, en, person, owner in PRONOUNS
    ]
    relatives = [
        Entry("kin", owner_zh + kin.zh, f"{owner_en} {kin.en}", en_possessive=f"{owner_en} {kin.en}'s")
        for owner_zh, owner_en in OWNERS for kin in words()["relative"]
    ]
    return {"pronoun": pronouns, "kin": relatives, "name": words()["name"]}


def check_bijection() -> list[str]:
    """The words which stand for two things, in either direction."""
    faults = []
    for side in ("zh", "en"):
        seen: dict[str, Entry] = {}
        for entry in (entry for entries in words().values() for entry in entries):
            word = getattr(entry, side).lower()
            if word in seen:
                faults.append(f"{word}: {seen[word].category} and {entry.category}")
            seen[word] = entry
    return faults
