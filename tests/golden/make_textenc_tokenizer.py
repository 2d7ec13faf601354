"""Golden data of the tokenizers: a small Gemma-like tokenizer and what the reference libraries make of 10 000 strings.

    python make_textenc_tokenizer.py OUT_FOLDER TEXT_FILE...

Trains a SentencePiece BPE with the settings of Gemma's (byte fallback, split digits, no dummy prefix, no normalisation, user-defined
runs of blanks and newlines, HTML tags) on TEXT_FILE, converts it to tokenizer.json with transformers' GemmaConverter, and writes

    tokenizer/tokenizer.{model,json}, tokenizer_config.json
    tokenizer.safetensors   strings.bytes u8, strings.ends i32: the strings; hf.ids i16, hf.ends i32: tokenizer.json's ids of each (bos first),
                            checked against transformers' GemmaTokenizer; spm.ids i16, spm.ends i32, spm.rows i32: SentencePiece's ids of the
                            rows that differ, without bos, special tokens found first; decoded.bytes, .ends, .rows: tokenizer.json's
                            decoding, without special tokens, of the rows that do not come back as they were

Needs sentencepiece, tokenizers, transformers, safetensors, protobuf.
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import sentencepiece
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, processors
from transformers import GemmaTokenizer
from transformers.convert_slow_tokenizer import GemmaConverter, GemmaSentencePieceExtractor

VOCABULARY = 4096
STRINGS = 10_000
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")
HTML = [f"<{slash}{tag}>" for tag in ("table", "tr", "td", "h1", "h2", "ul", "li", "sub", "sup", "code") for slash in ("", "/")]
USER_DEFINED = (
    ["<mask>", "<2mass>", "[@BOS@]", "<start_of_turn>", "<end_of_turn>"]
    + ["\n" * n for n in range(1, 32)]
    + ["\u2581" * n for n in range(2, 32)]
    + HTML
)


def train(texts: list[str], folder: Path) -> None:
    sentencepiece.SentencePieceTrainer.train(
        input=texts, model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=VOCABULARY, character_coverage=0.9995,
        byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True, normalization_rule_name="identity",
        add_dummy_prefix=False, remove_extra_whitespaces=False, user_defined_symbols=USER_DEFINED,
        pad_id=0, pad_piece="<pad>", eos_id=1, eos_piece="<eos>", bos_id=2, bos_piece="<bos>", unk_id=3, unk_piece="<unk>",
        input_sentence_size=60_000, shuffle_input_sentence=False, num_threads=2, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()


class Extractor(GemmaSentencePieceExtractor):
    def __init__(self, model: str):  # transformers 5 lost this member, which extract() reads
        super().__init__(model)
        self.sp = sentencepiece.SentencePieceProcessor(model_file=model)


class Converter(GemmaConverter):
    SpmExtractor = Extractor


def convert(folder: Path) -> Tokenizer:
    names = SimpleNamespace(vocab_file=str(folder / "tokenizer.model"), pad_token="<pad>", eos_token="<eos>", bos_token="<bos>",
                            unk_token="<unk>")  # fmt: skip
    tokenizer = Converter(names).converted()
    tokenizer.add_special_tokens([AddedToken("<unk>", normalized=False, special=True)])  # as the published files have it
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", pair="<bos> $A <bos>:1 $B:1",
                                                             special_tokens=[("<bos>", 2)])  # fmt: skip
    content = json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    config = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False, "padding_side": "left",
              "clean_up_tokenization_spaces": False, **special}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def strings(rng: random.Random, words: list[str]) -> list[str]:
    """Words, digits, runs of blanks, every plane, emoji sequences, control characters, special-token text, and mixtures of them."""

    def phrase(n: int) -> str:
        return " ".join(rng.choice(words) for _ in range(n))

    def code_point() -> str:
        low, high = rng.choice([(0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF), (0x1F300, 0x1FAFF),
                                (0x20000, 0x10FFFF)])  # fmt: skip
        return chr(rng.randint(low, high))

    special = ["<bos>", "<eos>", "<pad>", "<unk>", "<0x41>", "<0x0A>", "<mask>", "<start_of_turn>", "<end_of_turn>", "[@BOS@]", *HTML]
    emoji = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇪🇺", "❤️", "1️⃣", "é", "e\u0301", "ﬁ", "한글", "漢字", "שלום", "مرحبا", "ไทย", "Ω", "İ", "ß"]
    pieces = [
        lambda: phrase(rng.randint(1, 4)),
        lambda: phrase(1),
        lambda: str(rng.randint(0, 10 ** rng.randint(1, 9))),
        lambda: " " * rng.choice([1, 1, 2, 3, 5, 8, 30, 31, 32, 33]),
        lambda: "\n" * rng.choice([1, 1, 2, 3, 5, 30, 31, 32, 40]),
        lambda: rng.choice(["\t", "\t\t", "\r\n", "\0", "\x01", "\x1b[0m", "\u00a0", "\u2028", "\u200b", "\ufeff", "\u2581", "\u2581\u2581"]),
        lambda: "".join(code_point() for _ in range(rng.randint(1, 4))),
        lambda: rng.choice(emoji),
        lambda: rng.choice(special),
        lambda: rng.choice(",.;:!?'\"()-_/\\#$%&*+=<>@[]^`{|}~") * rng.randint(1, 3),
        lambda: phrase(1).upper(),
        lambda: "".join(rng.choice("aeiounrtsl") for _ in range(rng.randint(1, 12))),
    ]
    result = ["", " ", "  ", "\n", "\u2581", "a", "<bos>", "<bos><bos>", " <eos> ", "<<bos>>", "<bos", "bos>", "<0x41>", "�", "\ufffd\ufffd"]
    while len(result) < STRINGS:
        result.append("".join(rng.choice(pieces)() for _ in range(rng.choice([1, 1, 2, 2, 3, 4]))))
    return result


def with_special_tokens(model: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    """As the tokenizers of transformers that run on SentencePiece do: special tokens first, SentencePiece between them."""
    ids: list[int] = []
    for part in re.split("(<pad>|<eos>|<bos>|<unk>)", text):
        ids += [model.piece_to_id(part)] if part in SPECIAL else model.encode(part)
    return ids


def packed(name: str, rows: list, dtype) -> dict[str, np.ndarray]:
    flat = np.concatenate([np.asarray(list(row), dtype=dtype) for row in rows])
    return {f"{name}.{'bytes' if dtype == np.uint8 else 'ids'}": flat, f"{name}.ends": np.cumsum([len(r) for r in rows]).astype(np.int32)}


def main() -> None:
    out, texts = Path(sys.argv[1]), sys.argv[2:]
    folder = out / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    train(texts, folder)
    tokenizer = convert(folder)
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    slow_road = GemmaTokenizer.from_pretrained(str(folder))

    words = sorted({p.strip("\u2581") for p in tokenizer.get_vocab() if p.strip("\u2581").isalpha()} - {""})
    texts = strings(random.Random(20240607), words)
    hf = [tokenizer.encode(text).ids for text in texts]
    spm = [with_special_tokens(model, text) for text in texts]
    decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in hf]
    differing = [text for text, ids in zip(texts, hf) if slow_road(text).input_ids != ids]
    if differing:
        print(f"{len(differing)} strings where GemmaTokenizer and tokenizer.json differ, first: {differing[:3]!r}")
    print("hf and spm agree on", sum(a[1:] == b for a, b in zip(hf, spm)), "of", len(texts), "; ids:", sum(map(len, hf)))
    tensors = {
        **packed("strings", [t.encode() for t in texts], np.uint8),
        **packed("hf", hf, np.int16),
    }
    # SentencePiece agrees on most strings: only the others are stored.
    other = [i for i, (a, b) in enumerate(zip(hf, spm)) if a[1:] != b]
    tensors |= packed("spm", [spm[i] for i in other], np.int16) | {"spm.rows": np.asarray(other, dtype=np.int32)}
    # Most strings come back as they were: only the others are stored.
    changed = [i for i, (t, d) in enumerate(zip(texts, decoded)) if t != d]
    tensors |= packed("decoded", [decoded[i].encode() for i in changed], np.uint8) | {"decoded.rows": np.asarray(changed, dtype=np.int32)}
    print("strings that decode to something else:", len(changed))
    save_file(tensors, str(out / "tokenizer.safetensors"))
    (out / "tokenizer.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
