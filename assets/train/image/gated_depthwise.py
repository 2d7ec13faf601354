"""SiLU, depthwise 3x3 convolution and SiLU gate in one pass over channels-last tokens.

The tokens [B, H*W, 2C] are the output of the expansion; the result [B, H*W, C] is
``value * silu(gate)`` where ``value | gate = depthwise(silu(tokens))``. Done one after the other these
steps are bound by memory traffic and take most of a training step; the Triton kernels read the
activated expansion once per pass. Without a CUDA device the plain PyTorch version is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # pragma: no cover - Triton comes with the CUDA builds of PyTorch
    triton = None

PIXELS = 16  # tokens a program handles
CHANNELS = 64  # channels a program handles
TAP_PIXELS = 32  # tokens a program handles at a time for the gradients of the taps
SPLITS = 64  # programs that share the sum of those gradients


def silu_depthwise_gate_reference(tokens: Tensor, weight: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    """The same in plain PyTorch."""
    batch, _, channels = tokens.shape
    image = F.silu(tokens).transpose(1, 2).unflatten(2, (height, width))
    image = F.conv2d(image, weight.to(image.dtype), bias.to(image.dtype), padding=1, groups=channels)
    value, gate = image.flatten(2).transpose(1, 2).chunk(2, dim=-1)
    return value * F.silu(gate)


def silu_depthwise_gate(tokens: Tensor, weight: Tensor, bias: Tensor, height: int, width: int) -> Tensor:
    """Fused on CUDA, plain elsewhere. ``weight`` is [2C, 1, 3, 3], ``bias`` [2C]."""
    if triton is None or not tokens.is_cuda:
        return silu_depthwise_gate_reference(tokens, weight, bias, height, width)
    taps = weight.flatten(1).t().contiguous()
    return _fused(tokens.contiguous(), taps, bias, height, width)[0]


if triton is not None:

    @triton.jit
    def _silu(x):
        return x * tl.sigmoid(x)

    @triton.jit
    def _silu_grad(x):
        sigmoid = tl.sigmoid(x)
        return sigmoid * (1 + x * (1 - sigmoid))

    @triton.jit
    def _tap(base, n, channel, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, t: tl.constexpr):
        """One shifted neighbour of every pixel of the tile, zero outside the image."""
        dy: tl.constexpr = t // 3 - 1
        dx: tl.constexpr = t % 3 - 1
        row = n // W + dy
        column = n % W + dx
        inside = (n < H * W) & (row >= 0) & (row < H) & (column >= 0) & (column < W)
        at = base + (n + dy * W + dx)[:, None] * C + channel[None, :]
        return tl.load(at, mask=inside[:, None], other=0.0).to(tl.float32)

    @triton.jit
    def _forward_kernel(s, taps, bias, out, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, P: tl.constexpr, BC: tl.constexpr):
        n = tl.program_id(0) * P + tl.arange(0, P)
        value_channel = tl.program_id(1) * BC + tl.arange(0, BC)
        gate_channel = value_channel + C
        image = tl.program_id(2).to(tl.int64)
        s_image = s + image * H * W * 2 * C
        value = tl.zeros((P, BC), tl.float32) + tl.load(bias + value_channel)[None, :]
        gate = tl.zeros((P, BC), tl.float32) + tl.load(bias + gate_channel)[None, :]
        for t in tl.static_range(9):
            value_tap = _tap(s_image, n, value_channel, 2 * C, H, W, t)
            value += value_tap * tl.load(taps + t * 2 * C + value_channel)[None, :]
            gate_tap = _tap(s_image, n, gate_channel, 2 * C, H, W, t)
            gate += gate_tap * tl.load(taps + t * 2 * C + gate_channel)[None, :]
        at = out + image * H * W * C + n[:, None] * C + value_channel[None, :]
        tl.store(at, (value * _silu(gate)).to(out.dtype.element_ty), mask=(n < H * W)[:, None])

    @triton.jit
    def _backward_gate_kernel(s, taps, bias, grad_out, grad_y, H: tl.constexpr, W: tl.constexpr, C: tl.constexpr, P: tl.constexpr, BC: tl.constexpr):
        """Gradient at the depthwise output."""
        n = tl.program_id(0) * P + tl.arange(0, P)
        value_channel = tl.program_id(1) * BC + tl.arange(0, BC)
        gate_channel = value_channel + C
        image = tl.program_id(2).to(tl.int64)
        s_image = s + image * H * W * 2 * C
        value = tl.zeros((P, BC), tl.float32) + tl.load(bias + value_channel)[None, :]
        gate = tl.zeros((P, BC), tl.float32) + tl.load(bias + gate_channel)[None, :]
        for t in tl.static_range(9):
            value_tap = _tap(s_image, n, value_channel, 2 * C, H, W, t)
            value += value_tap * tl.load(taps + t * 2 * C + value_channel)[None, :]
            gate_tap = _tap(s_image, n, gate_channel, 2 * C, H, W, t)
            gate += gate_tap * tl.load(taps + t * 2 * C + gate_channel)[None, :]
        inside = (n < H * W)[:, None]
        at = grad_out + image * H * W * C + n[:, None] * C + value_channel[None, :]
        g = tl.load(at, mask=inside, other=0.0).to(tl.float32)
        grad_value = g * _silu(gate)
        grad_gate = g * value * _silu_grad(gate)
        row = grad_y + image * H * W * 2 * C + n[:, None] * 2 * C
        tl.store(row + value_channel[None, :], grad_value.to(grad_y.dtype.element_ty), mask=inside)
        tl.store(row + gate_channel[None, :], grad_gate.to(grad_y.dtype.element_ty), mask=inside)

    @triton.jit
    def _backward_taps_kernel(
        s, grad_y, partial, tiles, H: tl.constexpr, W: tl.constexpr, C2: tl.constexpr, P: tl.constexpr, BC: tl.constexpr
    ):
        """Gradients of taps and bias over every SPLITS-th tile; products add up in registers before any reduction."""
        channel = tl.program_id(1) * BC + tl.arange(0, BC)
        tiles_per_image: tl.constexpr = (H * W + P - 1) // P
        t0 = tl.zeros((P, BC), tl.float32)
        t1, t2, t3, t4, t5, t6, t7, t8, total = t0, t0, t0, t0, t0, t0, t0, t0, t0
        for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
            n = (tile % tiles_per_image) * P + tl.arange(0, P)
            offset = (tile // tiles_per_image) * (H * W * C2)
            at = grad_y + offset + n[:, None] * C2 + channel[None, :]
            g = tl.load(at, mask=(n < H * W)[:, None], other=0.0).to(tl.float32)
            t0 += _tap(s + offset, n, channel, C2, H, W, 0) * g
            t1 += _tap(s + offset, n, channel, C2, H, W, 1) * g
            t2 += _tap(s + offset, n, channel, C2, H, W, 2) * g
            t3 += _tap(s + offset, n, channel, C2, H, W, 3) * g
            t4 += _tap(s + offset, n, channel, C2, H, W, 4) * g
            t5 += _tap(s + offset, n, channel, C2, H, W, 5) * g
            t6 += _tap(s + offset, n, channel, C2, H, W, 6) * g
            t7 += _tap(s + offset, n, channel, C2, H, W, 7) * g
            t8 += _tap(s + offset, n, channel, C2, H, W, 8) * g
            total += g
        part = partial + tl.program_id(0) * 10 * C2 + channel
        tl.store(part + 0 * C2, tl.sum(t0, axis=0))
        tl.store(part + 1 * C2, tl.sum(t1, axis=0))
        tl.store(part + 2 * C2, tl.sum(t2, axis=0))
        tl.store(part + 3 * C2, tl.sum(t3, axis=0))
        tl.store(part + 4 * C2, tl.sum(t4, axis=0))
        tl.store(part + 5 * C2, tl.sum(t5, axis=0))
        tl.store(part + 6 * C2, tl.sum(t6, axis=0))
        tl.store(part + 7 * C2, tl.sum(t7, axis=0))
        tl.store(part + 8 * C2, tl.sum(t8, axis=0))
        tl.store(part + 9 * C2, tl.sum(total, axis=0))

    @triton.jit
    def _backward_input_kernel(u, taps, grad_y, grad_u, H: tl.constexpr, W: tl.constexpr, C2: tl.constexpr, P: tl.constexpr, BC: tl.constexpr):
        n = tl.program_id(0) * P + tl.arange(0, P)
        channel = tl.program_id(1) * BC + tl.arange(0, BC)
        image = tl.program_id(2).to(tl.int64)
        total = tl.zeros((P, BC), tl.float32)
        for t in tl.static_range(9):
            tap = tl.load(taps + (8 - t) * C2 + channel)
            total += _tap(grad_y + image * H * W * C2, n, channel, C2, H, W, t) * tap[None, :]
        inside = (n < H * W)[:, None]
        at = image * H * W * C2 + n[:, None] * C2 + channel[None, :]
        x = tl.load(u + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(grad_u + at, (total * _silu_grad(x)).to(grad_u.dtype.element_ty), mask=inside)

    def _grid(tokens: Tensor, channels: int) -> tuple[int, int, int]:
        if channels % CHANNELS:
            raise ValueError(f"channels must be a multiple of {CHANNELS}, got {channels}")
        return triton.cdiv(tokens.shape[1], PIXELS), channels // CHANNELS, tokens.shape[0]

    @torch.library.custom_op("mini::silu_depthwise_gate", mutates_args=())
    def _fused(tokens: Tensor, taps: Tensor, bias: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The result, and the activated tokens for the backward pass."""
        channels = tokens.shape[2] // 2
        active = F.silu(tokens)
        out = tokens.new_empty(*tokens.shape[:2], channels)
        _forward_kernel[_grid(tokens, channels)](
            active, taps, bias, out, height, width, channels, P=PIXELS, BC=CHANNELS, num_warps=2
        )
        return out, active

    @_fused.register_fake
    def _(tokens: Tensor, taps: Tensor, bias: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        return tokens.new_empty(*tokens.shape[:2], tokens.shape[2] // 2), torch.empty_like(tokens)

    @torch.library.custom_op("mini::silu_depthwise_gate_backward", mutates_args=())
    def _fused_backward(
        grad_out: Tensor, tokens: Tensor, active: Tensor, taps: Tensor, bias: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        channels = tokens.shape[2] // 2
        grid = _grid(tokens, channels)
        grad_out = grad_out.contiguous()
        grad_y = torch.empty_like(tokens)
        grad_tokens = torch.empty_like(tokens)
        partial = torch.empty(SPLITS, 10, 2 * channels, device=tokens.device, dtype=torch.float32)
        _backward_gate_kernel[grid](
            active, taps, bias, grad_out, grad_y, height, width, channels, P=PIXELS, BC=CHANNELS, num_warps=2
        )
        tiles = triton.cdiv(tokens.shape[1], TAP_PIXELS) * tokens.shape[0]
        _backward_taps_kernel[(SPLITS, 2 * grid[1])](
            active, grad_y, partial, tiles, height, width, 2 * channels, P=TAP_PIXELS, BC=CHANNELS, num_warps=4
        )
        _backward_input_kernel[(grid[0], 2 * grid[1], grid[2])](
            tokens, taps, grad_y, grad_tokens, height, width, 2 * channels, P=PIXELS, BC=CHANNELS, num_warps=2
        )
        return grad_tokens, partial.sum(0)

    @_fused_backward.register_fake
    def _(
        grad_out: Tensor, tokens: Tensor, active: Tensor, taps: Tensor, bias: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        return torch.empty_like(tokens), taps.new_empty(10, tokens.shape[2], dtype=torch.float32)

    def _setup_context(ctx, inputs, output) -> None:
        tokens, taps, bias, ctx.height, ctx.width = inputs
        ctx.save_for_backward(tokens, output[1], taps, bias)

    def _backward(ctx, grad_out: Tensor, _: Tensor):
        tokens, active, taps, bias = ctx.saved_tensors
        grad_tokens, rows = _fused_backward(grad_out, tokens, active, taps, bias, ctx.height, ctx.width)
        return grad_tokens, rows[:9].to(taps.dtype), rows[9].to(bias.dtype), None, None

    _fused.register_autograd(_backward, setup_context=_setup_context)
