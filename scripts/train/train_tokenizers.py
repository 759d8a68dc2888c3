"""Trains the tokenizers of both models and writes their tokenizer files.

    python train_tokenizers.py --models ../../models
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from segment import word_counts

SEED = 7
EXAMPLES = 400_000
CHATLM_SPECIAL = ["[PAD]", "[EOS]", "[SEP]", "[BOS]", "[CLS]", "[MASK]", "[UNK]"]
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# Every chunk of ChatLM's pre-tokenizer starts with a space. These take back the ones
# nobody would type: beside Chinese, before closing marks, inside numbers and words.
CJK = "㐀-鿿　-〿＀-￯“”‘’…—"
CLEAN_UP = [
    (rf" +(?=[{CJK}])", ""),
    (rf"(?<=[{CJK}]) +", ""),
    (" +(?=[,.!?;:%)])", ""),
    ("(?<=[0-9]) +(?=[0-9])", ""),
    ("(?<=[0-9]:) +(?=[0-9])", ""),
    (" +(?=['’-])", ""),
    ("(?<=[A-Za-z]['-]) +(?=[A-Za-z])", ""),
]


def damped(counts: Counter[str], space: str) -> dict[str, int]:
    """Word counts for the trainer, levelled so that rare words become tokens too."""
    return {word.replace(" ", space): round(count**0.4) + 2 for word, count in counts.items()}


def lines_of(weights: dict[str, int]):
    """The words as often as they weigh, one line a word."""
    return (" ".join([word] * weight) for word, weight in weights.items())


def train_bpe(weights: dict[str, int], size: int, special: list[str], alphabet: list[str]) -> Tokenizer:
    """A BPE model whose merges stay inside the given words."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]" if "[UNK]" in special else None))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(lines_of(weights), trainer)
    return tokenizer


def chatlm_tokenizer(counts: Counter[str], size: int) -> Tokenizer:
    """ChatLM-mini-Chinese's structure, plus a decoder which gives clean text."""
    # In this pre-tokenizer every chunk bears the mark, so English words, digits and
    # punctuation only ever occur with it; Chinese words join in the middle of chunks.
    marked: Counter[str] = Counter()
    for word, count in counts.items():
        bare = word.strip()
        chinese = bare[0] >= "㐀" and bare[0] <= "鿿"
        marked[bare if chinese else " " + bare] += count
    alphabet = sorted({c for word in counts for c in word.strip()} | {chr(c) for c in range(33, 127)} | {"▁"})
    tokenizer = train_bpe(damped(marked, "▁"), size, CHATLM_SPECIAL, alphabet)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("isolated"),
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Metaspace("▁", "always"),
    ])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Metaspace("▁", "always"), decoders.Fuse()]
        + [decoders.Replace(Regex(pattern), content) for pattern, content in CLEAN_UP]
    )
    return tokenizer


def byte_level(word: str) -> str:
    """A word in the alphabet of byte-level BPE."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word)
    return "".join(piece for piece, _ in pieces)


def qwen_tokenizer(counts: Counter[str], size: int) -> Tokenizer:
    """Qwen2's structure: byte-level BPE with its split pattern."""
    spelled = {byte_level(word): weight for word, weight in damped(counts, " ").items()}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = json.loads(train_bpe(spelled, size - len(QWEN_SPECIAL), [], alphabet).to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=trained["vocab"], merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in QWEN_SPECIAL])
    return tokenizer


def added_tokens(tokenizer: Tokenizer, special: list[str]) -> dict:
    """The `added_tokens_decoder` of tokenizer_config.json."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {str(tokenizer.token_to_id(token)): {"content": token, **flags} for token in special}


def write_json(path: Path, value: dict) -> None:
    """Writes a JSON file in the manner of model folders."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def save_chatlm(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the tokenizer files of nano-chatlm."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"eos_token": "[EOS]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    write_json(folder / "special_tokens_map.json", names)
    write_json(folder / "tokenizer_config.json", {
        "added_tokens_decoder": added_tokens(tokenizer, CHATLM_SPECIAL),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
    })


def save_qwen(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the tokenizer files of nano-qwen."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added_tokens(tokenizer, QWEN_SPECIAL),
        "additional_special_tokens": QWEN_SPECIAL[1:],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 1024,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    })


def main() -> None:
    """Trains both tokenizers on the same words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder of the two model folders")
    parser.add_argument("--chatlm-size", type=int, default=4224)
    parser.add_argument("--qwen-size", type=int, default=4480)
    args = parser.parse_args()
    counts = word_counts(EXAMPLES, SEED)
    save_chatlm(chatlm_tokenizer(counts, args.chatlm_size), args.models / "nano-chatlm")
    save_qwen(qwen_tokenizer(counts, args.qwen_size), args.models / "nano-qwen")


if __name__ == "__main__":
    main()
