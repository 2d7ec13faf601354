"""Golden data of the RWKV World tokenizer: a small vocabulary in the published file format, and texts with their ids.

    python make_lm_world_tokenizer.py OUT_FOLDER      (tests/data/lm/world)

vocabulary.txt holds the 256 bytes and made-up entries of every kind of literal; golden.json holds [bytes as hex, ids] pairs by a plain greedy
longest match. When the package `rwkv` is installed, its tokenizer is asked too and must agree.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

PIECES = [
    "\n\n", " \n\n", "\r\n", "\t\t", "  ", "    ", " '", "' ", '"', '" "', "'\"", "\\n", "\\\\", " 1 2", "User", "User:", " User", "Assistant", "Assistant:", "the", " the",
    " there", " therefore", "in", "ing", " in", "é", "él", "ü", "你", "你好", "，世", "界", "😀", "😀😀", "Привет", "\x7f\x80", "\u2028", "a", "aa", "aaaa", "aaaaaaaa", "b'", "b''",
]  # fmt: skip
BYTE_PIECES = [b"\xe4\xbd", b"\xf0\x9f", b"\xf0\x9f\x98", b"\xff\xfe", b"\xc3", b"\x80\x81"]


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    entries: list[bytes | str] = []
    for byte in range(256):
        entries.append(chr(byte) if byte < 0x80 else bytes([byte]))
    entries += [p for p in PIECES if not (len(p) == 1 and ord(p) < 0x80)] + [b for b in BYTE_PIECES if len(b) > 1]
    vocabulary = {}
    with open(out / "vocabulary.txt", "w", encoding="utf-8", newline="\n") as file:
        for number, entry in enumerate(entries, 1):
            data = entry.encode() if isinstance(entry, str) else entry
            vocabulary[data] = number
            file.write(f"{number} {entry!r} {len(data)}\n")

    longest = max(map(len, vocabulary))

    def encode(data: bytes) -> list[int]:
        ids, at = [], 0
        while at < len(data):
            size = next(n for n in range(longest, 0, -1) if data[at : at + n] in vocabulary and at + n <= len(data))
            ids.append(vocabulary[data[at : at + size]])
            at += size
        return ids

    rng = random.Random(1)
    keys = list(vocabulary)
    texts = [b"", "User: hi\n\nAssistant:".encode(), "therefore there in the 你好，世界 😀😀😀é".encode(), b"\xff\xfe\xf0\x9f\x98\xe4\xbd a\\n"]
    texts += [bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40))) for _ in range(20)]
    for _ in range(60):
        pieces = b"".join(rng.choice(keys) for _ in range(rng.randrange(1, 12)))
        texts.append(pieces[: rng.randrange(1, len(pieces) + 1)])
    golden = [[text.hex(), encode(text)] for text in texts]
    (out / "golden.json").write_text(json.dumps(golden) + "\n")

    try:
        from rwkv.rwkv_tokenizer import TRIE_TOKENIZER
    except ImportError:
        return
    tokenizer = TRIE_TOKENIZER(str(out / "vocabulary.txt"))
    assert all(tokenizer.encodeBytes(bytes.fromhex(text)) == ids for text, ids in golden)
    print(f"{len(entries)} entries, {len(golden)} texts, equal to the package's")


if __name__ == "__main__":
    main()
