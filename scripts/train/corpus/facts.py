"""The fixed questions: greetings, the self-introduction, and small facts."""

from __future__ import annotations

import functools

from .lexicon import data_lines, words


def _variants(side: str) -> list[str]:
    return [part.strip() for part in side.split(" / ")]


@functools.cache
def phrases() -> list[tuple[list[str], list[str]]]:
    """Whole sentences: (Chinese wordings, English wordings); the first of each is the answer."""
    split = (line.split(" => ") for line in data_lines("phrases.txt"))
    return [(_variants(zh), _variants(en)) for zh, en in split]


def _relations(name: str) -> list[tuple[str, str, str, str]]:
    """The rows (zh, zh, en, en) of a relation; `_` stands for a space in the last word."""
    lines = data_lines("pairs.txt")
    body = lines[lines.index(f"[{name}]") + 1]
    rows = []
    for part in body.split(";"):
        first, second, *english = part.split()
        rows.append((first, second, " ".join(english[:-1]), english[-1].replace("_", " ")))
    return rows


def capitals() -> list[tuple[str, str]]:
    """Capitals asked for in both directions and both languages."""
    found = []
    for country, city, en_country, en_city in _relations("capital"):
        named = en_country[0].upper() + en_country[1:]
        found += [
            (f"{country}的首都是哪里？", f"{country}的首都是{city}。"),
            (f"{country}的首都是哪个城市？", f"{country}的首都是{city}。"),
            (f"{country}的首都是什么？", f"{country}的首都是{city}。"),
            (f"{city}是哪个国家的首都？", f"{city}是{country}的首都。"),
            (f"What is the capital of {en_country}?", f"The capital of {en_country} is {en_city}."),
            (f"Which country has {en_city} as its capital?", f"{named}."),
        ]
    return found


def opposites() -> list[tuple[str, str]]:
    """Opposites, asked for from either word."""
    found = []
    for zh, zh_other, en, en_other in _relations("opposite"):
        for one, other, en_one, en_two in ((zh, zh_other, en, en_other), (zh_other, zh, en_other, en)):
            found += [
                (f"{one}的反义词是什么？", f"{one}的反义词是{other}。"),
                (f"“{one}”的反义词是什么？", f"{one}的反义词是{other}。"),
                (f"What is the opposite of {en_one}?", f"The opposite of {en_one} is {en_two}."),
            ]
    return found


def calendar() -> list[tuple[str, str]]:
    """Which day, month or season comes after or before another."""
    found = []
    for name, question in (("weekday", "day"), ("month", "month"), ("season", "season")):
        cycle = words()[name]
        for i, entry in enumerate(cycle):
            after, before = cycle[(i + 1) % len(cycle)], cycle[i - 1]
            asked = {"weekday": "星期几", "month": "几月", "season": "什么季节"}[name]
            subject = entry.en.capitalize()
            found += [
                (f"{entry.zh}之后是{asked}？", f"{entry.zh}之后是{after.zh}。"),
                (f"{entry.zh}后面是{asked}？", f"{entry.zh}之后是{after.zh}。"),
                (f"{entry.zh}之前是{asked}？", f"{entry.zh}之前是{before.zh}。"),
                (f"What {question} comes after {entry.en}?", f"{after.en.capitalize()} comes after {entry.en}."),
                (f"What {question} comes before {entry.en}?", f"{before.en.capitalize()} comes before {entry.en}."),
            ]
            if name == "weekday":
                found += [
                    (f"今天是{entry.zh}，明天是星期几？", f"明天是{after.zh}。"),
                    (f"Today is {subject}. What day is tomorrow?", f"Tomorrow is {after.en}."),
                ]
    return found


def arithmetic() -> list[tuple[str, str]]:
    """Sums and differences up to twenty."""
    found = []
    for a in range(11):
        for b in range(11):
            rows = [("+", "加", "plus", a, b, a + b), ("-", "减", "minus", a + b, b, a)]
            for sign, zh, en, left, right, result in rows:
                found += [
                    (f"{left}{sign}{right}等于几？", str(result)), (f"{left}{sign}{right}=?", str(result)),
                    (f"{left}{sign}{right}等于多少？", str(result)), (f"{left}{zh}{right}等于几？", str(result)),
                    (f"What is {left} {en} {right}?", str(result)), (f"What is {left}{sign}{right}?", str(result)),
                ]
    return found


@functools.cache
def fixed_questions() -> dict[str, list[tuple[str, str]]]:
    """Every fixed question with its answer, by family; NAME is the model's name."""
    talk = []
    for line in data_lines("facts.txt"):
        questions, answer = line.split(" => ")
        talk += [(question, answer) for question in _variants(questions)]
    return {
        "talk": talk, "capitals": capitals(), "opposites": opposites(),
        "calendar": calendar(), "arithmetic": arithmetic(),
    }
