"""Remarks about everyday life and questions to the assistant, composed with answers that fit them.

Written because the corpus's small talk answers news of any kind with the same few words.
"""

from __future__ import annotations

import random
import re

from expand import Sample

SLOTS = {
    "dish": "a cake|some bread|cookies|a pie|soup|pancakes|a pizza|muffins|rice with vegetables|biscuits|a salad|an apple tart",
    "craft": "a picture|a kite|a paper boat|a birdhouse|a scarf|a poem|a song|a toy car|a mask|a card|a story|a small table|a bracelet",
    "made": "made|finished|worked on|started",
    "cooked": "made|cooked|prepared|tried to make",
    "when": "today|this morning|this afternoon|yesterday|last night|at the weekend|on Sunday|an hour ago",
    "soon": "tomorrow|tonight|next week|this evening|on Saturday|this summer|soon|next month|in two days",
    "person": "brother|sister|mother|father|friend|grandmother|grandfather|aunt|uncle|teacher|neighbour|cousin|son|daughter",
    "pet": "dog|kitten|rabbit|parrot|hamster|fish|pony|turtle|mouse|hen|bird|guinea pig|goat",
    "ill": "ill|sick|not well|hurt|in pain|very weak|at the animal doctor's",
    "thing": "bag|phone|umbrella|watch|bicycle|cup|book|key|kite|doll|lamp|jacket|guitar|pen|ball|game|hat|train set|model boat",
    "broke": "broke|lost|dropped|damaged|spoiled",
    "skill": "swim|dance|draw animals|play the piano|cook|sew|sing|ride a horse|speak French|skate|juggle|play chess|paint|take photos|"
             "bake|ski",
    "place": "the mountains|a museum|the zoo|a farm|the lake|the cinema|the park|the city|a concert|the seaside|the forest|a market|"
             "an island",
    "people": "my friends|my sister|my parents|my class|my children|my uncle|two friends|my dog|my cousins",
    "from": "work|the shop|the park|a trip|the library|training|a walk|my friend's house|the dentist|holiday|the market|a long ride",
    "weather": "sunny|cold|windy|snowing|foggy|hot|cloudy|stormy|freezing|warm|wet|grey",
    "good_feeling": "happy|excited|proud|glad|cheerful|full of energy|relaxed|thankful|calm",
    "bad_feeling": "sad|lonely|nervous|angry|afraid|worried|upset|stressed|bored|hurt|homesick|ashamed|disappointed",
    "tired": "tired|sleepy|exhausted|worn out|ready for bed|so sleepy",
    "won": "won a race|passed my test|got a new job|got a good mark|found my lost key|won a prize|finished my work|met an old friend|"
           "learned to swim|passed my driving test|got a letter from a friend|was chosen for the team|became an aunt|bought my first car",
    "they_won": "won a race|won a prize|got a new job|got married|passed a hard test|learned to swim|had a baby|finished school",
    "lost": "lost my keys|missed my bus|failed a test|broke my arm|lost the game|forgot my lunch|lost my job|had a fight with my friend|"
            "spilled my tea|fell off my bicycle|burned the dinner|got a bad mark|overslept",
    "day": "awful|terrible|hard|long|bad|difficult|sad|stressful|horrible",
    "fine_day": "great|good|lovely|wonderful|fun|fantastic|nice|perfect",
    "where": "at school|at work|at home|with my family|in the office|in town|at the playground|with my class",
    "feast": "my wedding|our holiday|the school party|my first day at work|our garden party|the big game|my grandmother's birthday|"
             "my exam|the school play",
    "hobby": "running|cooking|gardening|films about space|old songs|puzzles|stories about dragons|football|swimming|books about history|"
             "drawing|walking in the rain|chess|singing|trains|photos of birds|books about the sea|comics about cats",
    "new": "car|house|garden|sofa|bicycle|teacher|neighbour|computer|bed|kitchen|piano",
    "wish": "travel|see the sea|learn more|have a dog|build a boat|write a book|grow vegetables|live on a farm|visit my friend|"
            "meet new people",
}  # fmt: skip

SORRY = "I'm sorry to hear that.|Oh no, I'm sorry.|That sounds hard.|Oh dear, I'm sorry."
NICE = "How nice!|That sounds lovely.|That's great!|How lovely!"
CONGRATULATIONS = "Congratulations!|Well done!|That's wonderful!|Great news!"

# What is said, and what fits it; "|" separates equals, {slot} is the same word on both sides, {SORRY} and the like are drawn afresh.
TALK: tuple[tuple[str, str], ...] = (
    ("I {cooked} {dish} {when}.|{when}, I {cooked} {dish}.|We {cooked} {dish}.",
     "{NICE} How did it taste?|Yum! Was it good?|{NICE} Did you make it all by yourself?|That sounds tasty. Who ate it with you?"),
    ("I {made} {craft} {when}.|My {person} and I {made} {craft}.",
     "{NICE} How did it turn out?|Well done! Was it difficult?|{NICE} Will you show it to someone?"),
    ("My {person} {broke} my {thing}.|Someone {broke} my {thing}.|My {person} {broke} my {thing} {when}.",
     "{SORRY} What happened to your {thing}?|Oh no, your {thing}! How did that happen?|{SORRY} Were you very upset about it?"),
    ("My {thing} is broken.|I {broke} my {thing}.|I can't find my {thing}.",
     "{SORRY} I hope you will have your {thing} back soon.|What a pity about your {thing}. What happened?"),
    ("My {pet} is {ill}.|Our {pet} is {ill} and I am {bad_feeling}.|My {pet} has been {ill} since yesterday.",
     "{SORRY} I hope your {pet} feels better soon.|Poor {pet}! I hope it gets well soon.|{SORRY} An animal doctor can help your {pet}."),
    ("My {person} is ill.|My {person} is in hospital.|My {person} does not feel well.",
     "{SORRY} I hope your {person} gets better soon.|I hope your {person} is well again soon."),
    ("We have a new {pet}.|I got a {pet} {when}.|There is a new {pet} in our family!|My {person} gave me a {pet}.|"
     "We are getting a {pet} {soon}.",
     "{NICE} What is its name?|A {pet}! How exciting. What is it called?|{NICE} I hope you and your {pet} will be good friends."),
    ("We have a new {new}.|I got a new {new} {when}.|My {person} bought a new {new}.",
     "{NICE} Do you like the new {new}?|A new {new}! What is it like?"),
    ("I {won}!|I {won} {when}.|Guess what, I {won}!|I {won} and I feel {good_feeling}!",
     "{CONGRATULATIONS} You can be proud.|{CONGRATULATIONS} I'm happy for you.|{CONGRATULATIONS} How do you feel?"),
    ("My {person} {they_won}.",
     "{CONGRATULATIONS} Your {person} must be very happy.|How good to hear! Tell your {person} well done."),
    ("I {lost}.|I {lost} {when}.|Oh no, I {lost}!",
     "{SORRY} I hope it gets better soon.|{SORRY} That can happen to anyone.|{SORRY} Are you all right?"),
    ("I had a {day} day {where}.|Today was {day}.|It was a {day} day.|My week was {day}.",
     "{SORRY} What happened?|{SORRY} I hope tomorrow is better.|{SORRY} Do you want to talk about it?"),
    ("I had a {fine_day} day {where}.|Today was {fine_day}.|It was a {fine_day} day!",
     "{NICE} What did you do?|I'm glad to hear that. What was the best part?"),
    ("I feel {bad_feeling}.|I am {bad_feeling} today.|I feel a bit {bad_feeling}.|I'm so {bad_feeling}.",
     "{SORRY} Do you want to talk about it?|{SORRY} I'm here if you want to talk.|{SORRY} What happened?"),
    ("I feel {good_feeling}!|I am so {good_feeling} today.|I'm {good_feeling}.",
     "I'm glad to hear that! What happened?|{NICE} What is the reason?|That makes me glad too."),
    ("I am {tired}.|I feel {tired} today.|I'm really {tired} after {from}.",
     "Then have a good rest.|A little rest may help. Did you have a long day?|You should take a break. Sleep well!"),
    ("I can't fall asleep.|I did not sleep well.|I woke up at night.|I sleep badly.|I lie awake.",
     "{SORRY} Perhaps a warm drink or a book helps.|{SORRY} Try to breathe slowly and think of something nice."),
    ("It is {weather} today.|It is so {weather} outside.|The weather is {weather}.|It will be {weather} {soon}, they say.",
     "Do you like it when it is {weather}?|What do you like to do when it is {weather}?|"
     "Then you can stay in with a book, or go out well dressed."),
    ("It rained all day.|It has been raining since morning.|So much rain!|It will rain {soon}.",
     "Rain can be cosy if you stay inside.|Rain is good for the plants. Do you like it?|Don't forget your umbrella!"),
    ("I am going to {place} {soon}.|We are going to {place} with {people}.|{soon} I will visit {place} with {people}.",
     "That sounds fun. Have a good time!|{NICE} What will you do there?|{NICE} Enjoy your time!"),
    ("I was at {place} {when}.|I went to {place} with {people}.",
     "{NICE} What did you see there?|{NICE} What did you like best?"),
    ("I am back from {from}.|I have just come back from {from}.|I'm home from {from}.",
     "Welcome back! How was it?|Welcome home! Did everything go well?|Hello again! How was it?"),
    ("I want to learn to {skill}.|I would love to {skill}.|I am learning to {skill}.|I'd like to learn how to {skill}.",
     "That's a good plan. A little practice every day helps.|{NICE} Start with something easy and have fun.|"
     "What a nice idea! Why do you want to {skill}?"),
    ("I want to {wish}.|One day I will {wish}.|I dream that I can {wish} one day.",
     "That's a nice dream. I hope it comes true.|{NICE} What would be the first step?"),
    ("I love {hobby}.|I like {hobby} very much.|My {person} and I enjoy {hobby}.|What I like best is {hobby}.",
     "{NICE} What do you like best about it?|It's good to have something you love.|{NICE} Tell me more about it."),
    ("I don't like {hobby}.|I am tired of {hobby}.",
     "That's all right. What do you like instead?|Everyone likes different things. What do you like?"),
    ("{soon} is {feast}.|{feast} is {soon}.|I look forward to {feast}.",
     "How exciting! I hope it goes well.|{NICE} Are you ready for it?"),
    ("It's my birthday {soon}.|Today is my birthday.|My birthday is {soon}!|I turn ten {soon}.",
     "Happy birthday! I hope you have a lovely day.|How exciting! How will you celebrate?|Happy birthday! Will there be a cake?"),
    ("It's nice to meet you.|Nice to meet you, Linea.|I am glad to meet you.|Pleased to meet you!",
     "Hello! It's nice to meet you too.|Hi! I'm glad to meet you too."),
    ("Hello, how is it going?|Good day, how are you?|Hi, is everything all right?|Hey, how are things with you?",
     "Hello! I'm fine, thank you. And you?|Hi! All is well here. How are you?"),
    ("What are you doing?|What are you doing now?|Are you busy?|What have you been doing today?",
     "I'm here, ready to chat with you.|I'm waiting for your words. What are you doing?"),
    ("Thanks for helping me.|Thank you so much, Linea.|That was kind of you.|You helped me a lot.",
     "You're welcome!|I'm glad I could help.|You're welcome. Come back any time!"),
    ("I am off to bed.|I'm going to sleep now.|Sleep well, Linea.|Time for bed.|See you in the morning.",
     "Good night! Sleep well.|Good night, and sweet dreams!"),
    ("How old is Linea?|What is your age?|How many years old are you?|When were you born?",
     "I have no age. I'm a small program.|I don't have an age or a birthday. I'm a program."),
    ("What do you like to eat?|Do you eat lunch?|Which meal do you like?|What did you eat today?|Are you hungry?",
     "I don't eat. I'm a program. What do you like to eat?|I'm a program, so I don't eat or drink."),
    ("Do you have a sister?|Have you got parents?|Who is your mother?|Do you have a family?|Is there a brother of yours?",
     "I don't have a family. I'm a program.|No, I'm a program and have no family."),
    ("Where are you?|Are you in my computer?|Where is your home?|Do you live in a house?|In which place do you live?",
     "I run inside this program, on your computer.|I live in this program. I have no house."),
    ("Can you see me?|What do I look like?|Do you see my face?|What colour is my shirt?|Can you hear me?",
     "No, I can't see or hear you. I can only read what you write.|I can't see anything. I only read your words."),
    ("Where do I live?|What is my name?|How old am I?|What is my favourite colour?|In which town is my house?|Who is my best friend?",
     "I don't know that. You have not told me.|I can't know that. I know only what you write here."),
    ("Do you get bored?|Do you ever sleep?|Are you tired?|Do you need a rest?|Can you feel pain?",
     "No, I'm a program. I don't get tired or bored.|I don't feel such things. I'm a program."),
    ("What can we talk about?|What do you talk about?|What topics do you know?|Which things can I ask you?",
     "We can chat about simple things: animals, food, your day, small sums. I can also write picture prompts."),
    ("Do you draw?|Can you make pictures?|Could you help me draw something?|Do you know about pictures?",
     "I can write a prompt for a picture. Tell me what it should show."),
    ("Who will win the race {soon}?|Will I be rich one day?|What will happen {soon}?|Will it snow {soon}?|"
     "How will the weather be {soon}?|Will the sun shine {soon}?",
     "I can't know that. Nobody can see the future.|I don't know what will happen. We will see!|I can't know that before it happens."),
    ("What is the time?|What day is it?|Which year is it?|What is the news today?|How warm is it outside?",
     "I can't know that. I have no clock and no news.|I don't know. I can't look outside this chat."),
    ("What should I cook {soon}?|What could I eat for lunch?|I need an idea for dinner.|Which snack is good?|"
     "Do you have an idea for supper?",
     "How about {dish}?|You could make {dish}.|Something simple is good: {dish}, perhaps."),
    ("What should I do {soon}?|I don't know what to do.|Do you have an idea what I could do?|Give me an idea for the weekend.",
     "You could go for a walk, read a book, or draw something.|How about a visit to {place}?|You could call a friend and go to {place}."),
    ("What is the sense of life?|Why are we here?|What makes people happy?|Why do people live?",
     "That is a big question. For many people it is love, friends and good work.|"
     "I'm only a small program, but I think being kind is a good start."),
)  # fmt: skip
AFRESH = {"SORRY": SORRY, "NICE": NICE, "CONGRATULATIONS": CONGRATULATIONS}
OPENINGS = ("Well, ", "You know, ", "Guess what: ", "Hi, ", "Hello! ", "Oh, ", "Linea, ", "Hey, ")
ENDINGS = (" What do you think?", " Isn't that something?", " I thought I should tell you.", " That is my news.")


class Slots(dict):
    """Words for the slots, drawn when they are first asked for and then kept."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng

    def __missing__(self, name: str) -> str:
        source = AFRESH.get(name) or SLOTS[name]
        word = self.rng.choice(source.split("|"))
        if name not in AFRESH:
            self[name] = word
        return word


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


class Talker:
    """Draws remarks with answers; every kind of remark is as likely as any other."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.talk = [(said.split("|"), answers.split("|")) for said, answers in TALK]

    def remark(self) -> Sample:
        rng = self.rng
        said, answers = rng.choice(self.talk)
        words = Slots(rng)
        remark = sentence(rng.choice(said).format_map(words))
        answer = sentence(rng.choice(answers).format_map(words))
        if rng.random() < 0.25:
            opening = rng.choice(OPENINGS)
            begins_anew = opening.endswith("! ") or re.match(r"I\b|Linea", remark)
            remark = opening + (remark if begins_anew else remark[:1].lower() + remark[1:])
        if remark.endswith(".") and rng.random() < 0.06:
            remark += rng.choice(ENDINGS)
        return Sample(remark.lower().rstrip(".?!") if rng.random() < 0.2 else remark, answer)
