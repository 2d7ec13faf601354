"""Is Linea in bf16 farther from exact arithmetic than the reference implementation (diffusers, transformers) in bf16 is?

    python tests/device/distance_to_fp64.py LINEA_PROGRAM OUT [--device cuda:0] [--torch-device cuda] [--dtype fp8] [--only NAME]
                                            [--model FOLDER [--size 512]]

For small random models of several forms, with the same bf16 weights everywhere: relative L2 distance to the reference in fp64, of Linea and
of the reference in bf16 on the same device, for
    text           hidden states of the prompt's tokens
    transformer    the velocity of one forward pass, from the text that Linea encoded
    decoder        pixels before rounding, from the latents that Linea made
    picture        everything from the prompt's tokens and the same noise on: latents after the last step, and the picture's pixels
The fp64 reference runs on the CPU; where the code of transformer and decoder turns to f32 (norms, sums of linear attention), it stays in f64.
The text encoder's norms, rotary angles and softmax are f32 there, 1e-7 from f64.
A random model's distance is a draw of roundings, so each part is judged over all models and seeds: Linea's root mean square must be at most
1.05 times the reference's. Status 1 if a part is farther. With --dtype fp8 the figures say what FP8 costs, and nothing is judged; --model
takes a folder of the diffusers layout, such as assets/models/sana-mini, in place of random models. distance_to_fp64.sh brings the libraries
that LINEA_PROGRAM needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "golden"))
os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error"}

import torch
from common import randomize
from diffusers import AutoencoderDC, FlowMatchEulerDiscreteScheduler, SanaTransformer2DModel
from safetensors.torch import load_file
from transformers import Gemma2Config, Gemma2Model

PROMPT, NEGATIVE = "A painting of a Squirrel eating a burger", "blurry, text"
SIDE, STEPS, GUIDANCE, SEEDS = 128, 4, 4.5, (1, 2)
TEXT = dict(vocab_size=4096, hidden_size=256, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            head_dim=64, query_pre_attn_scalar=64, sliding_window=100, max_position_embeddings=2048)  # fmt: skip
TRANSFORMER = dict(in_channels=8, out_channels=8, caption_channels=256, sample_size=32, num_layers=4)
AUTOENCODER = dict(
    in_channels=3, latent_channels=8, attention_head_dim=32, scaling_factor=0.41407,
    encoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"), decoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
    encoder_block_out_channels=(64, 64, 128), decoder_block_out_channels=(64, 64, 128), encoder_layers_per_block=(1, 1, 1),
    decoder_layers_per_block=(2, 2, 2), encoder_qkv_multiscales=((), (), (5,)), decoder_qkv_multiscales=((), (), (5,)),
    upsample_block_type="interpolate", downsample_block_type="Conv", decoder_norm_types="rms_norm", decoder_act_fns="silu",
)  # fmt: skip
MODELS = {
    "heads of 32": dict(num_attention_heads=12, attention_head_dim=32, num_cross_attention_heads=6, cross_attention_head_dim=64,
                        cross_attention_dim=384, interpolation_scale=None),
    "qk norm": dict(num_attention_heads=8, attention_head_dim=32, num_cross_attention_heads=4, cross_attention_head_dim=64,
                    cross_attention_dim=256, interpolation_scale=None, qk_norm="rms_norm_across_heads"),
    "heads of 112": dict(num_attention_heads=14, attention_head_dim=32, num_cross_attention_heads=4, cross_attention_head_dim=112,
                         cross_attention_dim=448, interpolation_scale=1.0),
}  # fmt: skip


@contextlib.contextmanager
def float_keeps_double():
    """Where the reference's code writes .float() or .to(torch.float32), a tensor in f64 stays in f64."""
    plain_float, plain_to = torch.Tensor.float, torch.Tensor.to

    def to(self, *args, **kwargs):
        asked = kwargs.get("dtype", args[0] if args else None)
        return self if self.dtype == torch.float64 and asked is torch.float32 else plain_to(self, *args, **kwargs)

    torch.Tensor.float = lambda self, *args, **kwargs: self if self.dtype == torch.float64 else plain_float(self, *args, **kwargs)
    torch.Tensor.to = to
    try:
        yield
    finally:
        torch.Tensor.float, torch.Tensor.to = plain_float, plain_to


@dataclass
class Parts:
    """The modules of a picture, of one type on one device."""

    text: torch.nn.Module
    transformer: torch.nn.Module
    decoder: torch.nn.Module
    dtype: torch.dtype
    device: str

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Of the real tokens, which do not see those that pad them; the rest is zero."""
        rows = torch.zeros(*ids.shape, self.text.config.hidden_size, dtype=self.dtype, device=self.device)
        for row, tokens, real in zip(rows, ids, mask.bool(), strict=True):
            row[real.to(self.device)] = self.text(tokens[real][None].to(self.device))[0]
        return rows

    def velocity(self, latents: torch.Tensor, time: torch.Tensor, text: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        scaled = time.expand(latents.shape[0]).to(self.device) * self.transformer.config.timestep_scale
        inputs = (latents.to(self.device, self.dtype), text.to(self.device, self.dtype), scaled)
        with float_keeps_double():
            return self.transformer(*inputs, encoder_attention_mask=mask.to(self.device)).sample

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        with float_keeps_double():
            return self.decoder.decode(latents.to(self.device, self.dtype) / self.decoder.config.scaling_factor).sample

    def picture(self, trace: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """As SanaPipeline does it: latents after the last step, and pixels."""
        ids, mask = (torch.cat([trace[f"negative_{name}"], trace[f"prompt_{name}"]]) for name in ("ids", "mask"))
        text, high = self.encode(ids, mask), self.dtype if self.dtype == torch.float64 else torch.float32
        latents = trace["latents_init"].to(self.device, high)
        for time, sigma, after in zip(trace["timesteps"], trace["sigmas"], trace["sigmas"][1:], strict=False):
            negative, positive = self.velocity(torch.cat([latents] * 2), time, text, mask).to(high).chunk(2)
            latents = latents + (after - sigma).to(high) * (negative + GUIDANCE * (positive - negative))
        return latents, self.decode(latents)


def build(name: str, folder: Path, seed: int) -> tuple[Gemma2Model, SanaTransformer2DModel, AutoencoderDC]:
    """Random weights rounded to bf16, in the folder as Linea reads them."""
    torch.manual_seed(seed)
    config = Gemma2Config(**TEXT)
    config._attn_implementation = "eager"  # the one that caps logits
    text = Gemma2Model(config)
    for parameter_name, weight in text.named_parameters():
        weight.data = torch.randn(weight.shape) * (
            0.3 if "norm" in parameter_name else 1.0 if "embed" in parameter_name else weight.shape[-1] ** -0.5)
    transformer, decoder = SanaTransformer2DModel(**TRANSFORMER, **MODELS[name]), AutoencoderDC(**AUTOENCODER)
    randomize(transformer, 100 + seed)
    randomize(decoder, 200 + seed)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    modules = {"text_encoder": text, "transformer": transformer, "vae": decoder}
    for part, module in modules.items():
        module.to(torch.bfloat16).eval().requires_grad_(False).save_pretrained(folder / part)
    scheduler.save_pretrained(folder / "scheduler")
    shutil.copytree(ROOT / "tests" / "data" / "textenc" / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    classes = {part: [type(module).__module__.split(".")[0], type(module).__name__] for part, module in modules.items()}
    index = {"_class_name": "SanaPipeline", "scheduler": ["diffusers", type(scheduler).__name__], **classes}
    (folder / "model_index.json").write_text(json.dumps(index | {"tokenizer": ["transformers", "GemmaTokenizer"]}))
    return text, transformer, decoder


def parts_of(folder: Path, dtype: torch.dtype, device: str) -> Parts:
    text = Gemma2Model.from_pretrained(folder / "text_encoder", attn_implementation="eager")
    modules = (text, SanaTransformer2DModel.from_pretrained(folder / "transformer"), AutoencoderDC.from_pretrained(folder / "vae"))
    return Parts(*(module.to(device, dtype).eval().requires_grad_(False) for module in modules), dtype, device)


@dataclass
class Linea:
    program: str
    device: str
    dtype: str
    side: int
    out: Path

    def run(self, folder: Path, seed: int, options: list[str]) -> dict[str, torch.Tensor]:
        command = [self.program, "generate", PROMPT, "--negative", NEGATIVE, "--model", str(folder), "--device", self.device,
                   "--dtype", self.dtype, "--size", str(self.side), "--bins", "off", "--seed", str(seed), "--scheduler", "euler",
                   "--instruction", "none", "--no-library", "--noise", "cpu", "--trace", str(self.out / "trace"),
                   "-o", str(self.out / "picture.png"), "-q", *options]  # fmt: skip
        subprocess.run(command, check=True)
        return load_file(self.out / "trace" / "trace.safetensors")


def distance(value: torch.Tensor, exact: torch.Tensor) -> float:
    value, exact = value.double().cpu(), exact.double().cpu()
    return ((value - exact).norm() / exact.norm()).item()


@torch.inference_mode()
def compare(program: Linea, folder: Path, seed: int, half: Parts, exact: Parts) -> dict[str, tuple[float, float]]:
    """For each part the distances of Linea and of the reference in bf16."""
    figures = {}

    def figure(name: str, linea: torch.Tensor, call) -> None:
        truth = call(exact)
        figures[name] = (distance(linea, truth), distance(call(half), truth))

    # One step without guidance: the velocity is what moved the latents.
    one = program.run(folder, seed, ["--steps", "1", "--guidance", "1"])
    ids, mask, text = one["prompt_ids"], one["prompt_mask"], one["prompt_embeds"]
    real = mask[0].bool()
    figure("text", text[:, real], lambda parts: parts.encode(ids, mask)[:, real.to(parts.device)])
    moved = (one["latents_001"].double() - one["latents_init"].double()) / (one["sigmas"][1] - one["sigmas"][0]).double()
    # The model sees the latents in its own type.
    seen = one["latents_init"].bfloat16()
    figure("transformer", moved, lambda parts: parts.velocity(seen, one["timesteps"], text, mask))

    trace = program.run(folder, seed, ["--steps", str(STEPS), "--guidance", str(GUIDANCE)])
    latents = trace[f"latents_{STEPS:03d}"]
    figure("decoder", trace["image"], lambda parts: parts.decode(latents))
    for name, linea, reference, truth in zip(
        ("picture: latents", "picture: pixels"), (latents, trace["image"]), half.picture(trace), exact.picture(trace), strict=True):
        figures[name] = (distance(linea, truth), distance(reference, truth))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda:0", help="Linea's")
    parser.add_argument("--torch-device", default="cuda", help="of the reference in bf16")
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp8"], help="Linea's")
    parser.add_argument("--only", help="one of the random models")
    parser.add_argument("--model", type=Path, help="a model folder in place of them")
    parser.add_argument("--size", type=int, default=SIDE, help="side of the pictures")
    args = parser.parse_args()
    program = Linea(args.program, args.device, args.dtype, args.size, args.out)
    all_figures: dict[str, list[tuple[float, float]]] = {}
    print(f"{'model':14} {'seed':>4}  {'part':18} {'Linea':>9} {'reference':>9}  ratio")
    names = [args.model.name] if args.model else [args.only] if args.only else MODELS
    for name in names:
        for seed in SEEDS:
            folder = args.model or args.out / f"{name.replace(' ', '-')}-{seed}"
            if not args.model:
                build(name, folder, seed)
            half, exact = parts_of(folder, torch.bfloat16, args.torch_device), parts_of(folder, torch.float64, "cpu")
            for part, pair in compare(program, folder, seed, half, exact).items():
                all_figures.setdefault(part, []).append(pair)
                print(f"{name:14} {seed:4}  {part:18} {pair[0]:9.2e} {pair[1]:9.2e}  {pair[0] / pair[1]:.2f}", flush=True)
    farther = False
    for part, pairs in all_figures.items():
        linea, reference = (math.sqrt(sum(pair[i] ** 2 for pair in pairs) / len(pairs)) for i in (0, 1))
        verdict = "" if args.dtype == "fp8" else "not farther" if linea <= 1.05 * reference else "FARTHER"
        farther = farther or verdict == "FARTHER"
        print(f"{'all':14} {'':4}  {part:18} {linea:9.2e} {reference:9.2e}  {linea / reference:.2f}  {verdict}")
    (args.out / "distances.json").write_text(json.dumps(all_figures, indent=1) + "\n")
    return 1 if farther else 0


if __name__ == "__main__":
    sys.exit(main())
