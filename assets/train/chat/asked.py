"""Requests for a joke, a riddle, a very short story, advice, a fact and the like, with answers."""

from __future__ import annotations

import random

from expand import Sample, Things
from frames import Frames, as_typed
from jests import JOKES, RIDDLES

WORDS = {
    "JOKE": "|".join(JOKES),
    "PLEASE": "|||, please| for me",
    "CAN": "Can you|Could you|Will you|Would you|Please|Can you please|I want you to|I would like you to|You could",
    "TELL": "Tell me|Tell|Give me|Let me hear|I want to hear|I would like to hear|I'd like|I need|How about|Please tell me|Can you tell me|"
            "Could you tell me|Do you know|Have you got",
    "subject": "animals|school|food|a cat|winter|a dog|birds|a computer|music|a teacher|fruit|the sea|a cow|cars|trees|a doctor",
    "hero": "dragon|mouse|robot|princess|fox|bear|star|tree|boat|snail|kitten|king|rabbit|owl|giant|witch|whale|bird|pirate|train|horse|"
        "girl|boy|"
            "snowman|hedgehog|knight|bee|river|frog|lion|elephant|clown|turtle|lamp|teapot|balloon|leaf|ghost|duck|squirrel|sheep|"
            "butterfly|penguin",
    "quality": "brave|little|shy|lonely|kind|clever|tiny|lazy|curious|sleepy|old|funny|silent|friendly|hungry|proud|blue|red|golden|small",
    "dream": "see the sea|fly over the mountains|find a friend|sing a song|touch the Moon|dance in the rain|have a warm home|learn to read|"
             "make somebody happy|travel far away|find a treasure|see the stars",
    "friend": "a friendly crow|an old owl|a small girl|a laughing frog|a tired postman|a kind turtle|a little cloud|a singing fish|"
        "a gentle bear|"
              "a young fox|a quiet boy|a merry cat",
    "deed": "walked over seven hills|built a bridge of stones|followed a shining star|crossed the wide river|"
        "shared the last piece of bread|"
            "found a door in an old tree|climbed the highest hill|sang until the sun came up|sailed in a paper boat",
    "end": "From that day on they were friends|Then they went home and had warm soup|And that night everybody slept well|"
           "Since then the two have never been lonely|And they laughed all the way home|After that, nothing seemed too hard",
    "time": "One morning|One evening|On a windy day|One winter day|In spring|On a bright day|One night",
    "problem": "sleep better|make new friends|learn faster|be less nervous|get up earlier|write better|run faster|save money|be happier|"
               "eat healthier food|be more patient|feel less lonely|remember names|stop worrying|be more confident|keep my room tidy|"
               "calm down|"
               "get fit|draw better|learn a language|do my homework faster|get rid of stress|be a better cook|wake up in the morning",
    "meal": "breakfast|lunch|dinner|supper|a picnic|a party|a cold day|the weekend|tonight|tomorrow|my guests|a quick meal",
    "dish": "pancakes|tomato soup|rice with vegetables|a fresh salad|noodles with cheese|bread with honey and fruit|an omelette|"
        "baked potatoes|"
            "porridge with apples|pizza|a vegetable curry|sandwiches",
    "day": "today|tomorrow|tonight|at the weekend|on Sunday|this afternoon|in the holidays|on a rainy day|with my friends|this evening|"
        "after school|in summer",
    "idea": "read a good book|go for a walk|draw a picture|bake a cake|call a friend|play a board game|visit a museum|plant some flowers|"
            "write a letter|listen to music|ride a bicycle|watch the birds",
    "second": "cook something nice|take photos|tidy a drawer|make a paper boat|learn a new song|look at the stars|have a picnic|"
        "do a puzzle",
    "wear": "to a wedding|to school|in the snow|when it is cold|in the rain|on a hot day|to the beach|to a party|to an interview|"
        "for a walk in winter",
    "gift": "a book|some flowers|a game|a warm scarf|a cake you baked|a photo in a frame|a plant|a puzzle|tickets for a concert",
    "whom": "my mother|my father|my friend|my sister|my brother|my teacher|my grandmother|my grandfather|a child|my wife|my husband|"
        "my neighbour|"
            "a colleague|my cousin|my aunt|my boss",
    "pair": "tea or coffee|a cat or a dog|the blue one or the green one|a book or a film|the train or the bus|an apple or a cake|"
        "a walk or a run|"
            "pizza or soup|the sea or the mountains|red shoes or black shoes|chess or cards|a comedy or a drama|a bath or a shower|"
            "milk or juice|a bike or a scooter|a poem or a story",
    "big": "the meaning of life|happiness|love|friendship|the purpose of life|the secret of a good life|true success|beauty|time|freedom",
}  # fmt: skip
STORY = ("Once there was a {quality} {hero} that wanted to {dream}. {time} the {hero} met {friend}. Together they {deed}. {end}.|"
         "{time} a {quality} {hero} set out to {dream}. On the way it met {friend}, and they {deed}. {end}.|"
         "There was once a {quality} {hero}. All it wanted was to {dream}. {time}, {friend} came by, and together they {deed}. {end}.")
ASKED: tuple[tuple[str, str], ...] = (
    ("{TELL} a [|good |short |funny |new |little |silly |nice ]joke{PLEASE}[.|!]|{CAN} tell [me |us |]a [|good |short |funny |new ]joke?|"
     "Do you know [any|some|a|a good|a funny] joke[s|]?|[Can|Could] you make me [laugh|smile]{PLEASE}?|Make me [smile|laugh]{PLEASE}.|"
     "[Another|One more|Next] joke[, please|].|I [need|want|would like|could use] [a laugh|something funny|to laugh|a joke].|[Say|"
     "Tell me|Do you know] something funny{PLEASE}.|Cheer me up[, please|]!|Joke[, please|]!|What is your [best|favourite|"
     "funniest] joke?|Are you funny? Tell me a joke.|"
     "Tell me a joke about {subject}.|Can you be funny?|[Give|Tell] my [friend|mother|sister|children] a joke.", "{JOKE}"),
    ("{TELL} a [|good |short |hard |easy |new |little |nice ]riddle{PLEASE}[.|!]|{CAN} [ask|tell|give] me a [|good |short |hard |easy |"
     "new ]riddle?|Do you know [any|some|a|a good|a hard] riddle[s|]?|[Another|One more|Next] riddle[, please|].|I [like|love|want|"
     "need] [riddles|a riddle].|"
     "[Ask|Test] me [something|with a riddle|a puzzle]{PLEASE}.|Riddle me [something|this].|[Give|Ask] [us|me] a [riddle|brain teaser|"
     "puzzle] [for children|to solve]{PLEASE}.|Let's [play|do] riddles[!|.]|What is your [best|favourite] riddle?|Riddle[, please|]!|"
     "I want to guess something.", "{riddle}"),
    ("{TELL} a [|very |really ][short|little|nice|new|funny|quick] [|bedtime ]story about a {quality} {hero}{PLEASE}.|{CAN} [tell|write|"
     "make up] a [|very |really ][short|little|nice|funny|quick] [story|tale] about a {quality} {hero}?|[Write|Make up|Invent] a [|"
     "very ][short|little|tiny|nice] [story|tale] [about|with] a {quality} {hero}{PLEASE}.",
     STORY),
    ("{TELL} a [|very |really ][short|little|nice|new|funny|quick] [|bedtime ]story about a {hero}{PLEASE}.|{CAN} [tell|write|"
     "make up] a [|very |really ][short|little|nice|funny] [story|tale] about a {hero}?|[Write|Make up|Invent] a [|very ][short|little|"
     "tiny|nice] [story|tale] [about|with] a {hero}{PLEASE}.|"
     "A [short|little] story about a {hero}, please.|What happened to the {quality} {hero}? Tell me a [short|little] story.", STORY),
    ("{TELL} a [short|very short|little|tiny] story{PLEASE}.|{CAN} tell me a [short|very short|little] story?|[Write|Make up] a [short|"
     "very short|tiny] story{PLEASE}.|I want to hear a [short|little] story [before I sleep|before bed|now].", STORY),
    ("How can I {problem}?|What [helps|can I do|should I do] to {problem}?|[Can|Could] you help me [to |]{problem}?|"
     "I want to {problem}. [What can I do|Any ideas|Do you have a tip]?|[Do you have|Give me] [a tip|some advice|an idea] [how I can|"
     "how to] {problem}[?|.]|What is a good way to {problem}?|How do I {problem}[ quickly| at home|]?|I [need|would like] to {problem}.|"
     "What is the best way to {problem}?",
     "Begin with a small step, and do it every day.|A little practice every day helps. Be patient with yourself.|"
     "Make a simple plan, start small, and rest now and then.|"
     "Try it for a few minutes every day. You could also ask a friend to help you."),
    ("What [should|could|can|shall] I [cook|make|eat|prepare] for {meal}?|[What is|Do you have|I need|Give me] [a good|"
     "an] idea [of what to eat|of what to cook] for {meal}[?|.]|What [tastes good|is good to eat|is nice] for {meal}?|I [don't know|"
     "have no idea] what to [cook|eat] for {meal}.|What would be [good|nice|tasty] for {meal}?|Which food goes with {meal}?",
     "How about {dish}?|You could make {dish}.|Something simple is good: {dish}, perhaps."),
    ("What [should|could|can|shall] I do {day}?|[Do you have|I need|Give me] [an idea|a plan|a tip] [for something to do|"
     "what to do] {day}[?|.]|What [is fun|is nice] to do {day}?|What can we do {day}?|How [should|can|could] I spend my time {day}?|"
     "I [don't know|have no idea] what to do {day}.|What would you do {day} if you were me?",
     "You could {idea} or {second}.|How about this: {idea}, and then {second}?|Why don't you {idea}?"),
    ("What should I wear {wear}?|What [clothes|shoes] [do I need|are good] {wear}?|I don't know what to wear {wear}.|"
     "What do people wear {wear}?",
     "Wear something that feels good and fits the weather.|Look at the weather first. If it is cold, take a warm coat."),
    ("What [can|could|should|shall] I give [to |]{whom}[ for a birthday| for Christmas| as a present| as a gift|]?|[Do you have|I need|"
     "Give me] an idea for a [present|gift] for {whom}[?|.]|What is a [good|nice] [present|gift] for {whom}?|I need a [present|"
     "gift] for {whom}.|Which [present|gift] would {whom} like?",
     "How about {gift}?|{gift} would be a nice gift.|You could give {gift}, with a card that you wrote."),
    ("Should I [take|choose|have|get] {pair}?|[What is better|What would you take|What should I take], {pair}?|I can't decide: {pair}[.|"
     "?]|{pair}?",
     "I can't decide that for you. Which do you like more?|Both are fine. Take what makes you happy."),
    ("What is {big}?|What do you [think about|know about] {big}?|Can you explain {big}?|[Tell me|Do you know] something about {big}[.|?]|"
     "What does {big} mean to you?|How do people find {big}?|Why are we here?|Why do people live?|What makes people happy?|"
     "What is the most important thing in life?",
     "That is a big question. For many people it is love, friends and good work.|"
     "I'm only a small program, but I think being kind is a good start.|"
     "People have thought about that for a long time. What do you think?"),
    ("Tell me something [interesting|new|nice|I don't know|about animals|about nature|about the world].|Do you know [a fun fact|"
     "something interesting|an interesting fact]?|[Surprise|Teach] me[ something|]!|Give me a [fun |]fact.|"
     "I want to learn something[ new|].|What is something [interesting|surprising]?", "{FACT}"),
    ("Say something [nice|kind|friendly|encouraging] to me.|[Give me|I need] [a compliment|some kind words|courage|"
     "encouragement][, please|].|Motivate me[, please|].|[Make|Write] me a compliment.",
     "You can do more than you think.|It's good that you are here.|You are doing well. Be kind to yourself.|"
     "Every small step counts, and you have taken many."),
    ("[Write|Make|Tell me|Say] a [short |little |tiny |]poem[ about the {nature}|]{PLEASE}.|Do you know a [short |little |"
     "]poem[ about the {nature}|]?|Can you [rhyme|write a poem|write a rhyme][ about the {nature}|]?",
     "The {nature} is near, the day is long, / and every bird sings its own song.|"
     "The {nature}, so bright, so old, so free, / has something small to say to me."),
    ("[Let's play|Can we play|Do you want to play|Play] a game[ with me|]{Q}|I want to play[ a game| with you|].|Do you know any games?|"
     "What can we play[ together|]?",
     "We can play riddles. What has hands but cannot clap?|Let's play! I ask a riddle: what gets wetter the more it dries?"),
)  # fmt: skip
FACTS = ("An octopus has three hearts.|Honey can stay good for a very long time.|A snail can sleep for many months.|"
"Bees visit many flowers to make a spoon of honey.|"
         "Cats sleep for more than half of the day.|The blue whale is the biggest animal on Earth.|A group of lions is called a pride.|"
         "Butterflies taste with their feet.|"
         "The Moon goes around the Earth in about a month.|A rainbow has seven colours.|Penguins are birds, but they can't fly.|"
         "Trees can live for hundreds of years.|"
         "The cheetah is the fastest animal on land.|Bamboo can grow very fast.|The Sun is a star.")


class Requests:
    """Draws requests with answers; the heroes of a third of the stories are things of the pictures."""

    def __init__(self, things: Things, seed: int) -> None:
        self.rng = random.Random(seed)
        heroes = [name for name in things.training if " " not in name and things.articles[name] in ("a ", "an ")]
        words = {**WORDS, "FACT": FACTS, "nature": "sea|moon|wind|sun|rain|spring|snow|forest|river|night", "Q": "?|!|."}
        words["hero"] += "|" + "|".join(self.rng.sample(heroes, min(len(heroes), 80)))
        words["riddle"] = "|".join(f"{question} The answer is: {answer}!" for question, answer in RIDDLES)
        self.frames = Frames(ASKED, words, self.rng)

    def request(self) -> Sample:
        request, answer = self.frames.draw()
        return Sample(as_typed(request, self.rng), answer)
