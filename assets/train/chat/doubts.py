"""Questions that so small a model cannot answer, and honest answers to them."""

from __future__ import annotations

import random

import image_language  # noqa: F401  (finds prompts)
import prompts

from expand import Sample, Things

QUESTIONS = (
    "Why do {many} {act}?", "Why does a {one} {act}?", "How does a {one} work?", "Who invented the {one}?", "When was the first {one} made?",
    "How much does a {one} cost?", "How many {many} are there in the world?", "Where can I buy a {one}?", "What is inside a {one}?",
    "How old is the oldest {one}?", "Who has the biggest {one}?", "What happened to the {one} yesterday?", "How fast is a {one}?",
    "How do I repair a {one}?", "What is the history of the {one}?", "How tall is a {one}?", "How much does a {one} weigh?",
    "Why is a {one} {quality}?", "Can you explain the {one} in detail?",
)  # fmt: skip
ACTS = ("move", "make noise", "come back", "change", "disappear", "grow", "break", "shine", "sleep", "fall", "float", "matter", "cost so much")
QUALITIES = ("so old", "so big", "so small", "useful", "important", "round", "heavy", "expensive", "famous")
ANSWERS = (
    "I'm not sure. I am small and I don't know much about {many}.",
    "I don't know that. I am only a small program.",
    "I'm afraid I don't know. What do you think?",
    "That is a good question, but I don't know the answer.",
    "I don't know enough about {many} to say.",
    "I'm not sure about that. A book or a teacher can tell you more.",
)


class Doubter:
    """Draws samples about things that have a plural."""

    def __init__(self, things: Things, seed: int) -> None:
        self.rng = random.Random(seed)
        plurals = ((name, prompts.plural(name)) for name in things.training if things.articles[name] in ("a ", "an "))
        self.nouns = [pair for pair in plurals if pair[1] is not None and "face" not in pair[0]]

    def doubt(self) -> Sample:
        rng = self.rng
        one, many = rng.choice(self.nouns)
        words = {"one": one, "many": many, "act": rng.choice(ACTS), "quality": rng.choice(QUALITIES)}
        question = rng.choice(QUESTIONS).format(**words)
        if one[0] in "aeiou":
            question = question.replace(f" a {one}", f" an {one}")
        return Sample(question.lower().rstrip("?") if rng.random() < 0.15 else question, rng.choice(ANSWERS).format(**words))
