"""Play the conversations of conversations.txt with a model and print them as they came out, as Markdown.

With ``--linea`` the answers are those of the program, else those of the training's model, always the most probable token.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def conversations(path: Path) -> list[list[str]]:
    """What the user says: a line a message, an empty line between conversations."""
    return [block.split("\n") for block in path.read_text().strip().split("\n\n")]


def of_linea(program: str, model: Path, messages: list[str]) -> list[str]:
    command = [program, "chat", "--model", str(model), "--device", "cpu", "--preset", "greedy", "-n", "80", "-i", "--json", "-q"]
    done = subprocess.run(command, input="".join(f"{m}\n" for m in messages), capture_output=True, text=True, check=True)
    return [json.loads(line)["text"].strip() for line in done.stdout.splitlines()]


class Trained:
    """The training's model on the CPU."""

    def __init__(self, kind: str, prepared: Path, weights: Path) -> None:
        import torch

        import evaluate
        from weights import load_weights, make

        self.evaluate = evaluate
        self.model = make(kind).eval()
        load_weights(self.model, kind, weights)
        self.tests = evaluate.Tests(prepared, torch.device("cpu"))

    def answers(self, messages: list[str]) -> list[str]:
        from corpus import open_question

        said: list[dict] = []
        for message in messages:
            said.append({"role": "user", "content": message})
            text = self.evaluate.answer(self.model, self.tests, [open_question(said)])[0]
            said.append({"role": "assistant", "content": text})
        return [turn["content"] for turn in said if turn["role"] == "assistant"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("rwkv7", "mamba2"))
    parser.add_argument("--weights", type=Path, required=True, help="folder with part-*.safetensors, or a .gguf file")
    parser.add_argument("--linea", help="the program that answers; then --weights is a .gguf file")
    parser.add_argument("--prepared", type=Path, help="needed without --linea")
    args = parser.parse_args()
    trained = None if args.linea else Trained(args.kind, args.prepared, args.weights)
    for i, messages in enumerate(conversations(HERE / "conversations.txt"), 1):
        answers = trained.answers(messages) if trained else of_linea(args.linea, args.weights, messages)
        turns = [f"*{message}* {answer}" for message, answer in zip(messages, answers, strict=True)]
        print(f"{i}. " + "<br>\n   ".join(turns), flush=True)


if __name__ == "__main__":
    main()
