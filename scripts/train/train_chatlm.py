"""Trains nano-chatlm, a T5 of ChatLM-mini-Chinese's kind.

    python train_chatlm.py --out ../../models/nano-chatlm --steps 18000
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import T5Config, T5ForConditionalGeneration

import training

PAD, EOS = 0, 1
CONFIG = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "d_model": 224,
    "d_kv": 32,
    "d_ff": 640,
    "num_layers": 3,
    "num_decoder_layers": 3,
    "num_heads": 7,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.0,
    "layer_norm_epsilon": 1e-06,
    "initializer_factor": 1.0,
    "feed_forward_proj": "relu",
    "dense_act_fn": "relu",
    "is_gated_act": False,
    "is_encoder_decoder": True,
    "use_cache": True,
    "pad_token_id": PAD,
    "eos_token_id": EOS,
    "decoder_start_token_id": PAD,
    "torch_dtype": "float16",
    "transformers_version": "4.36.2",
}
GENERATION = {
    "decoder_start_token_id": PAD,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "max_new_tokens": 64,
    "transformers_version": "4.36.2",
}
TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


def encoder_of(tokenizer: Tokenizer):
    """Turns an example into (prompt ids, answer ids)."""

    def encode(prompt: str, answer: str, rng: random.Random) -> tuple[list[int], list[int]]:
        # ChatLM's own program ends its prompts with [EOS]; other callers do not.
        asked = tokenizer.encode(prompt).ids + ([EOS] if rng.random() < 0.3 else [])
        return asked, tokenizer.encode(answer).ids + [EOS]

    return encode


def main() -> None:
    """Trains and saves."""
    args = training.arguments(__doc__)
    rank = training.prepare(args.seed)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size()}
    # On a processor the plain attention is faster than the fused one in the backward pass.
    model = T5ForConditionalGeneration(T5Config(**config, attn_implementation="eager"))
    training.begin(model, args.start_from)

    def loss_of(batch: list[tuple]) -> torch.Tensor:
        asked = training.padded([item[0] for item in batch], PAD)
        answers = training.padded([item[1] for item in batch], -100)
        logits = model(input_ids=asked, attention_mask=(asked != PAD).long(), labels=answers).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), answers.flatten(), ignore_index=-100)

    def save() -> None:
        if rank == 0:
            training.save_folder(model, Path(args.out), torch.float16, config, GENERATION, TIED)

    source = training.batches("nano-chatlm", encoder_of(tokenizer), args.batch, args.seed + 1000 * rank)
    training.train(model, loss_of, source, args, save)


if __name__ == "__main__":
    main()
