"""transformers behind the protocol of protocol.py. Settings: model (a folder), kind, threads, type (float32 or bfloat16)."""

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from protocol import Generate, serve, settings

SETTINGS = settings()
IS_ENCODER_DECODER = SETTINGS["kind"] == "encoder-decoder"
torch.set_num_threads(SETTINGS["threads"])


def load() -> tuple[Generate, int]:
    kind = AutoModelForSeq2SeqLM if IS_ENCODER_DECODER else AutoModelForCausalLM
    model = kind.from_pretrained(SETTINGS["model"], dtype=getattr(torch, SETTINGS["type"])).eval()

    def generate(sources: list[list[int]], beams: int, new_tokens: int) -> list[int]:
        longest = max(len(source) for source in sources)
        ids = torch.tensor([source + [0] * (longest - len(source)) for source in sources])
        mask = torch.tensor([[1] * len(source) + [0] * (longest - len(source)) for source in sources])
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=mask, num_beams=beams, do_sample=False, min_new_tokens=new_tokens,
                max_new_tokens=new_tokens, pad_token_id=0,
            )
        return [out.shape[1] - (1 if IS_ENCODER_DECODER else longest)] * len(sources)

    return generate, model.config.vocab_size


serve(load)
