"""Measure a model folder: names, styles, background colours, counts, relations, autoencoder PSNR.

Names and styles are read by the judge (judge.py); colours from the picture's rim; counts as connected
components of what differs from the background; a relation is right where the judge finds each of the two
names likelier on its own half.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import prompts
from compose import Composer
from judge import JUDGE_SIZE, Judge, classes
from painter import Painter
from pictures import Picture
from scenes import COUNT_SIZE, SINGLE_SIZE, Placement, Scene, SceneBatch, count_centres
from train_autoencoder import heldout_psnr

BACKGROUNDS = ("white", "black", "grey", "red", "orange", "yellow", "green", "teal", "blue", "light blue",
               "purple", "pink", "brown", "beige")  # fmt: skip
SHEET_PROMPTS = (
    "a glossy 3d illustration of a red apple on a light blue background",
    "a smooth 3d render of a teddy bear on a pink background",
    "a shiny 3d icon of a rocket on a background fading from dark blue to purple",
    "a flat vector illustration of a sailboat on a teal background",
    "a clean flat drawing of a bicycle on a light yellow background",
    "a flat colour icon of a cactus on an orange background",
    "a soft gradient illustration of a hot air balloon on a sky blue background",
    "a colourful gradient icon of a mushroom on a light green background",
    "a gently shaded vector drawing of a fox on a cream background",
    "a detailed cartoon emoji of an octopus on a turquoise background",
    "a softly shaded cartoon icon of a hamburger on a white background",
    "a noto style emoji of a penguin on a light grey background",
    "a twemoji style icon of a castle on a lavender background",
    "a simple flat sticker of a pineapple on a purple background",
    "a minimal flat emoji of a whale on a navy background",
    "a blob style emoji of a smiling face with sunglasses on a mint background",
    "an outlined emoji of a snail on a beige background",
    "a bold flat cartoon emoji of a key on a red background",
    "a cartoon clip art of a car on a white background",
    "a hand-drawn doodle of a house on a white background",
    "a flat vector illustration of three lemons on a light blue background",
    "a glossy 3d illustration of a cat to the left of a dog on a light green background",
    "a detailed cartoon emoji of a star above a rainbow on a dark blue background",
    "a flat vector illustration of a frog in the top left corner on a pink background",
)  # fmt: skip


def shrink(images: Tensor) -> Tensor:
    """To the judge's size and range."""
    return F.interpolate(images, size=JUDGE_SIZE, mode="bilinear", antialias=True) * 2 - 1


def rim_colour(images: Tensor) -> Tensor:
    """Median colour of the outer rim, [B, 3]."""
    mask = torch.ones(images.shape[-2:], dtype=torch.bool, device=images.device)
    mask[16:-16, 16:-16] = False
    return images[:, :, mask].median(-1).values


def nearest_background(colours: Tensor) -> list[str]:
    table = torch.tensor([prompts.COLOURS[name] for name in BACKGROUNDS]) / 255
    return [BACKGROUNDS[i] for i in torch.cdist(colours, table).argmin(1)]


def count_things(images: Tensor, closing: int = 7, least: float = 0.006) -> list[int]:
    """Connected components of what differs from the rim's colour, small ones left out."""
    side = 128
    small = F.interpolate(images, size=side, mode="bilinear", antialias=True)
    background = rim_colour(images)[:, :, None, None]
    mask = ((small - background).abs().amax(1, keepdim=True) > 0.14).float()
    mask = F.max_pool2d(mask, closing, 1, closing // 2)
    label = mask * torch.arange(1, side * side + 1, device=images.device).view(1, 1, side, side).float()
    while True:
        grown = F.max_pool2d(label, 3, 1, 1) * mask
        if torch.equal(grown, label):
            break
        label = grown
    counts = []
    for row in label.flatten(1).long().cpu():
        sizes = torch.bincount(row)[1:]
        counts.append(int((sizes > least * side * side).sum()))
    return counts


class Evaluation:
    def __init__(self, painter: Painter, composer: Composer, judge: Judge, steps: int) -> None:
        self.painter, self.composer, self.judge, self.steps = painter, composer, judge, steps
        self.names, self.styles = classes(composer.pictures)
        self.rng = random.Random(7)

    def caption(self, picture: Picture, thing: str) -> str:
        own = 2 if picture.style in ("officeicon", "weather") else 3
        return f"{self.rng.choice(prompts.STYLE_PHRASES[picture.style][:own])} of {thing}"

    def background_for(self, picture: Picture) -> str:
        return self.rng.choice([b for b in BACKGROUNDS if b not in picture.colours])

    @torch.no_grad()
    def logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        device = self.composer.device
        parts = [self.judge(shrink(part.to(device))) for part in images.split(64)]
        return torch.cat([p[0] for p in parts]).float().cpu(), torch.cat([p[1] for p in parts]).float().cpu()

    def name_prompts(self, count: int) -> tuple[list[Picture], list[str], list[str]]:
        """Held-out pictures, the backgrounds asked for, and the prompts."""
        self.rng.seed(7)
        chosen = [p for p in self.composer.pictures if p.heldout]
        self.rng.shuffle(chosen)
        chosen = chosen[:count]
        backgrounds = [self.background_for(p) for p in chosen]
        lines = [
            f"{self.caption(p, p.phrase)} on {prompts.with_article(b)} background" for p, b in zip(chosen, backgrounds)
        ]
        return chosen, backgrounds, lines

    def name_figures(self, images: Tensor, chosen: list[Picture]) -> dict[str, float]:
        name_logits, style_logits = self.logits(images)
        top = name_logits.topk(5, dim=1).indices
        wanted = torch.tensor([self.names.index(p.name) for p in chosen])[:, None]
        style = torch.tensor([self.styles.index(p.style) for p in chosen])
        return {
            "name_top1": (top[:, :1] == wanted).float().mean().item(),
            "name_top5": (top == wanted).any(1).float().mean().item(),
            "style": (style_logits.argmax(1) == style).float().mean().item(),
        }

    def measure_names(self, count: int, guidance: float) -> tuple[dict[str, float], Tensor, list[str]]:
        chosen, backgrounds, lines = self.name_prompts(count)
        images = self.painter.paint(lines, guidance, self.steps, seed=11)
        figures = self.name_figures(images, chosen)
        right = [a == b for a, b in zip(nearest_background(rim_colour(images)), backgrounds)]
        return figures | {"background": sum(right) / len(right)}, images, lines

    def measure_reference(self, count: int) -> dict[str, float]:
        """The same names measure on the real pictures, plain and through the autoencoder: its ceiling."""
        chosen, backgrounds, _ = self.name_prompts(count)
        index = {p.key: i for i, p in enumerate(self.composer.pictures)}
        scenes = []
        for picture, background in zip(chosen, backgrounds):
            colour = tuple(c / 255 for c in prompts.COLOURS[background])
            scenes.append(Scene("", [Placement(index[picture.key], 0.5, 0.5, SINGLE_SIZE)], (colour, colour)))
        plain, coded = [], []
        for start in range(0, len(scenes), 32):
            image = self.composer.render(SceneBatch.from_scenes(scenes[start : start + 32]), 512)
            with torch.no_grad():
                output = self.painter.autoencoder(image * 2 - 1)
            plain.append(image.cpu())
            coded.append((output / 2 + 0.5).clamp(0, 1).cpu())
        real = self.name_figures(torch.cat(plain), chosen)
        through = self.name_figures(torch.cat(coded), chosen)
        return {f"real_{k}": v for k, v in real.items()} | {f"coded_{k}": v for k, v in through.items()}

    def measure_counts(self, count: int, guidance: float) -> dict[str, float]:
        """Counts 1 to 4, on names whose pictures the measure itself counts right when composed."""
        self.rng.seed(8)
        pool = [
            i for i, p in enumerate(self.composer.pictures)
            if not p.heldout and prompts.plural(p.name) and p.style in ("flat", "noto", "gradient", "3d", "twemoji")
        ]  # fmt: skip
        self.rng.shuffle(pool)
        lines, wanted = [], []
        for i in pool:
            picture = self.composer.pictures[i]
            number = len(lines) % 4 + 1
            colour = prompts.COLOURS["white" if "white" not in picture.colours else "light blue"]
            shade = tuple(c / 255 for c in colour)
            places = [Placement(i, x, y, COUNT_SIZE[number]) for x, y in count_centres(number)]
            reference = self.composer.render(SceneBatch.from_scenes([Scene("", places, (shade, shade))]), 512)
            if count_things(reference) != [number]:
                continue
            noun = picture.name if number == 1 else prompts.plural(picture.name)
            background = "white" if "white" not in picture.colours else "light blue"
            lines.append(f"{self.caption(picture, f'{prompts.NUMBERS[number]} {noun}')} on a {background} background")
            wanted.append(number)
            if len(lines) == count:
                break
        found = count_things(self.painter.paint(lines, guidance, self.steps, seed=12).to(self.composer.device))
        figures = {"count": sum(a == b for a, b in zip(found, wanted)) / len(wanted)}
        for number in range(1, 5):
            hits = [a == b for a, b in zip(found, wanted) if b == number]
            figures[f"count_{number}"] = sum(hits) / max(len(hits), 1)
        return figures

    def measure_relations(self, count: int, guidance: float) -> dict[str, float]:
        self.rng.seed(9)
        pool = [p for p in self.composer.pictures if not p.heldout and p.style not in ("clipart", "freehand")]
        pairs, lines = [], []
        for i in range(count):
            first = self.rng.choice(pool)
            second = self.rng.choice([p for p in pool if p.style == first.style and p.name != first.name])
            kind, words = (("left", "to the left of"), ("above", "above"))[i % 2]
            pairs.append((first, second, kind))
            thing = f"{first.phrase} {words} {second.phrase}"
            lines.append(f"{self.caption(first, thing)} on {prompts.with_article(self.background_for(first))} background")
        images = self.painter.paint(lines, guidance, self.steps, seed=13)
        half = images.shape[-1] // 2
        quarter = half // 2
        crops = []
        for image, (_, _, kind) in zip(images, pairs):
            if kind == "left":
                crops += [image[:, quarter:-quarter, :half], image[:, quarter:-quarter, half:]]
            else:
                crops += [image[:, :half, quarter:-quarter], image[:, half:, quarter:-quarter]]
        scores = self.logits(torch.stack(crops))[0].log_softmax(1).view(count, 2, -1)
        hits = {"left": [], "above": []}
        for score, (first, second, kind) in zip(scores, pairs):
            a, b = self.names.index(first.name), self.names.index(second.name)
            hits[kind].append(bool(score[0, a] > score[1, a]) and bool(score[1, b] > score[0, b]))
        return {f"relation_{kind}": sum(values) / len(values) for kind, values in hits.items()}


def save_sheet(images: Tensor, columns: int, cell: int, path: Path, quality: int = 85) -> None:
    cells = F.interpolate(images, size=cell, mode="bilinear", antialias=True)
    columns = min(columns, len(cells))
    rows = len(cells) // columns
    sheet = cells[: rows * columns].unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).reshape(rows * cell, columns * cell, 3)
    Image.fromarray((sheet * 255).round().byte().numpy()).save(path, quality=quality)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="exported or training folder")
    parser.add_argument("--autoencoder", type=Path, help="training folder with vae/, where it lies elsewhere")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--packed", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, nargs="+", default=[3.0, 4.0, 5.0, 6.5])
    args = parser.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.out.mkdir(parents=True, exist_ok=True)
    composer = Composer(args.packed, device)
    names, styles = classes(composer.pictures)
    judge = Judge(len(names), len(styles)).to(device).eval()
    judge.load_state_dict(torch.load(args.judge / "judge.pt", map_location="cpu"))
    painter = Painter(args.model, args.tokenizer, device, args.autoencoder)
    evaluation = Evaluation(painter, composer, judge, args.steps)

    figures: dict[str, dict[str, float]] = {}
    best = args.guidance[0]
    for guidance in args.guidance:
        result, images, _ = evaluation.measure_names(args.count, guidance)
        figures[f"guidance {guidance}"] = result
        print(f"guidance {guidance}", json.dumps(result), flush=True)
        if result["name_top1"] >= figures[f"guidance {best}"]["name_top1"]:
            best = guidance
            save_sheet(images, 12, 128, args.out / "heldout.webp")
    figures["best"] = {"guidance": best}
    figures["counts"] = evaluation.measure_counts(args.count * 2 // 3, best)
    figures["relations"] = evaluation.measure_relations(args.count * 2 // 3, best)
    figures["reference"] = evaluation.measure_reference(args.count)
    psnr_scenes = min(128, args.count)
    figures["autoencoder"] = {"psnr": heldout_psnr(painter.autoencoder, composer, psnr_scenes)}
    (args.out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    save_sheet(painter.paint(list(SHEET_PROMPTS), best, args.steps, seed=3), 6, 256, args.out / "contact-sheet.webp")
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
