"""Wraps a sentence in the words a user would ask with, punctuation variants included."""

from __future__ import annotations

import random
import re

from .lexicon import words

MAIN_TO_ENGLISH = "请把下面的话翻译为英语:"
MAIN_TO_CHINESE = "请把下面的话翻译为中文:"
TO_ENGLISH = [
    "请把下面的话翻译成英语：", "请把下面的话翻译成英文：", "请把下面的话翻译为英文：", "请把下面的句子翻译成英语：",
    "请把下面的句子翻译为英文：", "请将下面的话翻译成英语：", "请将下面的句子翻译成英文：", "把下面的话翻译成英文：",
    "把下面的话翻译成英语：", "请把这句话翻译成英语：", "把这句话翻译成英文：", "请翻译成英语：", "请翻译成英文：",
    "翻译成英语：", "翻译成英文：", "翻译为英语：", "中译英：", "用英语怎么说：", "翻译：", "请翻译：",
    "Translate into English: ", "Translate to English: ", "Please translate into English: ",
    "Translate the following into English: ", "Translate this sentence into English: ",
]
TO_CHINESE = [
    "请把下面的话翻译成中文：", "请把下面的话翻译成汉语：", "请把下面的话翻译为汉语：", "请把下面的句子翻译成中文：",
    "请把下面的句子翻译为中文：", "请将下面的话翻译成中文：", "请将下面的句子翻译成中文：", "把下面的话翻译成中文：",
    "把下面的话翻译为中文：", "请把这句话翻译成中文：", "把这句话翻译成中文：", "请翻译成中文：", "请翻译成汉语：",
    "翻译成中文：", "翻译成汉语：", "翻译为中文：", "英译中：", "用中文怎么说：", "翻译：", "请翻译：",
    "Translate into Chinese: ", "Translate to Chinese: ", "Please translate into Chinese: ",
    "Translate the following into Chinese: ", "Translate this sentence into Chinese: ",
]
QUOTED_TO_ENGLISH = ["“{}”用英语怎么说？", "“{}”的英语是什么？", "请把“{}”翻译成英语。"]
QUOTED_TO_CHINESE = ["“{}”用中文怎么说？", "“{}”的中文是什么？", "请把“{}”翻译成中文。"]
QUESTION_FRAMES = ["请回答：", "问题：", "请问："]
HALF_WIDTH = str.maketrans("，。？！：“”", ",.?!:\"\"")
FULL_WIDTH = str.maketrans(",.?!:", "，。？！：")
END_MARKS = "。？！.?!"
CONTRACTIONS = [
    (r"\b(I) am\b", r"\1'm"), (r"\b(He|She|It|What|Who|Where) is\b", r"\1's"), (r"\b(We|You|They) are\b", r"\1're"),
    (r"\b(do|does|did|is|are|was) not\b", r"\1n't"), (r"\bcannot\b", "can't"), (r"\bwill not\b", "won't"),
    (r"\bLet us\b", "Let's"),
]
KIN = "|".join(entry.zh for entry in words()["relative"])
OTHER_CHINESE = [
    ("是一名", "是一个"), ("是一名", "是"), ("哪里", "哪儿"), ("星期日", "星期天"), ("星期(?=[一二三四五六])", "周"),
    ("正在", "在"), (f"([我你他她])(?={KIN})", r"\1的"), ("(?<=月.)日|(?<=月..)日|(?<=月...)日", "号"),
]


def vary_source(text: str, rng: random.Random) -> str:
    """The sentence as typed by different hands: half-width, no full stop, lower case."""
    draw = rng.random()
    if draw < 0.2:
        text = text.rstrip(END_MARKS)
    elif draw < 0.45:
        text = text.translate(HALF_WIDTH)
    elif draw < 0.48 and not any(c.isdigit() for c in text):
        text = text.translate(FULL_WIDTH)
    if text[:1].isascii() and rng.random() < 0.04 and not text.startswith(("I ", "I'")):
        text = text[0].lower() + text[1:]
    return text


def reword_source(text: str, rng: random.Random) -> str:
    """Now and then another way to say the same: `I'm`, `周一`, `我的爸爸`."""
    if rng.random() > 0.12:
        return text
    rules = CONTRACTIONS if text.isascii() else OTHER_CHINESE
    pattern, other = rng.choice([rule for rule in rules if re.search(rule[0], text)] or [("^$", "")])
    return re.sub(pattern, other, text)


def vary_wording(wording: str, rng: random.Random) -> str:
    """A wording with its colon in either width, with or without a space or new line after."""
    if rng.random() < 0.4:
        wording = wording.replace("：", ":")
    draw = rng.random()
    if draw < 0.06:
        return wording.rstrip() + "\n"
    return wording + " " if draw < 0.12 and not wording.endswith(" ") else wording


def translation_prompt(source: str, to_english: bool, rng: random.Random) -> str:
    """Asks for the translation of a sentence."""
    source = vary_source(reword_source(source, rng), rng)
    draw = rng.random()
    if draw < 0.35:
        return vary_wording((MAIN_TO_ENGLISH if to_english else MAIN_TO_CHINESE), rng) + source
    if draw < 0.42:
        frame = rng.choice(QUOTED_TO_ENGLISH if to_english else QUOTED_TO_CHINESE)
        framed = frame.format(source)
        return framed.translate(HALF_WIDTH) if to_english and rng.random() < 0.4 else framed
    return vary_wording(rng.choice(TO_ENGLISH if to_english else TO_CHINESE), rng) + source


def question_prompt(question: str, rng: random.Random) -> str:
    """Asks a question as it is, seldom with a word before it."""
    question = vary_source(question, rng)
    if rng.random() < 0.06 and not question.isascii():
        return vary_wording(rng.choice(QUESTION_FRAMES), rng) + question
    return question
