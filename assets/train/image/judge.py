"""A classifier of names and styles, trained on the pictures themselves, to judge what the model draws.

It sees every picture, held-out ones too: it is a measuring tool, and must know what they look like.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from compose import Composer
from optim import Clock, learning_rate
from pictures import Picture
from scenes import MAX_OBJECTS, SINGLE_SIZE, SceneBatch

JUDGE_SIZE = 128


class Residual(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + y)


class Judge(nn.Module):
    """A small residual network with one head for the name and one for the style."""

    def __init__(self, names: int, styles: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Conv2d(3, 64, 5, 2, 2, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        width = 64
        for target in (96, 192, 384, 512):
            blocks += [Residual(width, target, 2), Residual(target, target, 1)]
            width = target
        self.body = nn.Sequential(*blocks)
        self.name_head = nn.Linear(width, names)
        self.style_head = nn.Linear(width, styles)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``image`` is in -1..1 at JUDGE_SIZE."""
        features = self.body(image).mean((2, 3))
        return self.name_head(features), self.style_head(features)


def classes(pictures: list[Picture]) -> tuple[list[str], list[str]]:
    return sorted({p.name for p in pictures}), sorted({p.style for p in pictures})


def single_scenes(chosen: np.ndarray, rng: np.random.Generator, jitter: float = 1.0) -> SceneBatch:
    """Each chosen picture alone on a random plain background."""
    count = len(chosen)
    picture = np.full((count, MAX_OBJECTS), -1, np.int32)
    picture[:, 0] = chosen
    geometry = np.zeros((count, MAX_OBJECTS, 3), np.float32)
    geometry[:, 0, :2] = 0.5 + jitter * rng.uniform(-0.06, 0.06, (count, 2))
    geometry[:, 0, 2] = SINGLE_SIZE + jitter * rng.uniform(-0.2, 0.12, count)
    colour = np.repeat(rng.uniform(0, 1, (count, 1, 3)), 2, axis=1).astype(np.float32)
    colour[rng.random(count) < 0.3] = 1
    return SceneBatch(picture, geometry, colour, np.zeros(count, np.int32))


def augment(image: Tensor) -> Tensor:
    """Blur, noise and contrast, so that a soft drawing of the right thing still counts."""
    small = F.interpolate(image, size=int(torch.randint(40, JUDGE_SIZE, (1,))), mode="bilinear", antialias=True)
    blurred = F.interpolate(small, size=JUDGE_SIZE, mode="bilinear")
    image = torch.where(torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5, blurred, image)
    contrast = 1 + 0.15 * torch.randn(len(image), 1, 1, 1, device=image.device)
    tint = 0.05 * torch.randn(len(image), 3, 1, 1, device=image.device)
    return image * contrast + tint + 0.04 * torch.randn_like(image)


def train(composer: Composer, device: torch.device, seconds: float, batch: int, rate: float) -> Judge:
    names, styles = classes(composer.pictures)
    name_of = torch.tensor([names.index(p.name) for p in composer.pictures], device=device)
    style_of = torch.tensor([styles.index(p.style) for p in composer.pictures], device=device)
    model = Judge(len(names), len(styles)).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05, fused=device.type == "cuda")
    forward = torch.compile(model, dynamic=False, disable=device.type == "cpu")
    rng = np.random.default_rng(0)
    clock, step = Clock(seconds), 0
    while (progress := clock.progress) < 1:
        chosen = rng.integers(0, len(composer.pictures), batch)
        image = augment(composer.render(single_scenes(chosen, rng), JUDGE_SIZE) * 2 - 1)
        image = image.contiguous(memory_format=torch.channels_last)
        target = torch.from_numpy(chosen).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            name, style = forward(image)
        loss = F.cross_entropy(name.float(), name_of[target], label_smoothing=0.05)
        loss = loss + 0.3 * F.cross_entropy(style.float(), style_of[target])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(rate, step, progress, warmup=100)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        if step == 1:
            clock.restart()
        if step % 200 == 0 or step == 1:
            print(f"judge {clock.elapsed:.0f} s step {step} loss {loss.item():.3f}", flush=True)
    return model.eval()


@torch.no_grad()
def accuracy(model: Judge, composer: Composer, device: torch.device) -> dict[str, float]:
    """Names and styles right, on composed scenes of all pictures and of the held-out ones."""
    names, styles = classes(composer.pictures)
    rng = np.random.default_rng(1)
    result = {}
    for split in ("all", "heldout"):
        members = np.array([i for i, p in enumerate(composer.pictures) if split == "all" or p.heldout])
        hits = style_hits = 0
        for part in np.array_split(members, max(1, len(members) // 256)):
            image = composer.render(single_scenes(part, rng), JUDGE_SIZE) * 2 - 1
            name, style = model(image)
            hits += sum(names[i] == composer.pictures[p].name for i, p in zip(name.argmax(1).tolist(), part))
            style_hits += sum(styles[i] == composer.pictures[p].style for i, p in zip(style.argmax(1).tolist(), part))
        result |= {f"{split}_names": hits / len(members), f"{split}_styles": style_hits / len(members)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    composer = Composer(args.packed, device)
    model = train(composer, device, args.seconds, args.batch, args.rate)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.save({k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in model.state_dict().items()},
               args.out / "judge.pt")  # fmt: skip
    figures = accuracy(model, composer, device)
    (args.out / "judge.json").write_text(json.dumps(figures, indent=2) + "\n")
    print("judge", json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
