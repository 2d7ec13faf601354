"""The RWKV-7 recurrence: the CUDA kernel of wkv7.cu as an operator of PyTorch, and a chunked form for every device.

    S_t = S_{t-1} (diag(exp l_t) + a_t b_t^T) + v_t k_t^T,   y_t = S_t r_t        all inputs [B, T, H, N]


Annotations stay real types in this file: PyTorch reads the operators' schemas from them.
"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("wkv7.cu")
KEPT = 16
HEAD = 64

_library: ctypes.CDLL | None = None


def build(target: Path) -> Path:
    command = ["nvcc", "-O3", "-std=c++17", "-gencode=arch=compute_90,code=sm_90", "-Xcompiler=-fPIC", "-shared"]
    subprocess.run([*command, "-o", str(target), str(SOURCE)], check=True)
    return target


def use_kernel(library: Path) -> None:
    """Load the compiled kernel, check it, and use it from now on; without it the chunked form serves."""
    global _library
    _library = ctypes.CDLL(str(library))
    try:
        check()
    except BaseException:
        _library = None
        raise


def prepare_kernel(library: Path | None) -> None:
    """Use the kernel, given or built here; whatever is wrong with it, the chunked form serves."""
    if not torch.cuda.is_available():
        return
    try:
        given = library is not None and library.exists()
        use_kernel(library if given else build(Path(tempfile.mkdtemp()) / "wkv7.so"))
    except Exception as error:
        print(f"wkv7: no kernel ({error}), the chunked form serves", flush=True)


def _call(name: str, shape: torch.Size, *tensors: Tensor) -> None:
    batch, length, heads, _ = shape
    stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in tensors]
    status = getattr(_library, name)(stream, batch, length, heads, *pointers)
    if status != 0:
        raise RuntimeError(f"{name}: CUDA error {status}")


@torch.library.custom_op("linea_training::wkv7", mutates_args=())
def _forward(r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, heads, size = r.shape
    if size != HEAD or length % KEPT != 0:
        raise ValueError(f"wkv7: expected [B, multiple of {KEPT}, H, {HEAD}], found {list(r.shape)}")
    r, l, k, v, a, b = (x.contiguous() for x in (r, l, k, v, a, b))
    y = torch.empty_like(r)
    states = torch.empty(batch, heads, length // KEPT, size, size, device=r.device)
    sa = torch.empty(r.shape, device=r.device)
    _call("wkv7_forward", r.shape, r, l, k, v, a, b, y, states, sa)
    return y, states, sa


@_forward.register_fake
def _(r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, heads, size = r.shape
    return torch.empty_like(r), l.new_empty(batch, heads, length // KEPT, size, size), torch.empty_like(l)


@torch.library.custom_op("linea_training::wkv7_backward", mutates_args=())
def _backward(
    r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, dy: Tensor, states: Tensor, sa: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    r, l, k, v, a, b, dy, states, sa = (x.contiguous() for x in (r, l, k, v, a, b, dy, states, sa))
    gradients = tuple(torch.empty_like(t) for t in (r, l, k, v, a, b))
    _call("wkv7_backward", r.shape, r, l, k, v, a, b, dy, states, sa, *gradients)
    return gradients


@_backward.register_fake
def _(r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, dy: Tensor, states: Tensor, sa: Tensor):
    return tuple(torch.empty_like(t) for t in (r, l, k, v, a, b))


def _save(ctx, inputs, output) -> None:
    _, states, sa = output
    ctx.save_for_backward(*inputs, states, sa)


def _differentiate(ctx, dy: Tensor, _states, _sa):
    *inputs, states, sa = ctx.saved_tensors
    return _backward(*inputs, dy, states, sa)


_forward.register_autograd(_differentiate, setup_context=_save)


def chunked(r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, chunk: int = 32) -> Tensor:
    """The same in float32 matrix products over chunks; T is padded to whole chunks."""
    length = r.shape[1]
    pad = -length % chunk

    def split(x: Tensor) -> Tensor:  # [B, T, H, N] -> [B, H, chunks, chunk, N]
        x = torch.nn.functional.pad(x.float(), (0, 0, 0, 0, 0, pad))
        return x.unflatten(1, (-1, chunk)).permute(0, 3, 1, 2, 4)

    with torch.autocast(r.device.type, enabled=False):
        r, l, k, v, a, b = (split(x) for x in (r, l, k, v, a, b))
        total = l.cumsum(3)
        before = total - l
        middle = total[..., chunk // 2 - 1 : chunk // 2, :]  # bounds the exponents
        strict = torch.ones(chunk, chunk, dtype=torch.bool, device=r.device).tril(-1)
        inclusive = strict | torch.eye(chunk, dtype=torch.bool, device=r.device)
        r_mid, a_mid = r * (total - middle).exp(), a * (before - middle).exp()
        k_mid, b_mid = (k * (middle - total).exp()).mT, (b * (middle - total).exp()).mT
        ab, ak = (a_mid @ b_mid).masked_fill(~strict, 0), (a_mid @ k_mid).masked_fill(~strict, 0)
        rk, rb = (r_mid @ k_mid).masked_fill(~inclusive, 0), (r_mid @ b_mid).masked_fill(~inclusive, 0)
        unit = torch.eye(chunk, device=r.device)
        right = torch.cat([a * before.exp(), ak @ v], dim=-1)
        solved = torch.linalg.solve_triangular(unit - ab, right, upper=False, unitriangular=True)
        w, u = solved.split(a.shape[-1], dim=-1)
        end = total[..., -1:, :]
        k_end, b_end, decay = k * (end - total).exp(), b * (end - total).exp(), end.exp()
        r_start = r * total.exp()
        state = torch.zeros(*r.shape[:2], v.shape[-1], k.shape[-1], device=r.device)
        outputs = []
        for c in range(r.shape[2]):
            removed = u[:, :, c] + w[:, :, c] @ state.mT
            outputs.append(r_start[:, :, c] @ state.mT + rk[:, :, c] @ v[:, :, c] + rb[:, :, c] @ removed)
            state = state * decay[:, :, c] + v[:, :, c].mT @ k_end[:, :, c] + removed.mT @ b_end[:, :, c]
        y = torch.stack(outputs, 2)
    return y.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :length]


def wkv7(r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    if r.is_cuda and _library is not None:
        half = (x.to(torch.bfloat16).contiguous() for x in (r, k, v, a, b))
        r, k, v, a, b = half
        return _forward(r, l.float().contiguous(), k, v, a, b)[0]
    return chunked(r, l, k, v, a, b).to(v.dtype)


def stepwise(r: Tensor, l: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The definition, token by token: the reference of the checks."""
    state = r.new_zeros(r.shape[0], r.shape[2], v.shape[3], k.shape[3])
    outputs = []
    for t in range(r.shape[1]):
        removed = state @ a[:, t, :, :, None]
        state = state * l[:, t, :, None].exp() + removed * b[:, t, :, None] + v[:, t, :, :, None] * k[:, t, :, None]
        outputs.append((state @ r[:, t, :, :, None])[..., 0])
    return torch.stack(outputs, 1)


def random_inputs(batch: int, length: int, heads: int, device: str) -> list[Tensor]:
    """Inputs as the model makes them, of values that bfloat16 holds exactly."""
    generator = torch.Generator().manual_seed(1)

    def normal(scale: float = 1.0) -> Tensor:
        return scale * torch.randn(batch, length, heads, HEAD, generator=generator)

    keys = torch.nn.functional.normalize(normal(), dim=-1)
    inputs = [normal(), -0.6065 * torch.sigmoid(normal()), normal(0.3), normal(), -keys, keys * torch.sigmoid(normal())]
    return [x.bfloat16().double().to(device) for x in inputs]


def relative_errors(function, inputs: list[Tensor], dtype: torch.dtype) -> list[float]:
    """Of the output and of every gradient, against the definition in float64."""

    def run(f, tensors: list[Tensor]) -> list[Tensor]:
        leaves = [t.detach().requires_grad_() for t in tensors]
        y = f(*leaves)
        weight = torch.linspace(-1, 1, y.numel(), device=y.device, dtype=y.dtype).view_as(y)
        return [y, *torch.autograd.grad((y * weight).sum(), leaves)]

    expected = run(stepwise, inputs)
    found = run(function, [t.to(dtype) if i != 1 else t.float() for i, t in enumerate(inputs)])
    return [((f.double() - e).norm() / e.norm()).item() for f, e in zip(found, expected)]


def check() -> None:
    errors = relative_errors(wkv7, random_inputs(2, 48, 2, "cuda"), torch.bfloat16)
    print("wkv7 kernel against float64: output and gradients of r l k v a b", [f"{e:.1e}" for e in errors], flush=True)
    if not max(errors) < 2e-2:
        raise RuntimeError("wkv7: the kernel disagrees with the definition")
