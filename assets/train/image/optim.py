"""Optimiser, learning-rate schedule, weight averaging and gradient exchange."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Clock:
    """A training budget in seconds; its progress drives the schedule."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Begin to count now; called after the first step, which compiles."""
        self.start = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start

    @property
    def progress(self) -> float:
        return min(self.elapsed / self.seconds, 1.0)


def learning_rate(peak: float, step: int, progress: float, warmup: int = 200) -> float:
    """Linear warm-up, flat for the first third, then a cosine to zero."""
    decay = max(0.0, progress - 1 / 3) * 1.5
    return peak * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * decay))


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices of a stack [K, R, C], by a quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon:
    """Momentum whose update is orthogonalised, for the weight matrices; scaled to the size of Adam's."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float = 0.95, decay: float = 0.02) -> None:
        self.momentum, self.decay = momentum, decay
        groups: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            groups[tuple(parameter.flatten(1).shape)].append(parameter)
        self.groups = list(groups.items())
        self.buffers = [torch.zeros(len(ps), *shape, device=ps[0].device) for shape, ps in self.groups]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for (shape, parameters), buffer in zip(self.groups, self.buffers):
            gradient = torch.stack([p.grad.flatten(1) for p in parameters])
            buffer.lerp_(gradient, 1 - self.momentum)
            update = orthogonalise(gradient.lerp_(buffer, self.momentum))
            scale = 0.2 * math.sqrt(max(shape))
            torch._foreach_mul_(parameters, 1 - rate * self.decay)
            updates = [u.view_as(p) for u, p in zip(update.float().unbind(), parameters)]
            torch._foreach_add_(parameters, updates, alpha=-rate * scale)


class Optimizer:
    """Muon for the inner weight matrices, AdamW for everything else."""

    def __init__(self, matrices: list[nn.Parameter], others: list[nn.Parameter]) -> None:
        self.muon = Muon(matrices) if matrices else None
        fused = others[0].is_cuda
        self.adam = torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=fused)

    def step(self, rate: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        if self.muon is not None:
            self.muon.step(rate)


class Ema:
    """Exponential moving average of the parameters, kept outside of autograd."""

    def __init__(self, modules: list[nn.Module], decay: float) -> None:
        self.decay = decay
        self.parameters = [p for module in modules for p in module.parameters()]
        self.average = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the parameters and their average."""
        for parameter, average in zip(self.parameters, self.average):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)


class Gradients:
    """All gradients in one buffer: one exchange between the processes, one norm."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.flat = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
        start = 0
        for parameter in parameters:
            parameter.grad = self.flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def clear(self) -> None:
        self.flat.zero_()

    def reduce_and_clip(self, limit: float) -> Tensor:
        if dist.is_initialized():
            dist.all_reduce(self.flat, op=dist.ReduceOp.AVG)
        norm = self.flat.norm()
        self.flat.mul_((limit / (norm + 1e-6)).clamp(max=1.0))
        return norm


def join_processes() -> tuple[torch.device, int, int]:
    """Device, rank and number of processes; one process without a launcher."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0))
    if not torch.cuda.is_available():
        return torch.device("cpu"), rank, world
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl", device_id=device)
    return device, rank, world


class SharedProgress:
    """The first process's progress, so that all follow one schedule; asked for every few steps only."""

    def __init__(self, clock: Clock, device: torch.device, every: int = 8) -> None:
        self.clock, self.device, self.every = clock, device, every
        self.calls, self.value = 0, 0.0

    def __call__(self) -> float:
        if not dist.is_initialized():
            return self.clock.progress
        if self.calls % self.every == 0:
            value = torch.tensor(self.clock.progress, device=self.device)
            dist.broadcast(value, 0)
            self.value = value.item()
        self.calls += 1
        return self.value
