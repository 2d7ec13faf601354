"""The language of the prompts: styles, colours, numbers, positions and how they are put together."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from pictures import Picture

# Per style: phrases that end in "of NAME", first the captions' own, then paraphrases.
STYLE_PHRASES: dict[str, tuple[str, ...]] = {
    "3d": (
        "a shiny 3d icon", "a smooth 3d render", "a glossy 3d illustration",
        "a 3d render", "a 3d icon", "a 3d model",
    ),
    "blob": (
        "a cute rounded cartoon", "a blob style emoji", "a simple blob style cartoon",
        "a blob emoji", "a cute cartoon",
    ),
    "clipart": (
        "a clip art drawing", "a cartoon clip art", "a vector clip art picture",
        "a clip art", "clip art",
    ),
    "flat": (
        "a flat colour icon", "a clean flat drawing", "a flat vector illustration",
        "a flat icon", "a flat illustration", "a flat drawing",
    ),
    "freehand": (
        "a freehand sketch", "a hand-drawn doodle", "a loose pen sketch",
        "a sketch", "a doodle", "a pen drawing",
    ),
    "fxemoji": (
        "a plain flat cartoon", "a firefox style emoji", "a bold flat cartoon emoji",
        "a bold cartoon",
    ),
    "gradient": (
        "a soft gradient illustration", "a colourful gradient icon", "a gently shaded vector drawing",
        "a gradient icon", "a colourful illustration", "a colourful icon",
    ),
    "noto": (
        "a detailed cartoon emoji", "a noto style emoji", "a softly shaded cartoon icon",
        "a cartoon emoji", "a cartoon", "an emoji",
    ),
    "officeicon": (
        "a flat geometric office icon", "a simple geometric colour icon", "an office icon",
    ),
    "outline": (
        "a cartoon with bold outlines", "an outlined colour illustration", "an outlined emoji",
        "an outlined drawing", "an outlined cartoon",
    ),
    "twemoji": (
        "a twemoji style icon", "a minimal flat emoji", "a simple flat sticker",
        "a sticker", "a minimal emoji", "a simple emoji",
    ),
    "weather": (
        "a weather icon", "a smooth weather forecast icon", "a weather symbol",
    ),
}  # fmt: skip

# A picture drawn without a style word: the first of these styles that has the name.
DEFAULT_STYLES = ("gradient", "noto", "3d", "flat", "twemoji", "blob", "outline", "fxemoji", "weather",
                  "officeicon", "clipart", "freehand")  # fmt: skip

# How often a style's pictures are drawn, relative to one another.
STYLE_WEIGHTS = {"clipart": 0.3, "freehand": 0.6}

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (16, 16, 16),
    "grey": (136, 136, 136),
    "light grey": (212, 212, 212),
    "dark grey": (68, 68, 68),
    "red": (220, 44, 44),
    "dark red": (128, 16, 24),
    "orange": (246, 146, 30),
    "light orange": (255, 200, 140),
    "yellow": (250, 216, 48),
    "light yellow": (255, 243, 176),
    "green": (56, 166, 70),
    "light green": (172, 224, 160),
    "dark green": (20, 84, 44),
    "teal": (16, 140, 140),
    "turquoise": (72, 209, 204),
    "blue": (44, 96, 220),
    "light blue": (160, 208, 248),
    "sky blue": (108, 184, 240),
    "dark blue": (20, 44, 120),
    "navy": (20, 32, 84),
    "purple": (130, 60, 180),
    "lavender": (204, 188, 244),
    "dark purple": (72, 28, 108),
    "pink": (248, 130, 180),
    "light pink": (255, 204, 220),
    "brown": (128, 80, 44),
    "beige": (236, 220, 188),
    "cream": (255, 246, 222),
    "mint": (188, 240, 212),
}
PICTURE_COLOURS = ("black", "grey", "white", "red", "orange", "yellow", "green", "teal", "blue", "navy",
                   "purple", "pink", "brown", "beige")  # fmt: skip

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}

# Nine cells: name and centre as a share of the picture.
POSITIONS: dict[str, tuple[float, float]] = {
    "in the top left corner": (0.22, 0.22),
    "at the top": (0.5, 0.22),
    "in the top right corner": (0.78, 0.22),
    "on the left": (0.22, 0.5),
    "in the centre": (0.5, 0.5),
    "on the right": (0.78, 0.5),
    "in the bottom left corner": (0.22, 0.78),
    "at the bottom": (0.5, 0.78),
    "in the bottom right corner": (0.78, 0.78),
}

# Relation: phrase variants, then the centres of the first and the second thing.
RELATIONS: dict[str, tuple[tuple[str, ...], tuple[float, float], tuple[float, float]]] = {
    "left": (("to the left of", "left of"), (0.27, 0.5), (0.73, 0.5)),
    "right": (("to the right of", "right of"), (0.73, 0.5), (0.27, 0.5)),
    "above": (("above",), (0.5, 0.27), (0.5, 0.73)),
    "below": (("below", "under"), (0.5, 0.73), (0.5, 0.27)),
}

_IRREGULAR = {"man": "men", "woman": "women", "person": "people", "child": "children", "mouse": "mice",
              "foot": "feet", "tooth": "teeth", "goose": "geese", "leaf": "leaves", "knife": "knives",
              "wolf": "wolves", "fish": "fish", "sheep": "sheep", "deer": "deer", "loaf": "loaves",
              "scarf": "scarves", "shelf": "shelves", "tomato": "tomatoes", "potato": "potatoes",
              "mango": "mangoes", "volcano": "volcanoes"}  # fmt: skip
_UNCOUNTABLE = re.compile(
    r"\b(with|of|and|in|on|for|the|no|not|s|'s|up|down|holding|wearing|without|bread|rice|money|snow|"
    r"rain|glasses|scissors|trousers|jeans|shorts|people|hands|clothes|music|fog|wind|cash|hair|luggage)\b"
    r"|[^a-z ]"
)


def plural(name: str) -> str | None:
    """The plural of a name, or None where it would be a guess."""
    if _UNCOUNTABLE.search(name):
        return None
    head, _, last = name.rpartition(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith("ss") or last.endswith(("x", "ch", "sh", "z")):
        last += "es"
    elif last.endswith("s"):
        return None
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def bare_style(style_phrase: str) -> str:
    """"a shiny 3d icon" -> "shiny 3d icon"."""
    return re.sub(r"^an? ", "", style_phrase)


def colour_word(picture: Picture) -> str | None:
    """A colour that can be said of the picture without repeating or contradicting its name."""
    if len(picture.colours) != 1 or picture.article == "the ":
        return None
    if any(colour in picture.name for colour in PICTURE_COLOURS):
        return None
    return picture.colours[0]


def name_phrase(picture: Picture, rng: random.Random) -> str:
    """Article and name, with the picture's colour now and then."""
    colour = colour_word(picture)
    if colour is None or rng.random() > 0.15:
        return picture.phrase
    words = f"{colour} {picture.name}"
    return with_article(words) if picture.article else words


def say_style(picture: Picture, thing: str, rng: random.Random) -> str:
    """The thing in its style: mostly the captions' own phrases."""
    phrases = STYLE_PHRASES[picture.style]
    own = 2 if picture.style in ("officeicon", "weather") else 3
    phrase = rng.choice(phrases[:own]) if rng.random() < 0.75 else rng.choice(phrases)
    if rng.random() < 0.06:
        return f"{thing}, {bare_style(phrase)}"
    return f"{phrase} of {thing}"


def keyword_prompt(picture: Picture, rng: random.Random) -> str:
    """A list of words, as people type into image tools."""
    words = list(picture.keywords)
    rng.shuffle(words)
    parts = [picture.name, *words[: rng.randint(0, 3)]]
    parts.insert(rng.choice((0, len(parts))), bare_style(rng.choice(STYLE_PHRASES[picture.style])))
    return ", ".join(parts)


def vary_surface(prompt: str, rng: random.Random) -> str:
    """Final stops and a leading verb now and then. (Case does not matter: prompts are lower-cased.)"""
    chance = rng.random()
    if chance < 0.04:
        return prompt + "."
    if chance < 0.06:
        return rng.choice(("draw ", "a picture of ", "an image of ")) + prompt
    return prompt


def say_background(colours: Sequence[str], horizontal: bool, rng: random.Random) -> str:
    if len(colours) == 1:
        form = rng.random()
        if form < 0.85:
            return f" on {with_article(colours[0])} background"
        return f", {colours[0]} background"
    fade = f" on a background fading from {colours[0]} to {colours[1]}"
    return fade + (" from left to right" if horizontal else "")
