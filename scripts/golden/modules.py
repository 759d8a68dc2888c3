"""Makes test/golden/modules.json: what `print(model)` of PyTorch shows for models of every supported kind.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0
    venv/bin/python scripts/golden/modules.py

No weights are needed: the models are built on the meta device. With the text go the numbers of parameters, shared ones
counted once, as `model.parameters()` counts them.
"""

import json
from pathlib import Path

import torch
from transformers import AutoConfig, Qwen2ForCausalLM, T5ForConditionalGeneration, UMT5ForConditionalGeneration

from real_shapes import CHATLM, QWEN

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CLASSES = {"t5": T5ForConditionalGeneration, "umt5": UMT5ForConditionalGeneration, "qwen2": Qwen2ForCausalLM}

SMALL_T5 = {"model_type": "t5", "vocab_size": 320, "d_model": 64, "d_kv": 16, "d_ff": 96, "num_heads": 3}
SMALL_QWEN = {
    "model_type": "qwen2", "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}
CONFIGS = {
    "chatlm": CHATLM,
    "qwen2.5-0.5b": QWEN,
    "nano-chatlm": json.loads((REPOSITORY / "models/nano-chatlm/config.json").read_text("utf-8")),
    "nano-qwen": json.loads((REPOSITORY / "models/nano-qwen/config.json").read_text("utf-8")),
    "t5-gated-gelu-untied": {
        **SMALL_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_layers": 2,
        "num_decoder_layers": 4, "dropout_rate": 0.0,
    },
    "t5-gelu-one-layer": {**SMALL_T5, "feed_forward_proj": "gelu", "num_layers": 1, "dropout_rate": 0.25},
    "umt5": {**SMALL_T5, "model_type": "umt5", "feed_forward_proj": "gated-silu", "num_layers": 3},
    "qwen2-padding-untied": {**SMALL_QWEN, "pad_token_id": 7, "rms_norm_eps": 1e-5, "tie_word_embeddings": False},
    "qwen2-wide-heads": {**SMALL_QWEN, "head_dim": 32, "rms_norm_eps": 0.001, "num_hidden_layers": 2},
}


def describe(config: dict) -> dict:
    kind = config["model_type"]
    fields = {name: value for name, value in config.items() if name != "model_type"}
    with torch.device("meta"):
        model = CLASSES[kind](AutoConfig.for_model(kind, **fields))
    return {"config": config, "text": repr(model), "parameters": sum(p.numel() for p in model.parameters())}


def main() -> None:
    cases = {name: describe(config) for name, config in CONFIGS.items()}
    output = REPOSITORY / "test" / "golden" / "modules.json"
    output.write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
