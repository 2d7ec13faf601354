"""The tokenizer: a SentencePiece BPE with byte fallback, also written as a Hugging Face tokenizer.json."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from config import MODEL, PROMPT_TOKENS

PAD, EOS, BOS, UNK = 0, 1, 2, 3
SPACE = "\u2581"


def train(prompts: list[str], folder: Path, vocab_size: int) -> None:
    """Train on prompts and write tokenizer.model and its Hugging Face twin into ``folder``."""
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(prompts),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=vocab_size,
        character_coverage=1.0,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        pad_id=PAD, pad_piece="<pad>",
        eos_id=EOS, eos_piece="<eos>",
        bos_id=BOS, bos_piece="<bos>",
        unk_id=UNK, unk_piece="<unk>",
        num_threads=2,
        minloglevel=1,
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()
    write_hugging_face(folder)


def merges_of(pieces: list[str], scores: dict[str, float]) -> list[tuple[str, str]]:
    """Pairs of pieces that join to a piece, in the order in which BPE merged them."""
    merges = []
    for piece in pieces:
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        splits = [pair for pair in splits if pair[0] in scores and pair[1] in scores]
        merges += sorted(splits, key=lambda pair: (-scores[pair[0]], -scores[pair[1]]))
    return merges


def write_hugging_face(folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and special_tokens_map.json from tokenizer.model."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    vocab = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    normal = [p for p, i in vocab.items() if not (model.is_byte(i) or model.is_control(i) or model.is_unknown(i))]
    scores = {piece: model.get_score(vocab[piece]) for piece in normal}
    normal.sort(key=lambda piece: -scores[piece])
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocab[token], "content": token, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for token in special.values()
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "<bos>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [BOS], "tokens": ["<bos>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges_of(normal, scores)],
        },
    }  # fmt: skip
    write_json(folder / "tokenizer.json", tokenizer)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GemmaTokenizer",
            "add_bos_token": True,
            "add_eos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 8192,
            "padding_side": "right",
            "sp_model_kwargs": {},
            "spaces_between_special_tokens": False,
            "use_default_system_prompt": False,
            **special,
            "added_tokens_decoder": {
                str(vocab[token]): {"content": token, "lstrip": False, "normalized": False, "rstrip": False,
                                    "single_word": False, "special": True}
                for token in special.values()
            },
        },
    )  # fmt: skip
    write_json(folder / "special_tokens_map.json", special)


def write_json(path: Path, value: dict) -> None:
    indent = None if path.name == "tokenizer.json" else 2
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


class PromptTokenizer:
    """Prompts to rows of token ids, as the pipeline prepares them: lower case, stripped, bos first."""

    def __init__(self, folder: Path, length: int = PROMPT_TOKENS) -> None:
        import sentencepiece

        self.model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        self.length = length

    def __call__(self, prompts: list[str]):
        """Ids int32 [B, length] padded with zero, and the lengths int32 [B]."""
        import numpy as np

        ids = np.full((len(prompts), self.length), PAD, np.int32)
        lengths = np.empty(len(prompts), np.int32)
        for i, prompt in enumerate(prompts):
            row = [BOS, *self.model.encode(prompt.lower().strip())][: self.length]
            ids[i, : len(row)] = row
            lengths[i] = len(row)
        return ids, lengths


def corpus(captions: Path, count: int, seed: int = 0) -> list[str]:
    """Prompts of random scenes, and every caption, name and keyword of the training split."""
    from pictures import read_captions
    from scenes import SceneSampler

    pictures = read_captions(captions)
    sampler = SceneSampler(pictures, seed)
    lines = [sampler.scene().prompt for _ in range(count)]
    for picture in pictures:
        lines += [picture.name, " " + picture.name, *picture.keywords]
    random.Random(seed).shuffle(lines)
    return [line.lower() for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=Path, required=True, help="captions.jsonl of the pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--scenes", type=int, default=60000)
    args = parser.parse_args()
    train(corpus(args.captions, args.scenes), args.out, MODEL.text_encoder.vocab_size)


if __name__ == "__main__":
    main()
