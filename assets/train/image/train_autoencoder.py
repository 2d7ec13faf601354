"""Train the autoencoder on composed scenes; run with torchrun for several GPUs.

Training sees 384-pixel windows of scenes at about their full size. With ``--decoder-only`` the encoder
stays as it is (so do all latents) and only the decoder learns on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoder import Autoencoder
from checkpoint import AUTOENCODER_WEIGHTS, load_weights, save_weights
from compose import Composer
from config import IMAGE_SIZE, MODEL
from optim import Clock, Ema, Gradients, Optimizer, SharedProgress, join_processes, learning_rate
from scene_stream import SceneStream
from scenes import SceneBatch, SceneSampler

PYRAMID_LEVELS = 4
LATENT_NOISE = 0.08


def reconstruction_loss(output: Tensor, image: Tensor) -> Tensor:
    """L1 of the difference and of its Laplacian pyramid (edges), and a squared term."""
    difference = output.float() - image
    loss = difference.abs().mean() + 4 * difference.square().mean()
    for _ in range(PYRAMID_LEVELS):
        smaller = F.avg_pool2d(difference, 2)
        loss = loss + (difference - F.interpolate(smaller, scale_factor=2, mode="nearest")).abs().mean()
        difference = smaller
    return loss


def unit_latents_loss(latents: Tensor) -> Tensor:
    """Pulls every latent channel to mean 0 and deviation 1."""
    latents = latents.float()
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    return mean.square().mean() + (deviation - 1).square().mean()


def training_loss(model: Autoencoder, image: Tensor, noise: Tensor, decoder_only: bool) -> tuple[Tensor, Tensor]:
    """``noise`` is added to the latents, so that the decoder forgives the transformer's small errors."""
    with torch.set_grad_enabled(not decoder_only):
        latents = model.encoder(image)
    output = model.decoder(latents + noise.to(latents.dtype))
    loss = reconstruction_loss(output, image)
    if not decoder_only:
        loss = loss + 0.02 * unit_latents_loss(latents)
    return loss, (output.detach().float() - image).square().mean()


def random_views(count: int, device: torch.device) -> Tensor:
    """Windows of about three quarters of a scene: things lie anywhere on the latent grid."""
    side = torch.empty(count, 1, device=device).uniform_(0.6, 0.95)
    corner = torch.rand(count, 2, device=device) * (1 - side)
    return torch.cat([corner, side], dim=1)


def random_colours(scenes: SceneBatch) -> None:
    """Any colour at all on a third of the backgrounds: an autoencoder must not know only the named ones."""
    chosen = torch.rand(len(scenes.background)) < 1 / 3
    scenes.background[chosen.numpy()] = torch.rand(int(chosen.sum()), 2, 3).numpy()


@torch.no_grad()
def heldout_psnr(model: Autoencoder, composer: Composer, count: int, size: int = IMAGE_SIZE) -> float:
    """Mean PSNR over scenes composed of held-out pictures."""
    sampler = SceneSampler(composer.pictures, seed=12345, heldout=True)
    total = 0.0
    batch = min(16, count)
    for _ in range(count // batch):
        image = composer.render(sampler.batch(batch), size)
        output = (model(image * 2 - 1).float() / 2 + 0.5).clamp(0, 1)
        total += (-10 * (output - image).square().mean((1, 2, 3)).log10()).sum().item()
    return total / (count // batch * batch)


@torch.no_grad()
def latent_statistics(model: Autoencoder, composer: Composer, count: int, size: int) -> dict[str, float]:
    sampler = SceneSampler(composer.pictures, seed=54321)
    batch = min(16, count)
    images = (composer.render(sampler.batch(batch), size) * 2 - 1 for _ in range(count // batch))
    latents = torch.cat([model.encoder(image).float() for image in images])
    channels = latents.std((0, 2, 3))
    return {"std": latents.std().item(), "channel_std_min": channels.min().item(),
            "channel_std_max": channels.max().item()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="model folder to go on from")
    parser.add_argument("--decoder-only", action="store_true")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--batch", type=int, default=42, help="a GPU")
    parser.add_argument("--size", type=int, default=384, help="side of the windows")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    device, rank, _ = join_processes()
    torch.manual_seed(args.seed)
    model = Autoencoder(MODEL.autoencoder).to(device)
    if args.init is not None:
        load_weights(model, args.init / AUTOENCODER_WEIGHTS)
    torch.manual_seed(args.seed + 100 + rank)
    composer = Composer(args.packed, device)
    trained = model.decoder if args.decoder_only else model
    if args.decoder_only:
        model.encoder.requires_grad_(False)
    parameters = list(trained.parameters())
    gradients, optimizer, ema = Gradients(parameters), Optimizer([], parameters), Ema([trained], 0.998)
    compiled = torch.compile(training_loss, dynamic=False, disable=device.type == "cpu")
    stream = SceneStream(args.packed, args.tokenizer, args.batch, args.workers, args.seed * 64 + rank)

    def save_average() -> None:
        ema.swap()
        save_weights(model, args.out / AUTOENCODER_WEIGHTS)
        ema.swap()

    clock = Clock(args.seconds)
    shared_progress = SharedProgress(clock, device)
    errors: list[Tensor] = []
    since, step = time.monotonic(), 0
    while (progress := shared_progress()) < 1 and step < args.max_steps:
        scenes = next(stream).scenes
        random_colours(scenes)
        image = composer.render(scenes, args.size, random_views(args.batch, device), IMAGE_SIZE)
        image = (image * 2 - 1).contiguous(memory_format=torch.channels_last)
        level = (torch.rand(len(image), 1, 1, 1, device=device) * 2 - 1).clamp(min=0) * LATENT_NOISE
        side = image.shape[-1] // 32
        noise = level * torch.randn(len(image), MODEL.autoencoder.latent_channels, side, side, device=device)
        gradients.clear()
        with torch.autocast(device.type, torch.bfloat16):
            loss, error = compiled(model, image, noise, args.decoder_only)
        loss.backward()
        gradients.reduce_and_clip(1.0)
        optimizer.step(learning_rate(args.rate, step, progress))
        ema.update(step)
        errors.append(error)
        step += 1
        if step == 1:
            clock.restart()
        if step % 100 == 0 or step == 1:
            psnr = 10 * torch.log10(4 / torch.stack(errors).mean()).item()
            now = time.monotonic()
            if rank == 0:
                print(f"autoencoder {clock.elapsed:.0f} s step {step} psnr {psnr:.2f} "
                      f"{len(errors) / (now - since):.1f} steps/s", flush=True)  # fmt: skip
            errors.clear()
            since = now
            if rank == 0 and step % 1000 == 0:
                save_average()

    stream.close()
    if rank == 0:
        ema.swap()
        model.eval()
        save_weights(model, args.out / AUTOENCODER_WEIGHTS)
        count = 128 if device.type == "cuda" else 4
        statistics = latent_statistics(model, composer, count, IMAGE_SIZE)
        statistics |= {"psnr": heldout_psnr(model, composer, count), "steps": step}
        (args.out / "vae/latents.json").write_text(json.dumps(statistics, indent=2) + "\n")
        print("autoencoder", json.dumps(statistics), flush=True)


if __name__ == "__main__":
    main()
