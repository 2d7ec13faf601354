"""Golden data of tokenizer.json's features: small tokenizers that differ from one another in one or two settings, and what `tokenizers` does.

    python make_textenc_variants.py OUT_FILE      (tests/data/textenc/tokenizer_variants.json)

{"base": tokenizer.json, "texts": [text], "variants": [{"name", "patch": JSON merge patch of base, "ids": [[id]], "decoded": [text]}]}
Needs tokenizers.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer

CHARACTERS = [*"abcdehlnorstw", "\u2581", "é", "\u0301", "\ufb01", "-", "A", "\n"]
MERGES = [("\u2581", "a"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("\u2581", "hello"), ("w", "o"), ("r", "l"), ("\u2581", "wo"),
          ("rl", "d"), ("\u2581wo", "rld"), ("s", "t"), ("\u2581", "s"), ("\u2581", "\u2581"), ("a", "b"), ("ab", "c"), ("b", "c"), ("a", "bc")]  # fmt: skip
TEXTS = [
    "", " ", "hello", "hello world", " hello  world ", "Hello WORLD", "abc", "aabcbc abc", "st stst", "xyz", "a x b", "café cafe\u0301 \ufb01sh", "日本", "a😀b",
    "<m>", "a<m>b", "a <m> b", "a  <m>\t\n b", "x<m><m>y", "<n>", "hello <n> hello", " wo", "a wo b", "awob", "wo wo", "\u2581\u2581a", "hello-world",
    "a\nb\n\n", "<s>hello</s>", "HELLO", "b-wo-b", " <m> <m> ",
]  # fmt: skip


def token(content: str, ident: int, **flags) -> dict:
    return {"id": ident, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False} | flags


def base() -> dict:
    vocab: dict[str, int] = {}
    for piece in ["<pad>", "<s>", "</s>", "<unk>", *CHARACTERS, *(a + b for a, b in MERGES)]:
        vocab.setdefault(piece, len(vocab))
    special = [token(name, vocab[name], special=True) for name in ("<pad>", "<s>", "</s>", "<unk>")]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                                                     {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": True, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": [" ".join(m) for m in MERGES]},
    }  # fmt: skip


def variants(start: dict) -> dict[str, dict]:
    size = len(start["model"]["vocab"])
    special = start["added_tokens"]
    some_bytes = {f"<0x{b:02X}>": size + i for i, b in enumerate([*range(0x78, 0x7B), 0xF0, 0x9F, 0x98, 0x80, 0xE6])}
    template = {"type": "TemplateProcessing", "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}  # fmt: skip

    def metaspace(**options) -> dict:
        return {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", **options},
                "decoder": {"type": "Metaspace", "replacement": "\u2581", **options}}  # fmt: skip

    def split(pattern: str, behavior: str) -> dict:
        return {"pre_tokenizer": {"type": "Split", "pattern": {"String": pattern}, "behavior": behavior, "invert": False}}

    def added(*tokens: dict) -> dict:
        return {"added_tokens": [*special, *tokens]}

    return {
        "plain": {},
        "pairs": {"model": {"merges": [list(m) for m in MERGES]}},
        "no_fuse": {"model": {"fuse_unk": False}},
        "no_unk": {"model": {"unk_token": None}},
        "some_bytes": {"model": {"byte_fallback": True, "vocab": some_bytes}},
        "some_bytes_no_fuse": {"model": {"byte_fallback": True, "fuse_unk": False, "vocab": some_bytes}},
        "ignore_merges": {"model": {"ignore_merges": True, "merges": [" ".join(m) for m in MERGES[:3]] + ["he ll", "a b"]}, **split(" ", "Isolated")},
        "prepend": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, start["normalizer"]]},
                    "decoder": {"type": "Sequence", "decoders": [*start["decoder"]["decoders"], {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}},
        "metaspace_always": metaspace(prepend_scheme="always", split=True),
        "metaspace_first": metaspace(prepend_scheme="first", split=True),
        "metaspace_never": metaspace(prepend_scheme="never", split=False),
        "metaspace_first_tokens": metaspace(prepend_scheme="first", split=False) | added(token("<m>", size)),
        "split_removed": split("-", "Removed"),
        "split_isolated": split("l", "Isolated"),
        "split_previous": split("l", "MergedWithPrevious"),
        "split_next": split("l", "MergedWithNext"),
        "split_contiguous": split("l", "Contiguous"),
        "lower": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, start["normalizer"]]}},
        "nfc": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, start["normalizer"]]}},
        "nfd": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, start["normalizer"]]}},
        "token": added(token("<m>", size), token("<n>", size + 1, special=True)),
        "token_lstrip": added(token("<m>", size, lstrip=True)),
        "token_rstrip": added(token("<m>", size, rstrip=True)),
        "token_both": added(token("<m>", size, lstrip=True, rstrip=True), token("<n>", size + 1, rstrip=True)),
        "token_word": added(token("wo", start["model"]["vocab"]["wo"], single_word=True)),
        "token_normalized": added(token("a b", size, normalized=True), token("HELLO", size + 1, normalized=True))
        | {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, start["normalizer"]]}},
        "token_longest": added(token("hel", size), token("hello", start["model"]["vocab"]["hello"]), token("llo ", size + 1)),
        "template": {"post_processor": template},
        "template_sequence": {"post_processor": {"type": "Sequence", "processors": [template]}},
        "no_decoder": {"decoder": None},
        "suffix": {"model": {"end_of_word_suffix": "</w>", "vocab": {"o</w>": size, "d</w>": size + 1}}, **split(" ", "Removed"), "normalizer": None},
        "prefix": {"model": {"continuing_subword_prefix": "##", "vocab": {"##e": size, "##l": size + 1, "##o": size + 2, "##ll": size + 3, "hell": 999},
                             "merges": [["##l", "##l"], ["h", "##e"], ["he", "##ll"]]}},
    }  # fmt: skip


def merge_patch(target, patch):
    """RFC 7396, except that null is a value."""
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return copy.deepcopy(patch)
    return target | {key: merge_patch(target.get(key), value) for key, value in patch.items()}


def main() -> None:
    start = base()
    rows = []
    for name, patch in variants(start).items():
        # Members with a "type" are replaced, not merged.
        content = merge_patch({k: v for k, v in start.items() if not (k in patch and k != "model")}, patch)
        tokenizer = Tokenizer.from_str(json.dumps(content))
        ids = [tokenizer.encode(text).ids for text in TEXTS]
        rows.append({"name": name, "patch": patch, "ids": ids, "decoded": [tokenizer.decode(i, skip_special_tokens=True) for i in ids]})
    Path(sys.argv[1]).write_text(json.dumps({"base": start, "texts": TEXTS, "variants": rows}, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
