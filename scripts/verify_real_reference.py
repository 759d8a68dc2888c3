"""Greedy answers of transformers for scripts/verify-real. Reads {"prompts": […]} on standard input.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0
    venv/bin/python scripts/verify_real_reference.py MODEL_FOLDER NEW_TOKENS < prompts.json
"""

import json
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer


def main() -> None:
    folder, new_tokens = sys.argv[1], int(sys.argv[2])
    prompts = json.load(sys.stdin)["prompts"]
    config = AutoConfig.from_pretrained(folder)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    cases = []
    for prompt in prompts:
        if tokenizer.chat_template:
            messages = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        else:
            text = prompt + ("[EOS]" if "[EOS]" in tokenizer.get_vocab() else "")
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)["input_ids"]
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False,
            output_scores=True, return_dict_in_generate=True,
        )
        first = 1 if config.is_encoder_decoder else ids.shape[1]
        best = [scores[0].topk(2).values for scores in out.scores]
        cases.append({
            "prompt": prompt,
            "inputIds": ids[0].tolist(),
            "ids": out.sequences[0, first:].tolist(),
            "margins": [float(top[0] - top[1]) for top in best],
        })
    json.dump({"chat": bool(tokenizer.chat_template), "cases": cases}, sys.stdout)


if __name__ == "__main__":
    main()
