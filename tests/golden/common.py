"""What the golden-data scripts share: reproducible random weights and safetensors output.

Run each script with a Python that has torch, diffusers, transformers and safetensors, from the repository's root:
    python tests/golden/make_dit.py
"""
import json
import pathlib

import torch
from safetensors.torch import save_file

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Weights that keep activations near unit size, with every vector away from its trivial value."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, scale):
        return torch.randn(shape, generator=generator) * scale

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "scale_shift_table" in name:
                parameter.copy_(normal(parameter.shape, 0.3))
            elif parameter.dim() > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(normal(parameter.shape, fan_in**-0.5))
            elif "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + normal(parameter.shape, 0.2))
            else:
                parameter.copy_(normal(parameter.shape, 0.1))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(normal(buffer.shape, 0.1))
            elif name.endswith("running_var"):
                buffer.copy_(1 + 0.5 * torch.rand(buffer.shape, generator=generator))


def save(path: pathlib.Path, tensors: dict, metadata: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
    save_file(tensors, path, metadata={key: json.dumps(value) for key, value in (metadata or {}).items()})
    print(f"{path.relative_to(DATA)}: {path.stat().st_size / 1024:.0f} KiB")
