"""Requests and answers composed from frames.

"|" separates equals, "[a|b|]" is one of its parts, {slot} is a word that is the same in request and answer, and a {SLOT} in capitals is
drawn anew each time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_BLANKS = re.compile(r" +(?=[ ,.?!])")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|un[^i])")
_BEGINNING = re.compile(r"(?:^|[.?!] )[a-z]")


def split(text: str) -> list[str]:
    """The equals of a frame: its parts between the bars outside all brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


class Slots(dict):
    """Words for the slots, drawn when they are first asked for and then kept."""

    def __init__(self, words: Mapping[str, Sequence[str]], rng: random.Random) -> None:
        super().__init__()
        self.words, self.rng = words, rng

    def __missing__(self, name: str) -> str:
        word = self.rng.choice(self.words[name])
        if "{" in word:
            word = word.format_map(self)
        if not name.isupper():
            self[name] = word
        return word


class Frames:
    """Draws from a table of (what is said, what fits it), every entry as likely as any other."""

    def __init__(self, table: Sequence[tuple[str, str]], words: Mapping[str, str], rng: random.Random) -> None:
        self.table = [(split(said), split(answers)) for said, answers in table]
        self.words = {name: split(text) for name, text in words.items()}
        self.rng = rng

    def filled(self, frames: list[str], slots: Slots) -> str:
        text = self.rng.choice(frames)
        while "[" in text:
            text = _CHOICE.sub(lambda match: self.rng.choice(match[1].split("|")), text)
        text = _BLANKS.sub("", text.format_map(slots)).strip()
        text = _ARTICLE.sub(r"\1n ", text)
        return _BEGINNING.sub(lambda match: match[0].upper(), text)

    def draw(self) -> tuple[str, str]:
        said, answers = self.rng.choice(self.table)
        slots = Slots(self.words, self.rng)
        return self.filled(said, slots), self.filled(answers, slots)


def as_typed(request: str, rng: random.Random, share: float = 0.15) -> str:
    """The request, now and then in small letters without its closing mark."""
    return request.lower().rstrip(".?!") if rng.random() < share else request
