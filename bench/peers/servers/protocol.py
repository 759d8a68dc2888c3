"""One request a line, one answer a line: what bench/peers/child-contender.ts speaks.

{"do": "load"}                                    loads the model; {"ms": …}
{"do": "generate", "lengths": [16], "beams": 5, "newTokens": 33}
                                                  generates for one source a length, exactly that many tokens; {"ms": …}
{"do": "memory"}                                  {"bytes": …}, the most that was resident so far
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

Generate = Callable[[list[list[int]], int, int], list[int]]


def settings() -> dict[str, Any]:
    return json.loads(sys.argv[1])


def source_of(length: int, vocabulary_size: int) -> list[int]:
    """The ids that every contender is given: bench/peers/sources.ts has the same function."""
    return [7 + (i * 7919) % (vocabulary_size - 7) for i in range(length)]


def serve(load: Callable[[], tuple[Generate, int]]) -> None:
    """`load` returns a function from sources, beams and new tokens to the number of new tokens of each source."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not look like an answer
    generate: Generate | None = None
    vocabulary_size = 0
    for line in sys.stdin:
        request = json.loads(line)
        begin = time.perf_counter()
        if request["do"] == "load":
            generate, vocabulary_size = load()
        elif request["do"] == "generate" and generate is not None:
            sources = [source_of(length, vocabulary_size) for length in request["lengths"]]
            begin = time.perf_counter()
            counts = generate(sources, request["beams"], request["newTokens"])
            if any(count != request["newTokens"] for count in counts):
                raise ValueError(f"expected {request['newTokens']} new tokens, received {counts}")
        answer = {"ms": (time.perf_counter() - begin) * 1000}
        if request["do"] == "memory":
            unit = 1 if sys.platform == "darwin" else 1024
            answer = {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
