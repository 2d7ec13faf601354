"""Compare both models, small and random, with the authors' package (rwkv) and with transformers, and the chunked forms with the definitions."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from config import TINY
from mamba2_model import Mamba2, state_space
from rwkv7_model import Rwkv7
from wkv7 import chunked, random_inputs, relative_errors


def shake(model: nn.Module) -> nn.Module:
    """Move every parameter, so that nothing is zero or one by its start value."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def check_chunks() -> None:
    errors = relative_errors(chunked, random_inputs(2, 83, 2, "cpu"), torch.float32)
    assert max(errors) < 1e-4, errors
    v, k, q = (torch.randn(2, 83, *shape, dtype=torch.float64) for shape in ((3, 8), (5,), (5,)))
    g = -2 * torch.rand(2, 83, 3, dtype=torch.float64)
    state, outputs = torch.zeros(2, 3, 8, 5, dtype=torch.float64), []
    for t in range(83):
        state = state * g[:, t, :, None, None].exp() + v[:, t, :, :, None] * k[:, t, None, None]
        outputs.append(state @ q[:, t, None, :, None])
    error = relative(state_space(v, g, k, q, 16), torch.stack(outputs, 1)[..., 0])
    assert error < 1e-6, error
    print(f"chunked forms: {max(errors):.1e}, {error:.1e}")


def check_rwkv7(tokens: Tensor) -> None:
    os.environ.update(RWKV_V7_ON="1", RWKV_JIT_ON="0", RWKV_CUDA_ON="0")
    from rwkv.model import RWKV

    model = shake(Rwkv7(TINY["rwkv7"]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        torch.save(model.state_dict(), f"{path}.pth")
        reference = RWKV(model=str(path), strategy="cpu fp32")
        expected, _ = reference.forward(tokens.tolist(), None, full_output=True)
    error = relative(model(tokens[None])[0], expected)
    assert error < 1e-4, error
    print(f"RWKV-7 against rwkv: {error:.1e}")


def check_mamba2(tokens: Tensor) -> None:
    from transformers import Mamba2ForCausalLM

    from export import mamba2_hugging_face_config

    model = shake(Mamba2(TINY["mamba2"]))
    reference = Mamba2ForCausalLM(mamba2_hugging_face_config(TINY["mamba2"])).eval()
    missing, unexpected = reference.load_state_dict(model.state_dict(), strict=False)
    assert missing in ([], ["lm_head.weight"]) and not unexpected, (missing, unexpected)
    reference.tie_weights()
    error = relative(model(tokens[None])[0], reference(tokens[None]).logits[0])
    assert error < 1e-4, error
    print(f"Mamba-2 against transformers: {error:.1e}")


@torch.no_grad()
def main() -> None:
    tokens = torch.randint(0, 6144, (83,), generator=torch.Generator().manual_seed(2))
    with torch.enable_grad():
        check_chunks()
    check_rwkv7(tokens)
    check_mamba2(tokens)


if __name__ == "__main__":
    main()
