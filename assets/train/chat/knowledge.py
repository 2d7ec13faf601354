"""Simple knowledge in tables, asked for from both sides and in many ways."""

from __future__ import annotations

import random

from expand import Sample
from frames import Frames, Slots, as_typed

# Slots of all tables: how a question begins and ends.
WORDS = {
    "Q": "|||||Tell me, |Linea, |Can you tell me, |Please tell me, |I wonder, |Quick question: |Hi, |So, |Do you know, |Say, |Hey, |"
        "Help me: ",
    "P": "|||||||, please",
}

# Rows "a:b", what is asked with {a} and {b}, and what is said.
TABLES: tuple[tuple[str, str, str], ...] = (
    ("Italy:Rome|France:Paris|Spain:Madrid|Germany:Berlin|England:London|Portugal:Lisbon|Greece:Athens|Austria:Vienna|Poland:Warsaw|"
     "Russia:Moscow|"
     "Japan:Tokyo|China:Beijing|Egypt:Cairo|Norway:Oslo|Sweden:Stockholm|Finland:Helsinki|Denmark:Copenhagen|Ireland:Dublin|"
     "Belgium:Brussels|"
     "Hungary:Budapest|Turkey:Ankara|India:New Delhi|Canada:Ottawa|Peru:Lima|Cuba:Havana|Kenya:Nairobi|Iceland:Reykjavik|"
     "Australia:Canberra|"
     "Switzerland:Bern|Argentina:Buenos Aires|Mexico:Mexico City|Scotland:Edinburgh|South Korea:Seoul|Thailand:Bangkok|Brazil:Brasilia|"
     "the United States:Washington|the Netherlands:Amsterdam|Ukraine:Kyiv|Croatia:Zagreb|Romania:Bucharest",
     "{Q}what is the capital[| city] of {a}{P}?|{Q}which city is the capital of {a}{P}?|{Q}what is {a}'s capital{P}?|[Name|Tell me|Say|"
     "I need] the capital[| city] of {a}{P}.|The capital of {a}, please.|Do you know the capital[| city] of {a}?|{a} has which capital?|"
     "What do they call the capital of {a}?|"
     "Can you name the capital of {a}?|I forgot the capital of {a}.|The capital of {a} is what?",
     "The capital of {a} is {b}."),
    ("Italy:Rome|France:Paris|Spain:Madrid|Germany:Berlin|England:London|Portugal:Lisbon|Greece:Athens|Austria:Vienna|Poland:Warsaw|"
     "Russia:Moscow|"
     "Japan:Tokyo|China:Beijing|Egypt:Cairo|Norway:Oslo|Sweden:Stockholm|Ireland:Dublin|Hungary:Budapest|Canada:Ottawa|Peru:Lima|"
     "Kenya:Nairobi|Cuba:Havana|Thailand:Bangkok",
     "{Q}[in which|in what] country is {b}{P}?|{Q}where is {b}{P}?|{Q}which country is {b} in{P}?|"
     "{Q}{b} is the capital of which country{P}?|{Q}of which country is {b} the capital{P}?",
     "{b} is the capital of {a}.|{b} is in {a}. It is the capital."),
    ("Italy:Rome|France:Paris|Spain:Madrid|Germany:Berlin|England:London|Greece:Athens|Japan:Tokyo|Egypt:Cairo|Norway:Oslo|"
     "Sweden:Stockholm|Russia:Moscow|China:Beijing",
     "{Q}is {b} [in|the capital of] {a}{P}?|{b} is [in|the capital of] {a}, isn't it?|Is it true that {b} is the capital of {a}?",
     "Yes, {b} is the capital of {a}."),
    ("happy:glad|sad:unhappy|big:large|small:little|quick:fast|clever:smart|angry:cross|pretty:beautiful|tired:sleepy|afraid:scared|"
     "nice:kind|begin:start|"
     "end:finish|cold:chilly|hard:difficult|easy:simple|loud:noisy|quiet:silent|rich:wealthy|funny:amusing|ill:sick|brave:bold|"
     "strange:odd|tasty:delicious|"
     "shout:cry out|speak:talk|look:watch|house:home|road:street|present:gift|child:kid|shop:store|car:automobile|stone:rock|wood:forest|"
     "wide:broad|wet:damp|"
     "correct:right|wrong:false|dirty:unclean|jump:leap|choose:pick|close:shut|help:aid|answer:reply|buy:purchase|great:wonderful|"
     "thin:slim|calm:peaceful|old:ancient",
     "{Q}what is another word for {a}{P}?|{Q}which word means the same as {a}{P}?|[Tell me|Give me|I need|Say|"
     "Find] another word for {a}{P}.|[Tell me|Give me|I need|Find] a word with the same meaning as {a}{P}.|{Q}what is a synonym [for|"
     "of] {a}{P}?|How else can I say {a}?|What can I [say|write] instead of {a}?|Do you know another word for {a}?",
     "Another word for {a} is {b}.|You can also say {b}."),
    ("hot:cold|big:small|tall:short|fast:slow|young:old|happy:sad|day:night|light:dark|loud:quiet|rich:poor|full:empty|open:closed|"
     "early:late|hard:soft|easy:difficult|wet:dry|"
     "clean:dirty|strong:weak|long:short|high:low|near:far|new:old|good:bad|right:wrong|left:right|up:down|in:out|on:off|always:never|"
     "first:last|thick:thin|wide:narrow|"
     "love:hate|win:lose|begin:end|summer:winter|black:white|war:peace|brave:afraid|sweet:sour|heavy:light|sharp:blunt|true:false|"
     "inside:outside|front:back|morning:evening|"
     "laugh:cry|come:go|give:take|buy:sell|push:pull|ask:answer|remember:forget|more:less|many:few|before:after|above:below|friend:enemy|"
     "awake:asleep|alive:dead|warm:cool|cheap:expensive|safe:dangerous|"
     "noisy:quiet|sunrise:sunset|north:south|east:west|top:bottom|question:answer|arrive:leave|find:lose|kind:unkind|rough:smooth|"
     "smile:frown",
     "{Q}what is the opposite of {a}{P}?|{Q}which word is the opposite [of|to] {a}{P}?|[Tell me|Give me|Say|Name|"
     "I need] the opposite of {a}{P}.|{Q}what is the opposite of the word {a}{P}?|The opposite of {a}, please.|"
     "{a} is the opposite of what?|{Q}what means the opposite of {a}{P}?|Do you know the opposite of {a}?|The opposite of {a} is what?",
     "The opposite of {a} is {b}."),
    ("dog:barks|cat:meows|cow:moos|sheep:bleats|pig:oinks|horse:neighs|duck:quacks|hen:clucks|rooster:crows|frog:croaks|lion:roars|"
     "wolf:howls|mouse:squeaks|bee:buzzes|snake:hisses|owl:hoots|"
     "donkey:brays|bird:sings|goat:bleats|crow:caws|bear:growls|elephant:trumpets|goose:honks|turkey:gobbles|monkey:chatters|pigeon:coos",
     "{Q}what [sound|noise] does a {a} make{P}?|{Q}which [sound|noise] does a {a} make{P}?|{Q}what does a {a} [say|sound like]{P}?|"
     "{Q}how does a {a} [sound|go|talk]{P}?|What [sound|noise] [do you hear from|comes from] a {a}?|[Tell me|Say] what a {a} says{P}.|"
     "[Make|Do] the [sound|noise] of a {a}{P}.|Which [sound|noise] is made by a {a}?",
     "A {a} {b}."),
    ("dog:barks|cat:meows|cow:moos|pig:oinks|horse:neighs|duck:quacks|rooster:crows|frog:croaks|lion:roars|wolf:howls|bee:buzzes|"
     "snake:hisses|owl:hoots|donkey:brays|crow:caws|elephant:trumpets|turkey:gobbles",
     "{Q}which animal {b}{P}?|{Q}what animal {b}{P}?|[Name|Tell me] an animal that {b}{P}.|Who {b}?", "A {a} {b}."),
    ("dog:puppy|cat:kitten|cow:calf|sheep:lamb|pig:piglet|horse:foal|duck:duckling|hen:chick|goat:kid|lion:cub|bear:cub|frog:tadpole|"
     "goose:gosling|kangaroo:joey|swan:cygnet|owl:owlet|deer:fawn|rabbit:kit|fox:cub|eagle:eaglet|seal:pup|wolf:pup|elephant:calf|"
     "whale:calf|tiger:cub",
     "{Q}what [is|do you call] a [baby|young|little] {a}[| called]{P}?|{Q}what is the [name|word] for a [baby|young] {a}{P}?|{Q}[how|"
     "what] do [you|people|we] call [a young|a baby|the child of a] {a}{P}?|A [baby|young] {a} is called what?|[Tell me|"
     "Do you know] the name of a [baby|young] {a}[.|?]|{Q}what is the [baby|child|young] of a {a} called{P}?",
     "A baby {a} is called a {b}."),
    ("dog:puppy|cat:kitten|cow:calf|sheep:lamb|pig:piglet|horse:foal|duck:duckling|hen:chick|goat:kid|frog:tadpole|goose:gosling|"
     "kangaroo:joey|swan:cygnet|deer:fawn",
     "{Q}what is a {b}{P}?|{Q}which animal [was|is] a {b}[| when it is young]{P}?|{Q}what will a {b} [become|be|grow into]{P}?|"
     "A {b} is the baby of which animal?", "A {b} is a baby {a}."),
    ("bird:in a nest|bear:in a cave|bee:in a hive|dog:in a basket or a kennel|horse:in a stable|fox:in a den|rabbit:in a burrow|"
     "spider:in a web|pig:in a sty|hen:in a henhouse|cow:in a barn|wolf:in a den|"
     "mouse:in a hole|owl:in a hollow tree|ant:in an anthill|fish:in the water|squirrel:in a nest in a tree|frog:near a pond|"
     "snail:in its shell|bat:in a cave|mole:under the ground|lion:in the grass of Africa|penguin:on the ice|camel:in the desert|"
     "whale:in the sea|monkey:in the trees|crab:on the beach|tiger:in the jungle|hedgehog:under leaves|butterfly:on flowers",
     "{Q}where does a {a} [live|sleep|stay|have its home|rest]{P}?|{Q}where is the home of a {a}{P}?|{Q}where [can|could|would|"
     "do] I [find|see|look for] a {a}{P}?|{Q}in what place does a {a} live{P}?|Tell me where a {a} lives{P}.|Where is a {a} at home?",
     "A {a} lives {b}."),
    ("bees:honey|cows:milk|hens:eggs|sheep:wool|spiders:webs|bakers:bread|birds:nests|trees:fruit and leaves|clouds:rain|goats:milk|"
     "painters:pictures|writers:books|cooks:food|tailors:clothes|carpenters:things of wood|beavers:dams|apple trees:apples|"
     "gardeners:gardens|silkworms:silk|potters:pots",
     "{Q}what do {a} [make|give us|give|produce]{P}?|{Q}what [is made by|comes from|do we get from] {a}{P}?|[Tell me|"
     "Say] what {a} make{P}.", "{a} make {b}."),
    ("bees:honey|cows:milk|hens:eggs|sheep:wool|spiders:webs|clouds:rain|bakers:bread|beavers:dams",
     "{Q}where does {b} come from{P}?|{Q}who [makes|gives us] {b}{P}?|{Q}from whom do we get {b}{P}?", "We get {b} from {a}."),
    ("days:a week:seven|months:a year:twelve|hours:a day:twenty-four|minutes:an hour:sixty|seconds:a minute:sixty|seasons:a year:four|"
     "weeks:a year:fifty-two|letters:the alphabet:twenty-six|days:a year:365|days:a weekend:two|colours:a rainbow:seven|"
     "years:a century:one hundred|months:half a year:six|"
     "days:two weeks:fourteen|minutes:half an hour:thirty|eggs:a dozen:twelve|hours:two days:forty-eight|planets:the solar system:eight|"
     "cards:a pack:fifty-two|players:a football team:eleven",
     "{Q}how many {a} are [there |]in {b}{P}?|{Q}how many {a} does {b} have{P}?|{Q}how many {a} has {b} got{P}?|"
     "{Q}what is the number of {a} in {b}{P}?|{Q}how many {a} [make|fit in] {b}{P}?|[Tell me|Do you know] how many {a} {b} has[.|?]|"
     "{b} has how many {a}?", "There are {c} {a} in {b}."),
    ("wheels:a car:four|wheels:a bicycle:two|wheels:a tricycle:three|wings:a bird:two|legs:a dog:four|legs:a bird:two|"
     "legs:a spider:eight|legs:an ant:six|eyes:a cat:two|ears:a rabbit:two|fingers:a hand:five|toes:a foot:five|sides:a triangle:three|"
     "sides:a square:four|corners:a triangle:three|corners:a square:four|"
     "arms:an octopus:eight|arms:a starfish:five|legs:a table:four|legs:a chair:four|legs:a person:two|legs:a snake:no|legs:a fish:no|"
     "strings:a violin:four|strings:a guitar:six|wings:a bee:four|wings:an aeroplane:two|wings:a butterfly:four|legs:a bee:six|"
     "legs:a horse:four|legs:a hen:two|legs:a frog:four|legs:a crab:ten|sides:a hexagon:six|hands:a clock:two|legs:a duck:two|"
     "legs:a cow:four|legs:a beetle:six|thumbs:a person:two|eyes:a person:two|wings:an owl:two|wheels:a train:many|legs:a mouse:four|"
     "legs:a butterfly:six",
     "{Q}how many {a} does {b} have{P}?|{Q}how many {a} has {b}[ got|]{P}?|{Q}how many {a} are there on {b}{P}?|"
     "{Q}what is the number of {a} of {b}{P}?|[Tell me|Say|Do you know] how many {a} {b} has[.|?]|{b} has how many {a}?|"
     "{Q}how many {a} would you count on {b}?", "{b} has {c} {a}."),
    ("a table:wood|a window:glass|a bottle:glass or plastic|a book:paper|a ring:gold or silver|a shoe:leather|bread:flour and water|"
     "a snowman:snow|cheese:milk|butter:milk|wine:grapes|a jumper:wool|a candle:wax|a house:bricks and wood|a car:metal|a tyre:rubber|"
     "paper:wood|ice:water|juice:fruit|jam:fruit and sugar|an omelette:eggs|a T-shirt:cotton|a key:metal|a balloon:rubber|a coin:metal|"
     "a pot:metal or clay|chocolate:cocoa and sugar|a brick:clay|a spoon:metal or wood|a kite:paper and sticks|yoghurt:milk|"
     "chips:potatoes|a pencil:wood",
     "{Q}what is {a} made [of|from|out of]{P}?|{Q}what do [you|people|we] make {a} [of|from|out of]{P}?|{Q}[from|of] what [stuff |"
     "material |]is {a} made{P}?|What [material|stuff] is {a}?|What do you need to make {a}?|[Tell me|Do you know] what {a} is made of[.|"
     "?]", "{a} is made of {b}."),
    ("baker:bakes bread|teacher:teaches children|doctor:helps sick people|farmer:grows food and keeps animals|cook:cooks meals|"
     "pilot:flies planes|painter:paints pictures|writer:writes books|singer:sings songs|dentist:looks after teeth|postman:brings letters|"
     "gardener:looks after plants|builder:builds houses|driver:drives a car or a bus|nurse:looks after sick people|"
     "fisherman:catches fish|tailor:makes clothes|musician:plays music|firefighter:puts out fires|sailor:works on a ship|"
     "hairdresser:cuts hair|librarian:looks after books|vet:helps sick animals|carpenter:works with wood|waiter:brings food to the table|"
     "astronaut:flies into space|clown:makes people laugh|shepherd:looks after sheep|plumber:repairs pipes|judge:decides in a court",
     "{Q}what does a {a} do[| all day| at work]{P}?|{Q}what is the [job|work] of a {a}{P}?|{Q}what is a {a}{P}?|[Tell me|Say|"
     "Explain] what a {a} does{P}.|{Q}what do we need a {a} for{P}?", "A {a} {b}."),
    ("baker:bakes bread|teacher:teaches children|doctor:helps sick people|cook:cooks meals|pilot:flies planes|painter:paints pictures|"
     "writer:writes books|singer:sings songs|dentist:looks after teeth|postman:brings letters|gardener:looks after plants|"
     "builder:builds houses|fisherman:catches fish|tailor:makes clothes|firefighter:puts out fires|hairdresser:cuts hair|"
     "vet:helps sick animals|"
     "carpenter:works with wood|astronaut:flies into space|shepherd:looks after sheep|plumber:repairs pipes|"
     "waiter:brings food to the table",
     "{Q}who {b}{P}?|{Q}what do you call a person who {b}{P}?|{Q}what is the name for somebody who {b}{P}?|Which person {b}?",
     "A {a} {b}."),
    ("see:eyes|hear:ears|smell:nose|taste:tongue|walk:legs|hold things:hands|think:brain|chew:teeth|touch:fingers|write:hand|talk:mouth|"
     "breathe:nose and lungs|run:legs|kick a ball:feet",
     "{Q}what do [we|you|people] {a} with{P}?|{Q}with what do [we|you|people] {a}{P}?|{Q}which part of the body do [we|people|"
     "you] use to {a}{P}?|What do [people|we|I] need to {a}?", "We {a} with our {b}."),
    ("see:eyes|hear:ears|smell:nose|taste:tongue|walk:legs|think:brain|chew:teeth",
     "{Q}what do we need our {b} for{P}?|{Q}what [can|do] we do with our {b}{P}?", "With our {b} we can {a}."),
    ("books:a library|bread:a bakery|medicine:a pharmacy|stamps:a post office|fruit:a market|money:a bank|flowers:a flower shop|"
     "films:a cinema|trains:a station|planes:an airport|ships:a harbour|paintings:a museum|wild animals:a zoo|sick people:a hospital|"
     "children who learn:a school|meals:a restaurant|guests who sleep:a hotel|actors:a theatre|letters:a post office|shoes:a shoe shop",
     "{Q}where [can I|do you|could I|would you|do people] [find|see|get] {a}{P}?|{Q}where are {a}{P}?|{Q}in which [place|building] [are|"
     "do you find] {a}{P}?", "You find {a} in {b}."),
    ("grass:green|the sky:blue|snow:white|a lemon:yellow|a tomato:red|an orange:orange|coal:black|milk:white|blood:red|a banana:yellow|"
     "a frog:green|a strawberry:red|chocolate:brown|the sun:yellow|an elephant:grey|a carrot:orange|a cherry:red|a cucumber:green|"
     "a pig:pink|salt:white|a raven:black|a leaf:green|a mouse:grey|the sea:blue|a pumpkin:orange|an aubergine:purple|a plum:purple|"
     "a polar bear:white|a flamingo:pink|sugar:white|a fire engine:red|gold:yellow|a pea:green|a canary:yellow|cocoa:brown|a swan:white|"
     "night:black|honey:golden|a ripe apple:red or green|rice:white|a broccoli:green|a crow:black|bread:brown|a sunflower:yellow|"
     "spinach:green|a ruby:red|an emerald:green|a violet:purple|a brick:red|a cloud:white|a lime:green|a potato:brown|an egg yolk:yellow|"
     "ketchup:red",
     "{Q}what colour [is|has] {a}{P}?|{Q}which colour [is|has] {a}{P}?|{Q}what is the [colour|color] of {a}{P}?|"
     "{Q}what colour is {a} [usually|normally|mostly]{P}?|[Tell me|Say|Name|Do you know] the colour of {a}[.|?]|{Q}what color is {a}{P}?|"
     "{a} is which colour?|What colour would you say {a} is?", "{a} is {b}."),
    ("a banana:yellow|grass:green|snow:white|the sky:blue|a tomato:red|coal:black|milk:white|a lemon:yellow|a pig:pink|a frog:green|"
     "chocolate:brown|an elephant:grey|a carrot:orange",
     "{Q}is {a} {b}{P}?|{a} is {b}, right?|Is it true that {a} is {b}?", "Yes, {a} is {b}."),
    ("a banana:yellow:blue|grass:green:red|snow:white:black|the sky:blue:pink|a tomato:red:blue|coal:black:white|milk:white:green|"
     "a lemon:yellow:purple|a pig:pink:green|a frog:green:orange|chocolate:brown:blue|an elephant:grey:red|a carrot:orange:black|"
     "the sun:yellow:green",
     "{Q}is {a} {c}{P}?|{a} is {c}, right?|Is it true that {a} is {c}?", "No, {a} is {b}."),
    ("red:A tomato, a cherry and a strawberry|yellow:A lemon, a banana and the sun|green:Grass, a frog and a cucumber|"
     "blue:The sky, the sea and a blueberry|white:Snow, milk and salt|round:A ball, a coin and an orange|cold:Ice, snow and a fridge|"
     "hot:Fire, the sun and boiling water|soft:A pillow, a kitten and a feather|hard:A stone, a brick and iron|"
     "sweet:Sugar, honey and chocolate|"
     "sour:A lemon, vinegar and a lime|black:Coal, a raven and the night|tall:A tower, a tree and a giraffe|"
     "small:An ant, a pea and a button|heavy:An elephant, a car and a piano|light:A feather, a leaf and paper|"
     "sharp:A knife, a needle and a thorn|big:A whale, a house and a mountain|loud:Thunder, a drum and a siren|"
     "fast:A rocket, a car and a cheetah|slow:A snail, a turtle and a worm|wet:Rain, the sea and a river|"
     "brown:Chocolate, coffee and wood|orange:A carrot, a pumpkin and an orange",
     "[Name|List|Tell me|Give me|Say] [some|three] things that are {a}{P}.|{Q}which things are {a}{P}?|[Can|Could] you name [some|"
     "three] [{a} things|things that are {a}]?|What things are {a}?", "{b} are {a}."),
    ("red:A tomato and a cherry|yellow:A lemon and a banana|green:Grass and a frog|blue:The sky and the sea|white:Snow and milk|"
     "round:A ball and a coin|cold:Ice and snow|hot:Fire and the sun|soft:A pillow and a feather|hard:A stone and a brick|"
     "sweet:Sugar and honey|sour:A lemon and vinegar|tall:A tower and a giraffe|small:An ant and a pea|heavy:An elephant and a piano|"
     "sharp:A knife and a needle|big:A whale and a mountain|loud:Thunder and a drum|fast:A rocket and a car|slow:A snail and a turtle",
     "[Name|List|Tell me|Give me] [two|a few] things [that are|which are] {a}{P}.|[Can|Could] you name two {a} things?|"
     "What two things are {a}?", "{b} are {a}."),
    ("fly:A bird, a bee and a bat|swim:A fish, a duck and a whale|jump:A frog, a kangaroo and a rabbit|"
     "climb:A monkey, a cat and a squirrel|run fast:A horse, a cheetah and a dog|live in water:A fish, a crab and a whale|"
     "live on a farm:A cow, a pig and a hen|live in the forest:A fox, a deer and an owl|lay eggs:A hen, a duck and a turtle|"
     "give milk:A cow, a goat and a sheep|eat grass:A cow, a sheep and a horse|have wings:A bird, a bee and a butterfly|"
     "live in Africa:A lion, a zebra and a giraffe|like the cold:A penguin, a seal and a polar bear",
     "[Name|List|Tell me] [some|three] animals that {a}{P}.|{Q}which animals {a}{P}?|[Can|Could] you name [some|three] animals that {a}?|"
     "What animals {a}?", "{b} {a}."),
    ("spoon:eat soup|knife:cut things|fork:eat with|hammer:hit nails|saw:cut wood|broom:sweep the floor|key:open a lock|"
     "clock:see what time it is|umbrella:stay dry in the rain|bed:sleep|pen:write|pencil:draw and write|cup:drink|lamp:make light|"
     "ladder:climb up|phone:talk to people far away|camera:take photos|needle:sew|scissors:cut paper|map:find the way|"
     "brush:paint or clean|towel:dry yourself|oven:bake|fridge:keep food cold|"
     "bag:carry things|boat:travel on water|car:drive to places|mirror:see yourself|soap:wash|chair:sit|table:put things on|"
     "rope:tie things|bucket:carry water|axe:chop wood|ruler:measure things|candle:make light|coat:stay warm|hat:keep the head warm|"
     "glove:keep the hand warm|watering can:water plants|shovel:dig|pot:cook|pan:fry food|net:catch fish|telescope:look at the stars|"
     "compass:find north|blanket:stay warm|bell:ring|comb:tidy your hair|toothbrush:clean your teeth|eraser:remove pencil marks|"
     "whistle:make a loud sound|kettle:boil water|drum:make music|wheel:roll|bridge:cross a river",
     "{Q}what [do we need|do you need|do people need|would I use|do you use|do people use] a {a} for{P}?|{Q}what is a {a} [for|used for|"
     "good for]{P}?|{Q}why do [people|we] [need|have|use] a {a}{P}?|{Q}what [can|do] [I|you|we] do with a {a}{P}?|[Tell me|Explain|"
     "Do you know] what a {a} is for[.|?]|{Q}how is a {a} used{P}?|{Q}what is the use of a {a}{P}?",
     "You use a {a} to {b}."),
    ("spoon:eat soup|knife:cut things|hammer:hit nails|saw:cut wood|broom:sweep the floor|key:open a lock|clock:see what time it is|"
     "umbrella:stay dry in the rain|pen:write|ladder:climb up|camera:take photos|needle:sew|map:find the way|towel:dry yourself|"
     "oven:bake|fridge:keep food cold|mirror:see yourself|rope:tie things|ruler:measure things|shovel:dig|net:catch fish|"
     "telescope:look at the stars|kettle:boil water|comb:tidy your hair|toothbrush:clean your teeth",
     "{Q}what do [I|you|we|people] need to {b}{P}?|{Q}which [tool|thing] do [I|you|we] use to {b}{P}?|{Q}with what [can|do] [I|you|"
     "we] {b}{P}?|I want to {b}. What do I need?|What helps me to {b}?", "You need a {a} to {b}."),
    ("cat:hat|dog:frog|tree:bee|sun:fun|house:mouse|moon:spoon|star:car|cake:lake|boat:goat|king:ring|ball:wall|day:play|night:light|"
     "rain:train|book:cook|fish:dish|bear:chair|bed:red|blue:shoe|snow:slow|hill:still|sea:tea|rose:nose|hand:sand|bell:shell|door:floor|"
     "fly:sky|game:name|green:queen|head:bread|ice:mice|jump:pump|kite:white|land:sand|mouse:house|pen:ten|rock:clock|sing:wing|"
     "tall:small|wide:side|year:ear|brown:town|cold:gold|dream:cream|fox:box|hair:bear|key:tea|lamp:stamp|pie:sky|sock:rock|duck:truck|"
     "nest:best|pig:wig|seed:need|van:fan",
     "{Q}what rhymes with {a}{P}?|{Q}which word rhymes with {a}{P}?|[Tell me|Give me|Find|Say|I need|I am looking for] [a rhyme|"
     "a word that rhymes|something that rhymes|a rhyming word] [for|with] {a}{P}.|[Can|Could] you find a [rhyme|word that rhymes] [for|"
     "with] {a}?|A rhyme for {a}, please.|Do you know a rhyme for {a}?|Does anything rhyme with {a}?|What sounds like {a}?",
     "{b} rhymes with {a}."),
)  # fmt: skip


class Knower:
    """Draws a row of a table with a question; every table is as likely as any other."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.tables = [[row.split(":") for row in rows.split("|")] for rows, _, _ in TABLES]
        self.frames = Frames([table[1:] for table in TABLES], WORDS, self.rng)

    def question(self) -> Sample:
        rng = self.rng
        i = rng.randrange(len(self.tables))
        slots = Slots(self.frames.words, rng)
        slots.update(zip("abc", rng.choice(self.tables[i])))
        question, answer = (self.frames.filled(frames, slots) for frames in self.frames.table[i])
        return Sample(as_typed(question, rng), answer)
