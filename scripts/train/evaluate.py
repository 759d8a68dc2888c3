"""Exact match of a model folder on the held-out list, greedy, as transformers loads it.

    python evaluate.py ../../models/nano-chatlm --show 20
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

HELD_OUT = Path(__file__).parent / "heldout.jsonl"


def load(folder: Path):
    """(model, tokenizer) of a folder, with its stored 16-bit weights computed in 32 bits."""
    seq2seq = AutoConfig.from_pretrained(folder).is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right" if seq2seq else "left")
    return kind.from_pretrained(folder, dtype=torch.float32).eval(), tokenizer


def wrapped(prompt: str, tokenizer) -> str:
    """A prompt as the model expects it: in its chat format, where it has one."""
    if not tokenizer.chat_template:
        return prompt
    message = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)


@torch.inference_mode()
def answers(model, tokenizer, prompts: list[str]) -> list[str]:
    """The greedy answers, in the order of the prompts."""
    batch = tokenizer([wrapped(p, tokenizer) for p in prompts], return_tensors="pt", padding=True)
    made = model.generate(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False, num_beams=1
    )
    if not model.config.is_encoder_decoder:
        made = made[:, batch["input_ids"].shape[1]:]
    return tokenizer.batch_decode(made, skip_special_tokens=True)


def score(model, tokenizer, pairs: list[dict], batch: int, show: int) -> dict[str, list[bool]]:
    """Right or wrong for each pair, by kind; prints the first wrong ones."""
    results: dict[str, list[bool]] = defaultdict(list)
    for at in range(0, len(pairs), batch):
        part = pairs[at:at + batch]
        for pair, answer in zip(part, answers(model, tokenizer, [p["prompt"] for p in part])):
            right = answer == pair["answer"]
            results[pair["kind"]].append(right)
            if not right and show > 0:
                show -= 1
                print(f"{pair['id']}: {pair['prompt']!r}\n    wanted {pair['answer']!r}\n    got    {answer!r}")
    return results


def main() -> None:
    """Prints the score of each kind and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", type=Path, default=HELD_OUT)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--show", type=int, default=0, help="how many wrong answers to print")
    parser.add_argument("--ask", nargs="*", help="answer these prompts instead")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(args.folder)
    for prompt in args.ask or []:
        print(f"{prompt} -> {answers(model, tokenizer, [prompt])[0]}")
    if args.ask:
        return
    pairs = [json.loads(line) for line in args.list.read_text(encoding="utf-8").splitlines()]
    begun = time.time()
    results = score(model, tokenizer, pairs, args.batch, args.show)
    results["all"] = [right for kind in list(results) for right in results[kind]]
    for kind, rights in results.items():
        print(f"{kind:8s} {sum(rights):5d} of {len(rights):5d}  {100 * sum(rights) / len(rights):6.2f} %")
    print(f"{time.time() - begun:.0f} seconds")


if __name__ == "__main__":
    main()
