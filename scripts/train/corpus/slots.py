"""Fills the slots of a template: `{item}`, `{item:one}`, `{subj2:poss}`, `[like]` ...

A slot's name is a category of the word list or one of UNIONS, with a digit where a
template holds two of a kind. The forms are, for Chinese, `one` (一本书) and `mw` (本);
for English `a` (a book), `s` (books), `gen` (books, but rice), `ing`, `past`, `s` for
the verb of the subject, and `poss` (my, Tom's).
"""

from __future__ import annotations

import functools
import random
import re

from . import english
from .lexicon import MASS, Entry, subjects, words

UNIONS = {
    "item": "thing device kitchen tool clothing instrument",
    "living": "animal insect",
    "noun": "thing device kitchen tool clothing instrument furniture vehicle animal nature fruit insect",
    "eatable": "fruit vegetable food",
    "likeable": "fruit vegetable food drink animal sport subject",
    "location": "place room",
    "surface": "furniture",
}
RIDES = {"汽车", "公共汽车", "出租车", "火车", "船", "轮船", "飞机", "地铁", "电车", "面包车", "直升机"}
SLOT = re.compile(r"\{([a-z]+)(\d?)(?::(\w+))?\}|\[([a-z]+)\]")
# Mark between the pieces of a rendered sentence; the tokenizer trainer splits there.
BOUNDARY = "\x1f"


def _clock(hour: int, minute: int) -> Entry:
    spoken = "两" if hour == 2 else english.chinese_number(hour)
    tail = ("零五" if minute == 5 else english.chinese_number(minute)) + "分"
    return Entry("clock", f"{spoken}点{tail}", f"{hour}:{minute:02d}")


def _counted(values: range) -> list[Entry]:
    return [
        Entry("num", "两" if n == 2 else english.chinese_number(n), english.number_words(n)) for n in values
    ]


@functools.cache
def choices(name: str) -> list[Entry]:
    """The entries a slot can hold."""
    who = subjects()
    computed = {
        # Pronouns appear several times: everyday sentences use them most.
        "subj": lambda: who["pronoun"] * 12 + who["name"] * 2 + who["kin"],
        "single": lambda: [e for e in who["pronoun"] if e.zh[-1] != "们"] * 14 + who["name"] * 2 + who["kin"],
        "third": lambda: [e for e in who["pronoun"] if e.person == "third"] * 12 + who["name"] * 2 + who["kin"],
        "num": lambda: _counted(range(2, 11)),
        "hour": lambda: _counted(range(1, 13)),
        "age": lambda: [Entry("age", english.chinese_number(n), english.number_words(n)) for n in range(2, 100)],
        "number": lambda: [Entry(str(n), english.chinese_number(n), english.number_words(n)) for n in range(3, 101)],
        "digits": lambda: [Entry("digits", str(n), str(n)) for n in range(3, 101)],
        "price": lambda: [Entry("price", str(n), str(n)) for n in range(2, 101)],
        "day": lambda: [Entry("day", english.chinese_number(n), str(n)) for n in range(1, 32)],
        "year": lambda: [Entry("year", str(n), str(n)) for n in range(1990, 2031)],
        "clock": lambda: [_clock(h, m) for h in range(1, 13) for m in range(5, 60, 5)],
        "ride": lambda: [e for e in words()["vehicle"] if e.zh in RIDES],
    }
    if name in computed:
        return computed[name]()
    return [entry for part in UNIONS.get(name, name).split() for entry in words()[part]]


def slot_names(*patterns: str) -> list[str]:
    """The distinct slots of a template, numbered ones apart."""
    found = [m.group(1) + m.group(2) for p in patterns for m in SLOT.finditer(p) if m.group(1)]
    return list(dict.fromkeys(found))


def _impossible(filled: dict[str, Entry]) -> bool:
    """Whether the slots name a day which its month does not have."""
    if "month" not in filled or "day" not in filled:
        return False
    month = words()["month"].index(filled["month"]) + 1
    return int(filled["day"].en) > (29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31)


def fill(names: list[str], rng: random.Random) -> dict[str, Entry]:
    """Draws an entry for every slot; two slots of a kind differ."""
    filled: dict[str, Entry] = {}
    for name in names:
        pool = choices(name.rstrip("0123456789"))
        filled[name] = rng.choice(pool)
        while _impossible(filled) or any(filled[name].zh == filled[other].zh for other in filled if other != name):
            filled[name] = rng.choice(pool)
    return filled


def _number_form(entry: Entry, form: str) -> str:
    value = int(entry.zh) if entry.zh.isdigit() else int(entry.category)
    if form == "next":
        return str(value + 1)
    if form == "digits":
        return str(value)
    return english.chinese_number(value) if form == "zh" else english.number_words(value)


def _form(entry: Entry, form: str | None, language: str, person: str) -> str:
    if form in ("next", "digits", "zh", "en"):
        return _number_form(entry, form)
    if language == "zh":
        if form == "one":
            return f"一{entry.measure}{BOUNDARY}{entry.zh}"
        return entry.measure if form == "mw" else entry.zh
    if form == "a":
        return f"a {entry.en}"
    if form == "poss":
        return entry.en_possessive
    if form == "gen":
        return entry.en if entry.category in MASS else entry.plural
    if entry.category == "action" and form:
        forms = {"ing": english.gerund, "past": english.past, "s": lambda v: english.conjugate(v, person)}
        return forms[form](entry.en)
    return entry.plural if form == "s" else entry.en


def render(pattern: str, filled: dict[str, Entry], language: str) -> str:
    """The sentence of a pattern, with BOUNDARY between its pieces."""
    actor = next((e for n, e in filled.items() if n in ("subj", "single", "third", "name")), None)
    person = actor.person if actor else "third"

    def piece(match: re.Match) -> str:
        if match.group(4):
            return BOUNDARY + english.conjugate(match.group(4), person) + BOUNDARY
        entry = filled[match.group(1) + match.group(2)]
        return BOUNDARY + _form(entry, match.group(3), language, person) + BOUNDARY

    text = SLOT.sub(piece, pattern)
    if language == "zh":
        return text.replace(f"不{BOUNDARY}有", f"没有{BOUNDARY}")
    plain = english.fix_articles(text.replace(BOUNDARY, ""))
    return plain[0].upper() + plain[1:] if plain[-1] in ".?!" else plain
