"""The corpus's simple facts, asked in many more ways than the corpus does.

``prepare.py`` collects them from own-facts and identity: the questions of FORMS say what is asked for and about what, the answers stay
as they are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from expand import Sample

# A kind of fact: the corpus's question, and others as "direct / indirect", the second as it goes on after "Do you know".
FORMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "capital": (r"What(?:'s| is) the capital of (?P<a>[^?]+)\?", (
        "what is the capital of {a} / what the capital of {a} is", "which city is the capital of {a} / which city is the capital of {a}",
        "what city is the capital of {a} / what city is the capital of {a}",
        "what is the capital city of {a} / what the capital city of {a} is")),
    "opposite": (r"What(?:'s| is) the opposite of '?(?P<a>\w+)'?\?", (
        "what is the opposite of {a} / what the opposite of {a} is",
        "which word means the opposite of {a} / which word means the opposite of {a}",
        "what is the opposite of the word {a} / the opposite of {a}", "what is the contrary of {a} / what the contrary of {a} is")),
    "legs": (r"How many legs does (?P<a>an? \w+) have\?", (
        "how many legs does {a} have / how many legs {a} has", "how many legs has {a} got / how many legs {a} has got",
        "what number of legs does {a} have / the number of legs of {a}", "{a} walks on how many legs / on how many legs {a} walks")),
    "sound": (r"What (?:sound|noise) does (?P<a>an? \w+) make\?", (
        "what sound does {a} make / what sound {a} makes", "what noise does {a} make / what noise {a} makes",
        "which sound does {a} make / which sound {a} makes", "what does {a} sound like / what {a} sounds like")),
    "baby": (r"What (?:do you call|is) a (?:young|baby) (?P<a>\w+)(?: called)?\?", (
        "what do you call a baby {a} / what you call a baby {a}", "what do you call a young {a} / what a young {a} is called",
        "what is a baby {a} called / what a baby {a} is called", "what is the name of a baby {a} / the name of a baby {a}")),
    "home": (r"Where do (?P<a>\w+) live\?", (
        "where do {a} live / where {a} live", "where do most {a} live / where most {a} live",
        "where do {a} usually live / where {a} usually live", "in what place do {a} live / in what place {a} live",
        "where can I find {a} / where one can find {a}")),
    "food": (r"What do (?P<a>\w+) eat\?", (
        "what do {a} eat / what {a} eat", "what do {a} like to eat / what {a} like to eat",
        "what kind of food do {a} eat / what kind of food {a} eat", "what food do {a} need / what food {a} need")),
    "colour": (r"What colour is (?P<a>[^?]+)\?", (
        "what colour is {a} / what colour {a} is", "which colour is {a} / which colour {a} is",
        "what colour is {a} usually / what colour {a} usually is", "what is the colour of {a} / the colour of {a}",
        "what colour does {a} have / what colour {a} has")),
    "use": (r"What is (?P<a>an? [\w ]+) for\?", (
        "what is {a} for / what {a} is for", "what is {a} used for / what {a} is used for",
        "what do you use {a} for / what you use {a} for", "what can I do with {a} / what I can do with {a}",
        "what do people do with {a} / what people do with {a}")),
    "letters": (r"How many letters does (?P<a>\w+) have\?", (
        "how many letters does {a} have / how many letters {a} has", "how many letters are in {a} / how many letters are in {a}",
        "how many letters are there in the word {a} / how many letters there are in the word {a}",
        "how many letters does the word {a} have / how many letters the word {a} has")),
    "first": (r"What is the first letter of (?P<a>\w+)\?", (
        "what is the first letter of {a} / the first letter of {a}",
        "what is the first letter of the word {a} / what the first letter of the word {a} is",
        "which letter does {a} start with / which letter {a} starts with",
        "what letter does the word {a} begin with / what letter {a} begins with",
        "with which letter does {a} begin / with which letter {a} begins", "which letter is the first in {a} / which letter is the first "
        "in {a}",
        "what is the first letter in {a} / what the first letter in {a} is", "how does the word {a} begin / how the word {a} begins")),
    "last": (r"What is the last letter of (?P<a>\w+)\?", (
        "what is the last letter of {a} / the last letter of {a}",
        "what is the last letter of the word {a} / what the last letter of the word {a} is",
        "which letter does {a} end with / which letter {a} ends with")),
    "rhyme": (r"Tell me a word that rhymes with (?P<a>\w+)\.", (
        "what rhymes with {a} / a word that rhymes with {a}", "which word rhymes with {a} / a word that rhymes with {a}",
        "what is a rhyme for {a} / a rhyme for {a}", "what word sounds like {a} at the end / a word that sounds like {a} at the end")),
    "spell": (r"Spell (?P<a>\w+)\.", (
        "how do you spell {a} / how to spell {a}", "how is {a} spelled / how {a} is spelled",
        "how is the word {a} written / how the word {a} is written")),
    "two": (r"Name two (?P<a>[\w ]+)\.", ()),
    "three": (r"Name three (?P<a>[\w ]+)\.", ()),
    "four": (r"Name four (?P<a>[\w ]+)\.", ()),
    "other": (r"(?P<a>(?:Why|How|What comes|Who) [^?]+|What is (?:the \w+est|an? \w+|the \w+))\?", (
        "{a} / ",)),
}  # fmt: skip
DIRECT = ("{}?", "{}?", "{}?", "{}, please?", "Tell me, {}?", "Quick question: {}?", "I wonder, {}?", "Can you tell me: {}?", "Hi, {}?",
          "Linea, {}?")  # fmt: skip
INDIRECT = ("Do you know {}?", "Can you tell me {}?", "Could you tell me {}?", "Could you tell me {}, please?", "Please tell me {}.",
            "Tell me {}.", "I would like to know {}.", "I want to know {}.", "Can you say {}?", "Do you happen to know {}?",
            "Would you tell me {}?")  # fmt: skip
COUNTED = ("Can you name {}?", "Could you name {}, please?", "Name {} for me.", "Please list {}.", "Give me {}.",
           "Can you name {} for me?", "Tell me {}.", "I need {}.", "Do you know {}?", "What are {}?", "I am looking for {}.",
           "Tell me the names of {}.",
           "Which are {}?", "Say {}.", "Find {} for me, please.", "What would be {}?", "Write down {}.")  # fmt: skip
KIND_FORMS = ("Is {thing} {named}?", "Is {thing} {named}?", "Is {thing} a kind of {bare}?", "Would you say that {thing} is {named}?",
              "Is {thing} {named} or not?", "Tell me, is {thing} {named}?", "Do you think {thing} is {named}?",
              "Can you tell me if {thing} is {named}?", "Does {thing} count as {named}?", "{thing} is {named}, isn't it?",
              "Is it true that {thing} is {named}?", "My friend says {thing} is {named}. Is that right?", "Is {thing} really {named}?"
              )  # fmt: skip
COUNTS = ("two", "three", "four")
# The corpus has few colours.
COLOURS = ("grass green", "a leaf green", "a cucumber green", "a frog green", "the sky blue", "the sea blue", "a tomato red",
           "a strawberry red", "a cherry red", "blood red", "a rose red", "the sun yellow", "a lemon yellow", "a sunflower yellow",
           "butter yellow", "a pumpkin orange", "an orange orange", "a fox red", "snow white", "milk white", "a swan white", "salt white",
           "coal black", "a raven black", "the night black", "chocolate brown", "coffee brown", "wood brown", "a bear brown",
           "a potato brown", "a plum purple", "an aubergine purple", "a flamingo pink", "a pig pink", "an elephant grey", "a mouse grey",
           "a stone grey", "an emerald green", "a ruby red", "silver grey")  # fmt: skip
WEIGHTS = {"letters": 0.4, "spell": 0.4, "other": 1, "kind": 2, "either": 1.5, "first": 1.5, "capital": 1.5, "three": 1.5}


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def uncapital(text: str) -> str:
    return text[:1].lower() + text[1:]


def own_facts(rows: Iterable[dict]) -> Iterable[tuple[str, str]]:
    """Questions with their answers."""
    for row in rows:
        if row["source"] in ("own-facts", "identity"):
            said = row["messages"]
            yield from ((a["content"], b["content"]) for a, b in zip(said, said[1:]) if a["role"] == "user")


def collect(rows: Iterable[dict]) -> dict:
    """Facts by kind, as {subject: answers}; "is" holds what is what, as [thing, kind] pairs."""
    facts: dict[str, dict[str, list[str]]] = {kind: {} for kind in FORMS}
    things: set[tuple[str, str]] = set()
    for question, answer in own_facts(rows):
        for kind, (pattern, _) in FORMS.items():
            if match := re.fullmatch(pattern, question):
                known = facts[kind].setdefault(match["a"], [])
                if answer not in known and not (kind == "other" and known):
                    known.append(answer)
                break
        if match := re.fullmatch(r"Yes, (an? [\w ]+) is (an? [\w ]+)\.", answer):
            things.add(match.groups())
    for words in COLOURS:
        thing, colour = words.rsplit(" ", 1)
        facts["colour"].setdefault(thing, [f"{capital(thing)} is {colour}."])
    return {"facts": facts, "is": sorted(things)}


class Asker:
    """Draws facts with a question."""

    def __init__(self, collected: dict, seed: int) -> None:
        self.rng = random.Random(seed)
        self.facts = {kind: list(known.items()) for kind, known in collected["facts"].items() if known}
        self.things = [tuple(pair) for pair in collected["is"]]
        self.kinds_of: dict[str, set[str]] = {}
        for thing, kind in self.things:
            self.kinds_of.setdefault(thing, set()).add(kind)
        self.kinds = sorted({kind for _, kind in self.things})
        self.choices = [*self.facts, *(("either", "kind") if self.things else ())]
        self.weights = [WEIGHTS.get(kind, 1) for kind in self.choices]

    def framed(self, kind: str, subject: str) -> str:
        rng = self.rng
        if kind in COUNTS:
            return rng.choice(COUNTED).format(f"{kind} {subject}")
        direct, indirect = rng.choice(FORMS[kind][1]).split(" / ")
        asked = direct.format(a=uncapital(subject) if kind == "other" else subject)
        if indirect and rng.random() < 0.55:
            return rng.choice(INDIRECT).format(indirect.format(a=subject))
        return capital(rng.choice(DIRECT).format(asked))

    def either(self) -> tuple[str, str]:
        """Which of two kinds a thing is."""
        rng = self.rng
        thing, kind = rng.choice(self.things)
        other = rng.choice([k for k in self.kinds if k not in self.kinds_of[thing]])
        first, second = rng.sample((kind, other), 2)
        asked = rng.choice(("is {0} {1} or {2}", "what is {0}, {1} or {2}", "would you call {0} {1} or {2}")).format(thing, first, second)
        return capital(rng.choice(DIRECT).format(asked)), f"{capital(thing)} is {kind}."

    def kind(self) -> tuple[str, str]:
        """Is a thing of a kind, or not?"""
        rng = self.rng
        thing, kind = rng.choice(self.things)
        other = rng.choice([k for k in self.kinds if k not in self.kinds_of[thing]])
        named = rng.choice((kind, other))
        question = rng.choice(KIND_FORMS).format(thing=thing, named=named, bare=named.split(" ", 1)[1])
        no = f"No, {thing} is not {named}. It is {kind}."
        return capital(question), f"Yes, {thing} is {kind}." if named == kind else no

    def question(self) -> Sample:
        rng = self.rng
        kind = rng.choices(self.choices, self.weights)[0]
        if kind in ("either", "kind"):
            question, answer = self.either() if kind == "either" else self.kind()
        else:
            subject, answers = rng.choice(self.facts[kind])
            question, answer = self.framed(kind, subject), rng.choice(answers)
        return Sample(question.lower().rstrip("?.") if rng.random() < 0.15 else question, answer)
