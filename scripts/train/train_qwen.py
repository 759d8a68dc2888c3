"""Trains nano-qwen, a decoder of Qwen2's kind, on chat messages.

    python train_qwen.py --out ../../models/nano-qwen --steps 14000
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import Qwen2Config, Qwen2ForCausalLM

import training

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 256,
    "intermediate_size": 576,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-06,
    "use_cache": True,
    "tie_word_embeddings": True,
    "rope_theta": 1000000.0,
    "sliding_window": 1024,
    "max_window_layers": 4,
    "use_sliding_window": False,
    "attention_dropout": 0.0,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
}
TIED = ("lm_head.weight",)
# The first is the chat template's own, and by far the most frequent.
SYSTEM_MESSAGES = [
    "You are a helpful assistant.", "你是一个有用的助手。", "You are nano-qwen.", "你是nano-qwen。",
    "You are a translator.", "你是一个翻译。", "", "Answer briefly.", "请简短回答。",
]
SYSTEM_SHARES = [60] + [1] * (len(SYSTEM_MESSAGES) - 1)


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of the special tokens, by a short name."""
    return {name: tokenizer.token_to_id(f"<|{name}|>") for name in ("endoftext", "im_start", "im_end")}


def configurations(tokenizer: Tokenizer) -> tuple[dict, dict]:
    """config.json and generation_config.json."""
    ids = special_ids(tokenizer)
    config = {
        **CONFIG, "vocab_size": tokenizer.get_vocab_size(),
        "bos_token_id": ids["endoftext"], "eos_token_id": ids["im_end"], "pad_token_id": ids["endoftext"],
    }
    generation = {
        "bos_token_id": ids["endoftext"], "pad_token_id": ids["endoftext"],
        "eos_token_id": [ids["im_end"], ids["endoftext"]],
        "do_sample": False, "max_new_tokens": 128, "transformers_version": "4.43.1",
    }
    return config, generation


def encoder_of(tokenizer: Tokenizer):
    """Turns an example into (user text and turn marks, answer ids)."""
    end = special_ids(tokenizer)["im_end"]

    def encode(prompt: str, answer: str, rng: random.Random) -> tuple[list[int], list[int]]:
        asked = tokenizer.encode(f"{prompt}<|im_end|>\n<|im_start|>assistant\n").ids
        return asked, tokenizer.encode(answer).ids + [end]

    return encode


def head_ids(tokenizer: Tokenizer, system: str) -> torch.Tensor:
    """What stands before the user's text; without a system message only the user's mark."""
    first = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    return torch.tensor([tokenizer.encode(f"{first}<|im_start|>user\n").ids])


def loss_function(model: Qwen2ForCausalLM, tokenizer: Tokenizer, seed: int):
    """The loss of a batch, counted on the assistant's part only."""
    rng = random.Random(seed)
    heads = [head_ids(tokenizer, system) for system in SYSTEM_MESSAGES]
    filler = special_ids(tokenizer)["endoftext"]

    def loss_of(batch: list[tuple]) -> torch.Tensor:
        # The head is the same for the whole batch: computed once, then shared.
        head = rng.choices(heads, weights=SYSTEM_SHARES)[0]
        cache = model.model(input_ids=head, use_cache=True).past_key_values
        for layer in cache.layers:
            layer.keys = layer.keys.expand(len(batch), -1, -1, -1)
            layer.values = layer.values.expand(len(batch), -1, -1, -1)
        rows = training.padded([asked + answer for asked, answer in batch], filler)
        hidden = model.model(input_ids=rows, past_key_values=cache, use_cache=True).last_hidden_state
        # Position i predicts token i + 1: the answer's first token is predicted by the last mark.
        places = [(n, at) for n, (asked, answer) in enumerate(batch)
                  for at in range(len(asked) - 1, len(asked) + len(answer) - 1)]
        row, column = torch.tensor(places).T
        logits = model.lm_head(hidden[row, column]).float()
        return torch.nn.functional.cross_entropy(logits, rows[row, column + 1])

    return loss_of


def main() -> None:
    """Trains and saves."""
    args = training.arguments(__doc__)
    rank = training.prepare(args.seed)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    config, generation = configurations(tokenizer)
    # On a processor the plain attention is faster than the fused one in the backward pass.
    model = Qwen2ForCausalLM(Qwen2Config(**config, attn_implementation="eager"))
    training.begin(model, args.start_from)

    def save() -> None:
        if rank == 0:
            training.save_folder(model, Path(args.out), torch.bfloat16, config, generation, TIED)

    source = training.batches("nano-qwen", encoder_of(tokenizer), args.batch, args.seed + 1000 * rank)
    training.train(model, loss_function(model, tokenizer, args.seed), source, args, save)


if __name__ == "__main__":
    main()
