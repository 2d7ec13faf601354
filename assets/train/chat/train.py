"""Train one of the two chat models on one GPU, from a folder that prepare.py wrote.

The learning rate follows the clock, so that training always ends annealed; the weights are written every minute.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import image_language  # noqa: F401  (finds optim)
from optim import Clock, Gradients, Muon, learning_rate

import evaluate
import wkv7
from batches import BatchStream, MASKED
from weights import make, parameter_count, save_parts

PEAK_RATE = {"rwkv7": 2.5e-3, "mamba2": 3e-3}
ADAM_SHARE = 0.5  # of the rate, for what AdamW trains: embeddings, head, vectors and low-rank matrices
LAST_RATE = 0.01
DECAY = 0.1
WATCHED = ("self-dialogue", "star", "personality-chat")


class Optimizer:
    """Muon for the inner weight matrices, AdamW for the rest; only matrices decay."""

    def __init__(self, model: nn.Module) -> None:
        matrices = model.matrices()
        inner = {id(p) for p in matrices}
        outer = [p for p in model.parameters() if id(p) not in inner]
        groups = [
            {"params": [p for p in outer if p.numel() > 10**6], "weight_decay": DECAY},
            {"params": [p for p in outer if p.numel() <= 10**6], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self.muon = Muon(matrices, decay=DECAY)
        self.adam = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=matrices[0].is_cuda)

    def step(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = ADAM_SHARE * rate
        self.adam.step()
        self.muon.step(rate)


def to_device(rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets [B, T]; a masked token is read, and not a target."""
    tokens = torch.from_numpy(rows)
    if device.type == "cuda":
        tokens = tokens.pin_memory()
    tokens = tokens.to(device, non_blocking=True).long()
    plain = torch.where(tokens < 0, MASKED - tokens, tokens)
    return plain[:, :-1], torch.where(tokens < 0, -100, tokens)[:, 1:]


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    with torch.autocast(inputs.device.type, torch.bfloat16):
        logits = model(inputs)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)


def watch(model: nn.Module, plain: nn.Module, tests: evaluate.Tests, seconds: float) -> None:
    """Print held-out perplexities per word, measured on a copy that is not compiled."""
    with torch.no_grad():
        for target, source in zip(plain.parameters(), model.parameters()):
            target.copy_(source)
    figures = evaluate.perplexities(plain, tests, WATCHED, at_most=192)
    print(f"{seconds:.0f} s held out, per word: " + ", ".join(f"{s} {f['per_word']:.2f}" for s, f in figures.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=tuple(PEAK_RATE))
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of training, compilation not counted")
    parser.add_argument("--deadline", type=float, default=1e9, help="seconds from the start of the program at which training ends at the latest")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, help="peak of the learning rate")
    parser.add_argument("--dropout", type=float, default=0.15)
    parser.add_argument("--kernel", type=Path, help="compiled wkv7.cu; built when left out")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--tiny", action="store_true", help="a model for trying the program")
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--watch-every", type=float, default=100, help="seconds")
    parser.add_argument("--save-every", type=float, default=60, help="seconds")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    begin = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    stream = BatchStream(args.prepared, args.batch, args.workers, 1 + args.seed)
    if args.kind == "rwkv7":
        wkv7.prepare_kernel(args.kernel)
    torch.manual_seed(args.seed)
    model = make(args.kind, args.tiny, args.dropout).to(device)
    plain = copy.deepcopy(model).eval()
    print(f"{args.kind}: {parameter_count(model) / 1e6:.2f} M parameters", flush=True)
    gradients = Gradients(list(model.parameters()))
    optimizer = Optimizer(model)
    if device.type == "cuda" and not args.eager:
        torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
        model.compile_layers()
    tests = evaluate.Tests(args.prepared, device)

    peak = args.rate or PEAK_RATE[args.kind]
    clock, step, losses = Clock(args.seconds), 0, []
    since = saved = watched = time.monotonic()
    while step < args.max_steps:
        if step == 3:  # the first steps compile
            if device.type == "cuda":
                torch.cuda.synchronize()
            left = args.deadline - (time.monotonic() - begin)
            clock = Clock(min(args.seconds, left))
            print(f"compiled after {time.monotonic() - begin:.0f} s, training for {clock.seconds:.0f} s", flush=True)
        progress = clock.progress
        if progress >= 1 and step > 3:
            break
        inputs, targets = to_device(next(stream), device)
        gradients.clear()
        loss = loss_of(model, inputs, targets)
        loss.backward()
        gradients.reduce_and_clip(1.0)
        optimizer.step(max(learning_rate(peak, step, progress), peak * LAST_RATE))
        losses.append(loss.detach())
        step += 1
        if step in (1, 2, 3, 10, 30) or step % 100 == 0:
            mean = torch.stack(losses).mean().item()
            now = time.monotonic()
            speed = len(losses) * inputs.numel() / (now - since)
            print(f"{args.kind} {clock.elapsed:.0f} s step {step} loss {mean:.4f} {speed / 1e3:.0f} k tokens/s "
                  f"{step * inputs.numel() / 1e6:.1f} M tokens", flush=True)  # fmt: skip
            losses.clear()
            if now - saved > args.save_every:
                save_parts(model, args.out)
                saved = now
            if now - watched > args.watch_every:
                watch(model, plain, tests, clock.elapsed)
                watched = time.monotonic()
            since = time.monotonic()
    save_parts(model, args.out)
    print(f"{args.kind} done: {step} steps, {step * args.batch * 512 / 1e6:.1f} M tokens", flush=True)
    stream.close()


if __name__ == "__main__":
    main()
