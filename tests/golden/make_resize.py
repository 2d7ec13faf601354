"""Writes tests/data/resize.safetensors: bilinear resampling by torch.nn.functional.interpolate.

Run: python tests/golden/make_resize.py (needs torch and safetensors). `<n>.x` [1, H, W, C] is the input, `<n>.y` [1, h, w, C] the result.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

# (input height, width) -> (output height, width), channels. The long thin ones show how coordinates are rounded far from the origin.
CASES = [
    ((8, 8), (8, 8), 3),
    ((5, 7), (11, 13), 3),
    ((1, 1), (4, 5), 2),
    ((64, 64), (70, 61), 2),
    ((3, 2050), (2, 1777), 1),
    ((1024, 2), (1500, 3), 1),
]


def main() -> None:
    torch.manual_seed(0)
    tensors = {}
    for n, (size, target, channels) in enumerate(CASES):
        x = torch.randn(1, channels, *size)
        y = torch.nn.functional.interpolate(x, size=target, mode="bilinear", align_corners=False)
        tensors[f"{n}.x"] = x.permute(0, 2, 3, 1).contiguous()
        tensors[f"{n}.y"] = y.permute(0, 2, 3, 1).contiguous()
    save_file(tensors, Path(__file__).parents[1] / "data" / "resize.safetensors")


if __name__ == "__main__":
    main()
