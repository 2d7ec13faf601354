"""Small sums, neighbours in the calendar and comparisons of numbers and of things, asked in many ways."""

from __future__ import annotations

import random

import image_language  # noqa: F401  (finds prompts)
import prompts

from expand import Sample, Things

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
         "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
PEOPLE = ("Anna", "Ben", "Max", "Nora", "Tom", "Lily", "Sam", "Emma", "my sister", "my friend", "the teacher", "I")
# From the least to the most; neighbours are told apart at a glance.
SCALES = {
    ("bigger", "smaller"): (
        "an ant", "a bee", "a mouse", "an apple", "a cat", "a dog", "a sheep", "a cow", "a car", "an elephant", "a bus", "a house",
        "a castle", "a mountain", "the Moon", "the Earth", "the Sun"),
    ("faster", "slower"): (
        "a snail", "a tortoise", "a walking child", "a running dog", "a car", "a train", "an aeroplane", "a rocket"),
    ("heavier", "lighter"): (
        "a feather", "an egg", "a book", "a hen", "a chair", "a piano", "a car", "an elephant", "a ship"),
    ("taller", "shorter"): ("a mushroom", "a chair", "a child", "a door", "a giraffe", "a house", "a lighthouse", "a mountain"),
    ("older", "younger"): ("a baby", "a schoolchild", "a mother", "a grandmother"),
    ("hotter", "colder"): ("ice", "cool water", "warm milk", "boiling soup", "fire", "the Sun"),
}  # fmt: skip
FRAMES = ("{}?", "{}?", "{}?", "Tell me, {}?", "Can you tell me: {}?", "Please, {}?", "Quick question: {}?", "So, {}?")
SUM_FORMS = ("what is {}", "what's {}", "how much is {}", "what does {} make", "what is the answer to {}", "what do you get for {}")
# Whole requests, for a sum of any kind, an addition, and a subtraction.
SUM_ORDERS = ("Can you work out {0} for me?", "Work out {0}.", "Calculate {0}.", "Can you calculate {0}?", "Please solve {0}.", "{0}?",
              "{0} = ?", "Could you work out {0}, please?", "I need to know {0}.", "Help me with {0}.", "Let me ask you: {0}?",
              "Tell me what {0} is.")  # fmt: skip
ADD_ORDERS = ("Add {a} and {b}.", "Can you add {a} and {b}?", "What do you get if you add {b} to {a}?", "What are {a} and {b} together?",
              "How much are {a} and {b}?", "What is the sum of {a} and {b}?")  # fmt: skip
TAKE_ORDERS = ("Take {b} from {a}.", "What is left if you take {b} away from {a}?", "How much is {a} less {b}?", "Subtract {b} from {a}.",
               "What is the difference between {a} and {b}?", "Can you take {b} away from {a}?")  # fmt: skip
SIGNS = {"plus": "+", "minus": "-"}


def capital(text: str) -> str:
    return text[0].upper() + text[1:]


class Reckoner:
    """Draws questions with their answers."""

    def __init__(self, things: Things, seed: int) -> None:
        self.rng = random.Random(seed)
        self.nouns = [many for name in things.training if (many := prompts.plural(name)) and " " not in name and "face" not in name]

    def number(self, value: int, in_words: bool) -> str:
        return WORDS[value] if in_words else str(value)

    def sum(self) -> tuple[str, str]:
        """A whole question and its answer."""
        rng, in_words = self.rng, self.rng.random() < 0.4
        a, b = rng.randint(0, 12), rng.randint(0, 8)
        sign, total = ("plus", a + b) if rng.random() < 0.5 else ("minus", a)
        if sign == "minus":
            a += b
        first, second = self.number(a, in_words), self.number(b, in_words)
        spoken = f"{first} {sign} {second}"
        asked = spoken if in_words or rng.random() < 0.75 else f"{a} {SIGNS[sign]} {b}"
        draw = rng.random()
        if draw < 0.45:
            question = self.framed(rng.choice(SUM_FORMS).format(asked))
        elif draw < 0.75:
            question = capital(rng.choice(SUM_ORDERS).format(asked))
        else:
            question = rng.choice(ADD_ORDERS if sign == "plus" else TAKE_ORDERS).format(a=first, b=second)
        return question, f"{capital(spoken)} is {self.number(total, in_words)}."

    def framed(self, asked: str) -> str:
        return capital(self.rng.choice(FRAMES).format(asked))

    def story(self) -> tuple[str, str]:
        rng, many = self.rng, self.rng.choice(self.nouns)
        who, a, b = rng.choice(PEOPLE), rng.randint(2, 10), rng.randint(1, 6)
        has, he, have = ("have", "I", "you") if who == "I" else ("has", "they", who)
        if rng.random() < 0.6:
            change, total, sign = rng.choice((f"get {b} more", f"find {b} more", f"buy {b} more")), a + b, "plus"
        else:
            a += b
            change, total, sign = rng.choice((f"lose {b}", f"give {b} away", f"sell {b}")), a - b, "minus"
        asked = f"if {who} {has} {a} {many} and {he} {change}, how many {many} are there then"
        holder = f"{have} would have" if who == "I" else f"{capital(have)} would have"
        return capital(asked) + "?", f"{capital(holder)} {total} {many}, because {a} {sign} {b} is {total}."

    def neighbour(self) -> tuple[str, str]:
        rng = self.rng
        names, kind = rng.choice(((DAYS, "day"), (MONTHS, "month")))
        i, after = rng.randrange(len(names)), rng.random() < 0.7
        word, other = ("after", names[(i + 1) % len(names)]) if after else ("before", names[i - 1])
        form = rng.choice(("which {kind} comes {word} {name}", "what {kind} is {word} {name}", "which {kind} is it {word} {name}"))
        asked = form.format(kind=kind, word=word, name=names[i])
        return self.framed(asked), f"{other} comes {word} {names[i]}."

    def comparison(self) -> tuple[str, str]:
        rng = self.rng
        a, b = rng.sample(range(31), 2)
        if rng.random() < 0.5:
            asked = rng.choice((f"which is more, {a} or {b}", f"is {a} or {b} the bigger number"))
            return self.framed(asked), f"{max(a, b)} is more than {min(a, b)}."
        asked = rng.choice((f"which is less, {a} or {b}", f"is {a} or {b} the smaller number"))
        return self.framed(asked), f"{min(a, b)} is less than {max(a, b)}."

    def scale(self) -> tuple[str, str]:
        """Two things on a scale, named in either order."""
        rng = self.rng
        (more, less), names = rng.choice(list(SCALES.items()))
        low, high = sorted(rng.sample(range(len(names)), 2))
        word, one, other = (more, names[high], names[low]) if rng.random() < 0.5 else (less, names[low], names[high])
        truth = f"{one} is {word} than {other}"
        first, second = rng.sample((one, other), 2)
        if rng.random() < 0.35:
            answer = "Yes, " if first == one else "No, "
            return self.framed(f"is {first} {word} than {second}"), f"{answer}{truth}."
        form = rng.choice(("which is {2}, {0} or {1}", "what is {2}, {0} or {1}", "is {0} or {1} {2}",
                           "which of the two is {2}, {0} or {1}"))  # fmt: skip
        asked = form.format(first, second, word)
        return self.framed(asked), f"{capital(truth)}."

    def question(self) -> Sample:
        rng = self.rng
        draw = rng.choices((self.sum, self.story, self.neighbour, self.comparison, self.scale), (5, 3, 2, 1, 3))[0]
        question, answer = draw()
        return Sample(question.lower().rstrip("?.") if rng.random() < 0.15 else question, answer)
