"""The ruins below."""

from app.standins.storyteller.lore import Find, Foe, Person, QuestTale, Spot, Stage, World

_SIGNS = (
    "dungeon cave caves cavern crypt ruin ruins catacomb catacombs tomb tombs mine mines underground"
    " undead necromancer temple vault skeleton ghost ghosts haunted lich vampire dark darkness"
    " labyrinth maze buried ancient grave graveyard deep below curse cursed"
)

_SENTINEL = Foe(
    name="bone sentinel",
    epithets=("crowned", "one-armed", "grinning"),
    description="Somebody’s ancestor, wired together in bronze and told to stand here.",
    threat="medium",
    arrivals=(
        "What you took for a carving in the wall draws its other foot out of the stone. {A:foe_kind}"
        " lowers a spear that has been level with your heart all along.",
        "Dust falls in a straight line, and behind the line stands {a:foe_kind}. It knocks twice on"
        " the floor with the butt of its spear, as one does before closing time.",
    ),
    strikes=(
        "The spear of {foe} comes at you in three exact movements, and the third draws a thread"
        " from your sleeve.",
        "{Foe} takes your blow on its ribs, which ring, and answers with an elbow of bronze.",
        "{Foe} steps forward, steps forward, steps forward. There is only so much corridor.",
    ),
    falters=(
        "A wire snaps with a note like a harp, and the left arm of {foe} forgets its orders.",
        "{Foe} repeats its last movement, and then again, a little to one side of where you are.",
    ),
    ends=(
        "The last wire goes. {Foe} comes down all at once, like cutlery, and the skull rolls to"
        " your foot looking rather relieved.",
        "{Foe} stops, grounds its spear, and bows, an inch. Then whatever held it up goes home.",
    ),
)
_PALE = Foe(
    name="pale crawler",
    epithets=("blind", "long", "whispering"),
    description="White, soft, many-handed, and very interested in warm things.",
    threat="low",
    arrivals=(
        "The wall beside you is wet, then white, then moving. {A:foe_kind} comes down it head"
        " first, feeling for you with hands like wet gloves.",
        "Your light goes a shade lower, the way it does when something is breathing the same air."
        " {A:foe_kind} has let itself down from the roof behind you.",
    ),
    strikes=(
        "Fingers close round your wrist, too many for one hand, and {foe} pulls.",
        "{Foe} goes for the light. They always go for the light.",
        "Something cold slaps across your face; {foe} has more reach than it showed.",
    ),
    falters=(
        "{Foe} curls away from the flame with a sound like fat in a pan.",
        "Three of the hands of {foe} have let go, and the rest are no longer sure.",
    ),
    ends=(
        "{Foe} pours itself into a crack that would not take a coin, and the crack smacks its lips.",
        "You bring the light right up against it. {Foe} goes grey, goes stiff, and is only a stain"
        " in the shape of a wish.",
    ),
)

_NAME = QuestTale(
    title="The Name Cut Out of the Wall",
    giver="Brother Anselm",
    foe="bone sentinel",
    summary="A name has been chiselled from the Hall of Names, and its owner no longer lies still."
    " {giver} asks you to find out who it was, and to put the name back.",
    offer="{Giver} holds his lamp up to the wall. There are names on it from floor to roof, thousands"
    " of them, and in one place a hole the size of a loaf, its edges still white.\n\n“As long as a"
    " name stands here its owner sleeps,” he says. “That is the bargain. Somebody has cut this one"
    " out.” From far below comes the sound of a stone door, opened by someone who has the time. “I"
    " know the hour for every lamp in this place, friend, but not who that was. Find out. I will"
    " mix the mortar.”",
    stages=(
        Stage(
            "Search the ossuary for the empty shelf",
            "the ossuary",
            "You walk the shelves with your light held low. Skull, skull, skull, each with its year"
            " in red paint; and then a clean place in the dust, and footprints that begin there and"
            " go only one way. On the shelf is a clay tag, broken across. “…daughter of the"
            " bridge-wright,” it says. “She held the lower gate.”",
            "The one who walks was a bridge-wright’s daughter, and held the lower gate.",
        ),
        Stage(
            "Go down to the lower gate",
            "the lower gate",
            "The lower gate stands open upon black water. Before it, with her back to you, waits"
            " somebody in the rags of a good grey coat, one hand on the bar. She is not leaving."
            " She has come back to work.\n\n“They said I could stop,” she says, in a voice like"
            " a drawer. “Then they took it back. Do you know what I am called?” Down the stair"
            " behind you comes bronze on stone, to fetch her.",
            "She stands at her gate again, and the tomb has sent its guards for her.",
            fight=True,
        ),
        Stage(
            "Bring the right name back to the Hall of Names",
            "the Hall of Names",
            "She has scratched it on the inside of the gate, low down, as children do: Aude. You"
            " carry it up all those stairs in your mouth, saying it over. Brother Anselm cuts it in"
            " fresh stone, and the mortar closes round it.\n\nFar below a bar drops into its"
            " brackets. Then, after a decent pause, somebody lies down. “Aude,” says Anselm, and"
            " lights the smallest lamp. “We will not lose it again.”",
            "Aude has her name back, and sleeps.",
        ),
    ),
    items=("A chip of the white stone",),
    gold=30,
    experience=120,
)
_SHAFT = QuestTale(
    title="Three Knocks from the Third Shaft",
    giver="Kit Dunmore",
    foe="pale crawler",
    summary="The third shaft fell in nine days ago, and somebody is still knocking down there."
    " {giver} asks you to go and see who.",
    offer="{Giver} puts a finger to her lips and a hand on the rock. You wait. Then you hear it,"
    " three knocks, a rest, three knocks.\n\n“That is our signal,” she says. “There were four of us"
    " in the third shaft when it came down. I got out. It has been nine days, and nobody lives nine"
    " days down there.” Her eyes are red from more than the dust. “My crew say it is the rock"
    " settling. Rock does not count to three. Come with me as far as the gallery, and I will show"
    " you the way on.”",
    stages=(
        Stage(
            "Find a way round the fall, through the flooded gallery",
            "the flooded gallery",
            "The water in the gallery is as cold as a coin, and it comes to your chin. Kit’s rope"
            " runs out halfway. You go on along the wall by touch, and under the water your hand"
            " finds a ledge, a bucket, a boot with nobody in it, and then air, moving.\n\nThe"
            " knocks are louder here. Three, a rest, three. You knock back. There is a long"
            " silence, and then a great many knocks at once.",
            "There is a way round through the flooded gallery, and somebody answered.",
        ),
        Stage(
            "Reach the third shaft",
            "the third shaft",
            "The shaft is full of small white lights that turn out to be eyes. Three miners sit back"
            " to back on a ledge in the middle of them with one candle, and the candle is a thumb"
            " high. They have been eating the others. Candles, that is. “Do not let it go out,” one"
            " of them says, quite calmly. “They come as close as the light lets them.”\n\nYou have"
            " a light. The eyes turn round to look at it.",
            "Three miners are alive in the third shaft, with a thumb of candle left.",
            fight=True,
        ),
        Stage(
            "Lead the miners out to Kit",
            "the stair of lamps",
            "You lead them out on a rope, hand over hand, eyes shut, singing, because Kit’s crew"
            " have always sung on the way up and will not have it said that they stopped. In the"
            " gallery the water hums along.\n\nKit is waiting on the stair of lamps with four"
            " blankets. She counts three heads, and then yours, and puts the fourth blanket round"
            " you without a word. Behind you, in the dark, very politely, something knocks three"
            " times. Nobody answers.",
            "Kit’s crew is out of the third shaft.",
        ),
    ),
    items=("A miner’s candle that burns low and long",),
    gold=50,
    experience=130,
)

DEEP = World(
    name="deep",
    signs=frozenset(_SIGNS.split()),
    vistas=(
        "Under {here} there is an older place, and under that one an older still. The stairs go"
        " down past all of them. Somebody has set a lamp on every thirteenth step, and somebody"
        " else has blown out every second one.",
        "The air of {here} is cool, and has been breathed before. Your steps go on ahead and come"
        " back with company. On the wall beside you a hand has scratched a tally of days, and a"
        " different hand has gone on with it.",
    ),
    weather=(
        "A pebble falls, somewhere that has no floor.",
        "Your light finds a corner it had missed.",
        "The echo answers a little before you have finished.",
        "Cold comes up through the soles of your boots and looks about.",
        "Something scrapes, politely, and is still.",
        "Water drips, counts to nine, and begins again.",
        "Dust hangs in your light and does not fall.",
        "A draught brings the smell of wet chalk.",
        "Far below, stone moves on stone.",
        "Your shadow is a little late.",
    ),
    spots=(
        Spot(
            "the stair of lamps",
            (
                "A lamp stands on every thirteenth step, and the oil is always fresh.",
                "The treads are worn on the way down and sharp on the way up.",
            ),
        ),
        Spot(
            "the Hall of Names",
            (
                "Names run from the floor to the roof, and the highest are in no alphabet you know.",
                "The hall is so quiet that you can hear the letters.",
            ),
        ),
        Spot(
            "the flooded gallery",
            (
                "The water is black and level, and the pillars stand on their own heads in it.",
                "Now and then a ring spreads on the water, from no stone.",
            ),
        ),
        Spot(
            "the ossuary",
            (
                "The dead are shelved by year here, and there is room on the next shelf.",
                "Every skull has been turned to face the door.",
            ),
        ),
        Spot(
            "the broken nave",
            (
                "Half of the vault has come down, and roots have come in after it to see.",
                "One window is left, deep under the ground, and there is light behind it.",
            ),
        ),
    ),
    people=(
        Person(
            "Brother Anselm",
            "the keeper of lamps",
            "with oil on his sleeves and a wick behind his ear",
            (
                "“I have four hundred lamps,” he says, “and four hundred and one shadows. I do not"
                " fill that one.”",
                "“Speak up,” he says. “They like to hear, too.”",
                "“You get used to the dark,” he says. “The trick is not to let it get used to you.”",
            ),
        ),
        Person(
            "Kit Dunmore",
            "the mine captain",
            "with a pick over her shoulder and a canary on the pick",
            (
                "“If the bird sings, walk,” she says. “If it stops, run. If it speaks, do not"
                " answer.”",
                "“There is good stone and bad stone,” she says, “and there is stone that is only"
                " pretending.”",
                "“We dug this one from both ends,” she says, “and never met in the middle.”",
            ),
        ),
        Person(
            "Veska",
            "the relic trader",
            "sitting on a coffin with her scales on her knee",
            (
                "“I do not rob graves,” she says. “I reopen negotiations.”",
                "“It is genuine,” she says. “It screamed when I scratched it.”",
                "“Buy the small one,” she says. “The big one follows you home.”",
            ),
        ),
        Person(
            "the Lady in Grey",
            "who has been dead for some time",
            "a hand’s breadth above the floor, out of habit",
            (
                "“I had a party,” she says. “They are all still here. It has rather dragged on.”",
                "“You are warm,” she says. “Do forgive me. One forgets that it shows.”",
                "“I would offer you a chair,” she says, “but you would have to be much older.”",
            ),
        ),
    ),
    foes=(_SENTINEL, _PALE),
    finds=(
        Find(
            "Altar", "an altar with a groove round its edge and a cushion on its step", ("ruins",)
        ),
        Find(
            "Well Shaft",
            "a shaft with a bucket on a chain; the bucket comes up full, and the water is warm",
            ("ruins", "water"),
        ),
        Find(
            "Library",
            "a room of stone shelves where the books are stone as well, and one has been left open",
            ("ruins", "books"),
        ),
        Find(
            "Bronze Door",
            "a bronze door with a knocker on the inside of a grille, out of reach by one finger",
            ("ruins", "door"),
        ),
        Find(
            "Banquet Hall",
            "a long hall with a table laid in dust: every plate, every cup, every crumb is dust",
            ("ruins", "hall"),
        ),
    ),
    trifles=(
        "a child’s shoe in white stone, with real laces",
        "a bell with moss for a clapper",
        "a coin laid on its edge, and balanced there",
        "a finger bone with a ring on it, and a note tied to the ring: not this one",
        "a candle end with tooth marks",
        "a stone tongue, from no statue you have passed",
        "a key made of chalk",
    ),
    quests=(_NAME, _SHAFT),
)
