"""Writes tests/data/noise.safetensors: normal noise drawn by PyTorch's CPU generator.

Run: python tests/golden/make_noise.py (needs torch and safetensors). For every seed and size, two consecutive draws of one generator:
`<seed>.<size>.<0 or 1>` holds all values, or for sizes above 4096 the first 64 and the last 64, and `.moments` the mean and the mean
square of all of them in double precision. `<seed>.mixed` is a chain of draws of the sizes 3, 20, 1, 5, 16, 2 from one generator.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

SEEDS = [0, 42, 2**32 + 7, 2**63 + 12345]
SIZES = [1, 5, 15, 16, 17, 100, 32 * 16 * 16, 1000003]
MIXED = [3, 20, 1, 5, 16, 2]
WHOLE = 4096


def generator(seed: int) -> torch.Generator:
    signed = seed if seed < 2**63 else seed - 2**64
    return torch.Generator("cpu").manual_seed(signed)


def main() -> None:
    tensors = {}
    for seed in SEEDS:
        for size in SIZES:
            g = generator(seed)
            for call in range(2):
                values = torch.randn(size, generator=g)
                name = f"{seed}.{size}.{call}"
                tensors[name] = values if size <= WHOLE else torch.cat([values[:64], values[-64:]])
                wide = values.double()
                tensors[f"{name}.moments"] = torch.stack([wide.mean(), (wide * wide).mean()])
        g = generator(seed)
        tensors[f"{seed}.mixed"] = torch.cat([torch.randn(size, generator=g) for size in MIXED])
    save_file(tensors, Path(__file__).parents[1] / "data" / "noise.safetensors")


if __name__ == "__main__":
    main()
