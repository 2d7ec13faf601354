"""Times of the reference implementation (diffusers, transformers) on a GPU, for the figures that stand beside Linea's.

    python tests/device/reference_picture.py [--sizes 1024 2048 4096] [--compile] [--json FILE]

SANA-1.6B, its DC-AE and Gemma-2-2B with random weights of the exact configuration, in bfloat16: a denoising step of the
guidance pair, decoding, and the text encoder on 300 tokens. Prints the median of several runs in milliseconds and the
peak of the memory that torch allocated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderDC, SanaTransformer2DModel
from transformers import Gemma2Config, Gemma2Model

TRANSFORMER = dict(
    in_channels=32, out_channels=32, num_attention_heads=70, attention_head_dim=32, num_layers=20,
    num_cross_attention_heads=20, cross_attention_head_dim=112, cross_attention_dim=2240, caption_channels=2304,
    mlp_ratio=2.5, sample_size=32, patch_size=1, norm_elementwise_affine=False, norm_eps=1e-6,
)  # fmt: skip
BLOCKS = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
AUTOENCODER = dict(
    in_channels=3, latent_channels=32, attention_head_dim=32, encoder_block_types=BLOCKS, decoder_block_types=BLOCKS,
    encoder_block_out_channels=[128, 256, 512, 512, 1024, 1024], decoder_block_out_channels=[128, 256, 512, 512, 1024, 1024],
    encoder_layers_per_block=[2, 2, 2, 3, 3, 3], decoder_layers_per_block=[3] * 6,
    encoder_qkv_multiscales=[[], [], [], [5], [5], [5]], decoder_qkv_multiscales=[[], [], [], [5], [5], [5]],
    upsample_block_type="interpolate", downsample_block_type="Conv", decoder_norm_types="rms_norm",
    decoder_act_fns="silu", scaling_factor=0.41407,
)  # fmt: skip
GEMMA = dict(
    hidden_size=2304, intermediate_size=9216, num_hidden_layers=26, num_attention_heads=8, num_key_value_heads=4,
    head_dim=256, query_pre_attn_scalar=256, vocab_size=256000,
)  # fmt: skip


def on_device(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    with torch.device("cuda"):
        return make().to(torch.bfloat16).eval().requires_grad_(False)


@torch.inference_mode()
def measure(call: Callable[[], object], runs: int) -> dict[str, float]:
    """Median milliseconds and peak GiB of a call."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return {"ms": sorted(times)[len(times) // 2], "peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes a minute")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.manual_seed(0)
    figures: dict[str, dict[str, float]] = {}

    def report(name: str, call: Callable[[], object], runs: int = args.runs) -> None:
        try:
            figures[name] = measure(call, runs)
        except torch.OutOfMemoryError:
            figures[name] = {"ms": float("nan"), "peak_gib": float("inf")}
        print(f"{name:32} {figures[name]['ms']:9.2f} ms  {figures[name]['peak_gib']:6.2f} GiB", flush=True)

    transformer = on_device(lambda: SanaTransformer2DModel(**TRANSFORMER))
    variants = {"": transformer} | ({" compiled": torch.compile(transformer)} if args.compile else {})
    text = torch.randn(2, 300, 2304, dtype=torch.bfloat16, device="cuda")
    mask = torch.ones(2, 300, device="cuda")
    timestep = torch.full((2,), 500.0, device="cuda")
    for size in args.sizes:
        latents = torch.randn(2, 32, size // 32, size // 32, dtype=torch.bfloat16, device="cuda")
        for suffix, model in variants.items():
            report(f"step {size}{suffix}", lambda: model(latents, encoder_hidden_states=text, timestep=timestep, encoder_attention_mask=mask))
    del transformer, variants

    autoencoder = on_device(lambda: AutoencoderDC(**AUTOENCODER))
    for size in args.sizes:
        latents = torch.randn(1, 32, size // 32, size // 32, dtype=torch.bfloat16, device="cuda")
        report(f"decode {size}", lambda: autoencoder.decode(latents).sample, max(3, args.runs // 2))
    del autoencoder

    gemma = on_device(lambda: Gemma2Model(Gemma2Config(**GEMMA)))
    tokens = torch.randint(0, 256000, (1, 300), device="cuda")
    report("Gemma-2-2B, 300 tokens", lambda: gemma(tokens, attention_mask=torch.ones_like(tokens)))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
