"""Shows, counts and checks the corpus, and writes the held-out list.

    python make_corpus.py --count        # templates and words
    python make_corpus.py --heldout      # writes heldout.jsonl
    python make_corpus.py --check        # the held-out list never meets the training data
    python make_corpus.py --sample 20    # a look at training examples
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

from corpus import facts, prompts, sampler
from corpus.lexicon import check_bijection, words

HELD_OUT = Path(__file__).parent / "heldout.jsonl"
SEED = 20240501
# How many held-out pairs of each kind.
KINDS = {"zh-en": 400, "en-zh": 400, "dates": 160, "numbers": 120, "qa-zh": 220, "qa-en": 160}
NUMBER_QUESTIONS = re.compile(r"\{(digits|number)")


def kind_templates(kind: str) -> list[sampler.Template]:
    """The templates whose held-out pairs bear that kind."""
    sentences, questions = (sampler.templates(f)[0] for f in ("templates.txt", "questions.txt"))
    if kind in ("zh-en", "en-zh"):
        return [t for t in sentences if t.group not in ("dates", "numbers")]
    if kind == "numbers":
        return [t for t in sentences if t.group == kind] + [t for t in questions if NUMBER_QUESTIONS.search(t.left)]
    if kind == "dates":
        return [t for t in sentences if t.group == kind]
    return [t for t in questions if t.group == kind[3:] and not NUMBER_QUESTIONS.search(t.left)]


def draw_pair(kind: str, template: sampler.Template, rng: random.Random) -> dict | None:
    """A pair with a held-out key, or None when this template yields none."""
    question = template.group in ("zh", "en")
    build = sampler.build_question if question else sampler.build_sentence
    for _ in range(400):
        key, left, right = build(template, rng)
        if not sampler.is_held_out(key):
            continue
        left, right = sampler.plain(left), sampler.plain(right)
        if question:
            prompt, answer = prompts.question_prompt(left, rng), right
        else:
            to_english = kind == "zh-en" or (kind != "en-zh" and rng.random() < 0.5)
            source, answer = (left, right) if to_english else (right, left)
            prompt = prompts.translation_prompt(source, to_english, rng)
        return {"prompt": prompt, "answer": answer, "kind": kind, "sides": (left, right)}
    return None


def held_out_pairs() -> list[dict]:
    """The held-out list: the templates in turn, each pair once."""
    rng = random.Random(SEED)
    pairs, used = [], set()
    for kind, wanted in KINDS.items():
        found = idle = 0
        turn = kind_templates(kind)
        while found < wanted and idle < 4 * len(turn):
            pair = draw_pair(kind, turn[(found + idle) % len(turn)], rng)
            if pair is None or pair["sides"] in used:
                idle += 1
                continue
            used.add(pair["sides"])
            found += 1
            pairs.append({"id": f"{kind}-{found:03d}", **pair})
    return pairs


def normalise(text: str) -> str:
    """A text without case, spaces and punctuation, for comparisons."""
    return re.sub(r"[^\w+-]|_", "", text).lower()


def is_translation(prompt: str) -> bool:
    """Whether a prompt asks for a translation."""
    return bool(re.search(r"翻译|怎么说|中译英|英译中|的(英语|中文)是什么|Translate|translate", prompt))


def held_out_lines(pairs: list[dict]) -> str:
    """The text of heldout.jsonl."""
    fields = ("id", "prompt", "answer", "kind")
    return "".join(json.dumps({f: pair[f] for f in fields}, ensure_ascii=False) + "\n" for pair in pairs)


def training_pairs(count: int, seed: int):
    """Training examples as a training run with that seed draws them."""
    rng = random.Random(seed)
    return (sampler.example("NAME", rng) for _ in range(count))


def check(count: int) -> None:
    """Fails where a held-out pair is trained on, or a prompt has two answers."""
    pairs = held_out_pairs()
    if held_out_lines(pairs) != HELD_OUT.read_text(encoding="utf-8"):
        raise SystemExit(f"{HELD_OUT.name} is not what --heldout writes")
    exact = {(normalise(pair["prompt"]), pair["answer"]) for pair in pairs}
    # The answer of a translation names its sentence pair, in whatever wording it was
    # asked for: it must be neither side of a held-out pair.
    sides = {side: pair["id"] for pair in pairs if is_translation(pair["prompt"]) for side in pair["sides"]}
    seen: dict[str, str] = {}
    for prompt, answer in training_pairs(count, 1):
        if (normalise(prompt), answer) in exact or (is_translation(prompt) and answer in sides):
            raise SystemExit(f"held-out pair in the training data: {prompt} -> {answer}")
        if seen.setdefault(normalise(prompt), answer) != answer:
            raise SystemExit(f"two answers: {prompt} -> {answer} / {seen[normalise(prompt)]}")
    if check_bijection():
        raise SystemExit("\n".join(check_bijection()))
    print(f"{count} training examples checked against {len(pairs)} held-out pairs: none meet, one answer each")


def count_corpus() -> dict[str, int]:
    """How much the corpus holds."""
    entries = [entry for group in words().values() for entry in group]
    zh, en = {e.zh for e in entries}, {e.en for e in entries}
    return {
        "sentence templates": len(sampler.templates("templates.txt")[0]),
        "question templates": len(sampler.templates("questions.txt")[0]),
        "whole phrases": len(facts.phrases()),
        "fixed questions": sum(map(len, facts.fixed_questions().values())),
        "prompt wordings": 2 + len(prompts.TO_ENGLISH + prompts.TO_CHINESE)
        + len(prompts.QUOTED_TO_ENGLISH + prompts.QUOTED_TO_CHINESE),
        "Chinese words": len(zh),
        "English words": len(en),
        "distinct words": len(zh | en),
        "held-out pairs": sum(1 for _ in HELD_OUT.open(encoding="utf-8")) if HELD_OUT.exists() else 0,
    }


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--heldout", action="store_true")
    parser.add_argument("--check", nargs="?", type=int, const=500_000, metavar="EXAMPLES")
    parser.add_argument("--sample", type=int)
    args = parser.parse_args()
    if args.heldout:
        HELD_OUT.write_text(held_out_lines(held_out_pairs()), encoding="utf-8")
    if args.check:
        check(args.check)
    if args.sample:
        for prompt, answer in training_pairs(args.sample, SEED):
            print(json.dumps([prompt, answer], ensure_ascii=False))
    if args.count:
        for name, number in count_corpus().items():
            print(f"{number:6d} {name}")


if __name__ == "__main__":
    main()
