"""Makes the small GGUF files of test/golden/foreign with llama.cpp's own converter, and what transformers says about the
models that they were made of: ids of texts, texts of ids, chats and greedy search.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 sentencepiece==0.2.3 protobuf pyyaml
    venv/bin/python scripts/golden/foreign_gguf.py [--output test/golden/foreign] [--work DIRECTORY]

The converter and the headers come from the source bundle inside node_modules/node-llama-cpp, the library from
@node-llama-cpp/linux-x64; git and a C++ compiler are needed. The models are random and small: a few layers, a hidden size
of 32, and vocabularies of some 480 tokens that are trained here.
"""

import argparse
import io
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import sentencepiece
import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NODE_LLAMA_CPP = REPOSITORY / "node_modules"
NEW_TOKENS = 24
# Two candidates closer than this could change places between two ways of adding up the same floats.
MARGIN = 1e-3
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")

CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "How are you today? I am very well, thank you!",
    "She said that the weather was nice and warm in the morning.",
    "There are 12 months in a year and 7 days in a week.",
    "Where is the train station? It is behind the market.",
    "The cat sat on the mat, and the dog ran after the cat.",
    "I don't think that he's going to be there; they're late.",
    "def add(a, b):\n    return a + b",
    "for i in range(10):\n        print(i)",
    "Once upon a time there was a little house in the wood.",
    "你好，世界。今天天气很好。",
    "谢谢你的帮助。我们明天去北京。",
    "\n\n",
    "    ",
    "one two three four five six seven eight nine ten",
] * 4

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "\n\n\n",
    "\t\ta",
    "The cat is in the house.",
    " The cat is in the house. ",
    "The  cat   is    in     the      house",
    "How are you? I'm well, they're late; he's there, it'll do.",
    "HOW ARE YOU? I'M WELL",
    "a ' b 's c , d . e ! f ?",
    "12 345 6789 3.14 1,000",
    "def add(a, b):\n    return a + b\n\n\n\tx = {}\n",
    "你好，世界。今天天气很好。",
    "谢谢 you 你好 cat 123",
    "日本語とひらがな",
    "Привет, мир",
    "naïve café à la crème",
    "🚀 emoji 👩‍👩‍👧 mixed é́",
    "مرحبا",
    "a\u0000b",
    "\ufeffbom",
    "x\u00a0y\u3000z",
    "<|notatoken|> </x>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!???...,,,;;;:::",
    "e\u0301clair",
]

MESSAGES = [
    [{"role": "user", "content": "Where is the cat?"}],
    [
        {"role": "system", "content": "You are nice."},
        {"role": "user", "content": "How are you today?"},
        {"role": "assistant", "content": "I am very well, thank you!"},
        {"role": "user", "content": "  你好 \n"},
    ],
]

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else 'user' %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
PHI3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def sentencepiece_model(**options) -> bytes:
    """A SentencePiece model with bytes, as the original Llama's."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=out,
        model_type="bpe",
        vocab_size=470,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        character_coverage=0.98,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return out.getvalue()


def byte_level_tokenizer(pattern: str | None, special: list[str], normalizer=None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    split = [] if pattern is None else [pre_tokenizers.Split(Regex(pattern), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*split, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=470, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def added_token(content: str, **flags) -> dict:
    return {"content": content, "special": True, "lstrip": False, "rstrip": False, "normalized": False, **flags}


def save_tokenizer_json(folder: Path, normalizer=None, decoder=None) -> None:
    """Puts a tokenizer.json beside tokenizer.model, as public models have it."""
    tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = None
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.save(str(folder / "tokenizer.json"))


def llama(folder: Path) -> transformers.PretrainedConfig:
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(unk_id=0, bos_id=1, eos_id=2, pad_id=-1))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<unk>",
            "add_bos_token": True,
            "add_eos_token": False,
        },
    )
    save_tokenizer_json(folder)
    return transformers.LlamaConfig(
        vocab_size=470,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )


def qwen3(folder: Path) -> transformers.PretrainedConfig:
    # Qwen's own pattern, from its tokenizer.json.
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    )
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer(pattern, special, normalizers.NFC()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHATML,
    )
    tokenizer.save_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(special)
    return transformers.Qwen3Config(
        vocab_size=len(tokenizer) + 7,  # models are wider than their tokenizers
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=ids[0],
        eos_token_id=[ids[2], ids[0]],
        pad_token_id=ids[0],
    )


def gemma3(folder: Path) -> transformers.PretrainedConfig:
    model = sentencepiece_model(
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        eos_piece="<eos>",
        bos_piece="<bos>",
        unk_piece="<unk>",
        control_symbols=["<start_of_turn>", "<end_of_turn>", "<mask>"],
        add_dummy_prefix=False,
    )
    (folder / "tokenizer.model").write_bytes(model)
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<mask>"]
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GemmaTokenizer",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
            "add_bos_token": True,
            "add_eos_token": False,
            "added_tokens_decoder": {str(i): added_token(name) for i, name in enumerate(names)},
            "chat_template": GEMMA,
        },
    )
    save_tokenizer_json(folder)
    return transformers.Gemma3TextConfig(
        vocab_size=470,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=6,  # every sixth layer looks further back than the window
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=16,
        max_position_embeddings=256,
        bos_token_id=2,
        eos_token_id=[1, 5],
        pad_token_id=0,
    )


def phi3(folder: Path) -> transformers.PretrainedConfig:
    (folder / "tokenizer.model").write_bytes(sentencepiece_model(unk_id=0, bos_id=1, eos_id=2, pad_id=-1))
    stripping = ["<|assistant|>", "<|end|>", "<|system|>", "<|user|>"]
    added = {
        "0": added_token("<unk>"),
        "1": added_token("<s>"),
        "2": added_token("</s>", rstrip=True, special=False),
        "470": added_token("<|endoftext|>"),
        **{str(471 + i): added_token(name, rstrip=True) for i, name in enumerate(stripping)},
    }
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "bos_token": "<s>",
            "eos_token": "<|endoftext|>",
            "unk_token": "<unk>",
            "pad_token": "<|endoftext|>",
            "add_bos_token": False,
            "add_eos_token": False,
            "added_tokens_decoder": added,
            "chat_template": PHI3,
        },
    )
    # The steps of Phi-3's own tokenizer.json: a space before every piece of text, not only before the first.
    save_tokenizer_json(
        folder,
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        decoder=decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        ),
    )
    return transformers.Phi3Config(
        vocab_size=480,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        original_max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=[470, 472, 2],
        pad_token_id=470,
    )


def gpt2(folder: Path) -> transformers.PretrainedConfig:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer(None, ["<|endoftext|>"]),
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    return transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        n_ctx=128,  # an old name for it, which the converter reads
        bos_token_id=end,
        eos_token_id=end,
    )


# What the converter calls the pre-tokenizer (it knows public vocabularies by a hash of the ids that they give to a text; a
# vocabulary of one's own is not among them), and the model's name: llama.cpp knows Phi-3's rules by that.
MODELS = {
    "tiny-llama": (llama, "default", "Llama"),
    "tiny-qwen3": (qwen3, "qwen2", "Qwen3"),
    "tiny-gemma3": (gemma3, "default", "Gemma 3"),
    "tiny-phi-3": (phi3, "default", "Phi-3"),
    "tiny-gpt2": (gpt2, "gpt-2", "GPT-2"),
}


def save_model(config: transformers.PretrainedConfig, folder: Path) -> None:
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    byte_tokens = [token_id for token, token_id in tokenizer.get_vocab().items() if BYTE_TOKEN.fullmatch(token)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Large enough weights that the candidates of a step are far apart; norms that are not all ones.
            if "norm" in name or "ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            else:
                # Gemma reads its embeddings enlarged, and would repeat the last token for ever.
                is_enlarged = config.model_type == "gemma3_text" and "embed_tokens" in name
                parameter.copy_(torch.randn_like(parameter) * (0.02 if is_enlarged else 0.3))
        # Texts rather than single bytes.
        model.get_output_embeddings().weight[byte_tokens] *= 0.1
    model.generation_config.eos_token_id = config.eos_token_id
    model.save_pretrained(folder)


def convert(llama_cpp: Path, folder: Path, output: Path, known_as: list[str]) -> None:
    pre, name = known_as
    program = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/gguf-py']\n"
        "from conversion.base import TextModel\n"
        "pre = sys.argv[2]\n"
        "TextModel.get_vocab_base_pre = lambda self, tokenizer: pre\n"
        "import convert_hf_to_gguf\n"
        "sys.argv = ['convert_hf_to_gguf.py', *sys.argv[3:]]\n"
        "convert_hf_to_gguf.main()\n"
    )
    arguments = [str(folder), "--outfile", str(output), "--outtype", "f32", "--model-name", name]
    subprocess.run([sys.executable, "-c", program, str(llama_cpp), pre, *arguments], check=True)


def compile_llama_tokenize(llama_cpp: Path, program: Path) -> None:
    libraries = next((NODE_LLAMA_CPP / "@node-llama-cpp" / "linux-x64" / "bins").iterdir())
    source = Path(__file__).with_name("llama_tokenize.cpp")
    includes = [f"-I{llama_cpp / 'include'}", f"-I{llama_cpp / 'ggml' / 'include'}"]
    objects = [*libraries.glob("libllama.v*.so"), *libraries.glob("libggml.v*.so"), libraries / "libggml-base.so"]
    subprocess.run(
        ["c++", "-std=c++17", *includes, str(source), "-o", str(program), *map(str, objects), f"-Wl,-rpath,{libraries}"],
        check=True,
    )


def llama_ids(program: Path, gguf: Path, texts: list[str]) -> list[list[int]]:
    encoded = [text.encode() for text in texts]
    data = b"".join(b"%d\n" % len(text) + text for text in encoded)
    lines = subprocess.run([program, gguf], input=data, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
    return [[int(token) for token in line.split()] for line in lines[: len(texts)]]


def tokenizer_cases(tokenizer, texts: list[str]) -> list[dict]:
    cases = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        cases.append(
            {
                "text": text,
                "ids": ids,
                "plain": tokenizer(text, add_special_tokens=False)["input_ids"],
                "decoded": tokenizer.decode(ids),
                "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    return cases


def decode_cases(tokenizer) -> list[dict]:
    """Random ids, without single bytes at first."""
    draw = random.Random(5)
    ids = sorted(tokenizer.get_vocab().values())
    tokens = [i for i in ids if not BYTE_TOKEN.fullmatch(tokenizer.convert_ids_to_tokens(i))]
    lists = [[draw.choice(tokens) for _ in range(12)] for _ in range(30)]
    lists += [[draw.choice(ids) for _ in range(12)] for _ in range(10)]
    return [
        {"ids": ids, "decoded": tokenizer.decode(ids), "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True)}
        for ids in lists
    ]


def chat_cases(tokenizer) -> list[dict]:
    if tokenizer.chat_template is None:
        return []
    cases = []
    for messages in MESSAGES:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        cases.append(
            {"messages": messages, "text": text, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]}
        )
    return cases


def greedy_cases(model, tokenizer, prompts: list[list[int]]) -> list[dict]:
    cases = []
    for ids in prompts:
        out = model.generate(
            torch.tensor([ids]),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            output_scores=True,
            return_dict_in_generate=True,
        )
        new = out.sequences[0, len(ids) :].tolist()
        best = [torch.topk(scores[0], 2).values for scores in out.scores]
        if min(float(pair[0] - pair[1]) for pair in best) < MARGIN:
            continue
        cases.append({"inputIds": ids, "ids": new, "text": tokenizer.decode(new, skip_special_tokens=True)})
    return cases


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=REPOSITORY / "test" / "golden" / "foreign")
    parser.add_argument("--work", type=Path, help="keeps the Hugging Face folders here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        llama_cpp = Path(temporary) / "llama.cpp"
        bundle = NODE_LLAMA_CPP / "node-llama-cpp" / "llama" / "gitRelease.bundle"
        subprocess.run(["git", "clone", "--quiet", bundle, llama_cpp], check=True)
        program = Path(temporary) / "llama_tokenize"
        compile_llama_tokenize(llama_cpp, program)
        options.output.mkdir(parents=True, exist_ok=True)
        for name, (make, *known_as) in MODELS.items():
            folder = work / name
            folder.mkdir(parents=True, exist_ok=True)
            config = make(folder)
            save_model(config, folder)
            gguf = options.output / f"{name}.gguf"
            convert(llama_cpp, folder, gguf, known_as)
            write_golden(folder, gguf, program)


def write_golden(folder: Path, gguf: Path, program: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    special = [token for token in tokenizer.all_special_tokens]
    texts = TEXTS + [f"a {token} b{token}c {token}" for token in special]
    cases = tokenizer_cases(tokenizer, texts)
    chats = chat_cases(tokenizer)
    for case, ids in zip(cases, llama_ids(program, gguf, texts), strict=True):
        case["llama"] = ids
    for case, ids in zip(chats, llama_ids(program, gguf, [case["text"] for case in chats]), strict=True):
        case["llama"] = ids
    prompts = [tokenizer(text)["input_ids"] for text in CORPUS[:12]] + [case["ids"] for case in chats]
    eos = model.generation_config.eos_token_id
    golden = json.dumps(
        {
            "model": folder.name,
            "transformers": transformers.__version__,
            "size": len(tokenizer),
            "specialTokens": {
                name.removesuffix("_token"): str(token) for name, token in tokenizer.special_tokens_map.items()
            },
            "eosTokenIds": eos if isinstance(eos, list) else [eos],
            "maxPositions": model.config.max_position_embeddings,
            "cases": cases,
            "decode": decode_cases(tokenizer),
            "chat": chats,
            "greedy": greedy_cases(model, tokenizer, prompts),
        },
        ensure_ascii=False,
    )
    gguf.with_suffix(".json").write_text(golden + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
