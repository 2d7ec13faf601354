"""Train transformer and text encoder together by flow matching; run with torchrun for several GPUs.

Scenes are composed and encoded on the fly into a ring of latents, from which the batches are drawn.
``--init`` goes on from the weights of a model folder, exported or not.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoder import Autoencoder
from checkpoint import (
    AUTOENCODER_WEIGHTS,
    TEXT_ENCODER_WEIGHTS,
    TRANSFORMER_WEIGHTS,
    load_weights,
    save_weights,
)
from compose import Composer
from config import IMAGE_SIZE, LATENT_CHANNELS, MODEL, PROMPT_TOKENS
from flow import add_noise, draw_sigmas
from optim import Clock, Ema, Gradients, Optimizer, SharedProgress, join_processes, learning_rate
from scene_stream import SceneStream
from text_encoder import TextEncoder
from transformer import Transformer

CAPTION_DROPOUT = 0.1
REFILL_EVERY = {False: 5, True: 6}  # steps between two refills, by whether the ring is full


class LatentRing:
    """The newest latents of composed scenes with their tokens."""

    def __init__(
        self, capacity: int, batch: int, size: int, composer: Composer, encoder: nn.Module, scale: float, stream: SceneStream
    ) -> None:
        device, side = composer.device, size // 32
        self.composer, self.encoder, self.scale, self.stream = composer, encoder, scale, stream
        self.batch, self.size, self.device = batch, size, device
        self.latents = torch.empty(capacity, LATENT_CHANNELS, side, side, dtype=torch.bfloat16, device=device)
        self.tokens = torch.zeros(capacity, PROMPT_TOKENS, dtype=torch.int32, device=device)
        self.lengths = torch.zeros(capacity, dtype=torch.int32, device=device)
        self.filled = self.next = 0

    @property
    def full(self) -> bool:
        return self.filled == len(self.latents)

    @torch.no_grad()
    def refill(self) -> None:
        item = next(self.stream)
        image = self.composer.render(item.scenes, self.size) * 2 - 1
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            latents = self.encoder(image)
        place = slice(self.next, self.next + self.batch)
        self.latents[place] = latents * self.scale
        self.tokens[place] = torch.from_numpy(item.tokens).to(self.device)
        self.lengths[place] = torch.from_numpy(item.lengths).to(self.device)
        self.next = (self.next + self.batch) % len(self.latents)
        self.filled = min(self.filled + self.batch, len(self.latents))

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.randint(self.filled, (count,), device=self.device)
        return self.latents[rows].float(), self.tokens[rows].long(), self.lengths[rows]


def drop_captions(tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Leave only the first token of some prompts, as an empty prompt has it; also return the mask."""
    dropped = torch.rand(len(lengths), device=lengths.device) < CAPTION_DROPOUT
    lengths = torch.where(dropped, 1, lengths)
    mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    return tokens * mask, mask


def flow_loss(
    transformer: Transformer, text_encoder: TextEncoder, clean: Tensor, noise: Tensor, sigma: Tensor, tokens: Tensor, mask: Tensor
) -> Tensor:
    noisy = add_noise(clean, noise, sigma)
    velocity = transformer(noisy, text_encoder(tokens), mask, 1000 * sigma)
    return F.mse_loss(velocity.float(), noise - clean)


def is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Inner weight matrices, which Muon trains; not the embeddings, depthwise filters and outer layers."""
    inner = name.startswith(("transformer_blocks.", "layers.", "caption_projection."))
    return inner and parameter.ndim >= 2 and "conv_depth" not in name and "scale_shift_table" not in name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, required=True, help="training folder with vae/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="model folder to go on from")
    parser.add_argument("--seconds", type=float, default=840, help="from the start of the program")
    parser.add_argument("--batch", type=int, default=512, help="a GPU")
    parser.add_argument("--ring", type=int, default=65536)
    parser.add_argument("--first-fill", type=int, default=16384)
    parser.add_argument("--scene-batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=IMAGE_SIZE)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--adam", action="store_true", help="AdamW for all weights")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--save-every", type=float, default=150, help="seconds")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    clock = Clock(args.seconds)
    device, rank, _ = join_processes()
    cuda = device.type == "cuda"
    stream = SceneStream(args.packed, args.tokenizer, args.scene_batch, args.workers, 7 + args.seed * 64 + rank)
    torch.manual_seed(args.seed)
    transformer = Transformer(MODEL.transformer).to(device)
    text_encoder = TextEncoder(MODEL.text_encoder).to(device)
    if args.init is not None:
        load_weights(transformer, args.init / TRANSFORMER_WEIGHTS)
        load_weights(text_encoder, args.init / TEXT_ENCODER_WEIGHTS)
    autoencoder = Autoencoder(MODEL.autoencoder)
    load_weights(autoencoder, args.autoencoder / AUTOENCODER_WEIGHTS)
    scale = 1 / json.loads((args.autoencoder / "vae/latents.json").read_text())["std"]
    encoder = autoencoder.encoder.to(device, memory_format=torch.channels_last).requires_grad_(False)
    torch.manual_seed(args.seed + 100 + rank)

    named = [*transformer.named_parameters(), *text_encoder.named_parameters()]
    matrices = [] if args.adam else [p for n, p in named if is_matrix(n, p)]
    chosen = {id(p) for p in matrices}
    others = [p for _, p in named if id(p) not in chosen]
    gradients = Gradients([p for _, p in named])
    optimizer, ema = Optimizer(matrices, others), Ema([transformer, text_encoder], 0.9993)
    if cuda:  # layer by layer: the layers share one short compilation
        for layer in [*transformer.transformer_blocks, *text_encoder.layers]:
            layer.compile(dynamic=False)
    composer = Composer(args.packed, device)
    ring = LatentRing(args.ring, args.scene_batch, args.size, composer, encoder, scale, stream)
    while ring.filled < args.first_fill:
        ring.refill()

    def save(folder: Path) -> None:
        ema.swap()
        save_weights(transformer, folder / TRANSFORMER_WEIGHTS)
        save_weights(text_encoder, folder / TEXT_ENCODER_WEIGHTS)
        ema.swap()

    if dist.is_initialized():
        dist.barrier()
    shared_progress = SharedProgress(clock, device)
    losses: list[Tensor] = []
    since, saved, step = time.monotonic(), time.monotonic(), 0
    while (progress := shared_progress()) < 1 and step < args.max_steps:
        if step % REFILL_EVERY[ring.full] == 0:
            ring.refill()
        clean, tokens, lengths = ring.draw(args.batch)
        tokens, mask = drop_captions(tokens, lengths)
        noise, sigma = torch.randn_like(clean), draw_sigmas(args.batch, device)
        gradients.clear()
        with torch.autocast(device.type, torch.bfloat16):
            loss = flow_loss(transformer, text_encoder, clean, noise, sigma, tokens, mask)
        loss.backward()
        gradients.reduce_and_clip(1.0)
        optimizer.step(learning_rate(args.rate, step, progress))
        ema.update(step)
        losses.append(loss.detach())
        step += 1
        if rank == 0 and (step % 100 == 0 or step == 1):
            mean = torch.stack(losses).mean().item()
            now = time.monotonic()
            print(f"transformer {clock.elapsed:.0f} s step {step} loss {mean:.4f} "
                  f"{len(losses) / (now - since):.1f} steps/s ring {ring.filled}", flush=True)  # fmt: skip
            losses.clear()
            since = now
            if now - saved > args.save_every:
                save(args.out)
                saved = now
        elif rank != 0 and step % 100 == 0:
            losses.clear()
    if rank == 0:
        save(args.out)
        print(f"transformer done, {step} steps", flush=True)
    stream.close()


if __name__ == "__main__":
    main()
