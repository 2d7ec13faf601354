"""Jokes and riddles for children."""

from __future__ import annotations

JOKES = (
    "Why did the bicycle lie down? It was two tired!",
    "Why did the teddy bear skip dessert? It was already stuffed!",
    "What do you call a sleeping bull? A bulldozer!",
    "Why did the tomato turn red? It saw the salad dressing!",
    "What do cows read in the morning? The moos-paper!",
    "Why do bees have sticky hair? They use honeycombs!",
    "What is orange and sounds like a parrot? A carrot!",
    "Why did the cookie go to the doctor? It felt crumbly!",
    "What did one wall say to the other? I'll meet you at the corner!",
    "Why is six afraid of seven? Because seven ate nine!",
    "What do you call a bear without teeth? A gummy bear!",
    "Why did the banana go to the doctor? It was not peeling well!",
    "What do you get if you cross a snowman and a dog? Frostbite!",
    "How does the Moon cut its hair? Eclipse it!",
    "Why can't a leopard hide? It is always spotted!",
    "What kind of tree fits in a hand? A palm tree!",
    "Why did the clock go to the teacher? It wanted more time!",
    "What has four wheels and flies? A rubbish lorry!",
    "Why did the music teacher need a ladder? To reach the high notes!",
    "What do snowmen eat for breakfast? Frosted flakes!",
    "How do you make an octopus laugh? With ten tickles!",
    "What did the big flower say to the little flower? Hello, bud!",
)
RIDDLES = (
    ("What has hands but cannot clap?", "a clock"), ("What has one eye but cannot see?", "a needle"),
    ("What has teeth but cannot bite?", "a comb"), ("What gets wetter the more it dries?", "a towel"),
    ("What has legs but cannot walk?", "a table"), ("What has keys but opens no door?", "a piano"),
    ("What goes up when the rain comes down?", "an umbrella"), ("What has a neck but no head?", "a bottle"),
    ("What has a spine but no bones?", "a book"), ("What runs but never walks?", "a river"),
    ("What can you catch but not throw?", "a cold"), ("What is full of holes but still holds water?", "a sponge"),
    ("What has a bed but never sleeps?", "a river"), ("What belongs to you, but others use it more?", "your name"),
    ("What goes up and never comes down?", "your age"), ("What has words but never speaks?", "a book"),
    ("What has a face and no eyes, and tells you something all day?", "a clock"), ("What can fill a room but takes up no space?", "light"),
    ("What breaks when you say its name?", "silence"), ("What is white, comes from the sky, and melts in your hand?", "snow"),
)  # fmt: skip
