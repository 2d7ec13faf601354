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
    ("larger", "smaller"): (
        "a pea", "an egg", "a rabbit", "a goat", "a horse", "a hippo", "a whale", "a ship", "a village", "a city", "a country"),
    ("faster", "slower"): (
        "a worm", "a turtle", "a hen", "a rabbit", "a horse", "a cheetah", "a racing car", "an aeroplane"),
    ("quicker", "slower"): (
        "a snail", "a tortoise", "a walking child", "a running dog", "a car", "a train", "an aeroplane", "a rocket"),
    ("heavier", "lighter"): (
        "a feather", "an egg", "a book", "a hen", "a chair", "a piano", "a car", "an elephant", "a ship"),
    ("taller", "shorter"): ("a mushroom", "a chair", "a child", "a door", "a giraffe", "a house", "a lighthouse", "a mountain"),
    ("older", "younger"): ("a baby", "a schoolchild", "a mother", "a grandmother"),
    ("hotter", "colder"): ("ice", "cool water", "warm milk", "boiling soup", "fire", "the Sun"),
}  # fmt: skip
FRAMES = ("{}?", "{}?", "{}?", "Tell me, {}?", "Can you tell me: {}?", "Please, {}?", "Quick question: {}?", "So, {}?")
SUM_FORMS = ("what is the result of {}", "what number is {}", "do you know what {} is", "how many is {}", "what is {}",
             "what's {}", "how much is {}", "what does {} make", "what is the answer to {}", "what do you get for {}")
# Whole requests, for a sum of any kind, an addition, and a subtraction.
SUM_ORDERS = ("Can you work out {0} for me?", "Work out {0}.", "Calculate {0}.", "Can you calculate {0}?", "Please solve {0}.", "{0}?",
              "{0} = ?", "Could you work out {0}, please?", "I need to know {0}.", "Help me with {0}.", "Let me ask you: {0}?",
              "Tell me what {0} is.")  # fmt: skip
ADD_ORDERS = ("Add {a} and {b}.", "Can you add {a} and {b}?", "What do you get if you add {b} to {a}?", "What are {a} and {b} together?",
              "How much are {a} and {b}?", "What is the sum of {a} and {b}?")  # fmt: skip
TAKE_ORDERS = ("Take {b} from {a}.", "What is left if you take {b} away from {a}?", "How much is {a} less {b}?", "Subtract {b} from {a}.",
               "What is the difference between {a} and {b}?", "Can you take {b} away from {a}?")  # fmt: skip
TIMES_ORDERS = ("Multiply {a} by {b}.", "What is {a} multiplied by {b}?", "How much is {a} times {b}?",
                "What do you get if you multiply {a} by {b}?",
                "Can you multiply {a} by {b}?", "What is the product of {a} and {b}?")  # fmt: skip
SIGNS = {"plus": "+", "minus": "-", "times": "x"}


MORE_STORIES = (
    "If {who} {has} {a} {many} and {they} get {b} more, how many {many} are there then?",
    "If {who} {has} {a} {many} and {they} find {b} more, how many {many} {does} {who} have?",
    "{Who} {has} {a} {many} and {they} buy {b} more. How many {many} {does} {who} have now?",
    "{Who} had {a} {many} and got {b} more. How many are there now?",
    "There are {a} {many} on the table, and {who} put {b} more there. How many {many} are there in all?",
    "{Who} found {a} {many} in the morning and {b} in the evening. How many is that?",
    "How many {many} {does} {who} have if {they} first had {a} and then found {b}?",
)  # fmt: skip
LESS_STORIES = (
    "If {who} {has} {a} {many} and {they} lose {b}, how many {many} are there then?",
    "If {who} {has} {a} {many} and {they} give {b} away, how many {does} {who} have?",
    "{Who} {has} {a} {many} and {they} sell {b}. How many {many} are left?",
    "{Who} had {a} {many} and lost {b}. How many {does} {who} still have?",
    "From {a} {many}, {who} took away {b}. How many remain?",
    "{Who} had {a} {many}. {b} are gone. How many {many} are still there?",
    "How many {many} {does} {who} have left if {they} had {a} and gave away {b}?",
)  # fmt: skip
NEIGHBOUR_FORMS = (
    "which {kind} comes {word} {name}", "what {kind} is {word} {name}", "which {kind} is it {word} {name}", "what comes {word} {name}",
    "which {kind} {follows} {name}", "what is the {kind} {word} {name}", "what {kind} do we have {word} {name}",
    "do you know the {kind} {word} {name}", "what is the name of the {kind} {word} {name}", "which {kind} comes right {word} {name}",
    "in the calendar, which {kind} is {word} {name}",
)  # fmt: skip
WEEK, YEAR = (f"{', '.join(names[:-1])} and {names[-1]}." for names in (DAYS, MONTHS))
TEN = "One, two, three, four, five, six, seven, eight, nine, ten."
LISTS = (
    ("Can you tell me the days of the week?", WEEK), ("Name the days of the week.", WEEK), ("Which days does a week have?", WEEK),
    ("Say all days of the week, please.", WEEK), ("List the seven days.", WEEK), ("Tell me the months of the year.", YEAR),
    ("Which months does a year have?", YEAR), ("Name all twelve months, please.", YEAR), ("Can you list the months?", YEAR),
    ("Count to five.", "One, two, three, four, five."), ("Can you count to five for me?", "One, two, three, four, five."),
    ("Count to ten, please.", TEN), ("Can you count from one to ten?", TEN),
    ("What are the four seasons?", "The four seasons are spring, summer, autumn and winter."),
    ("Name the seasons of the year.", "The four seasons are spring, summer, autumn and winter."),
    ("Which season is the coldest?", "Winter is the coldest season."), ("Which season is the warmest?", "Summer is the warmest season."),
    ("When do leaves fall from the trees?", "Leaves fall from the trees in autumn."),
    ("When do most flowers begin to bloom?", "Most flowers begin to bloom in spring."),
    ("Which is the first month of the year?", "January is the first month of the year."),
    ("Which is the last month of the year?", "December is the last month of the year."),
    ("Which month is the shortest?", "February is the shortest month."),
    ("Which days are the weekend?", "Saturday and Sunday are the weekend."),
)  # fmt: skip


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
        sign = rng.choices(("plus", "minus", "times"), (4, 4, 2))[0]
        if sign == "times":
            a, b = rng.randint(0, 10), rng.randint(0, 10)
            in_words = in_words and a * b < len(WORDS)
        elif sign == "minus":
            a += b
        total = {"plus": a + b, "minus": a - b, "times": a * b}[sign]
        first, second = self.number(a, in_words), self.number(b, in_words)
        spoken = f"{first} {sign} {second}"
        asked = spoken if in_words or rng.random() < 0.75 else f"{a} {SIGNS[sign]} {b}"
        draw = rng.random()
        if draw < 0.45:
            question = self.framed(rng.choice(SUM_FORMS).format(asked))
        elif draw < 0.75:
            question = capital(rng.choice(SUM_ORDERS).format(asked))
        else:
            orders = {"plus": ADD_ORDERS, "minus": TAKE_ORDERS, "times": TIMES_ORDERS}[sign]
            question = rng.choice(orders).format(a=first, b=second)
        return question, f"{capital(spoken)} is {self.number(total, in_words)}."

    def framed(self, asked: str) -> str:
        return capital(self.rng.choice(FRAMES).format(asked))

    def story(self) -> tuple[str, str]:
        """Things that somebody has, gets and loses."""
        rng, many = self.rng, self.rng.choice(self.nouns)
        who, a, b = rng.choice(PEOPLE), rng.randint(2, 10), rng.randint(1, 6)
        mine, in_words = who == "I", rng.random() < 0.3
        adds = rng.random() < 0.5
        a, total, sign = (a, a + b, "plus") if adds else (a + b, a, "minus")
        first, second, result = (self.number(n, in_words) for n in (a, b, total))
        has, does, they = ("have", "do", "I") if mine else ("has", "does", "they")
        question = rng.choice(MORE_STORIES if adds else LESS_STORIES).format(
            who=who, Who=capital(who), has=has, does=does, they=they, a=first, b=second, many=many)  # fmt: skip
        holder = "You have" if mine else f"{capital(who)} has"
        left = "" if adds else " left"
        return capital(question), f"{holder} {result} {many}{left}, because {first} {sign} {second} is {result}."

    def neighbour(self) -> tuple[str, str]:
        """The day or month before or after another."""
        rng = self.rng
        names, kind = rng.choice(((DAYS, "day"), (MONTHS, "month")))
        i = rng.randrange(len(names))
        after = ("after", names[(i + 1) % len(names)], "follows")
        word, other, follows = after if rng.random() < 0.55 else ("before", names[i - 1], "is before")
        asked = rng.choice(NEIGHBOUR_FORMS).format(kind=kind, word=word, name=names[i], follows=follows)
        if kind == "day" and rng.random() < 0.15:
            asked = f"if today is {names[i]}, what day " + ("is tomorrow" if word == "after" else "was yesterday")
        return self.framed(asked), f"{other} comes {word} {names[i]}."

    def listed(self) -> tuple[str, str]:
        return self.rng.choice(LISTS)

    def number_words(self) -> tuple[str, str]:
        """Neighbours, halves and doubles of a number, and its word."""
        rng, n = self.rng, self.rng.randint(1, 19)
        asked, answer = rng.choice((
            (f"which number comes after {n}", f"{n + 1} comes after {n}."), (f"what number is before {n}", f"{n - 1} comes before {n}."),
            (f"what is one more than {n}", f"One more than {n} is {n + 1}."),
            (f"what is one less than {n}", f"One less than {n} is {n - 1}."),
            (f"what is the double of {n}", f"The double of {n} is {2 * n}."), (f"what is twice {n}", f"Twice {n} is {2 * n}."),
            (f"what is half of {2 * n}", f"Half of {2 * n} is {n}."), (f"how do you write {n} as a word", f"{n} is written {WORDS[n]}."),
            (f"what is {WORDS[n]} in digits", f"{capital(WORDS[n])} is {n} in digits.")))  # fmt: skip
        return self.framed(asked), answer

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
        kinds = {self.sum: 5, self.story: 3, self.neighbour: 3, self.comparison: 1, self.scale: 3, self.number_words: 1, self.listed: 0.5}
        draw = rng.choices(list(kinds), list(kinds.values()))[0]
        question, answer = draw()
        return Sample(question.lower().rstrip("?.") if rng.random() < 0.15 else question, answer)
