"""CTranslate2 behind the protocol of protocol.py. Settings: model (a converted folder), kind, threads, parallel, batchSize."""

import json
from pathlib import Path

import ctranslate2

from protocol import Generate, serve, settings

SETTINGS = settings()
FOLDER = Path(SETTINGS["model"])
DEVICE = {
    "device": "cpu",
    "compute_type": SETTINGS["type"],
    "intra_threads": SETTINGS["threads"],
    "inter_threads": SETTINGS.get("parallel", 1),
}


def vocabulary() -> list[str]:
    name = "shared_vocabulary.json" if SETTINGS["kind"] == "encoder-decoder" else "vocabulary.json"
    return json.loads((FOLDER / name).read_text())


def load() -> tuple[Generate, int]:
    tokens = vocabulary()
    batch = SETTINGS.get("batchSize", 0)
    if SETTINGS["kind"] == "encoder-decoder":
        translator = ctranslate2.Translator(str(FOLDER), **DEVICE)

        def translate(sources: list[list[int]], beams: int, new_tokens: int) -> list[int]:
            results = translator.translate_batch(
                [[tokens[i] for i in source] for source in sources], beam_size=beams, max_batch_size=batch,
                min_decoding_length=new_tokens, max_decoding_length=new_tokens, max_input_length=0,
            )
            return [len(result.hypotheses[0]) for result in results]

        return translate, len(tokens)
    generator = ctranslate2.Generator(str(FOLDER), **DEVICE)

    def continue_prompts(prompts: list[list[int]], beams: int, new_tokens: int) -> list[int]:
        results = generator.generate_batch(
            [[tokens[i] for i in prompt] for prompt in prompts], beam_size=beams, max_batch_size=batch,
            min_length=new_tokens, max_length=new_tokens, include_prompt_in_result=False,
        )
        return [len(result.sequences_ids[0]) for result in results]

    return continue_prompts, len(tokens)


serve(load)
