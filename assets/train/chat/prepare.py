"""Write everything that training reads into one small folder: the corpus as tokens, the things of the pictures, and the tests."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

import facts
import tokenizer
from config import END_OF_TEXT
from corpus import WEIGHTS, document, heldout_texts, normalised, read_rows, training_rows
from expand import Composer, Sample, Things, speaks_the_language

HERE = Path(__file__).parent
QUESTIONS = ("questions.txt", "questions-2.txt", "questions-3.txt")
CASES = 200  # of prompt expansion, half from the corpus's held-out prompts
_REFERENCE = re.compile(r"(?P<style>an? .+?) of (?P<core>.+?), .*on a plain (?P<colour>.+) background$")


def pack_corpus(rows: list[dict], out: Path, encoder) -> None:
    """tokens.npy: all documents one after the other, each begun by the end of text; starts.npy and sources.npy: one entry each."""
    rows = [row for row in rows if WEIGHTS.get(row["source"], 1) > 0]
    ids = [[END_OF_TEXT, *encoding.ids] for encoding in encoder.encode_batch([document(row) for row in rows])]
    names = sorted({row["source"] for row in rows})
    np.save(out / "tokens.npy", np.concatenate([np.array(row, np.int16) for row in ids]))
    np.save(out / "starts.npy", np.cumsum([0, *map(len, ids)]).astype(np.int32))
    np.save(out / "sources.npy", np.array([names.index(row["source"]) for row in rows], np.int8))
    (out / "sources.json").write_text(json.dumps(names))
    print(f"{len(rows)} documents, {sum(map(len, ids)) / 1e6:.2f} M tokens")


def heldout_prompt(row: dict) -> Sample | None:
    """A held-out row of the corpus's prompts, with what its request asks for."""
    request, reference = (message["content"] for message in row["messages"])
    match = _REFERENCE.match(reference)
    if match is None:
        return None
    parts = [match["core"]]
    if "background" in request:
        parts.append(f"{match['colour']} background")
    style = re.sub("^an? ", "", match["style"])
    if style in request:
        parts.append(style)
    return Sample(request, "", parts)


def cases(data: Path, things: Things) -> list[Sample]:
    """Requests that training never sees; those composed name things that no expansion in training names."""
    samples = [heldout_prompt(row) for row in read_rows(data, ("prompts.heldout.jsonl.xz",))]
    samples = [sample for sample in samples if sample is not None]
    composer = Composer(things, seed=4242, heldout=True)
    while len(samples) < CASES:
        sample = composer.expansion()
        if speaks_the_language(sample, sample.answer):
            samples.append(sample)
    return samples


def check_questions(rows: list[dict]) -> None:
    """None of the questions may be a user's turn anywhere in the data."""
    seen = {normalised(m["content"]) for row in rows if "messages" in row for m in row["messages"]}
    for name in QUESTIONS:
        known = [question for question in (HERE / name).read_text().splitlines() if normalised(question) in seen]
        if known:
            raise SystemExit(f"{name}: also in the data: " + "; ".join(known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text corpus")
    parser.add_argument("--captions", type=Path, required=True, help="captions.jsonl of the pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = list(training_rows(args.data))
    check_questions(rows)
    for name in QUESTIONS:
        shutil.copyfile(HERE / name, args.out / name)
    encoder_path = args.out / "tokenizer.json"
    if not encoder_path.exists():
        tokenizer.train(tokenizer.texts_of(args.data, args.captions)).save(str(encoder_path))
    encoder = tokenizer.load(encoder_path)
    things = Things(args.captions, args.data)
    things.save(args.out / "things.json")
    (args.out / "facts.json").write_text(json.dumps(facts.collect(rows)))
    pack_corpus(rows, args.out, encoder)
    (args.out / "heldout.json").write_text(json.dumps(heldout_texts(args.data)))
    (args.out / "cases.json").write_text(json.dumps([asdict(sample) for sample in cases(args.data, things)], indent=1))


if __name__ == "__main__":
    main()
