"""Golden data of byte-level BPE: a small tokenizer like GPT-NeoX's, and what `tokenizers` makes of 11 000 strings, also with other cuts.

    python make_lm_bpe_tokenizer.py OUT_FOLDER TEXT_FILE...      (tests/data/lm/bpe)

Trains 1500 pieces on TEXT_FILE with GPT-NeoX's settings (NFC, ByteLevel, runs of blanks as added tokens), and writes

    tokenizer.json, vocab.json, merges.txt
    variants.json        name → what replaces the members of tokenizer.json: the cuts of Llama 3, GPT-4o, Falcon Mamba, …
    golden.safetensors   more.bytes u8, more.ends i32: strings beyond those of tests/data/textenc/tokenizer.safetensors;
                         NAME.ids i32, NAME.text i32: for every variant and every eight strings, 32-bit FNV-1a of their ids (as
                         little-endian int32) and of the texts that these decode to, special tokens left out

Needs tokenizers, safetensors; unicodedata2 == 16.0.0 to check that the tables of categories are those of `tokenizers`.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import unicodedata2
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GROUP = 8
STRINGS = Path(__file__).resolve().parents[1] / "data" / "textenc" / "tokenizer.safetensors"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])  # fmt: skip
POSSESSIVE = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s*[\r\n]|\s+(?!\S)|\s"


def byte_level(use_regex: bool = False, blank: bool = False) -> dict:
    return {"type": "ByteLevel", "add_prefix_space": blank, "trim_offsets": True, "use_regex": use_regex}


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def cuts(*steps: dict, **members) -> dict:
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}, **members}


VARIANTS = {
    "neox": {},
    "blank_first": {"pre_tokenizer": byte_level(True, True), "normalizer": None},
    "gpt2_split": cuts(split(GPT2), byte_level()),
    "llama3": cuts(split(LLAMA3), byte_level(), normalizer=None),
    "qwen2": cuts(split(QWEN2), byte_level()),
    "o200k": cuts(split(O200K), byte_level(), normalizer=None),
    "possessive": cuts(split(POSSESSIVE), byte_level()),
    "matches_only": cuts(split(r"\w+|[^\w\s]", "Removed", invert=True), byte_level()),
    "falcon": cuts({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True), {"type": "Digits", "individual_digits": False},
                   split("[0-9][0-9][0-9]")),
    "digits": cuts({"type": "Digits", "individual_digits": True}, byte_level(True)),
    "classes": cuts(split(r"[\s\d]+|[A-Z][^A-Z\s]*|(?:ab|a(?=c)|[\x{4e00}-\x{9fff}])+|\P{L}{2,4}"), byte_level()),
}  # fmt: skip


def train(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=["<|endoftext|>", "<|padding|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    tokenizer.train(texts, trainer)
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    return tokenizer


def more_strings(rng: random.Random, words: list[str]) -> list[str]:
    result = [" " * n for n in range(1, 61)] + ["\t" * n for n in range(1, 9)] + [" " * n + "x" for n in (1, 2, 23, 24, 25, 26, 49)]
    pieces = [
        lambda: rng.choice(["<|endoftext|>", "<|padding|>", "<|endoftext", "|>", "'s", "'LL", "'Re", "'d", "\u2019s", "'\u017f", "d'accord"]),
        lambda: rng.choice(words).title() + rng.choice([" ", "  ", "\n", "\r\n", "\n\n\n", "\t", " \n", "\u3000", ""]),
        lambda: " " * rng.randint(1, 40),
        lambda: rng.choice(["e\u0301", "A\u030a", "\u1100\u1161\u11a8", "\u0928\u093c", "\u212b", "\uac00\u11a8", "q\u0307\u0323"]),
        lambda: str(rng.randint(0, 10**9)) + rng.choice(["", ".5", ",000", "\u00bd", "\u0663", "\u2167"]),
        lambda: rng.choice(["CamelCase", "snake_case", "HTTPServer", "iPhone", "\u01c5ivot", "\u02b0a", "a\u0308B", "\u4f60\u597d", "abab", "acab"]),
        lambda: rng.choice(["def f(x):\n    return x", "{\"a\": [1, 2]}", "//", "/\n/", "...\n\n", "!?\r\n", "\u00bfqu\u00e9?"]),
        lambda: "".join(chr(rng.choice([rng.randint(0, 0x2FF), rng.randint(0x300, 0xD7FF), rng.randint(0xE000, 0x10FFFF)])) for _ in range(3)),
    ]  # fmt: skip
    while len(result) < 1000:
        result.append("".join(rng.choice(pieces)() for _ in range(rng.randint(1, 5))))
    return result


def fnv(data: bytes) -> int:
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def hashes(rows: list[bytes]) -> np.ndarray:
    groups = [b"".join(rows[i : i + GROUP]) for i in range(0, len(rows), GROUP)]
    return np.asarray([fnv(group) for group in groups], dtype=np.uint32).view(np.int32)


def packed_strings(path: Path) -> list[str]:
    tensors = load_file(path)
    flat, ends = tensors["strings.bytes"].tobytes(), tensors["strings.ends"].tolist()
    return [flat[a:b].decode() for a, b in zip([0, *ends], ends)]


def check_categories() -> None:
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for name in ("L", "N", "M", "P", "S", "Z", "Lu", "Ll", "Lt", "Lm", "Lo", "Nd"):
        found = pre_tokenizers.Split(Regex(rf"\p{{{name}}}"), "removed", invert=True).pre_tokenize_str("".join(points))
        assert "".join(p for p, _ in found) == "".join(c for c in points if unicodedata2.category(c).startswith(name)), name


def main() -> None:
    out, texts = Path(sys.argv[1]), sys.argv[2:]
    out.mkdir(parents=True, exist_ok=True)
    check_categories()
    tokenizer = train(texts)
    tokenizer.model.save(str(out))
    content = json.loads(tokenizer.to_str())
    (out / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    (out / "variants.json").write_text(json.dumps(VARIANTS, indent=1) + "\n")
    words = sorted({p.strip("\u0120") for p in content["model"]["vocab"]} & {p for p in content["model"]["vocab"] if p.isalpha()})
    more = more_strings(random.Random(16), words)
    strings = packed_strings(STRINGS) + more
    tensors = {"more.bytes": np.frombuffer("".join(more).encode(), dtype=np.uint8),
               "more.ends": np.cumsum([len(s.encode()) for s in more]).astype(np.int32)}  # fmt: skip
    for name, members in VARIANTS.items():
        variant = Tokenizer.from_str(json.dumps({**content, **members}))
        ids = [variant.encode(text).ids for text in strings]
        decoded = [variant.decode(row, skip_special_tokens=True) for row in ids]
        tensors[f"{name}.ids"] = hashes([np.asarray(row, "<i4").tobytes() for row in ids])
        tensors[f"{name}.text"] = hashes([text.encode() for text in decoded])
        print(name, sum(map(len, ids)), "ids,", sum(a != b for a, b in zip(strings, decoded)), "strings decode to something else")
    save_file(tensors, str(out / "golden.safetensors"))
    (out / "golden.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
