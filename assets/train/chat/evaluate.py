"""Held-out perplexity, answers to the sixty questions, and prompt expansion, of a trained model."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tokenizer
import wkv7
from config import END_OF_TEXT, SEQUENCE
from corpus import STOP, open_question
from expand import Sample, keeps_everything, read_twice, speaks_the_language
from weights import load_weights, make, parameter_count

BATCH = 32


class Tests:
    """The held-out texts, questions and requests of a prepared folder."""

    def __init__(self, prepared: Path, device: torch.device) -> None:
        self.device = device
        self.encoder = tokenizer.load(prepared / "tokenizer.json")
        self.texts: dict[str, list[str]] = json.loads((prepared / "heldout.json").read_text())
        self.questions = {path.name: path.read_text().splitlines() for path in sorted(prepared.glob("questions*.txt"))}
        self.cases = [Sample(**case) for case in json.loads((prepared / "cases.json").read_text())]


def logits_of(model: nn.Module, tokens: Tensor) -> Tensor:
    """Logits [B, T, V] in float32 of tokens [B, T]."""
    with torch.autocast(tokens.device.type, torch.bfloat16, enabled=tokens.is_cuda):
        return model(tokens).float()


def padded(rows: list[list[int]], device: torch.device, multiple: int = 64) -> Tensor:
    length = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([row + [END_OF_TEXT] * (length - len(row)) for row in rows], device=device)


@torch.no_grad()
def perplexity(model: nn.Module, tests: Tests, texts: list[str]) -> dict[str, float]:
    """Of whole texts, cut after SEQUENCE tokens; a word is what stands between white space."""
    loss, tokens, words = 0.0, 0, 0.0
    for start in range(0, len(texts), BATCH):
        group = texts[start : start + BATCH]
        encodings = tests.encoder.encode_batch(group)
        ids = [[END_OF_TEXT, *e.ids][: SEQUENCE + 1] for e in encodings]
        batch = padded(ids, tests.device, 64)
        targets = torch.full_like(batch, -100)
        for row, known in zip(targets, ids):
            row[: len(known) - 1] = torch.tensor(known[1:], device=row.device)
        logits = logits_of(model, batch)
        loss += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum").item()
        tokens += sum(len(known) - 1 for known in ids)
        words += sum(len(tests.encoder.decode(known[1:]).split()) for known in ids)
    return {"per_word": math.exp(loss / words), "per_token": math.exp(loss / tokens), "texts": len(texts)}


def perplexities(model: nn.Module, tests: Tests, sources, at_most: int = 10**9) -> dict[str, dict[str, float]]:
    return {source: perplexity(model, tests, tests.texts[source][:at_most]) for source in sources}


@torch.no_grad()
def answer(model: nn.Module, tests: Tests, prompts: list[str], longest: int = 80, temperature: float = 0.0) -> list[str]:
    """Continue all prompts at once, greedily or with a top-p of 0.8, each to the end of its turn."""
    ids = [[END_OF_TEXT, *e.ids] for e in tests.encoder.encode_batch(prompts)]
    lengths = [len(row) for row in ids]
    generator = torch.Generator(tests.device).manual_seed(1)
    open_rows = list(range(len(ids)))
    for _ in range(longest):
        if not open_rows:
            break
        batch = padded([ids[i] for i in open_rows], tests.device)
        last = torch.tensor([len(ids[i]) - 1 for i in open_rows], device=tests.device)
        with torch.autocast(tests.device.type, torch.bfloat16, enabled=batch.is_cuda):
            logits = model(batch)[torch.arange(len(open_rows), device=tests.device), last].float()
        chosen = draw(logits, temperature, generator).tolist()
        for i, token in zip(open_rows, chosen):
            ids[i].append(token)
        texts = tests.encoder.decode_batch([ids[i][lengths[i] :] for i in open_rows])
        open_rows = [i for i, token, text in zip(open_rows, chosen, texts) if token != END_OF_TEXT and STOP not in text]
    answers = (tests.encoder.decode(row[length:]) for row, length in zip(ids, lengths))
    return [text.split(STOP)[0].strip() for text in answers]


def draw(logits: Tensor, temperature: float, generator: torch.Generator, top_p: float = 0.8) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    shares, order = torch.softmax(logits / temperature, -1).sort(descending=True)
    shares = shares * (shares.cumsum(-1) - shares < top_p)
    return order.gather(1, torch.multinomial(shares, 1, generator=generator))[:, 0]


def expansion(model: nn.Module, tests: Tests, twice: bool, cases: list[Sample]) -> tuple[dict[str, float], list[dict]]:
    """Shares of answers in the captions' language, and of those that keep all that was asked for."""
    requests = [read_twice(case.request) if twice else case.request for case in cases]
    prompts = [open_question([{"role": "user", "content": request}]) for request in requests]
    answers = answer(model, tests, prompts)
    rows = [
        {"request": case.request, "answer": text, "language": speaks_the_language(case, text), "kept": keeps_everything(case, text)}
        for case, text in zip(cases, answers)
    ]
    figures = {name: sum(row[name] for row in rows) / len(rows) for name in ("language", "kept")}
    return figures, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("rwkv7", "mamba2"))
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="folder with part-*.safetensors, or a .gguf file")
    parser.add_argument("--out", type=Path, required=True, help="report.json to write")
    parser.add_argument("--kernel", type=Path, help="compiled wkv7.cu")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--at-most", type=int, default=10**9, help="texts a source and cases of expansion")
    args = parser.parse_args()

    start = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if args.kind == "rwkv7":
        wkv7.prepare_kernel(args.kernel)
    model = make(args.kind, args.tiny).to(device).eval()
    load_weights(model, args.kind, args.weights)
    tests = Tests(args.prepared, device)
    report: dict = {"parameters": parameter_count(model)}

    def keep(name: str, value) -> None:
        report[name] = value
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")

    for twice in (False, True):
        figures, rows = expansion(model, tests, twice, tests.cases[: args.at_most])
        print(f"expansion, read {'twice' if twice else 'once'}: {figures}", flush=True)
        keep(f"expansion read {'twice' if twice else 'once'}", {**figures, "rows": rows})
    for name, questions in tests.questions.items():
        prompts = [open_question([{"role": "user", "content": q}]) for q in questions[: args.at_most]]
        for temperature in (0.0, 0.7):
            answers = answer(model, tests, prompts, temperature=temperature)
            keep(f"answers to {name} at temperature {temperature}", dict(zip(questions, answers)))
    figures = perplexities(model, tests, tests.texts, args.at_most)
    keep("perplexity", figures)
    for source, figure in figures.items():
        print(f"{source}: {figure['per_word']:.2f} per word, {figure['per_token']:.2f} per token", flush=True)
    print(f"evaluated in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
