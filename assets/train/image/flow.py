"""Rectified flow: noise levels for training, and the DPM-Solver++ sampler."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FLOW_SHIFT = 3.0
UNIFORM_SHARE = 0.25  # of the training noise levels; the rest is logit-normal


def shift(sigma: Tensor) -> Tensor:
    return FLOW_SHIFT * sigma / (1 + (FLOW_SHIFT - 1) * sigma)


def draw_sigmas(count: int, device: torch.device) -> Tensor:
    """Noise levels for training: mostly shifted logit-normal, the rest uniform for the fine detail."""
    sigma = shift(torch.randn(count, device=device).sigmoid())
    uniform = torch.rand(count, device=device)
    return torch.where(torch.rand(count, device=device) < UNIFORM_SHARE, uniform, sigma).clamp(1e-3, 0.999)


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    sigma = sigma.view(-1, 1, 1, 1)
    return (1 - sigma) * clean + sigma * noise


def sampling_sigmas(steps: int) -> Tensor:
    """The scheduler's descending noise levels, with the final zero."""
    sigmas = 1 - torch.linspace(1, 1 / 1000, steps + 1, dtype=torch.float64)
    return torch.cat([shift(sigmas).flip(0)[:-1], torch.zeros(1, dtype=torch.float64)])


def dpm_solver(velocity: Callable[[Tensor, int], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Second-order multistep DPM-Solver++ on the flow; ``velocity(x, timestep)`` includes guidance."""
    sigmas = sampling_sigmas(steps)
    x, previous = noise.float(), None
    for i in range(steps):
        sigma, target = sigmas[i], sigmas[i + 1]
        clean = x - float(sigma) * velocity(x, int(1000 * sigma))
        if i == steps - 1:
            return clean
        log_snr, log_snr_target = torch.log((1 - sigma) / sigma), torch.log((1 - target) / target)
        h = log_snr_target - log_snr
        estimate = clean
        if previous is not None:
            before = torch.log((1 - sigmas[i - 1]) / sigmas[i - 1])
            estimate = clean + float(0.5 * h / (log_snr - before)) * (clean - previous)
        x = float(target / sigma) * x - float((1 - target) * torch.expm1(-h)) * estimate
        previous = clean
    return x


def guided_sample(
    predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, guidance: float, steps: int = 20
) -> Tensor:
    """``predict`` takes doubled latents (first half unconditional) and their timesteps."""

    def velocity(x: Tensor, timestep: int) -> Tensor:
        doubled = torch.cat([x, x])
        times = torch.full((len(doubled),), float(timestep), device=x.device)
        free, conditioned = predict(doubled, times).float().chunk(2)
        return free + guidance * (conditioned - free)

    return dpm_solver(velocity, noise, steps)
