"""Writes tests/data/checkpoints/: files of torch.save and GGUF with what they hold, and quantised blocks with their values.

Run: python tests/golden/make_checkpoints.py [libggml-quants.so] (needs torch, safetensors, numpy and gguf).

quants.safetensors   `<type>.blocks` and `<type>.values`: random blocks, also with the largest and smallest scales, dequantised by gguf.quants;
                     `rows`: values of several kinds; `rows.q8_0`, `rows.q4_0`: quantised by gguf.quants; `rows.<K type>.squares`: the sum of
                     the squared errors that ggml's own encoder makes in each row (measured when a library built from ggml-quants.c is given, else kept)
*.pth                what their names say; torch.safetensors holds the tensors of plain.pth under their names
mixed.gguf           every metadata type and several tensor types; keys and tensors in sorted order
"""

import ctypes
import pathlib
import sys
import zipfile

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

OUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "checkpoints"
SCALES = [1.0, -0.75, 0.0, -0.0, 65504.0, -65504.0, 2.0**-24, -(2.0**-24), 2.0**-14, 1e-3]
# Byte offsets of the halves of a block.
HALVES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.IQ4_NL: [0], Q.Q2_K: [80, 82], Q.Q3_K: [108],
          Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}  # fmt: skip


def random_blocks(random, kind):
    size = gguf.GGML_QUANT_SIZES[kind][1]
    count = 20 if size > 64 else 40
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    blocks[1, :] = 255
    blocks[2, :] = 0
    for offset in HALVES[kind]:
        halves = random.normal(0, 0.01, count).astype(np.float16)
        halves[: 2 * len(SCALES)] = np.resize(random.permutation(np.array(SCALES, np.float16)), 2 * len(SCALES))[:count]
        blocks[:, offset : offset + 2] = halves.view(np.uint8).reshape(count, 2)
    return blocks


def rows(random):
    kinds = [random.normal(0, 0.02, (6, 512)), random.uniform(-1, 1, (2, 512)), random.uniform(0, 1, (2, 512)),
             random.standard_t(3, (4, 512)), random.normal(3, 0.1, (2, 512)), random.normal(0, 1e-4, (1, 512)),
             random.normal(0, 1000, (1, 512)), np.zeros((1, 512)), np.ones((1, 512)), -np.ones((1, 512)) * 0.3]  # fmt: skip
    sparse = random.normal(0, 1, (1, 512)) * (random.uniform(0, 1, (1, 512)) < 0.05)
    return np.concatenate(kinds + [sparse]).astype(np.float32)


def measure(library, values):
    """Squared error of each row with the encoders of ggml-quants.c."""
    lib = ctypes.CDLL(library)
    result = {}
    for kind in [Q.Q4_K, Q.Q5_K, Q.Q6_K]:
        unit, size = gguf.GGML_QUANT_SIZES[kind]
        encode = getattr(lib, f"quantize_row_q{kind.name[1:]}_ref")
        squares = []
        for row in values:
            row = np.ascontiguousarray(row)
            out = np.zeros(row.size // unit * size, np.uint8)
            encode(row.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(row.size))
            difference = gguf.quants.dequantize(out, kind).astype(np.float64) - row
            squares.append(float((difference**2).sum()))
        result[kind.name.lower()] = np.array(squares)
    return result


def make_quants(library):
    random = np.random.default_rng(7)
    tensors = {}
    for kind in HALVES:
        blocks = random_blocks(random, kind)
        name = kind.name.lower()
        tensors[f"{name}.blocks"] = blocks
        tensors[f"{name}.values"] = gguf.quants.dequantize(blocks, kind)
        assert np.isfinite(tensors[f"{name}.values"]).all()
    values = rows(random)
    tensors["rows"] = values
    for kind in [Q.Q8_0, Q.Q4_0]:
        tensors[f"rows.{kind.name.lower()}"] = gguf.quants.quantize(values, kind)
    path = OUT / "quants.safetensors"
    squares = measure(library, values) if library else {}
    if not library:  # keeps those measured before: the rows are the same
        old = load_file(path)
        assert (old["rows"] == values).all()
        squares = {name: old[f"rows.{name}.squares"] for name in ["q4_k", "q5_k", "q6_k"]}
    for name, value in squares.items():
        tensors[f"rows.{name}.squares"] = value
    save_file(tensors, path)


def plain():
    generator = torch.Generator().manual_seed(3)
    base = torch.randn(6, 8, generator=generator)
    tensors = {
        "f32": base, "f64": base.double(), "f16": base.half(), "bf16": base.bfloat16(),
        "i64": (base * 100).long(), "i32": (base * 100).int(), "i16": (base * 100).short(), "i8": (base * 10).to(torch.int8),
        "u8": (base.abs() * 10).to(torch.uint8), "bool": base > 0,
        "f8_e4m3": base.to(torch.float8_e4m3fn), "f8_e5m2": base.to(torch.float8_e5m2),
        "transposed": base.t(), "sliced": base[1:5, 2:7], "rows": base[2:4], "odd": base.flatten()[1:4], "steps": base[::2, ::3],
        "permuted": torch.randn(2, 3, 4, generator=generator).permute(2, 0, 1), "expanded": base[:1].expand(3, 8),
        "scalar": torch.tensor(2.5), "empty": torch.empty(0, 3), "six": torch.randn(1, 2, 1, 2, 1, 2, generator=generator),
        "unaligned": torch.arange(9, dtype=torch.uint8).double()[1:],
        "layer.0.weight": torch.nn.Parameter(torch.randn(3, 3, generator=generator)),
    }  # fmt: skip
    return tensors


class Hostile:
    def __reduce__(self):
        import os

        return (os.system, ("true",))


def make_torch():
    tensors = plain()
    torch.save(tensors, OUT / "plain.pth")
    save_torch({name: value.detach().contiguous().clone() for name, value in tensors.items()}, OUT / "torch.safetensors")
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(model.state_dict(), OUT / "module.pth")
    nested = {
        "state_dict": {"a": tensors["f32"], "b": tensors["bf16"]},
        "epoch": 3, "loss": 0.25, "note": "é", "done": True, "nothing": None, "big": 2**40, "negative": -(2**33),
        "optimizer": {"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 1e-3, "params": [0, 1]}]},
        "shape": torch.Size([2, 3]), "dtype": torch.bfloat16, "device": torch.device("cpu"),
    }  # fmt: skip
    torch.save(nested, OUT / "nested.pth")
    torch.save({"a": torch.ones(2)}, OUT / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(2), "b": Hostile()}, OUT / "hostile.pth")
    torch.save(model, OUT / "whole_model.pth")
    torch.save([torch.ones(2)], OUT / "list.pth")
    torch.save(torch.ones(2), OUT / "tensor.pth")
    with zipfile.ZipFile(OUT / "plain.pth") as source, zipfile.ZipFile(OUT / "compressed.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist()[:4]:
            target.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)


def make_gguf():
    random = np.random.default_rng(5)
    writer = gguf.GGUFWriter(OUT / "mixed.gguf", "test")
    scalars = [("bool", True), ("float32", 1.5), ("float64", 1e-300), ("int16", -30000), ("int32", -(2**31)), ("int64", -(2**63)), ("int8", -5),
               ("string", "é\n"), ("uint16", 65535), ("uint32", 2**32 - 1), ("uint64", 2**64 - 1), ("uint8", 255)]  # fmt: skip
    writer.add_array("test.array.float", [0.5, -2.0])
    writer.add_array("test.array.int", [1, -2, 3])
    writer.add_array("test.array.string", ["a", "", "日本"])
    for name, value in scalars:
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    values = random.normal(0, 1, (4, 256)).astype(np.float32)
    expected = {"a.f32": values[:3, :5], "b.f16": values[:2, :3], "d.cube": values[0, :24].reshape(2, 3, 4)}
    writer.add_tensor("a.f32", np.ascontiguousarray(expected["a.f32"]))
    writer.add_tensor("b.f16", np.ascontiguousarray(expected["b.f16"].astype(np.float16)))
    expected["b.f16"] = expected["b.f16"].astype(np.float16).astype(np.float32)
    for name, kind in [("c.bf16", Q.BF16), ("c.q8_0", Q.Q8_0)]:
        packed = gguf.quants.quantize(values[:, :64], kind)
        writer.add_tensor(name, packed, raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(packed, kind)
    writer.add_tensor("d.cube", np.ascontiguousarray(expected["d.cube"]))
    blocks = random_blocks(random, Q.Q4_K)[18:].reshape(1, -1)
    writer.add_tensor("e.q4_k", blocks, raw_dtype=Q.Q4_K)
    expected["e.q4_k"] = gguf.quants.dequantize(blocks, Q.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: np.ascontiguousarray(value) for name, value in expected.items()}, OUT / "gguf.safetensors")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    make_quants(sys.argv[1] if len(sys.argv) > 1 else None)
    make_torch()
    make_gguf()
    for path in sorted(OUT.iterdir()):
        print(f"{path.name}: {path.stat().st_size / 1024:.1f} KiB")


if __name__ == "__main__":
    main()
