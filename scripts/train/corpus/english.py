"""The little English grammar the templates need: plurals, articles, verb forms."""

import re

IRREGULAR_PAST = {
    "read": "read", "write": "wrote", "sing": "sang", "swim": "swam", "run": "ran",
    "sleep": "slept", "do": "did", "go": "went", "take": "took", "ride": "rode",
    "drive": "drove", "feed": "fed", "have": "had", "get": "got", "make": "made",
    "keep": "kept", "tell": "told", "drink": "drank", "fly": "flew", "build": "built",
}
# Verbs which double their last letter before -ing and -ed.
DOUBLING = {"swim", "run", "plan", "chat", "get"}
PRESENT = {"be": "is", "have": "has", "do": "does", "go": "goes", "was": "was"}
PRONOUN_VERBS = {
    "I": {"be": "am", "was": "was"},
    "plural": {"be": "are", "was": "were"},
}
# Words whose first letter misleads: a vowel letter with a consonant sound, or the reverse.
CONSONANT_SOUND = re.compile(r"(uni[^n]|use|euro|one\b)", re.I)
VOWEL_SOUND = re.compile(r"(hour|honest)", re.I)


def plural(noun: str) -> str:
    """The regular plural of a noun's last word."""
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    if re.search(r"(s|x|ch|sh)$", noun):
        return noun + "es"
    if re.search(r"(potato|tomato|mango|mosquito|volcano)$", noun):
        return noun + "es"
    return noun + "s"


def article(word: str) -> str:
    """`a` or `an`, whichever the sound of the next word asks for."""
    vowel = bool(re.match(r"[aeiou]", word, re.I)) and not CONSONANT_SOUND.match(word)
    return "an" if vowel or VOWEL_SOUND.match(word) else "a"


def fix_articles(sentence: str) -> str:
    """Turns every `a` before a vowel sound into `an`."""
    def repair(match: re.Match) -> str:
        chosen = article(match.group(2))
        return (chosen.capitalize() if match.group(1) == "A" else chosen) + " " + match.group(2)

    return re.sub(r"\b([aA]) ([A-Za-z-]+)", repair, sentence)


def third_person(phrase: str) -> str:
    """`read books` -> `reads books`."""
    verb, _, rest = phrase.partition(" ")
    if verb in PRESENT:
        form = PRESENT[verb]
    else:
        form = plural(verb)
    return f"{form} {rest}".strip()


def gerund(phrase: str) -> str:
    """`write letters` -> `writing letters`."""
    verb, _, rest = phrase.partition(" ")
    if verb in DOUBLING:
        form = verb + verb[-1] + "ing"
    elif verb.endswith("e") and not verb.endswith("ee"):
        form = verb[:-1] + "ing"
    else:
        form = verb + "ing"
    return f"{form} {rest}".strip()


def past(phrase: str) -> str:
    """`go home` -> `went home`."""
    verb, _, rest = phrase.partition(" ")
    if verb in IRREGULAR_PAST:
        form = IRREGULAR_PAST[verb]
    elif verb.endswith("e"):
        form = verb + "d"
    elif re.search(r"[^aeiou]y$", verb):
        form = verb[:-1] + "ied"
    else:
        form = verb + "ed"
    return f"{form} {rest}".strip()


def conjugate(verb: str, person: str) -> str:
    """The present of a verb (or the past of `was`) for `I`, `plural` or `third`."""
    if person == "third":
        return third_person(verb)
    return PRONOUN_VERBS[person].get(verb, verb)


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_words(value: int) -> str:
    """The English words of a number below 1000."""
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10] + (f"-{ONES[value % 10]}" if value % 10 else "")
    rest = value % 100
    return f"{ONES[value // 100]} hundred" + (f" {number_words(rest)}" if rest else "")


def chinese_number(value: int) -> str:
    """The Chinese characters of a number below 1000."""
    digits = "零一二三四五六七八九"
    if value < 10:
        return digits[value]
    if value < 20:
        return "十" + (digits[value % 10] if value % 10 else "")
    if value < 100:
        return digits[value // 10] + "十" + (digits[value % 10] if value % 10 else "")
    rest = value % 100
    head = digits[value // 100] + "百"
    if rest == 0:
        return head
    if rest < 10:
        return head + "零" + digits[rest]
    # Inside hundreds ten is spoken "one ten": 一百一十二.
    return head + ("一" if rest < 20 else "") + chinese_number(rest)
