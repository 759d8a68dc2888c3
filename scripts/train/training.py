"""What both training programs share: batches, the learning rate, the loop, saving."""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from pathlib import Path
from typing import Callable, Iterator

import torch
import torch.distributed as distributed
from safetensors.torch import load_file, save_file

from corpus import sampler

POOL_BATCHES = 40
POSITION_RATE = 20.0


def arguments(description: str) -> argparse.Namespace:
    """The command line of a training program."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="model folder which already holds the tokenizer")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=1e9, help="decay to zero within this time, even at fewer steps")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--warm-up", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-from", type=Path, help="model folder whose weights to go on from")
    parser.add_argument("--save-every", type=int, default=1000)
    return parser.parse_args()


def prepare(seed: int) -> int:
    """One thread and a fixed seed; the number of this process, where torchrun has started several."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    if "WORLD_SIZE" not in os.environ:
        return 0
    distributed.init_process_group("gloo")
    return distributed.get_rank()


def average(tensors: list[torch.Tensor]) -> None:
    """Gives every process the mean of what all of them hold, in one message."""
    if not distributed.is_initialized():
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(mean.view_as(tensor))


def begin(model: torch.nn.Module, start_from: Path | None) -> None:
    """Takes over the weights of an earlier run, where there is one."""
    if start_from:
        # Tied weights are stored once, so names may be missing, but none may be unknown.
        unknown = model.load_state_dict(load_file(start_from / "model.safetensors"), strict=False).unexpected_keys
        if unknown:
            raise ValueError(f"weights of another model: {unknown}")
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)


def batches(
    name: str, encode: Callable[[str, str, random.Random], tuple], size: int, seed: int
) -> Iterator[list[tuple]]:
    """Endless batches of fresh examples, alike in length inside a batch."""
    rng = random.Random(seed)
    while True:
        pool = [encode(*sampler.example(name, rng), rng) for _ in range(POOL_BATCHES * size)]
        pool.sort(key=lambda item: (len(item[0]) + len(item[1]), rng.random()))
        cut = [pool[at:at + size] for at in range(0, len(pool), size)]
        rng.shuffle(cut)
        yield from cut


def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    """Rows of token ids as one rectangle."""
    width = max(map(len, rows))
    blank = [[filler] * (width - len(row)) for row in rows]
    return torch.tensor([row + b for row, b in zip(rows, blank)])


def rate_factor(step: int, warm_up: int, progress: float) -> float:
    """Linear warm-up, then linear decay to zero as the progress goes from 0 to 1."""
    return min((step + 1) / warm_up, max(0.0, 1.0 - progress))


def optimizer_for(model: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; vectors (norms, biases) are not decayed."""
    # The position bias is added to scores of several units; at the rate of the matrices it would never get there, and a
    # T5 has nothing else to tell the first of two nouns from the second.
    positions = [p for name, p in model.named_parameters() if "relative_attention_bias" in name]
    others = [p for name, p in model.named_parameters() if "relative_attention_bias" not in name]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.01, "scale": 1.0},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0, "scale": 1.0},
        {"params": positions, "weight_decay": 0.0, "scale": POSITION_RATE},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-8, fused=True)


def train(
    model: torch.nn.Module, loss_of: Callable[[list[tuple]], torch.Tensor],
    source: Iterator[list[tuple]], args: argparse.Namespace, save: Callable[[], None],
) -> None:
    """The training loop; saves now and then, and at the end."""
    optimizer = optimizer_for(model, args.rate)
    model.train()
    begun, total, step, progress = time.time(), 0.0, 0, 0.0
    while progress < 1:
        factor = rate_factor(step, args.warm_up, progress)
        for group in optimizer.param_groups:
            group["lr"] = args.rate * factor * group["scale"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(next(source))
        loss.backward()
        average([p.grad for p in model.parameters() if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        total += loss.item()
        elapsed = time.time() - begun
        clock = torch.tensor([max(step / args.steps, elapsed / (60 * args.minutes))])
        average([clock])  # all processes end at the same step
        progress = clock.item()
        if step % 100 == 0:
            print(f"step {step} loss {total / 100:.4f} rate {args.rate * factor:.2e} seconds {elapsed:.0f}", flush=True)
            total = 0.0
        if step % args.save_every == 0 or progress >= 1:
            save()


def save_folder(
    model: torch.nn.Module, folder: Path, dtype: torch.dtype, config: dict, generation: dict, tied: tuple[str, ...]
) -> None:
    """Writes weights in 16 bits and both configurations; the tokenizer is there already."""
    weights = {
        name: tensor.detach().to(dtype).contiguous()
        for name, tensor in model.state_dict().items() if name not in tied
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
