"""Times of the reference implementation (diffusers, transformers), for the figures that stand beside Linea's.

    python tests/device/reference_picture.py [--sizes 1024 2048 4096] [--compile] [--json FILE] [--device cpu] [--model FOLDER]

SANA-1.6B, its DC-AE and Gemma-2-2B with random weights of the exact configuration, in bfloat16, or the model in FOLDER: a
denoising step of the guidance pair, decoding, and the text encoder on 300 tokens. Prints the median of several runs in
milliseconds and, on a GPU, the peak of the memory that torch allocated. `linea bench picture --compare` calls it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error"}

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


@torch.inference_mode()
def measure(call: Callable[[], object], runs: int, on_gpu: bool) -> dict[str, float]:
    """Median milliseconds and peak GiB of a call."""
    for _ in range(3 if on_gpu else 1):
        call()
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
    return {"ms": sorted(times)[len(times) // 2], "peak_gib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--model", type=Path, help="model folder of the diffusers layout, in place of random weights")
    parser.add_argument("--no-text", action="store_true", help="without the text encoder")
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.threads:
        torch.set_num_threads(args.threads)
    dtype, on_gpu = getattr(torch, args.dtype), args.device != "cpu"
    figures: dict[str, dict[str, float]] = {}

    def report(name: str, call: Callable[[], object], runs: int = args.runs) -> None:
        try:
            figures[name] = measure(call, runs, on_gpu)
        except torch.OutOfMemoryError:
            figures[name] = {"ms": float("nan"), "peak_gib": float("inf")}
        print(f"{name:32} {figures[name]['ms']:9.2f} ms  {figures[name]['peak_gib']:6.2f} GiB", flush=True)

    def prepare(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
        with torch.device(args.device):
            return make().to(args.device, dtype).eval().requires_grad_(False)

    def part(kind: type, name: str, config: dict[str, object]) -> torch.nn.Module:
        return prepare(lambda: kind.from_pretrained(args.model / name) if args.model else kind(**config))

    transformer = part(SanaTransformer2DModel, "transformer", TRANSFORMER)
    channels, latent_channels = transformer.config.caption_channels, transformer.config.in_channels
    variants = {"": transformer} | ({" compiled": torch.compile(transformer)} if args.compile else {})
    text = torch.randn(2, 300, channels, dtype=dtype, device=args.device)
    mask = torch.ones(2, 300, device=args.device)
    timestep = torch.full((2,), 500.0, device=args.device)
    for size in args.sizes:
        latents = torch.randn(2, latent_channels, size // 32, size // 32, dtype=dtype, device=args.device)
        for suffix, model in variants.items():
            report(f"step {size}{suffix}", lambda: model(latents, encoder_hidden_states=text, timestep=timestep, encoder_attention_mask=mask))
    del transformer, variants

    autoencoder = part(AutoencoderDC, "vae", AUTOENCODER)
    for size in args.sizes:
        latents = torch.randn(1, latent_channels, size // 32, size // 32, dtype=dtype, device=args.device)
        report(f"decode {size}", lambda: autoencoder.decode(latents).sample, max(3, args.runs // 2))
    del autoencoder

    if not args.no_text:
        gemma = prepare(lambda: Gemma2Model.from_pretrained(args.model / "text_encoder") if args.model else Gemma2Model(Gemma2Config(**GEMMA)))
        tokens = torch.randint(0, gemma.config.vocab_size, (1, 300), device=args.device)
        report("text 300 tokens", lambda: gemma(tokens, attention_mask=torch.ones_like(tokens)))
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
