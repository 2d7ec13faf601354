"""Picture prompts composed without end: a short request and the full prompt that keeps everything in it.

The answers speak the language of the image model's prompts (``../image/prompts.py``): a phrase for the style, "of", what was
asked for, and a background. Names, colours, counts and relations are drawn afresh every time, and some names are dictionary words
or invented, so that a model learns to copy and not to remember. ``Composer.drill`` is copying and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass, field
from pathlib import Path

import image_language  # noqa: F401  (finds prompts and pictures)
import prompts
from pictures import read_captions

ASKS = (
    ("Expand this picture prompt: {}", 16), ("Expand this picture prompt: {}.", 2), ("Make this picture prompt longer: {}", 3),
    ("Write a picture prompt for {}.", 3), ("I want a picture of {}.", 3), ("Picture prompt for {}, please.", 2),
    ("Help me draw {}.", 2), ("Turn this into a full picture prompt: {}", 3), ("Draw {}", 3), ("Draw {}.", 2),
    ("Expand: {}", 3), ("Please expand this prompt: {}", 2), ("Write a full prompt for {}", 1), ("I would like to see {}.", 1),
    ("Can you write a picture prompt for {}?", 1), ("Show me {}.", 1), ('Expand "{}".', 1),
)  # fmt: skip
REPEATS = ("Repeat after me: {}", "Say this again: {}", "Copy these words: {}", "Repeat: {}", 'Say "{}".', "Write this once more: {}")

MORE_COLOURS = ("silver", "golden", "gold", "soft pink", "pale yellow", "mint green", "peach", "violet", "magenta", "crimson",
                "olive", "maroon", "cyan", "ivory", "bright red", "pale blue", "dark brown", "lime green")  # fmt: skip
SIZES = ("small", "tiny", "large", "huge", "big", "little")
QUALITIES = ("happy", "sad", "sleepy", "old", "new", "shiny", "wooden", "broken", "cute", "angry", "funny", "striped", "spotted",
             "round", "tall", "friendly", "lonely", "smiling", "fluffy", "dirty", "ancient", "magic", "empty", "open", "golden-brown",
             "curious", "brave", "wet", "frozen", "rusty", "modern", "long", "heavy", "sweet", "quiet", "bright")  # fmt: skip
MORE_RELATIONS = ("behind", "in front of", "on top of", "next to", "beside", "near", "inside", "and", "with", "over", "under")
SCENES = ("at night", "in the rain", "in the snow", "in a garden", "on a table", "in the forest", "by the sea", "under a tree",
          "in the sky", "on a hill", "in space", "in the sun", "wearing a hat", "wearing glasses", "holding a flag")  # fmt: skip
MORE_STYLES = ("an outlined cartoon emoji", "a soft gradient drawing", "a watercolour painting", "an oil painting",
               "a pencil drawing", "a photo", "a pixel art picture", "a line drawing")  # fmt: skip
DIGITS = {2: "2", 3: "3", 4: "4", 5: "5"}
SYLLABLES = ("ba", "dor", "fi", "gla", "mon", "ne", "pu", "ril", "sto", "ta", "vex", "zu", "kra", "lin", "bo", "qui", "shem", "wo",
             "plit", "ga", "ron", "thu", "ik", "el", "aps", "under", "mer", "yo", "jin", "cha")  # fmt: skip
HELDOUT_SHARE = 0.06


@dataclass
class Sample:
    """A request with its answer, and the phrases of the answer that the request asked for."""

    request: str
    answer: str
    parts: list[str] = field(default_factory=list)


def is_heldout(name: str) -> bool:
    """A fixed choice of the names that only evaluation uses."""
    return hashlib.sha256(name.encode()).digest()[0] < 256 * HELDOUT_SHARE


class Things:
    """What pictures can show: names with their articles and styles from the captions, and words of a dictionary."""

    def __init__(self, captions: Path, data: Path | None = None) -> None:
        self.articles: dict[str, str] = {}
        self.styles: dict[str, list[str]] = {}
        for picture in read_captions(captions):
            self.articles.setdefault(picture.name, picture.article)
            self.styles.setdefault(picture.name, []).append(picture.style)
        self.words = sorted(self._dictionary(data)) if data is not None else []
        self._index()

    @staticmethod
    def _dictionary(data: Path) -> set[str]:
        from corpus import read_rows

        rows = read_rows(data, ("plain-000.jsonl.xz",))
        found = (re.match(r"([a-z]{4,14}) \(noun\)", row["text"]) for row in rows if row["source"] == "wordnet")
        return {match.group(1) for match in found if match}

    def _index(self) -> None:
        self.all_names = sorted(self.articles)
        self.training = [name for name in self.all_names if not is_heldout(name)]
        self.heldout = [name for name in self.all_names if is_heldout(name)]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"articles": self.articles, "styles": self.styles, "words": self.words}))

    @staticmethod
    def load(path: Path) -> Things:
        things = Things.__new__(Things)
        for key, value in json.loads(path.read_text()).items():
            setattr(things, key, value)
        things._index()
        return things


@dataclass
class Noun:
    """A thing as the request may say it, and as the full prompt says it."""

    asked: str
    full: str
    part: str


class Composer:
    """Draws samples; ``heldout`` takes its names from those that training never sees in an expansion."""

    def __init__(self, things: Things, seed: int, heldout: bool = False) -> None:
        self.things = things
        self.rng = random.Random(seed)
        self.heldout = heldout
        self.names = things.heldout if heldout else things.training
        self.colours = [*prompts.COLOURS, *prompts.PICTURE_COLOURS, *MORE_COLOURS]
        self.asks, weights = zip(*ASKS)
        self.ask_weights = weights
        self.relations = [words for phrases, _, _ in prompts.RELATIONS.values() for words in phrases]

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    # -- things

    def nonce(self) -> str:
        return "".join(self.rng.choices(SYLLABLES, k=self.rng.randint(2, 3)))

    def name(self) -> tuple[str, str]:
        """A name and its article."""
        draw = self.rng.random()
        if not self.heldout and draw < 0.12 and self.things.words:
            word = self.rng.choice(self.things.words)
        elif not self.heldout and draw < 0.2:
            word = self.nonce() if self.chance(0.6) else f"{self.nonce()} {self.rng.choice(self.names)}"
        else:
            word = self.rng.choice(self.names)
            return word, self.things.articles[word]
        return word, "an " if word[0] in "aeiou" else "a "

    def adjectives(self) -> list[str]:
        rng, words = self.rng, []
        if self.chance(0.15):
            words.append(rng.choice(SIZES))
        if self.chance(0.12):
            words.append(rng.choice(QUALITIES))
        if self.chance(0.35):
            words.append(rng.choice(self.colours))
        return words

    def noun(self, counted: float = 0.25) -> Noun:
        """One thing, or two to five of it."""
        name, article = self.name()
        words = self.adjectives() if article != "the " else []
        several = prompts.plural(name) if self.chance(counted) else None
        if several is not None:
            count = self.rng.choice((2, 2, 3, 3, 4, 5))
            rest = " ".join([*words, several])
            full = f"{prompts.NUMBERS[count]} {rest}"
            return Noun(f"{DIGITS[count]} {rest}" if self.chance(0.4) else full, full, full)
        bare = " ".join([*words, name])
        full = prompts.with_article(bare) if article in ("a ", "an ") else article + bare
        return Noun(bare if self.chance(0.25) else full, full, bare)

    def thing(self) -> Noun:
        """What the picture shows: one noun, or two in a relation, or one in its place."""
        kind = self.rng.random()
        first = self.noun()
        if kind < 0.52:
            return first
        if kind < 0.86:
            words = self.rng.choice(self.relations if self.chance(0.5) else MORE_RELATIONS)
            second = self.noun(0.12)
            return Noun(f"{first.asked} {words} {second.asked}", f"{first.full} {words} {second.full}",
                        f"{first.part} {words} {second.full}")  # fmt: skip
        place = self.rng.choice(list(prompts.POSITIONS)) if self.chance(0.5) else self.rng.choice(SCENES)
        return Noun(f"{first.asked} {place}", f"{first.full} {place}", f"{first.part} {place}")

    # -- style and background

    def style(self) -> str:
        phrases = self.rng.choice(list(prompts.STYLE_PHRASES.values()))
        return self.rng.choice(phrases[:3] if self.chance(0.8) else phrases)

    def background(self) -> str:
        if self.chance(0.8):
            return f"on {prompts.with_article(self.rng.choice(list(prompts.COLOURS)))} background"
        colours = self.rng.sample(list(prompts.COLOURS), 2)
        return f"on a background fading from {colours[0]} to {colours[1]}"

    def asked_background(self) -> tuple[str, str]:
        """A background as the request says it, and as the full prompt does."""
        if self.chance(0.12):
            words = self.background()
            return f" {words}", words
        colour = self.rng.choice(self.colours)
        full = f"on {prompts.with_article(colour)} background"
        form = self.rng.choice((f" {full}", f" on a plain {colour} background", f", {colour} background",
                                f" with {prompts.with_article(colour)} background"))  # fmt: skip
        return form, full

    # -- samples

    def surface(self, request: str) -> str:
        """Small letters now and then, as people type."""
        draw = self.rng.random()
        if draw < 0.12:
            return request.lower()
        return request[:-1] if draw < 0.18 and request.endswith(".") else request

    def expansion(self) -> Sample:
        """A short request and the full prompt."""
        thing = self.thing()
        asked, parts = thing.asked, [thing.part]
        if self.chance(0.35):
            spoken, background = self.asked_background()
            asked += spoken
            parts.append(background)
        else:
            background = self.background()
        style = self.style()
        if self.chance(0.22):
            style = self.rng.choice(MORE_STYLES) if self.chance(0.3) else style
            asked = f"{style} of {asked}" if self.chance(0.6) else f"{asked}, {prompts.bare_style(style)}"
            parts.append(prompts.bare_style(style))
        ask = self.rng.choices(self.asks, self.ask_weights)[0] if self.chance(0.95) else "{}"
        return Sample(self.surface(ask.format(asked)), f"{style} of {thing.full} {background}", parts)

    def drill(self) -> Sample:
        """Words to be said again as they are."""
        count = self.rng.choice((1, 1, 2, 3, 4, 6))
        words = []
        for _ in range(count):
            words.append(self.noun().full if self.chance(0.4) else self.nonce() if self.chance(0.4) else self.name()[0])
        text = ", ".join(words) if self.chance(0.5) else " ".join(words)
        return Sample(self.rng.choice(REPEATS).format(text), text, [text])


def read_twice(request: str) -> str:
    """The request said twice, after which a recurrent model knows what to keep (JRT-Prompt)."""
    return f"{request}\n{request}"


_ARTICLES = re.compile(r"\b(an?|the) ")


def without_articles(text: str) -> str:
    return re.sub(r"\s+", " ", _ARTICLES.sub("", text.lower())).strip(" .")


def keeps_everything(sample: Sample, answer: str) -> bool:
    """Is every object, colour, count, relation, style and background of the request in the answer?"""
    def plain(text: str) -> str:
        return f" {without_articles(text).replace(',', ' ')} ".replace("  ", " ")

    return all(plain(part) in plain(answer) for part in sample.parts)


_BACKGROUND = re.compile(
    r" on (an? (plain )?[a-z ]+ background|a background fading from [a-z ]+ to [a-z ]+)$"
)


def speaks_the_language(sample: Sample, answer: str) -> bool:
    """A style, "of", words of the request or of the language alone, and a background at the end."""
    text = answer.lower().strip(" .")
    styles = {phrase for phrases in prompts.STYLE_PHRASES.values() for phrase in phrases}
    styles |= {prompts.with_article(part) for part in sample.parts} | set(MORE_STYLES)
    if not any(text.startswith(f"{style} of ") for style in styles) or not _BACKGROUND.search(text):
        return False
    known = set(re.findall(r"[a-z0-9'-]+", sample.request.lower()))
    known |= {word for style in styles for word in style.split()}
    known |= {word for colour in prompts.COLOURS for word in colour.split()}
    known |= set(prompts.NUMBERS.values()) | set("a an the of on background fading from to plain".split())
    return all(word in known for word in re.findall(r"[a-z0-9'-]+", text))
