"""The tokenizer: byte-level BPE over the corpus and the names of the pictures; any text is spelled in bytes at worst.

Line breaks are never merged with anything, so that the end of a turn is always the same two tokens.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from config import VOCABULARY
from corpus import document, training_rows
from expand import Composer, Things

END_OF_TEXT_TOKEN = "<|endoftext|>"


def train(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = (line for text in texts for line in text.split("\n"))
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def texts_of(data: Path, captions: Path, expansions: int = 20000) -> list[str]:
    """The corpus, composed expansions, and the pictures' names with and without a space before them."""
    things = Things(captions)
    composer = Composer(things, seed=1)
    texts = [document(row) for row in training_rows(data)]
    for _ in range(expansions):
        sample = composer.expansion()
        texts.append(sample.request + sample.answer)
    for name in things.all_names:
        texts += [name, " " + name, " " + name]
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text corpus")
    parser.add_argument("--captions", type=Path, required=True, help="captions.jsonl of the pictures")
    parser.add_argument("--out", type=Path, required=True, help="tokenizer.json to write")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    train(texts_of(args.data, args.captions)).save(str(args.out))


if __name__ == "__main__":
    main()
