"""Makes test/golden/quantize/*.json: what llama.cpp's own llama_model_quantize makes of a model, as types and digests.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 \
        sentencepiece==0.2.3 numpy==2.4.6 pyyaml==6.0.3 tqdm==4.70.1 requests==2.34.2
    venv/bin/python scripts/golden/quantize_reference.py LLAMA_CPP_CHECKOUT [--libraries DIR] [--output DIR]

LLAMA_CPP_CHECKOUT is a working tree of llama.cpp at the release that this project loads (v0.5.0; for example
`git clone node_modules/node-llama-cpp/llama/gitRelease.bundle`); its converter makes the f32 files. --libraries is the
folder of the libllama that is asked, by default node-llama-cpp's for Linux x64: the digests are of that build, whose
arithmetic is that of every x64 build, while the compilers of other processors may fuse multiplications and additions.

Two kinds of results: small models whose weights come from the integer hash of test/golden/hash-weights.ts, with a digest
of every tensor in every type (models.json); and shapes of whole models, with the type of every tensor only (types.json).
"""

import argparse
import ctypes
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import convert_reference as reference

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NO_TYPE = 43  # GGML_TYPE_COUNT

# Our names, with llama_ftype and whether all matrices get the one type (`pure`).
PURE = {
    "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q8_0": 7, "q2_k": 10, "q3_k": 11, "q4_k": 14, "q5_k": 16, "q6_k": 18,
    "iq4_nl": 25, "iq4_xs": 30, "mxfp4": 38,
}  # fmt: skip
MIXES = {
    "q2_k_m": 10, "q3_k_s": 11, "q3_k_m": 12, "q3_k_l": 13, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17,
}  # fmt: skip
# From one type to another: blocks of different sizes, a mix, and back to floats.
REQUANTIZED = [("q8_0", "q4_k_m"), ("q4_k_m", "q5_0"), ("mxfp4", "q8_0"), ("q3_k_l", "f16"), ("iq4_xs", "f32")]
FLOATS = {"f32": 0, "f16": 1, "bf16": 32}


class QuantizeParams(ctypes.Structure):
    """llama_model_quantize_params of include/llama.h."""

    _fields_ = [
        ("nthread", ctypes.c_int32),
        ("ftype", ctypes.c_int),
        ("output_tensor_type", ctypes.c_int),
        ("token_embedding_type", ctypes.c_int),
        ("allow_requantize", ctypes.c_bool),
        ("quantize_output_tensor", ctypes.c_bool),
        ("only_copy", ctypes.c_bool),
        ("pure", ctypes.c_bool),
        ("keep_split", ctypes.c_bool),
        ("dry_run", ctypes.c_bool),
        ("imatrix", ctypes.c_void_p),
        ("kv_overrides", ctypes.c_void_p),
        ("tt_overrides", ctypes.c_void_p),
        ("prune_layers", ctypes.c_void_p),
        ("max_buf_size", ctypes.c_size_t),
    ]


class Quantizer:
    def __init__(self, folder: Path):
        for name in ["libggml-base.so", *[path.name for path in folder.glob("libggml.v*.so")]]:
            ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
        (path,) = folder.glob("libllama.v*.so")
        self.llama = ctypes.CDLL(str(path))
        self.llama.llama_model_quantize_default_params.restype = QuantizeParams
        self.silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        self.llama.llama_log_set(self.silent, None)
        self.llama.llama_backend_init()

    def __call__(self, source: Path, target: Path, quantization: str, allow_requantize: bool = False) -> None:
        params = self.llama.llama_model_quantize_default_params()
        assert params.output_tensor_type == NO_TYPE and params.quantize_output_tensor, "another llama_model_quantize_params"
        params.allow_requantize = allow_requantize
        params.pure = quantization in PURE
        params.ftype = {**PURE, **MIXES, **FLOATS}[quantization]
        failed = self.llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
        if failed:
            raise RuntimeError(f"llama_model_quantize refuses {quantization} of {source.name}")


# ---- small models, with digests -------------------------------------------------------------------------------------


def models() -> dict:
    return {
        # Rows of 256 throughout; nine layers, so that the first and last eighth and the thirds between them differ.
        "qwen2-rows-of-256": reference.qwen2(
            "BF16", "byte-level", 1, vocab_size=384, hidden_size=256, intermediate_size=256, num_hidden_layers=9,
            num_attention_heads=4, num_key_value_heads=1, tie_word_embeddings=True, eos_token_id=322,
        ),
        # As in Qwen2.5-0.5B, rows of the width are no multiple of 256, those of the feed-forward are.
        "qwen2-fallbacks-untied": reference.qwen2(
            "F32", "byte-level", 1, vocab_size=330, hidden_size=96, intermediate_size=256, num_hidden_layers=2,
            num_attention_heads=3, num_key_value_heads=3, tie_word_embeddings=False, eos_token_id=322,
        ),
        # Rows of 256, of 96 (no multiple of 256) and of 80 (none of 32 either).
        "t5-fallbacks": reference.t5(
            "F16", "metaspace", d_model=256, d_kv=32, d_ff=80, num_heads=3, num_layers=1, num_decoder_layers=1,
            feed_forward_proj="relu", n_positions=256,
        ),
    }  # fmt: skip


def describe_tensors(gguf, path: Path) -> dict:
    tensors = gguf.GGUFReader(path).tensors
    return {t.name: [t.tensor_type.name.lower(), reference.digest(t.data.tobytes())[:8]] for t in tensors}


def adjust_t5(result: dict, description: dict, config: dict) -> None:
    """Our differences, as in convert_reference.py: the scale in the last norm, and f32 where `wo` would be f16."""
    source = {tensor["name"]: tensor for shard in description["shards"] for tensor in shard["tensors"]}
    for name, entry in result.items():
        stack = "encoder" if name.startswith("enc.") else "decoder"
        if name == "dec.output_norm.weight":
            values = reference.values_of(source["decoder.final_layer_norm.weight"]) * np.float32(config["d_model"] ** -0.5)
        elif name.endswith("ffn_down.weight") and entry[0] == "f16":
            layer = 1 if stack == "encoder" else 2
            values = reference.values_of(source[f"{stack}.block.{name.split('.')[2]}.layer.{layer}.DenseReluDense.wo.weight"])
        else:
            continue
        entry[:] = ["f32", reference.digest(values.astype("<f4").tobytes())[:8]]


def make_models(quantize: Quantizer, checkout: Path) -> dict:
    import gguf

    tokenizers = {name: REPOSITORY / "test/golden/convert/tokenizers" / name for name in reference.TOKENIZERS}
    result = {}
    for name, model in models().items():
        description = reference.describe_folder(model)
        is_t5 = model["config"]["model_type"] == "t5"
        expected, file_types = {}, {}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / name
            folder.mkdir()
            reference.make_folder(folder, description, tokenizers)
            f32, output, again = (Path(temporary) / f"{name}.gguf" for name in ["f32", "quantized", "again"])
            reference.convert(checkout, folder, f32, "f32", True)
            for quantization in [*PURE, *([] if is_t5 else MIXES)]:
                quantize(f32, output, quantization)
                tensors = describe_tensors(gguf, output)
                if is_t5:
                    adjust_t5(tensors, description, model["config"])
                expected[quantization] = tensors
                file_types[quantization] = gguf.GGUFReader(output).fields["general.file_type"].contents()
            requantized = {}
            for first, then in [] if is_t5 else REQUANTIZED:
                quantize(f32, output, first)
                quantize(output, again, then, allow_requantize=True)
                requantized[f"{first} {then}"] = describe_tensors(gguf, again)
        names = sorted(expected["q4_0"])
        lists = lambda results: {key: [" ".join(value[tensor]) for tensor in names] for key, value in results.items()}
        result[name] = {
            "folder": description,
            "fileTypes": file_types,
            "tensors": names,
            "expected": lists(expected),
            "requantized": lists(requantized),
        }
        print(name, file=sys.stderr)
    return result


# ---- shapes of whole models, with types -----------------------------------------------------------------------------


def dense(width: int, feed_forward: int) -> list:
    """Row lengths by name; how many rows there are decides nothing."""
    names = ["attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"]
    rows = [[f"blk.{{}}.{name}.weight", width] for name in names]
    return [
        *rows, ["blk.{}.attn_output.weight", width], ["blk.{}.ffn_down.weight", feed_forward],
        ["blk.{}.attn_norm.weight", 0], ["blk.{}.attn_q.bias", 0],
    ]  # fmt: skip


def experts(width: int, feed_forward: int) -> list:
    kept = [tensor for tensor in dense(width, feed_forward) if "ffn" not in tensor[0]]
    merged = [["blk.{}.ffn_gate_exps.weight", width], ["blk.{}.ffn_up_exps.weight", width], ["blk.{}.ffn_down_exps.weight", feed_forward]]
    shared = [["blk.{}.ffn_down_shexp.weight", feed_forward], ["blk.{}.ffn_gate_inp.weight", width]]
    return [*kept, *merged, *shared]


def shape(architecture: str, layers: int, heads: int, key_value_heads: int, tensors: list, **more) -> dict:
    width = next(length for name, length in tensors if length)
    keys = {
        "context_length": 512, "embedding_length": width, "block_count": layers, "feed_forward_length": 512,
        "attention.head_count": heads, "attention.head_count_kv": key_value_heads,
        "attention.layer_norm_rms_epsilon": 1e-6, "attention.layer_norm_epsilon": 1e-6,
    }  # fmt: skip
    head = more.pop("head", [["token_embd.weight", width], ["output.weight", width]])
    return {"architecture": architecture, "layers": layers, "keys": {**keys, **more}, "tensors": [*head, *tensors]}


def shapes() -> dict:
    tied = [["token_embd.weight", 896]]
    falcon = [
        ["blk.{}.attn_qkv.weight", 512], ["blk.{}.attn_output.weight", 512], ["blk.{}.ffn_up.weight", 512],
        ["blk.{}.ffn_down.weight", 1024],
    ]  # fmt: skip
    return {
        "qwen2.5-0.5b": shape("qwen2", 24, 14, 2, dense(896, 4864), head=tied),
        "qwen2.5-7b": shape("qwen2", 28, 28, 4, dense(3584, 18944)),
        "qwen2.5-72b": shape("qwen2", 80, 64, 8, dense(8192, 29568)),
        "llama-3-8b": shape("llama", 32, 32, 8, dense(4096, 14336)),
        "smollm2-135m": shape("llama", 30, 9, 3, dense(576, 1536), head=[["token_embd.weight", 576]]),
        "llama-65b": shape("llama", 80, 64, 64, dense(8192, 22016)),
        "llama-3-70b": shape("llama", 80, 64, 8, dense(8192, 28672)),
        "mixtral-8x7b": shape("llama", 32, 32, 8, experts(4096, 14336), expert_count=8, expert_used_count=2),
        "qwen1.5-moe": shape("qwen2moe", 24, 16, 16, experts(2048, 1408), expert_count=60, expert_used_count=4),
        "falcon-7b": shape("falcon", 32, 71, 1, falcon),
        "gpt2": shape(
            "gpt2", 12, 12, 12, falcon[:3], head=[["token_embd.weight", 512], ["position_embd.weight", 512]]
        ),
    }  # fmt: skip


def expand(description: dict) -> list:
    """The tensors in the order of the description, a block's once for each layer: names and shapes in ggml's order."""
    tensors = []
    for name, row in description["tensors"]:
        shape = [row, 2, 8] if "_exps" in name else [row, 2] if row else [4]
        for layer in range(description["layers"] if "{}" in name else 1):
            tensors.append((name.replace("{}", str(layer)), shape))
    return tensors


def write_zeros(gguf, path: Path, description: dict) -> None:
    writer = gguf.GGUFWriter(path, description["architecture"])
    for key, value in description["keys"].items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{description['architecture']}.{key}", value)
    for name, shape in expand(description):
        writer.add_tensor(name, np.zeros(shape[::-1], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_types(quantize: Quantizer) -> dict:
    """The types of all tensors as a string, a letter each."""
    import gguf

    legend = {name: chr(ord("a") + i) for i, name in enumerate(["f32", "f16", "bf16", *PURE])}
    result = {}
    for name, description in shapes().items():
        types = {}
        with tempfile.TemporaryDirectory() as temporary:
            f32, output = Path(temporary) / "f32.gguf", Path(temporary) / "quantized.gguf"
            write_zeros(gguf, f32, description)
            for quantization in [*FLOATS, *PURE, *MIXES]:
                quantize(f32, output, quantization)
                found = {tensor.name: tensor.tensor_type.name.lower() for tensor in gguf.GGUFReader(output).tensors}
                types[quantization] = "".join(legend[found[tensor]] for tensor, _ in expand(description))
        result[name] = {**description, "types": types}
        print(name, file=sys.stderr)
    return {"legend": {letter: name for name, letter in legend.items()}, "shapes": result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llama_cpp", type=Path)
    parser.add_argument("--libraries", type=Path, default=REPOSITORY / "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "test/golden/quantize")
    arguments = parser.parse_args()
    sys.path[:0] = [str(arguments.llama_cpp), str(arguments.llama_cpp / "gguf-py")]
    quantize = Quantizer(arguments.libraries)
    arguments.output.mkdir(exist_ok=True)
    for name, result in {"types": make_types(quantize), "models": make_models(quantize, arguments.llama_cpp)}.items():
        (arguments.output / f"{name}.json").write_text(reference.dump(result) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
