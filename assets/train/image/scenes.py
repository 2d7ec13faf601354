"""Captioned scenes: which pictures go where, on what background, and the prompt that says so.

What a prompt leaves open is nearly fixed (size, place, drawing style), so that the model need not spend
capacity on variety nobody asked for.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

import prompts
from pictures import Picture

MAX_OBJECTS = 5
NO_GRADIENT, VERTICAL, HORIZONTAL = 0, 1, 2

KIND_WEIGHTS = {"single": 0.64, "keywords": 0.05, "position": 0.06, "size": 0.04, "relation": 0.1,
                "count": 0.09, "sizes": 0.02}  # fmt: skip


@dataclass
class Placement:
    """One pasted picture; centre and size (longest side) as shares of the canvas."""

    picture: int
    x: float
    y: float
    size: float


@dataclass
class Scene:
    prompt: str
    placements: list[Placement]
    background: tuple[tuple[float, ...], tuple[float, ...]] = ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    gradient: int = NO_GRADIENT


@dataclass
class SceneBatch:
    """Scenes as arrays, ready to be composed on the GPU."""

    picture: np.ndarray  # int32 [B, MAX_OBJECTS], -1 where there is none
    geometry: np.ndarray  # float32 [B, MAX_OBJECTS, 3]: x, y, size
    background: np.ndarray  # float32 [B, 2, 3]
    gradient: np.ndarray  # int32 [B]
    prompts: list[str] = field(default_factory=list)

    @staticmethod
    def from_scenes(scenes: Iterable[Scene]) -> SceneBatch:
        scenes = list(scenes)
        picture = np.full((len(scenes), MAX_OBJECTS), -1, np.int32)
        geometry = np.zeros((len(scenes), MAX_OBJECTS, 3), np.float32)
        for i, scene in enumerate(scenes):
            for j, placement in enumerate(scene.placements):
                picture[i, j] = placement.picture
                geometry[i, j] = placement.x, placement.y, placement.size
        return SceneBatch(
            picture=picture,
            geometry=geometry,
            background=np.array([scene.background for scene in scenes], np.float32),
            gradient=np.array([scene.gradient for scene in scenes], np.int32),
            prompts=[scene.prompt for scene in scenes],
        )


def count_centres(count: int) -> list[tuple[float, float]]:
    """Where the copies of a counted thing stand."""
    if count <= 3:
        return [((i + 0.5) / count, 0.5) for i in range(count)]
    if count == 4:
        return [(x, y) for y in (0.27, 0.73) for x in (0.27, 0.73)]
    return [(x, 0.28) for x in (0.18, 0.5, 0.82)] + [(x, 0.72) for x in (0.3, 0.7)]


SINGLE_SIZE = 0.76  # of a thing alone on its canvas
COUNT_SIZE = {1: SINGLE_SIZE, 2: 0.42, 3: 0.29, 4: 0.38, 5: 0.28}


class SceneSampler:
    """Draws scenes from the pictures of the training split, or from the held-out ones."""

    def __init__(self, pictures: list[Picture], seed: int, heldout: bool = False) -> None:
        self.pictures = pictures
        self.rng = random.Random(seed)
        self.members = [i for i, p in enumerate(pictures) if p.heldout == heldout]
        weights = [prompts.STYLE_WEIGHTS.get(pictures[i].style, 1.0) for i in self.members]
        self.cumulative = np.cumsum(weights).tolist()
        self.by_style: dict[str, list[int]] = defaultdict(list)
        styles_of: dict[str, dict[str, int]] = defaultdict(dict)
        for i in self.members:
            self.by_style[pictures[i].style].append(i)
            styles_of[pictures[i].name].setdefault(pictures[i].style, i)
        self.default = {
            name: next(styles[style] for style in prompts.DEFAULT_STYLES if style in styles)
            for name, styles in styles_of.items()
        }

    def draw_picture(self) -> int:
        return self.rng.choices(self.members, cum_weights=self.cumulative)[0]

    def companion(self, picture: int) -> int:
        """Another thing in the same style."""
        for _ in range(8):
            other = self.rng.choice(self.by_style[self.pictures[picture].style])
            if self.pictures[other].name != self.pictures[picture].name:
                return other
        return other

    def jitter(self, amount: float) -> float:
        return self.rng.uniform(-amount, amount)

    def background(self, scene: Scene) -> None:
        """Choose a background and say it; white goes without saying."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.12:
            names, spoken = ["white"], False
        elif chance < 0.82:
            names, spoken = [rng.choice(list(prompts.COLOURS))], True
        else:
            names, spoken = rng.sample(list(prompts.COLOURS), 2), True
            scene.gradient = rng.choice((VERTICAL, VERTICAL, HORIZONTAL))
        shades = []
        for name in names:
            shift = 0.0 if name == "white" else 6.0
            shades.append(tuple(min(max(c + self.jitter(shift), 0), 255) / 255 for c in prompts.COLOURS[name]))
        scene.background = (shades[0], shades[-1])
        if spoken:
            scene.prompt += prompts.say_background(names, scene.gradient == HORIZONTAL, rng)

    def single(self) -> Scene:
        picture = self.draw_picture()
        if self.rng.random() < 0.15:
            picture = self.default[self.pictures[picture].name]
            text = prompts.name_phrase(self.pictures[picture], self.rng)
        else:
            thing = prompts.name_phrase(self.pictures[picture], self.rng)
            text = prompts.say_style(self.pictures[picture], thing, self.rng)
        size = SINGLE_SIZE + self.jitter(0.02)
        return Scene(text, [Placement(picture, 0.5 + self.jitter(0.01), 0.5 + self.jitter(0.01), size)])

    def keywords(self) -> Scene:
        picture = self.draw_picture()
        text = prompts.keyword_prompt(self.pictures[picture], self.rng)
        return Scene(text, [Placement(picture, 0.5, 0.5, SINGLE_SIZE + self.jitter(0.02))])

    def position(self) -> Scene:
        picture = self.draw_picture()
        words, (x, y) = self.rng.choice(list(prompts.POSITIONS.items()))
        text = f"{prompts.say_style(self.pictures[picture], self.pictures[picture].phrase, self.rng)} {words}"
        x, y = x + self.jitter(0.015), y + self.jitter(0.015)
        return Scene(text, [Placement(picture, x, y, 0.36 + self.jitter(0.02))])

    def sized(self, word: str, picture: int) -> str:
        words = f"{word} {self.pictures[picture].name}"
        return prompts.with_article(words) if self.pictures[picture].article else words

    def size(self) -> Scene:
        picture = self.draw_picture()
        word, size = self.rng.choice((("small", 0.38), ("tiny", 0.22), ("large", 0.92), ("huge", 0.98)))
        thing = self.sized(word, picture)
        text = prompts.say_style(self.pictures[picture], thing, self.rng)
        return Scene(text, [Placement(picture, 0.5, 0.5, size + self.jitter(0.02))])

    def relation(self) -> Scene:
        first = self.draw_picture()
        second = self.companion(first)
        words, (ax, ay), (bx, by) = self.rng.choice(list(prompts.RELATIONS.values()))
        phrases = self.pictures[first].phrase, self.pictures[second].phrase
        text = f"{phrases[0]} {self.rng.choice(words)} {phrases[1]}"
        text = prompts.say_style(self.pictures[first], text, self.rng)
        size = 0.43 + self.jitter(0.02)
        return Scene(text, [Placement(first, ax, ay, size), Placement(second, bx, by, size)])

    def count(self) -> Scene:
        for _ in range(32):
            picture = self.draw_picture()
            words = prompts.plural(self.pictures[picture].name)
            if words is not None:
                break
        else:
            return self.single()
        count = self.rng.choice((1, 2, 2, 3, 3, 4, 4, 5))
        thing = f"{prompts.NUMBERS[count]} {self.pictures[picture].name if count == 1 else words}"
        text = prompts.say_style(self.pictures[picture], thing, self.rng)
        size = COUNT_SIZE[count] * self.rng.uniform(0.97, 1.03)
        spread = 0.008
        return Scene(
            text,
            [Placement(picture, x + self.jitter(spread), y + self.jitter(spread), size) for x, y in count_centres(count)],
        )

    def sizes(self) -> Scene:
        first = self.draw_picture()
        second = self.companion(first)
        thing = f"{self.sized('large', first)} and {self.sized('small', second)}"
        text = prompts.say_style(self.pictures[first], thing, self.rng)
        return Scene(text, [Placement(first, 0.34, 0.5, 0.6), Placement(second, 0.82, 0.62, 0.26)])

    def scene(self) -> Scene:
        kind = self.rng.choices(list(KIND_WEIGHTS), weights=list(KIND_WEIGHTS.values()))[0]
        scene: Scene = getattr(self, kind)()
        self.background(scene)
        scene.prompt = prompts.vary_surface(scene.prompt, self.rng)
        return scene

    def batch(self, count: int) -> SceneBatch:
        return SceneBatch.from_scenes(self.scene() for _ in range(count))
