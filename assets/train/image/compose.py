"""Composing scenes on the device: pictures pasted on backgrounds, by affine sampling with mipmaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pictures import ATLAS_SIZE, load_pictures
from scenes import HORIZONTAL, VERTICAL, SceneBatch

MIP_LEVELS = 4
FULL_VIEW = (0.0, 0.0, 1.0)


class Composer:
    """Holds the packed pictures with their mipmaps and renders scene batches from them."""

    def __init__(self, packed: Path, device: torch.device) -> None:
        self.device = device
        self.pictures = load_pictures(packed)
        self.extent = torch.tensor([picture.extent for picture in self.pictures], device=device)
        atlas = np.load(packed / "atlas.npy", mmap_mode="r")
        levels: list[list[Tensor]] = [[] for _ in range(MIP_LEVELS)]
        for start in range(0, len(atlas), 512):
            block = torch.from_numpy(np.array(atlas[start : start + 512])).to(device)
            levels[0].append(block)
            smooth = block.float()
            for level in range(1, MIP_LEVELS):
                smooth = F.avg_pool2d(smooth, 2)
                levels[level].append(smooth.round().to(torch.uint8))
        self.mips = [torch.cat(blocks) for blocks in levels]

    def backgrounds(self, colours: Tensor, gradient: Tensor, size: int, view: Tensor) -> Tensor:
        """Plain or two-colour backgrounds [B, 3, size, size]; ``view`` [B, 3] is x, y and side of the window."""
        line = (torch.arange(size, device=self.device) + 0.5) / size
        across = view[:, 0, None] + line * view[:, 2, None]
        down = view[:, 1, None] + line * view[:, 2, None]
        share = torch.zeros(len(colours), size, size, device=self.device)
        share += (gradient == VERTICAL)[:, None, None] * down[:, :, None]
        share += (gradient == HORIZONTAL)[:, None, None] * across[:, None, :]
        first, second = colours[:, 0, :, None, None], colours[:, 1, :, None, None]
        return first + (second - first) * share[:, None]

    def paste(self, canvas: Tensor, rows: Tensor, pictures: Tensor, geometry: Tensor, view: Tensor, scale: int) -> None:
        """Paste one picture on each of the canvas ``rows``; ``scale`` is the whole scene's side in pixels."""
        size = canvas.shape[-1]
        side = geometry[:, 2] / self.extent[pictures]  # of the cell, as a share of the scene
        minification = ATLAS_SIZE / (side * scale)
        level = minification.mul(0.75).log2().ceil().clamp(0, MIP_LEVELS - 1).int()
        zoom = view[:, 2] / side
        offset = 2 * (view[:, :2] + view[:, 2:] / 2 - geometry[:, :2]) / side[:, None]
        zero = torch.zeros_like(zoom)
        theta = torch.stack([zoom, zero, offset[:, 0], zero, zoom, offset[:, 1]], dim=1).view(-1, 2, 3)
        for i, mip in enumerate(self.mips):
            chosen = (level == i).nonzero().squeeze(1)
            if not len(chosen):
                continue
            grid = F.affine_grid(theta[chosen], [len(chosen), 4, size, size], align_corners=False)
            cells = mip[pictures[chosen]].float().div_(255)
            layer = F.grid_sample(cells, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            target = rows[chosen]
            canvas[target] = canvas[target] * (1 - layer[:, 3:]) + layer[:, :3]

    @torch.no_grad()
    def render(self, batch: SceneBatch, size: int, view: Tensor | None = None, scale: int | None = None) -> Tensor:
        """Images [B, 3, size, size] in 0..1, of whole scenes or of windows ``view`` on them."""
        colours = torch.from_numpy(batch.background).to(self.device)
        gradient = torch.from_numpy(batch.gradient).to(self.device)
        geometry = torch.from_numpy(batch.geometry).to(self.device)
        if view is None:
            view = torch.tensor(FULL_VIEW, device=self.device).expand(len(colours), 3)
        canvas = self.backgrounds(colours, gradient, size, view)
        for slot in range(batch.picture.shape[1]):
            used = np.flatnonzero(batch.picture[:, slot] >= 0)
            if not len(used):
                break
            rows = torch.from_numpy(used).to(self.device)
            chosen = torch.from_numpy(batch.picture[used, slot].astype(np.int64)).to(self.device)
            self.paste(canvas, rows, chosen, geometry[rows, slot], view[rows], scale or size)
        return canvas.clamp_(0, 1)
