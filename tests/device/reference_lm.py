"""Times of the families' own fast code for RWKV-7 and Mamba-2, for the figures that stand beside `linea_lm_bench`'s.

    python tests/device/reference_lm.py FOLDER MODEL ...

FOLDER holds checkouts `Albatross` (BlinkDL/Albatross) and `mamba` (state-spaces/mamba); MODEL is rwkv7-0.4b, rwkv7-2.9b, rwkv7-7.2b or
mamba2-2.7b: random weights of the published configuration in 16 bits. Prints tokens a second, medians of several runs: decoding one text,
as the code stands and captured in a CUDA graph; a prompt of 4096 tokens; one step of 64 texts together.
"""

from __future__ import annotations

import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch

PROMPT, TEXTS = 4096, 64
RWKV7 = {"rwkv7-0.4b": (24, 1024, 64, 64, 32, 128), "rwkv7-2.9b": (32, 2560, 96, 96, 64, 320), "rwkv7-7.2b": (32, 4096, 128, 128, 96, 480)}


def seconds_of(work: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs + 3):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def captured(work: Callable[[], object]) -> Callable[[], object]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def report(name: str, what: str, tokens: int, work: Callable[[], object], runs: int = 20) -> None:
    try:
        print(f"{name}: {what}: {tokens / seconds_of(work, runs):.1f} tokens/s", flush=True)
    except Exception as error:  # what it does not bear is told, and the others are timed
        print(f"{name}: {what}: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)


def report_captured(name: str, what: str, tokens: int, work: Callable[[], object]) -> None:
    try:
        replay = captured(work)
    except Exception as error:
        print(f"{name}: {what}, captured: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)
        return
    report(name, what + ", captured", tokens, replay)


def rwkv7_weights(layers: int, channels: int, decay: int, rate: int, mix: int, gate: int) -> dict[str, torch.Tensor]:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", dtype=torch.half) * 0.02

    z = {"emb.weight": random(65536, channels), "head.weight": random(65536, channels)}
    for norm in ("blocks.0.ln0", "ln_out"):
        z |= {f"{norm}.weight": 1 + random(channels), f"{norm}.bias": random(channels)}
    for i in range(layers):
        block, att, ffn = f"blocks.{i}.", f"blocks.{i}.att.", f"blocks.{i}.ffn."
        for norm in (block + "ln1", block + "ln2", att + "ln_x"):
            z |= {f"{norm}.weight": 1 + random(channels), f"{norm}.bias": random(channels)}
        for name in ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "v0", "k_k", "k_a"):
            z[att + name] = random(1, 1, channels)
        for name, rank in (("w", decay), ("a", rate), ("v", mix), ("g", gate)):
            z |= {f"{att}{name}1": random(channels, rank), f"{att}{name}2": random(rank, channels)}
        z[att + "r_k"] = random(channels // 64, 64)
        for name in ("receptance", "key", "value", "output"):
            z[f"{att}{name}.weight"] = random(channels, channels)
        z |= {ffn + "x_k": random(1, 1, channels), ffn + "key.weight": random(4 * channels, channels)}
        z[ffn + "value.weight"] = random(channels, 4 * channels)
    return z


def time_rwkv7(folder: Path, name: str) -> None:
    sys.path.insert(0, str(folder / "Albatross"))
    weights = rwkv7_weights(*RWKV7[name])
    load, torch.load = torch.load, lambda *_, **__: weights
    from reference.rwkv7 import RWKV_x070

    layers, channels = RWKV7[name][:2]
    model = RWKV_x070(types.SimpleNamespace(n_layer=layers, n_embd=channels, head_size=64, vocab_size=65536, MODEL_NAME="random"))
    torch.load = load

    def state(texts: int | None) -> list[torch.Tensor]:
        batch = () if texts is None else (texts,)
        row = [torch.zeros(*batch, channels, dtype=torch.half, device="cuda") for _ in range(2 * layers)]
        heads = [torch.zeros(*batch, channels // 64, 64, 64, device="cuda") for _ in range(layers)]
        return [t for i in range(layers) for t in (row[2 * i], heads[i], row[2 * i + 1])]

    one = state(None)
    report(name, "decode", 1, lambda: model.forward(17, list(one)))
    report_captured(name, "decode", 1, lambda: model.forward(17, list(one)))
    prompt = [(7 + i * 7919) % 50000 for i in range(PROMPT)]
    report(name, f"prompt of {PROMPT}", PROMPT, lambda: model.forward(prompt, state(None)), 5)
    texts, together = [[17 + i] for i in range(TEXTS)], state(TEXTS)
    report(name, f"{TEXTS} texts together", TEXTS, lambda: model.forward_batch(texts, list(together)))
    # A list of ids passes through the CPU, which a graph cannot hold; the embedding's lookup is all that it is for.
    ids = torch.tensor(texts, device="cuda")
    make, torch.tensor = torch.tensor, lambda *_, **__: ids
    report_captured(name, f"{TEXTS} texts together", TEXTS, lambda: model.forward_batch(texts, list(together)))
    torch.tensor = make


def time_mamba2(folder: Path, name: str) -> None:
    sys.path.insert(0, str(folder / "mamba"))
    # What Mamba-1 and 3 need besides is not there, and not needed.
    sys.modules["mamba_ssm.modules.mamba3"] = types.SimpleNamespace(Mamba3=None)
    from mamba_ssm.models.config_mamba import MambaConfig
    from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel
    from mamba_ssm.utils.generation import InferenceParams

    config = MambaConfig(d_model=2560, n_layer=64, vocab_size=50277, ssm_cfg={"layer": "Mamba2"}, rms_norm=True, residual_in_fp32=True,
                         fused_add_norm=True, pad_vocab_size_multiple=16)  # fmt: skip
    model = MambaLMHeadModel(config, device="cuda", dtype=torch.half).eval()

    def step_of(texts: int) -> Callable[[], object]:
        ids = torch.full((texts, 1), 17, device="cuda")
        state = InferenceParams(max_seqlen=PROMPT, max_batch_size=texts, seqlen_offset=1)
        state.key_value_memory_dict = model.allocate_inference_cache(texts, PROMPT, dtype=torch.half)
        return lambda: model(ids, inference_params=state, num_last_tokens=1)

    with torch.inference_mode():
        report(name, "decode", 1, step_of(1))
        report_captured(name, "decode", 1, step_of(1))
        prompt = (7 + torch.arange(PROMPT, device="cuda") * 7919)[None] % 50000
        report(name, f"prompt of {PROMPT}", PROMPT, lambda: model(prompt, num_last_tokens=1), 5)
        report_captured(name, f"{TEXTS} texts together", TEXTS, step_of(TEXTS))


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(1)
    for name in sys.argv[2:]:
        time_mamba2(folder, name) if name.startswith("mamba2") else time_rwkv7(folder, name)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
