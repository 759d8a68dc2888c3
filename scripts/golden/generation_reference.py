"""Makes the expected results of test/golden/generation-nano.test.ts: every search and rule of `generate` on the two
embedded models, in float32 on a CPU.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3
    venv/bin/python scripts/golden/generation_reference.py

Contrastive search left the library with release 5. Its cases are made by the same script under an older release:

    pip install --target older --no-deps transformers==4.46.3 tokenizers==0.20.3 huggingface-hub==0.36.0 requests==2.32.5
    PYTHONPATH=older venv/bin/python scripts/golden/generation_reference.py --contrastive

A case is kept only if small noise on the scores changes nothing: other kernels round otherwise.
"""

import argparse
import json
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NOISE = 3e-5
REPETITIONS = 3

torch.set_num_threads(1)

PROMPTS = {
    "nano-chatlm": [
        "请把下面的话翻译为英语:你好吗?",
        "请把下面的话翻译为英语:火车站在哪里?",
        "请把下面的话翻译为中文:Thank you very much.",
        "我喜欢喝茶，但是今天没有茶。",
        "What is this?",
    ],
    "nano-qwen": ["你是谁?", "中国的首都是哪里?", "What is the capital of France?", "请翻译成英语:他们正在吃烤鸭。", "一加"],
}

# Options under their own names; `rule` names a function that both sides write down.
SEARCHES = [
    {"do_sample": False},
    {"do_sample": False, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    {"do_sample": False, "encoder_repetition_penalty": 1.5, "encoder_no_repeat_ngram_size": 3, "min_new_tokens": 9},
    {"do_sample": False, "rule": "oddIds"},
    {"do_sample": False, "rule": "pushSevens"},
    {"do_sample": False, "rule": "pushSevens", "num_beams": 3, "num_return_sequences": 2},
    {"do_sample": False, "rule": "oddIds", "num_beams": 3},
    {"do_sample": False, "exponential_decay_length_penalty": [4, 1.5], "num_beams": 2},
    {"do_sample": False, "num_beams": 4, "num_return_sequences": 4, "length_penalty": 0.0},
    {"do_sample": False, "num_beams": 4, "num_return_sequences": 3, "length_penalty": -1.5, "early_stopping": "never"},
    {"do_sample": False, "num_beams": 5, "early_stopping": True, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
    {"do_sample": False, "num_beams": 3, "renormalize_logits": True, "suppress_tokens": [20, 21, 22], "min_length": 6},
    {"do_sample": False, "num_beams": 12, "num_return_sequences": 5, "max_new_tokens": 6},
    {"do_sample": True, "seed": 1},
    {"do_sample": True, "seed": 2, "top_k": 0, "temperature": 1.7},
    {"do_sample": True, "seed": 3, "top_k": 0, "top_p": 0.6, "temperature": 2.0, "num_return_sequences": 3},
    {"do_sample": True, "seed": 4, "top_h": 0.5, "temperature": 1.8},
    {"do_sample": True, "seed": 5, "top_h": 0.9, "top_k": 0, "temperature": 2.2},
    {"do_sample": True, "seed": 6, "min_p": 0.02, "temperature": 2.5, "top_k": 0},
    {"do_sample": True, "seed": 7, "typical_p": 0.5, "temperature": 1.5},
    {"do_sample": True, "seed": 8, "epsilon_cutoff": 0.004, "eta_cutoff": 0.01, "temperature": 2.0, "top_k": 0},
    {"do_sample": True, "seed": 9, "top_k": 12, "repetition_penalty": 1.3, "num_return_sequences": 5},
    {"do_sample": True, "seed": 2**40 + 5, "top_k": 30, "temperature": 1.6, "rule": "pushSevens"},
    {"do_sample": True, "seed": 10, "num_beams": 3, "temperature": 1.5, "top_k": 0},
    {"do_sample": True, "seed": 11, "num_beams": 4, "num_return_sequences": 4, "top_k": 40, "temperature": 2.0},
    {"do_sample": True, "seed": 12, "num_beams": 2, "top_p": 0.9, "top_k": 0, "temperature": 1.3, "early_stopping": True},
    {"preset": "sampling", "seed": 13},
    {"preset": "beam", "seed": 14},
    {"preset": "greedy"},
    {"do_sample": False, "min_length": 60, "min_new_tokens": 0},
    {"do_sample": False, "rule": "oneId", "no_repeat_ngram_size": 1, "max_new_tokens": 4},
    {"do_sample": False, "rule": "oneId", "no_repeat_ngram_size": 1, "max_new_tokens": 4, "num_beams": 2},
    {"do_sample": False, "min_length": 60, "remove_invalid_values": True, "exponential_decay_length_penalty": [2, 3.0]},
]
CONTRASTIVE = [
    {"penalty_alpha": 0.6, "top_k": 4},
    {"penalty_alpha": 0.5, "top_k": 50},
    {"penalty_alpha": 0.9, "top_k": 8},
    {"penalty_alpha": 0.3, "top_k": 6, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2},
    {"preset": "contrastive"},
]

# ChatLM's `my_generate`; `max_new_tokens` is cut so that the files stay small.
PRESETS = {
    "greedy": {"do_sample": False},
    "beam": {
        "do_sample": True, "num_beams": 5, "top_k": 50, "top_p": 0.95,
        "no_repeat_ngram_size": 4, "length_penalty": -2.0, "early_stopping": True,
    },
    "sampling": {"do_sample": True, "top_k": 50, "temperature": 0.98, "top_p": 0.8, "no_repeat_ngram_size": 4},
    "contrastive": {"penalty_alpha": 0.5, "top_k": 50},
}  # fmt: skip


class PushSevens(LogitsProcessor):
    """A user's own rule: ids that are multiples of seven lose one, more with every token."""

    def __call__(self, ids, scores):
        scores = scores.clone()
        scores[:, ::7] -= 1 + 0.25 * (ids.shape[1] % 3)
        return scores


class Noise(LogitsProcessor):
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, ids, scores):
        return scores + NOISE * (2 * torch.rand(scores.shape, generator=self.generator) - 1)


def allowed_ids(rule, model):
    if rule == "oddIds":
        # And the end.
        ends = {model.generation_config.eos_token_id} if isinstance(model.generation_config.eos_token_id, int) else set(model.generation_config.eos_token_id)
        return sorted(set(range(1, model.config.vocab_size, 2)) | ends)
    return [800] if rule == "oneId" else None


def generate(model, inputs, case, noise_seed=None):
    options = {key: value for key, value in case.items() if key not in ("rule", "preset", "seed")}
    options = {"max_new_tokens": 14, **options}
    if "preset" in case:
        options = {"remove_invalid_values": True, **PRESETS[case["preset"]], **options}
    processors = [PushSevens()] if case.get("rule") == "pushSevens" else []
    if noise_seed is not None:
        processors.append(Noise(noise_seed))
    if processors:
        options["logits_processor"] = LogitsProcessorList(processors)
    allowed = allowed_ids(case.get("rule"), model)
    if allowed is not None:
        options["prefix_allowed_tokens_fn"] = lambda batch, ids: allowed
    if "seed" in case:
        torch.manual_seed(case["seed"])
    output = model.generate(**inputs, **options, return_dict_in_generate=True, output_scores=True)
    prompt = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    ends = model.generation_config.eos_token_id
    ends = [ends] if isinstance(ends, int) else ends
    texts = []
    for row in output.sequences[:, prompt:].tolist():
        first = next((i for i, token in enumerate(row) if token in ends), len(row) - 1)
        texts.append(row[: first + 1])
    scores = getattr(output, "sequences_scores", None)
    return texts, [None] * len(texts) if scores is None else [round(score, 6) for score in scores.tolist()]


def cases_of(name, searches):
    folder = REPOSITORY / "models" / name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = AutoModelForSeq2SeqLM if name == "nano-chatlm" else AutoModelForCausalLM
    model = kind.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager").eval()
    for number, case in enumerate(searches):
        prompt = PROMPTS[name][(number + number // 5) % 5]
        if name == "nano-chatlm":
            ids = tokenizer(prompt)["input_ids"] + [tokenizer.eos_token_id]
        else:
            text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
        texts, scores = generate(model, inputs, case)
        if any(generate(model, inputs, case, seed)[0] != texts for seed in range(REPETITIONS)):
            print(f"{name} {number}: not stable, left out: {case}")
            continue
        yield {"prompt": prompt, "inputIds": ids, "options": case, "sequences": texts, "scores": scores}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contrastive", action="store_true")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "test/golden")
    arguments = parser.parse_args()
    kind, searches = ("contrastive", CONTRASTIVE * 2) if arguments.contrastive else ("generation", SEARCHES)
    for name in PROMPTS:
        cases = list(cases_of(name, searches))
        result = {"transformers": transformers.__version__, "torch": torch.__version__, "cases": cases}
        lines = json.dumps(result, ensure_ascii=False).replace('{"prompt"', '\n{"prompt"')
        path = arguments.output / f"{kind}-{name}.json"
        path.write_text(lines + "\n", encoding="utf-8")
        print(f"{path}: {len(cases)} of {len(searches)} cases")


if __name__ == "__main__":
    main()
