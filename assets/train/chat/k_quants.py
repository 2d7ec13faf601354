"""GGUF's 6-bit blocks (Q6_K): 256 values as integers of 6 bits, a signed byte of scale for each 16, and a half for all."""

from __future__ import annotations

import numpy as np

BLOCK, GROUP, LOW, HIGH = 256, 16, -32, 31


def _best_scales(groups: np.ndarray) -> np.ndarray:
    """The scale of each group [G, 16] with the smallest squared error, weighted by the values' squares, of a few candidates."""
    at = np.abs(groups).argmax(1)
    extreme = np.take_along_axis(groups, at[:, None], 1)
    extreme = np.where(extreme == 0, 1, extreme)
    weight = groups * groups
    best, best_gain = np.zeros(len(groups)), np.full(len(groups), -1.0)
    for step in range(-9, 10):
        q = np.clip(np.rint(groups * ((LOW + 0.1 * step) / extreme)), LOW, HIGH)
        along, norm = (weight * groups * q).sum(1), (weight * q * q).sum(1)
        gain = np.where(norm > 0, along * along / np.maximum(norm, 1e-30), 0)
        better = gain > best_gain
        best = np.where(better & (norm > 0), along / np.maximum(norm, 1e-30), best)
        best_gain = np.where(better, gain, best_gain)
    return best


def quantise_q6_k(matrix: np.ndarray) -> np.ndarray:
    """Rows of whole blocks to bytes uint8 [rows, bytes a row]."""
    blocks = matrix.astype(np.float64).reshape(-1, BLOCK)
    groups = blocks.reshape(-1, GROUP)
    scales = _best_scales(groups).reshape(-1, BLOCK // GROUP)
    at = np.abs(scales).argmax(1)
    largest = np.take_along_axis(scales, at[:, None], 1)
    d = (largest / -128).astype(np.float16)
    wide = np.where(d == 0, 1, d).astype(np.float64)
    sc = np.clip(np.rint(scales / wide), -128, 127)
    step = (sc * d.astype(np.float64)).reshape(-1, 1)
    q = np.where(step == 0, 0, groups / np.where(step == 0, 1, step))
    q = (np.clip(np.rint(q), LOW, HIGH) - LOW).astype(np.uint8).reshape(-1, 2, 4, 32)  # [block, half, quarter, 32]
    low, high = q & 15, q >> 4
    ql = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], axis=2).reshape(-1, 128)
    qh = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(-1, 64)
    data = np.concatenate([ql, qh, sc.astype(np.int8).view(np.uint8), d.view(np.uint8)], axis=1)
    return np.ascontiguousarray(data.reshape(len(matrix), -1))
