"""Remarks about everyday life, composed with answers that take them up: joy to joy, sympathy to sorrow, a question that fits.

Written because the corpus's small talk answers news of any kind with the same few words.
"""

from __future__ import annotations

import random
import re

from expand import Sample
from frames import Frames, as_typed

WORDS = {
    "SORRY": "I'm sorry to hear that.|Oh no, I'm sorry.|That sounds hard.|Oh dear, I'm sorry.|I'm so sorry.",
    "NICE": "How nice!|That sounds lovely.|That's great!|How lovely!|That sounds good!",
    "GREAT": "Congratulations!|Well done!|That's wonderful!|Great news!|That's fantastic!",
    "VERY": "|||so |very |really |quite |a bit |too ",
    "dish": "a cake|some bread|cookies|a pie|pancakes|a pizza|muffins|rice with vegetables|biscuits|a salad|an apple tart|noodles|"
        "a big omelette|"
            "roast potatoes|tomato sauce|a fruit salad|sandwiches|waffles|a vegetable curry|dumplings|scones|lemon cake|a lasagne|fish pie",
    "craft": "a picture|a kite|a paper boat|a birdhouse|a scarf|a poem|a toy car|a mask|a card|a small table|a bracelet|a puppet|"
        "a model plane|"
             "a wooden box|a jumper|a drawing of my cat|a lantern|a sandcastle|a snowman|a tree house|a clay pot|a shelf|a necklace",
    "when": "today|this morning|this afternoon|yesterday|last night|at the weekend|on Sunday|an hour ago|last week|this evening|on Tuesday|"
            "just now|two days ago",
    "soon": "tomorrow|tonight|next week|this evening|on Saturday|this summer|soon|next month|in two days|on Friday|in the holidays|"
            "tomorrow morning|after school|at the weekend",
    "person": "brother|sister|mother|father|friend|grandmother|grandfather|aunt|uncle|teacher|neighbour|cousin|son|daughter|mum|dad|wife|"
              "husband|best friend|little sister|big brother|roommate|niece|nephew|grandma",
    "mother": "sister|aunt|cousin|friend|wife|neighbour|teacher|daughter|big sister|best friend",
    "pet": "dog|kitten|rabbit|parrot|hamster|goldfish|pony|turtle|mouse|hen|bird|guinea pig|goat|cat|puppy|horse|lizard|duck",
    "ill": "ill|sick|not well|hurt|in pain|very weak|at the animal doctor's|limping|not eating|coughing",
    "disease": "a cold|a headache|a sore throat|a stomach ache|a toothache|the flu|a cough|a bad back|a runny nose|an earache|"
        "a sore knee|a rash",
    "hurt_part": "arm|leg|finger|toe|knee|back|foot|shoulder|wrist|head|hand|ankle|elbow|neck",
    "thing": "bag|phone|umbrella|watch|bicycle|cup|book|key|doll|lamp|jacket|guitar|pen|ball|hat|train set|model boat|radio|camera|"
        "necklace|"
             "glasses|purse|scooter|teddy bear|vase|computer|ring|glove|skateboard",
    "broke": "broke|lost|dropped|damaged|spoiled|took|stole|tore up",
    "machine": "bicycle|washing machine|computer|phone|fridge|heater|television|printer|oven|radio|lamp|scooter|clock|van|motorbike",
    "skill": "swim|dance|draw animals|play the piano|cook|sew|sing|ride a horse|speak French|skate|juggle|play chess|paint|take photos|"
             "bake|ski|knit|play the drums|surf|write stories|drive|play the violin|climb|fish|type fast|do magic tricks",
    "place": "the mountains|a museum|the zoo|a farm|the lake|the cinema|the park|the city|a concert|the seaside|the forest|a market|"
             "an island|a castle|the theatre|the swimming pool|a fair|the library|a football game|an aquarium|Scotland|Greece|the desert|"
             "my grandparents|a campsite",
    "people": "my friends|my sister|my parents|my class|my children|my uncle|two friends|my dog|my cousins|my husband|my grandfather|"
        "my team|"
              "my neighbour",
    "from": "work|the shop|the park|a trip|the library|training|a walk|my friend's house|the dentist|holiday|the market|a long ride|"
        "a party|"
            "the office|the gym|the hairdresser|a meeting|football practice|my piano lesson|the airport",
    "sunny": "sunny|warm|beautiful|lovely|bright|mild|wonderful",
    "bad_weather": "cold|windy|snowing|foggy|hot|cloudy|stormy|freezing|wet|grey|rainy|icy|dark",
    "good_feeling": "happy|excited|proud|glad|cheerful|full of energy|relaxed|thankful|in a good mood|delighted",
    "bad_feeling": "sad|lonely|nervous|angry|worried|upset|stressed|hurt|homesick|ashamed|disappointed|unhappy|annoyed|frustrated|"
        "miserable|"
                   "jealous|heartbroken|depressed|down",
    "tired": "tired|sleepy|exhausted|worn out|ready for bed|weary|half asleep",
    "won": "won a race|passed my test|got a new job|got a good mark|found my lost key|won a prize|finished my work|met an old friend|"
           "learned to swim|passed my driving test|got a letter from a friend|was chosen for the team|became an aunt|bought my first car|"
           "finished my book|ran ten kilometres|got full marks|won the chess game|found a new flat|solved a hard puzzle|scored a goal|"
           "made a new friend|got a pay rise|cleaned the whole house|learned a new song|got into university|lost some weight|"
           "stopped smoking|got engaged|finished school|fixed my bicycle",
    "they_won": "won a race|won a prize|got a new job|got married|passed a hard test|learned to swim|finished school|had a baby girl|"
                "is getting married|came first in the race|came home from hospital|got a scholarship|took first steps|is better again",
    "team": "team|club|school|side|band|class|country",
    "lost": "lost my keys|missed my bus|failed a test|broke my arm|lost the game|forgot my lunch|lost my job|had a fight with my friend|"
            "spilled my tea|fell off my bicycle|burned the dinner|got a bad mark|overslept|lost my wallet|missed my train|cut my finger|"
            "broke a window|forgot my mother's birthday|crashed my car|was late for work|got wet in the rain|hurt my knee|broke my glasses|"
            "lost my ring|made a big mistake|got lost in town|was not invited to the party|lost all my photos|didn't get the job",
    "day": "awful|terrible|hard|long|bad|difficult|sad|stressful|horrible|rotten|rough",
    "fine_day": "great|good|lovely|wonderful|fun|fantastic|nice|perfect|beautiful|amazing",
    "where": "at school|at work|at home|with my family|in the office|in town|at the playground|with my class|at university|with my friends",
    "feast": "my wedding|our holiday|the school party|my first day at work|our garden party|the big game|my grandmother's birthday|"
             "the school play|my first concert|our class trip|the summer fair|my sister's wedding|our family dinner",
    "trial": "an exam|a test|an interview|a job interview|a spelling test|a driving test|a speech|a big match|a dentist appointment|"
        "an operation|"
             "a piano exam|a presentation|my first day at a new school|a history exam|a meeting with my boss",
    "hobby": "running|cooking|gardening|films about space|old songs|puzzles|stories about dragons|football|swimming|books about history|"
             "drawing|walking in the rain|chess|singing|trains|photos of birds|books about the sea|comics about cats|baking|knitting|"
             "board games|camping|cycling|collecting stamps|poetry|dancing|tennis|fishing|hiking|watching birds|painting|old cars|"
             "card games",
    "media": "film|book|song|story|series|play|concert|game|album|poem|programme",
    "new": "car|house|garden|sofa|bicycle|teacher|computer|bed|kitchen|piano|coat|haircut|pair of shoes|phone|desk|dress|boss",
    "wish": "travel|see the sea|learn more|have a dog|build a boat|write a book|grow vegetables|live on a farm|visit my friend|"
            "meet new people|become a doctor|be a teacher|open a shop|run a marathon|see the northern lights|be a good cook|"
            "have my own garden|"
            "save money for a bicycle|read more|eat more fruit|be a pilot|go to the moon|change my job",
    "plant": "roses|carrots|beans|herbs|sunflowers|an apple tree|potatoes|tulips|strawberries|peas|a lemon tree|lettuce|some flowers",
    "fear": "spiders|the water|big dogs|thunder|heights|flying|ghosts|snakes|the dentist|storms|being alone|bees|new people|the cellar|"
        "mice|fire",
    "chore": "cleaning my room|doing the dishes|washing the car|tidying the cellar|ironing|doing the laundry|mowing the lawn|paying bills|"
             "painting the fence|packing my bags|shopping|repairing the roof",
    "task": "writing an essay|learning for an exam|reading a long book|practising the piano|building a model ship|writing a letter|"
            "planning a trip|making a puzzle|writing a song|working on a school project|sorting old photos|learning new words",
    "meal": "breakfast|lunch|dinner|supper|a snack|a sandwich|an apple|some fruit|ice cream|a bowl of soup|a piece of cake|some cheese",
    "hard_subject": "maths|history|geography|English|physics|music|sports|spelling|biology|art",
    "bad_boss": "boss|neighbour|teacher|colleague|classmate|landlord",
    "bird": "bird|squirrel|fox|hedgehog|deer|butterfly|rabbit|frog|owl|rainbow|big moon|shooting star|falcon|ladybird",
    "job": "a nurse|a teacher|a cook|a baker|a driver|a student|a farmer|a gardener|a painter|a dentist|an engineer|a postman|a pupil|"
           "a programmer|a carpenter|a librarian|a pilot|a musician|a shop assistant|retired",
    "land": "Spain|a small village|a big city|Canada|Scotland|the countryside|a town by the sea|Poland|the north|Kenya|the mountains",
}  # fmt: skip

# What is said, and what fits it.
TALK: tuple[tuple[str, str], ...] = (
    # -- made and done
    ("[I|We|My {person}] [made|cooked|baked|prepared] {dish}[ {when}|].|{when}[,|] I [made|cooked|baked] {dish}.|I [tried|"
     "wanted] to make {dish} {when}.|"
     "I'm [making|cooking|preparing] {dish}[| for my friends| for the family| right now].|There will be {dish} [for lunch|for dinner|"
     "tonight].|I have {dish} in the oven.",
     "{NICE} [How did it taste|Is it good|Do you like to cook]?|Yum! I'm sure it is good.|{NICE} Who will eat it with you?|"
     "That sounds tasty. Enjoy it!"),
    ("I [made|finished|built|started] {craft} {when}.|My {person} and I [made|built|finished] {craft}.|I [am making|want to make|"
     "will make] {craft}[ for my {person}|].|Look, I made {craft}!|I'm [proud of|happy with] {craft} that I made.",
     "{NICE} How did you make it?|Well done! Was it difficult?|{NICE} Will you show it to someone?|{NICE} What will you do with it?"),
    ("I [planted|am growing|want to grow|watered] {plant}[| in the garden| {when}].|We have {plant} in our garden.|"
     "My {plant} [are growing well|have started to bloom].|I [love|like] my garden.|I worked in the garden {when}.",
     "{NICE} I hope everything grows well.|A garden is a fine thing. What else do you grow?|{NICE} Plants need water and sun. Good luck!"),
    ("I [am busy|am] {chore}.|I have to spend the day {chore}.|I spent [the morning|the whole day|two hours] {chore}.|"
     "{chore} [is so boring|takes so long|is no fun].|I have just finished {chore}.",
     "That is a lot of work. You can be proud when it's done!|Good work! Then you have earned a break.|"
     "Some music can help with that. How long does it take?"),
    ("I [am busy|am] {task}.|I spent [the evening|the whole day|two hours] {task}.|I have just finished {task}.|I'm still {task}.",
     "{NICE} How is it going?|That takes patience. I hope it goes well!|{NICE} Is it fun or hard work?"),
    # -- broken, lost, ill
    ("My {person} {broke} my {thing}[ {when}|].|Someone {broke} my {thing}[ {when}|].|[A boy|My dog|My cat|A thief] {broke} my {thing}.",
     "{SORRY} What happened to your {thing}?|Oh no, your {thing}! How did that happen?|{SORRY} Were you very upset about it?"),
    ("My {thing} is [broken|gone|lost|in pieces].|I [broke|lost|dropped] my {thing}[ {when}|].|I can't find my {thing}[ anywhere|].|"
     "Where is my {thing}? I lost it.",
     "{SORRY} I hope you will have your {thing} back soon.|What a pity about your {thing}. What happened?|"
     "{SORRY} Was the {thing} important to you?"),
    ("[My|Our|The] [old |new |]{machine} [does not work|is broken|doesn't work any more|stopped working|won't start|"
     "makes a strange noise|broke down] [today|again|{when}|].|I have trouble with my {machine}.",
     "{SORRY} Can somebody repair your {machine}?|How annoying! I hope the {machine} works again soon.|"
     "{SORRY} What is wrong with the {machine}?"),
    ("[My|Our] [old |little |]{pet} is {ill}.|Our {pet} is {ill} and I am {bad_feeling}.|My {pet} has been {ill} since yesterday.|"
     "I had to take my {pet} to the vet.|Something is wrong with my {pet}.",
     "{SORRY} I hope your {pet} feels better soon.|Poor {pet}! I hope it gets well soon.|{SORRY} An animal doctor can help your {pet}."),
    ("[My|Our] [old |little |]{pet} [died|ran away|is gone|is dead|was lost][ {when}|].|I miss my {pet}[ so much|].|"
     "We had to say goodbye to our {pet}.",
     "I'm so sorry about your {pet}. It must be hard for you.|Oh no, I'm sorry. You must miss your {pet} very much."),
    ("My {person} [died|passed away][ {when}| last year|].|I lost my {person}[ last year|].|I miss my {person}[ very much|].|"
     "It's the first [birthday|summer] without my {person}.|We were at a funeral {when}.",
     "I'm so sorry for your loss.|I'm very sorry. Would you like to tell me more?|I'm sorry. It is hard to miss someone you love."),
    ("My {person} is [ill|sick|in hospital|not well|in pain|having an operation].|My {person} does not feel well[| {when}].|"
     "My {person} [has|had] {disease}.|I'm worried about my {person}.|My {person} had an accident.",
     "{SORRY} I hope your {person} gets better soon.|I hope your {person} is well again soon.|{SORRY} How is your {person} now?"),
    ("I [have|have got|got|woke up with] {disease}[ today| again|].|I think I [have|am getting] {disease}.|My {hurt_part} hurts[| a lot|"
     " so much].|I hurt my {hurt_part} {when}.|I am [ill|sick|in bed with a cold].|I don't feel well[ today|].|I feel [ill|sick|dizzy|"
     "unwell].|I broke my {hurt_part}.",
     "{SORRY} I hope you feel better soon.|Get well soon! Rest and drink enough.|{SORRY} If it does not get better, a doctor can help."),
    # -- good news
    ("I {won}!|I {won} {when}.|Guess what, I {won}!|I {won} and I feel {good_feeling}!|[At last|Finally], I {won}!|"
     "Can you believe it? I {won}!|I'm {VERY}{good_feeling}, I {won}!",
     "{GREAT} You can be proud.|{GREAT} I'm happy for you.|{GREAT} How do you feel now?"),
    ("My {person} {they_won}[ {when}|].|Guess what, my {person} {they_won}!|I'm proud of my {person}, who {they_won}.",
     "{GREAT} Your {person} must be very happy.|How good to hear! I'm happy for you all.|{GREAT} That's a good reason to celebrate."),
    ("[My|Our] {team} won [the game|the cup|a prize|first place|again][ {when}|]!|We won[ {when}| the tournament| first prize|]!|"
     "We beat the other {team}!",
     "{GREAT} Did you celebrate?|{GREAT} You must be very happy!"),
    ("[My|Our] {team} lost [the game|the final|again|the cup][ {when}|].|We lost[ {when}| the tournament| by one goal|].",
     "What a pity! Better luck next time.|I'm sorry. You can't win every time."),
    ("My {mother} [is having|will have|is expecting] a baby[ soon|].|There is a new baby in [the|our] family.|I'm going to be [an aunt|"
     "an uncle|a mother|a father|a big sister|a grandmother].|I [became|am] [an uncle|a grandmother|a father|a mother] {when}!",
     "Congratulations! How wonderful for all of you.|Great news! Do you know the baby's name?|How lovely! You must be very happy."),
    ("[We have|There is|We got|I have got] a [new|little|young|sweet] {pet}[| at home| in our family|]!|I got a {pet} {when}.|"
     "My {person} gave me a {pet}.|We are getting a {pet} {soon}.|I found a little {pet} {when}.",
     "{NICE} What is its name?|A {pet}! How exciting. What is it called?|{NICE} I hope you and your {pet} will be good friends."),
    ("[My|Our] {pet} is [so sweet|very funny|clever|my best friend|asleep|eating all day|called {NAME}|three years old|"
     "learning a trick].|I [love|like] my {pet}.|I have a {pet}.|My {pet} [can do tricks|likes to play|sleeps in my bed|follows me].",
     "{NICE} What does your {pet} like to do?|Your {pet} sounds lovely. How old is it?|A {pet} is a good friend to have."),
    ("We have a new {new}.|I [got|bought] a new {new} {when}.|My {person} bought a new {new}.|I need a new {new}.|"
     "I'm looking for a new {new}.",
     "{NICE} What is the new {new} like?|A new {new} is exciting!"),
    ("I had bad luck {when}.|I {lost}.|I {lost} {when}.|Oh no, I {lost}!|I'm {bad_feeling} because I {lost}.|Today I {lost}.",
     "{SORRY} I hope it gets better soon.|{SORRY} That can happen to anyone.|{SORRY} Are you all right?"),
    # -- days and feelings
    ("I had a[ really| very|] {day} day {where}.|[Today|Yesterday] was[ really| so|] {day}.|It was a {day} day.|My [week|morning|"
     "evening] was {day}.|What a {day} day!|Everything went wrong {when}.|This is not my day.",
     "{SORRY} What happened?|{SORRY} I hope tomorrow is better.|{SORRY} Do you want to talk about it?"),
    ("I had a[ really| very|] {fine_day} day {where}.|[Today|Yesterday] was[ really| so|] {fine_day}.|It was a {fine_day} day!|My [week|"
     "morning|evening] was {fine_day}.|What a {fine_day} day!|Everything went well {when}.",
     "{NICE} What did you do?|I'm glad to hear that. What was the best part?|How nice! I hope tomorrow is just as good."),
    ("I feel {VERY}{bad_feeling}[ today| tonight|].|I am {VERY}{bad_feeling}[ today| at the moment|].|I'm {VERY}{bad_feeling}.|"
     "I have been {bad_feeling} [all day|since yesterday].|I am {bad_feeling} because of my {person}.|I could cry.|Nobody [likes|"
     "understands|listens to] me.|I have no friends.",
     "{SORRY} Do you want to talk about it?|{SORRY} I'm here if you want to talk.|{SORRY} What happened?"),
    ("I feel {VERY}{good_feeling}[ today|]!|I am {VERY}{good_feeling}[ today| now|].|I'm {VERY}{good_feeling}.|I could [dance|"
     "sing] for joy!|Life is [good|beautiful|wonderful].|I'm in love!",
     "I'm glad to hear that! What happened?|{NICE} What is the reason?|How wonderful! I'm happy for you."),
    ("I am {VERY}{tired}[ today| this morning|].|I feel {tired} [today|now].|I'm really {tired} after {from}.|I need [a break|some sleep|"
     "some rest|a holiday].|I [worked|studied] [all day|too much|until midnight].|What a long day, I am {tired}.",
     "Then have a good rest.|A little rest may help. Did you have a long day?|You should take a break. I hope you sleep well."),
    ("I [can't|could not] [fall asleep|sleep[| well| at night]].|I did not sleep [well|much|at all][ last night|].|I [woke up at night|"
     "sleep badly|lie awake at night|had a bad dream|had a nightmare].|I'm still awake.",
     "{SORRY} Perhaps a warm drink or a book helps.|{SORRY} Try to breathe slowly and think of something nice.|"
     "That's no fun. I hope you sleep better next night."),
    ("I [slept well|had a good sleep|slept like a stone|had a nice dream|dreamed of the sea][ last night| {when}|].|"
     "I got up early[ today|].|I have just [woken up|got up].",
     "Good to hear! A good start into the day.|{NICE} What are your plans for today?"),
    ("I am {VERY}bored.|I have nothing to do.|It is boring here.|There is nothing to do[ {where}|].|My [work|life|class|day|"
     "book] is [so |very |]boring.|I don't know what to do[ {soon}|].|[Today|School|Work] is boring.",
     "You could read a book, draw something or go for a walk.|That's no fun. What would you like to do instead?|"
     "Shall I tell you a joke or a riddle?"),
    ("I am {VERY}hungry.|I could eat {dish}.|I want {meal}.|I'm thirsty.|I need something to eat.|I forgot to have [breakfast|lunch|"
     "dinner].|My stomach is empty.|I have not eaten [all day|yet|since morning].",
     "Then it's time to eat! What would you like?|You should have something good to eat.|What do you have in the kitchen?"),
    ("I [had|ate|am eating|am having|want|would like] {meal}[ now| {when}|].|I [had|ate|am eating] {dish}[ for dinner| for lunch|].|"
     "My [favourite food|lunch] is {dish}.|The food {where} was [good|bad|great].|I [love|like] {dish}.",
     "{NICE} Enjoy your food!|Did it taste good?|That sounds tasty. What do you like best?"),
    ("I am {VERY}[afraid|scared|frightened] of {fear}.|I'm scared[ at night| when I am alone|].|I have a fear of {fear}.|I am afraid.",
     "Many people are afraid of something. Shall we talk about it?|That's all right, everyone is afraid sometimes. What could help you?|"
     "I understand. Breathe slowly. You are not alone."),
    ("I have {trial} {soon}.|{soon} I have {trial}.|I'm nervous about {trial}.|I am [preparing for|worried about|afraid of] {trial}.|"
     "Next is {trial}, and I am nervous.",
     "Good luck! I'm sure you will do well.|I wish you luck! Are you well prepared?|It's normal to be nervous. Good luck!"),
    ("My {person} is [angry|mad|cross|upset] with me.|My {person} [does not talk|doesn't speak] to me[ any more|].|I had [a fight|"
     "an argument|a quarrel|trouble] with my {person}.|My {person} and I [had a fight|don't get on|argued][ {when}|].|"
     "My {person} [lied to me|shouted at me|forgot my birthday|was mean to me|left me].|My parents argue a lot.",
     "{SORRY} Perhaps you can talk about it calmly.|{SORRY} What was it about?|That must hurt. Do you think you can make up again?"),
    ("My {bad_boss} is [so |really |][mean|rude|loud|unfair|strict|difficult].|I don't get on with my {bad_boss}.|I [hate|"
     "don't like] my [job|school|work|class].|They laughed at me {where}.|Someone was mean to me[ {when}| {where}|].",
     "{SORRY} What happened?|That sounds hard. Is there someone who can help you?|{SORRY} You don't deserve that."),
    # -- weather
    ("[It is|It's|The weather is] {VERY}{sunny}[ today| outside|].|What [{sunny} weather|a {sunny} day]!|The sun is shining[ today|"
     " at last|].|Spring is [coming|here].|It is getting warmer.|There is not a cloud in the sky.",
     "How nice! Will you go outside?|Lovely! Enjoy the sun.|That's good weather for a walk."),
    ("[It is|It's] {VERY}{bad_weather}[ today| outside| again|].|The weather is {bad_weather}[ today|].|"
     "It will be {bad_weather} {soon}, they say.|What [terrible|awful|bad] weather!|Winter is [coming|here|so long].|"
     "It is getting colder.|The wind is [strong|howling].|There was a storm last night.",
     "Then it's good to be inside. What do you do on such days?|I hope it gets better soon. Dress well!|"
     "Do you like it when the weather is like that?"),
    ("It [rained|is raining|has been raining|was raining] [all day|a lot|again|outside].|It will rain {soon}.|So much rain[ today|]!|"
     "I got wet in the rain.|[I like|I love] rain[y days|].",
     "Rain can be cosy if you stay inside.|Rain is good for the plants. Do you like it?|Don't forget your umbrella!"),
    ("It [is snowing|snowed|will snow] [a lot|again|today|outside|last night].|There is [so much|a lot of|fresh|deep] snow[ outside|"
     " in the garden|].|We [built a snowman|had a snowball fight][ {when}|].",
     "How nice! Do you like the snow?|Snow makes everything quiet and white. Will you build a snowman?|Dress warmly and have fun!"),
    # -- going places
    ("I am going to {place} {soon}.|We are going to {place}[ with {people}| {soon}|].|{soon} I will visit {place}[ with {people}|].|"
     "I will [go|travel] to {place}[ {soon}|].|My {person} and I are [planning|packing for] a trip to {place}.|We [leave|fly|"
     "drive] to {place} {soon}.|My holiday [starts|begins] {soon}.",
     "That sounds fun. Have a good time!|{NICE} What will you do there?|{NICE} Enjoy your time!"),
    ("I went to {place}[ with {people}| {when}|].|We visited {place}[ {when}|].|We have been to {place}[ with {people}|].|"
     "We came back from {place} {when}.",
     "{NICE} What did you see there?|{NICE} What did you like best?|How nice! Was it fun?"),
    ("I am [back|home] from {from}.|I have just come [back|home] from {from}.|I just [got|came] home[ from {from}|].|I was away [all day|"
     "for a week] and am back now.|Here I am again.|I'm back.",
     "Welcome back! How was it?|Welcome home! Did everything go well?|Hello again! How are you?"),
    ("I [have to|must] go to [work|school|the dentist|the doctor|the bank|a meeting|the hospital][ {soon}|].|"
     "I have to get up early {soon}.|[Work|School] starts again {soon}.|I start a new [job|school|course] {soon}.",
     "I hope it goes well!|Good luck! I hope it will be a good day.|I wish you a good time there. How do you feel about it?"),
    ("We are moving [to {land}|to a new house|away|to another country|house] {soon}.|My {person} is moving [away|to {land}|out].|"
     "I moved to {land} {when}.|My best friend moved away.|I just moved here.",
     "That is a big change. How do you feel about it?|That's a big step! Are you excited or a little sad?|"
     "I hope the new place feels like home soon."),
    ("My {person} is coming to visit[ me| us|][ {soon}|].|We have guests {soon}.|I will see my {person} {soon}.|I met [an old friend|"
     "my {person}|a nice person] {when}.|My {person} [called|visited|wrote to] me {when}.|I had [coffee|lunch|"
     "dinner] with my {person} {when}.",
     "{NICE} It's good to see people you like.|{NICE} I'm happy for you.|How nice! Have a good time together."),
    # -- wishes, hobbies, likes
    ("I want to learn [how |]to {skill}.|I would [love|like] to {skill}.|I am learning to {skill}.|I'd like to learn how to {skill}.|"
     "I can't {skill} yet.|I [practise|practised] every day because I want to {skill}.|My {person} is teaching me to {skill}.|"
     "I wish I could {skill}.",
     "That's a good plan. A little practice every day helps.|{NICE} Start with something easy and have fun.|"
     "What a nice idea! Keep practising."),
    ("I [want|would like|plan|hope] to {wish}[ one day| some day|].|One day I will {wish}.|I dream that I can {wish} one day.|My [dream|"
     "plan|wish|goal] is to {wish}.|When I grow up, I want to {wish}.",
     "That's a nice dream. I hope it comes true.|{NICE} What would be the first step?|What a good plan! I wish you luck."),
    ("I [really |]love {hobby}.|I like {hobby} [very much|a lot].|My {person} and I enjoy {hobby}.|What I like best is {hobby}.|"
     "My hobby is {hobby}.|I am [interested in|a fan of|crazy about] {hobby}.|In my free time I enjoy {hobby}.|"
     "I have started to like {hobby}.",
     "{NICE} What do you like best about it?|It's good to have something you love.|{NICE} Tell me more about it."),
    ("I don't [like|enjoy|care for] {hobby}.|I [hate|am tired of] {hobby}.|I find {hobby} [boring|dull].",
     "That's all right. What do you like instead?|Everyone likes different things. What do you like?"),
    ("I [watched|saw|read|heard|finished|found|liked] a [good|nice|sad|funny|new|great|wonderful] {media}[ {when}|].|I am [reading|"
     "watching|listening to] a story about pirates.|That was a [good|bad|boring|sad] {media}.|I listened to [some songs|the radio|"
     "old records] {when}.|I [went to|saw] a concert {when}.",
     "Interesting! Tell me about it.|How interesting! What did you like about it?|Would you like to see or hear it again?"),
    ("I [play|played|practise] [football|tennis|the piano|chess|the guitar|basketball|cards|the flute|volleyball|hockey][ {when}|"
     " with my {person}| every day|].|I go [swimming|running|dancing|cycling|hiking|skating] [every week|{soon}|with my {person}].|"
     "I went [swimming|running|dancing|cycling|hiking|skating|for a walk] {when}.",
     "{NICE} Do you do it often?|That sounds fun!|{NICE} It's good to move and to play."),
    ("I saw a {bird} {when}.|There is a {bird} [in our garden|outside my window|over the house].|A {bird} [looked at me|"
     "was in front of my house] {when}.",
     "How nice! What did the {bird} look like?|A {bird}! That's something special.|How lovely! Did you watch the {bird} for long?"),
    ("[I look forward to|I can't wait for|I'm excited about|I'm getting ready for] {feast}.|{feast} is {soon}.|We are planning {feast}.",
     "How exciting! I hope it goes well.|{NICE} Are you ready for it?|That will be fun! Enjoy it."),
    ("[It's|It is] my birthday {soon}[ and I will have a party|]!|Today is my [{NUMBER} |]birthday[!|.]|My birthday [is|was] [{soon}|"
     "on Monday|in May]!|I turn [ten|twelve|thirty|forty] {soon}.|I will be [nine|fifty|eleven] {soon}.|"
     "My {person} has a birthday [today|tomorrow].",
     "Happy birthday! I hope it will be a lovely day.|How exciting! How will you celebrate?|A birthday, how nice! Will there be a cake?"),
    ("I need a [present|gift] for my {person}.|What [can|could|should] I give my {person}[ for Christmas| for Mother's Day| as a present|"
     "]?|My {person} [needs|wants] a present.",
     "How about a book, or something you made yourself?|"
     "Something that your {person} likes to do is a good start. What about flowers or a game?|A card with kind words is always nice."),
    # -- who the user is
    ("I am {job}.|I'm {job}[ and I like it|].|I want to be {job}.",
     "Nice to know! What do you like about it?|How interesting! Tell me more about it."),
    ("I [live in|come from|am from|grew up in|was born in] {land}.|My family lives in {land}.|I have [two|three|four] [sisters|brothers|"
     "children|dogs|cats|cousins].|I [have|live with] a big family.",
     "How nice! Tell me more about it.|That sounds nice. I'm glad you told me."),
    ("I am [in my room|on the train|at the station|at home|in the kitchen|in bed|at the beach|in a café|outside|in the garden|at work|"
     "on the sofa][ right now| and it is quiet|].|I'm sitting [by the window|at my desk|in the garden|in the park|on the bus].",
     "That sounds nice. What are you doing there?|I see. Is it nice there?|How nice! I hope you have a good time there."),
    ("[My|Our] [class|teacher|school|homework] is [hard|too difficult|a lot of work].|I have [a lot of|so much|too much] [homework|"
     "work] [today|again|to do].|I don't understand my [maths|homework|lesson].|{hard_subject} is [too |so |]hard[ for me|].|"
     "I'm bad at {hard_subject}.|I have to learn {hard_subject}.",
     "One small step after the other. You can do it!|That sounds like a lot. Perhaps somebody can help you?|"
     "I hope you get it done. Take a short break now and then."),
    ("I'm good at {hard_subject}.|My favourite subject is {hard_subject}.|I like {hard_subject}.|{hard_subject} is fun.|"
     "We learned something new {where} {when}.|School was fun {when}.",
     "{NICE} What do you like about it?|How nice! What have you learned?|Well done! Learning is fun."),
    # -- greetings and small talk
    ("[It's|It is] [nice|good|lovely|great] to [meet|see|read] you[, Linea|].|[Nice|Glad|Pleased|Happy] to meet you[, Linea|]!|"
     "I am [glad|happy] to meet you.|I wanted to meet you.|Let's get to know each other.",
     "Hello! It's nice to meet you too.|Hi! I'm glad to meet you too.|Hello! I'm Linea. It's nice to meet you too."),
    ("[Hello|Hi|Hey|Good day|Greetings|Hi there|Hello there|Hey there]{HERE}, [how is it going|how are you[| today| doing| now]|"
     "is everything [all right|fine|well]|how are things[ with you|]|how have you been|how do you do|are you well|how is [life|your week|"
     "your evening|your morning|everything]|what is new|what's up|did you have a good [day|week|night]]?|"
     "How [are you|is your day|is your week|was your day|was your weekend|was your night|is your evening|do you feel today|"
     "are you this morning]?|Are you [fine|well|all right|okay|doing well][ today|]?|How have you been[ lately|]?|[Did|"
     "Do] you [sleep well|have a good day|have a nice weekend|feel well]?",
     "Hello! I'm fine, thank you. And you?|All is well here, thank you. How are you?|I'm fine, thanks for asking. How is your day?"),
    ("Good morning{HERE}[!|.|, it's a new day.|, I just got up.]|Morning{HERE}!|A [very |]good morning to you[, Linea|]!|"
     "I wish you a good morning.",
     "Good morning! How are you today?|Good morning! Did you sleep well?|Good morning! I wish you a good day."),
    ("Good evening{HERE}[!|.|, it's late.|, I'm home.]|[A very |]good evening to you[, Linea|]!|I wish you a nice evening.",
     "Good evening! How was your day?|Good evening! It's nice to hear from you."),
    ("Good [afternoon|day]{HERE}[!|.]|I wish you a [nice|good] [day|afternoon|week].|A good day to you, Linea.",
     "Hello! How is your day?|Good day to you too! What is on your mind?"),
    ("[Hello|Hi|Hey|Hey there|Hi there|Hello there|Hello again|Hiya|Greetings]{HERE}[!|.]|[Hello|Hi|Hey]{HERE}, [it's me|it's me again|"
     "I'm back|here I am|I am {NAME}|my name is {NAME}|I'm new here|this is {NAME}].|[Is somebody|Is anyone|Is someone|Are you] [there|"
     "here|at home|awake|listening]?|Can you [read|understand] [me|this]?|Knock knock, [are you there|is somebody in]?",
     "Hello! How are you today?|Hi! It's good to hear from you. What is on your mind?|Hello! I'm here. What would you like to talk about?"),
    ("[I would like|I'd like|I want|I just want|I need] [to talk|to chat|someone to talk to|to tell you something|to talk to you|a chat|"
     "to ask you something|some company][ for a bit| a little| with you|].|[Can|Could|May|Shall] we [talk|chat|have a chat][ a little|"
     " a bit| now| for a moment|]?|Do you have [time|a minute|a moment][ for me|]?|Talk to me[, please|].|[Can|May] I [ask|"
     "tell] you something?|Let's [talk|chat].|Entertain me.",
     "Of course! What would you like to talk about?|Yes, I'm here. What is on your mind?|I'd like that. How was your day?"),
    ("What are you doing[ now| right now| today| tonight|]?|Are you busy[ now| today|]?|What have you been doing[ today| all day|]?|"
     "What are [your plans|you up to][ today| this evening|]?|What did you do [today|yesterday|this morning|last night]?|"
     "Did anything [nice|new] happen [today|to you]?|What is [new|going on][ with you|]?",
     "I'm here, ready to chat with you. What are you doing?|I'm chatting with you. That is all I do.|"
     "Nothing much, I'm a program. What's new with you?"),
    ("I'm [fine|good|well|very well|all right|okay|great][, thank you|, thanks|][.|. And you?|, and you?]|[Not bad|Quite well|Very well|"
     "All good], thanks[.|. And you?]|I am doing [well|fine|great].",
     "I'm glad to hear that! What are you doing today?|Good to hear! I'm fine too. What is on your mind?"),
    ("[Thanks|Thank you|Many thanks]{HERE}[ for helping me| for your time| for the answer| for the story| so much| a lot| very much|][!|"
     ".]|That was [kind|nice|good|useful|very kind] of you.|You helped me [a lot|so much].|I [am grateful|appreciate it|thank you].|"
     "That [helps|helped][ me| a lot|], [thanks|thank you].|[Great|Good|Perfect|Wonderful], [thanks|thank you]!|Thank you, [Linea|"
     "dear program|my friend|that's all].",
     "You're welcome!|I'm glad I could help.|You're welcome. Come back any time!"),
    ("I am off to bed.|I'm going to [sleep|bed][ now|].|Sleep well[, Linea|].|[It's time|Time] for bed.|See you in the morning.|"
     "Good night{HERE}[!|.|, I'm tired.]|I will sleep now.|[It's late|I'm tired], [good night|I'm going to bed].|Sweet dreams[, Linea|]!|"
     "I wish you a good night.",
     "Good night! Sleep well.|Good night, and sweet dreams!|Sleep well! See you tomorrow."),
    ("[Bye|Goodbye|Bye bye|See you|See you later|See you tomorrow|So long|Farewell|Until next time|Take care|Talk to you later]{HERE}[!|"
     ".]|I [have to|must|need to|should] [go|leave|stop][ now| soon|].|[That's all|That is enough|That was all] for [today|now].|"
     "I'm leaving now.|I will [come back|write again] [later|tomorrow|soon].|[It was|That was] [fun|nice|great] [to talk|"
     "to chat][ with you|].|I have to [work|eat|cook|catch a bus] now[, bye|].|My [break|time] is over[, goodbye|].",
     "Goodbye! Have a nice day.|Bye! It was nice to chat with you.|See you later! Take care."),
    ("[Sorry|I'm sorry|I am so sorry|Please forgive me|Excuse me|Pardon me][, my mistake|, I didn't mean that|, that was rude|"
     ", I was away|, Linea|][.|!]|I didn't mean to be rude.",
     "That's all right.|No problem at all!|Don't worry, it's fine."),
    ("[Merry Christmas|Happy New Year|Happy Easter|Happy holidays|Have a nice day|Have a good weekend|Have a good time|Enjoy your day|"
     "All the best|Good luck]{HERE}[!|.]",
     "Thank you, the same to you!|Thank you! I wish you the same."),
    ("[Yes|No|Okay|Hm|Well|Maybe|I don't know|Really|Oh|I see|Of course|Not really|Sure|Right][.|...|!]|[Okay|All right], [good|I see|"
     "then].",
     "All right! What would you like to talk about?|I see. Is there anything you would like to ask?|Tell me more, if you like."),
)  # fmt: skip
WORDS |= {"HERE": "||||, Linea| Linea|, my friend| my little program|, dear Linea", "NUMBER": "tenth|eighth|thirtieth|twelfth",
          "NAME": "Anna|Ben|Tom|Lily|Max|Nora|Sam|Emma|Peter|Maria|Jack|Lucy|Alex|Oscar|Ella|Paul|Mia|Leo|Luna|Coco"}  # fmt: skip
OPENINGS = ("Well, ", "You know, ", "Guess what: ", "Hi, ", "Hello! ", "Oh, ", "Linea, ", "Hey, ", "So, ", "Hi Linea, ",
"Today I want to tell you this: ")
ENDINGS = (" What do you think?", " Isn't that something?", " I thought I should tell you.", " That is my news.", " What do you say?")
GREETS = re.compile(r"(?:Hello|Hi|Hey|Good|Morning|Greetings|A |Bye|Thank|See|So |Merry|Happy|Sorry|Knock|I wish)")


class Talker:
    """Draws remarks with answers."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.frames = Frames(TALK, WORDS, self.rng)

    def remark(self) -> Sample:
        rng = self.rng
        remark, answer = self.frames.draw()
        if rng.random() < 0.15 and not remark.endswith("?") and not GREETS.match(remark):
            opening = rng.choice(OPENINGS)
            begins_anew = opening.endswith("! ") or re.match(r"I\b|Linea", remark)
            remark = opening + (remark if begins_anew else remark[:1].lower() + remark[1:])
        if remark.endswith(".") and len(remark.split()) > 3 and rng.random() < 0.05:
            remark += rng.choice(ENDINGS)
        return Sample(as_typed(remark, rng, 0.2), answer)
