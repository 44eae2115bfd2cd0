"""The town where the roads meet."""

from app.standins.storyteller.lore import Find, Foe, Person, QuestTale, Spot, Stage, World

_SIGNS = (
    "nexus origin crossroad crossroads city town village tavern inn market street guild gate"
    " gates thief thieves noble court king queen palace castle urban bazaar square"
)

_HOUND = Foe(
    name="gutter hound",
    epithets=("scarred", "one-eyed", "limping"),
    description="A lean town dog gone wrong, wet to the ribs and far too quiet.",
    threat="low",
    arrivals=(
        "Claws tick on the cobbles, first behind you, then to both sides. {A:foe_kind} comes out of"
        " the drain with its head low, and it does not bark.",
        "Something has been keeping pace with you behind the rain barrels. Now {a:foe_kind} steps"
        " into the light and shows you every tooth it has.",
    ),
    strikes=(
        "{Foe} goes for your heel, misses, and takes a mouthful of cloak instead.",
        "{Foe} circles until the lamp is behind it, and comes in low under its own shadow.",
        "With a wet snarl {foe} throws its weight against your knees.",
    ),
    falters=(
        "{Foe} yelps, and for a moment it is only a hungry dog that wants to be elsewhere.",
        "Blood runs down the muzzle of {foe}. It licks it off and thinks again.",
    ),
    ends=(
        "{Foe} turns on the spot, finds the mouth of the drain and is gone, trailing a whine that"
        " goes on underground for some time.",
        "One last lunge, one clean answer, and {foe} lies still on the wet stones.",
    ),
)
_HOLLOW = Foe(
    name="hollow man",
    epithets=("tall", "stooping", "bareheaded"),
    description="A travelling coat, a hat, a pair of gloves, and nobody inside.",
    threat="medium",
    arrivals=(
        "A coat stands in the way with its collar up. It takes you a breath too long to see that"
        " the sleeves are empty. {A:foe_kind} lifts its gloves.",
        "The wind drops, and one coat on the line goes on moving. {A:foe_kind} climbs down from the"
        " pegs as if from a horse.",
    ),
    strikes=(
        "{Foe} reaches for your throat with gloves that weigh nothing and grip like frost.",
        "Cloth snaps like a sail: {foe} is suddenly on your other side.",
        "{Foe} swings a sleeve, and there is a lead weight sewn into the cuff.",
    ),
    falters=(
        "A seam goes with a long sigh, and {foe} sags to one side, holding itself shut.",
        "Your blow goes straight through {foe}, but it takes the lining with it.",
    ),
    ends=(
        "The last button flies. {Foe} folds up in the air, and what falls at your feet is an old"
        " coat that smells of other people’s rain.",
        "You catch {foe} by the collar and pull. It comes apart like wet paper, with something"
        " very like a thank-you.",
    ),
)

_TENTH_ROAD = QuestTale(
    title="The Tenth Road",
    giver="Odile Marsh",
    foe="hollow man",
    summary="A tenth road has opened at the Admission of Nine Roads, and {giver}’s brother Tam has"
    " walked down it with his lantern. Find out where it goes, and bring him home.",
    offer="{Giver} takes you by the elbow and turns you towards the gate. “Count them,” she says."
    " You count nine roads. You count again, and there are ten.\n\n“It was not there on Monday."
    " My brother Tam took his lantern and went to see where it goes, and he has been seeing for"
    " three days.” She lets go of your arm. “I cannot leave the gate. You can.”",
    stages=(
        Stage(
            "Find Tam’s chalk marks at the Admission of Nine Roads",
            "the Admission of Nine Roads",
            "The marks are at knee height, where a careful man would put them: a chalk lantern, an"
            " arrow, a lantern again. They run along the foot of the gate and out between the"
            " eighth road and the ninth, where the wall has opened without breaking.\n\nTam’s last"
            " mark is on the first stone of the tenth road. He has written one word under it:"
            " “downhill”. The road in front of you climbs.",
            "Tam’s chalk marks lead out onto the road that should not be there.",
        ),
        Stage(
            "Walk the tenth road as far as its milestone",
            "the tenth road",
            "The tenth road is paved with doorsteps. You know it after a hundred paces, because"
            " each of them is worn in the middle. The milestone at the top bears the name of the"
            " town you came from and a distance of nought.\n\nAgainst it leans a lantern, still"
            " warm. Tam is sitting beside it, looking at nothing, and he is not alone up here.",
            "Tam is at the milestone, alive, and something in a borrowed coat is guarding him.",
            fight=True,
        ),
        Stage(
            "Bring Tam home to Odile before the road closes",
            "the Admission of Nine Roads",
            "You walk Tam down with his lantern in his hand and your hand under his arm, and you"
            " count doorsteps aloud so that both of you have something to hold. Behind you they"
            " go out one by one, quietly, like windows late in the evening.\n\nOdile does not cry."
            " She hits her brother in the chest with the flat of her hand, twice, and then holds"
            " on to his coat. “Nine,” she says over his shoulder, to you. “I count nine.”",
            "Tam is home, and there are nine roads again.",
        ),
    ),
    items=("Tam’s lantern",),
    gold=40,
    experience=120,
)
_BELL = QuestTale(
    title="A Bell Without a Tongue",
    giver="Sister Wren",
    foe="gutter hound",
    summary="Somebody stole the clapper of the fog bell, and without it the fog will come into the"
    " town and stay. {giver} asks you to find the clapper and hang it again before dark.",
    offer="{Giver} shows you the rope in her hands. She pulls it hard, and high above you a great"
    " bell swings and makes no sound at all.\n\n“They have cut its tongue out,” she says. “Two"
    " nights without a bell, and already the fog has learned the way to the well. One more and it"
    " will learn the doors. Find me the clapper. It is iron, long as your arm, and it hums.”",
    stages=(
        Stage(
            "Ask after the clapper in the Sunken Market",
            "the Sunken Market",
            "The traders of the Sunken Market have seen nothing, heard nothing and sold nothing,"
            " until you say the word “fog”. Then a woman with a tray of buttons looks at the sky"
            " and leans close. “Two boys and a sledge,” she says. “Down Ropewalk Lane. They had"
            " wool in their ears.”",
            "Two boys dragged something heavy down Ropewalk Lane.",
        ),
        Stage(
            "Follow the sledge tracks along Ropewalk Lane",
            "Ropewalk Lane",
            "The runners have left two bright lines on the stones. They wander from wall to wall"
            " as if the load had been arguing, and they stop at an iron lid that has been put back"
            " the wrong way round.\n\nFrom under it comes a hum you feel in your knees. Whatever"
            " lives by the drains feels it too, and has come to see who is at the door.",
            "The clapper is in the old cistern, under the lid.",
            fight=True,
        ),
        Stage(
            "Fetch the clapper out of the cistern",
            "the old cistern",
            "Forty rungs down the air is white. The two boys are sitting on the sledge with their"
            " backs together, deaf and very frightened, and are glad to see anybody at all."
            " “It wanted us to,” one of them shouts, pointing at the fog. You put the clapper over"
            " your shoulder. It weighs as much as a grown dog, and it purrs.",
            "You have the clapper, and the two thieves have had enough.",
        ),
        Stage(
            "Hang the clapper in Sister Wren’s tower",
            "Sister Wren’s tower",
            "Two hundred steps, and the fog climbs them behind you, one step for each of yours."
            " Sister Wren has the pin ready. The iron goes up, the pin goes in, and she puts the"
            " rope into your hands and nods.\n\nThe first stroke takes the windows of the town by"
            " the shoulders. By the third there are stars.",
            "The fog bell has its tongue again.",
        ),
    ),
    items=("A splinter of bell iron",),
    gold=35,
    experience=140,
)

CROSSING = World(
    name="crossing",
    signs=frozenset(_SIGNS.split()),
    vistas=(
        "Nine roads come into {here}, and every one of them has brought its own weather. Carts"
        " steam in the lamplight; somebody is selling eels; somebody is selling yesterday’s news"
        " and calling it prophecy.",
        "Evening settles on {here} the way a cat settles, turning round twice first. Shutters"
        " close on one side of the street and open on the other, and the lamps go up on their poles"
        " with a squeak.",
    ),
    weather=(
        "Somebody practises a scale on a fiddle, and stops on the same wrong note.",
        "Steam comes up through a grating, smelling of bread.",
        "A shutter bangs twice, as if in code.",
        "Pigeons go up all together and come down one by one.",
        "The gutters talk in their sleep.",
        "A thin rain polishes the cobbles.",
        "Smoke lies flat over the roofs.",
        "The lamps have rings round them tonight.",
        "Somewhere a cart goes by without its driver.",
        "Bells argue about the hour.",
    ),
    spots=(
        Spot(
            "the Lantern Yard",
            (
                "Two hundred lanterns hang here from two hundred hooks, and each has a name on it.",
                "The yard smells of oil and hot tin, and everyone in it lowers their voice.",
            ),
        ),
        Spot(
            "the Sunken Market",
            (
                "The stalls stand in an old canal, and you shop in it up to the ankles.",
                "Here they sell what fell off carts, and some of it is still falling.",
            ),
        ),
        Spot(
            "the Admission of Nine Roads",
            (
                "Nine arches stand in a ring, and a different wind comes in through each.",
                "Travellers rub the gatepost for luck, and it has worn as thin as a wrist.",
            ),
        ),
        Spot(
            "the common room of the Split Lantern",
            (
                "The fire has been lit since before the house was built, they say, and look at you"
                " to see if you laugh.",
                "Every table has initials cut into it, and not all of the letters are letters.",
            ),
        ),
        Spot(
            "Ropewalk Lane",
            (
                "The lane is a thousand feet long and one cart wide, and sound runs along it like"
                " water in a pipe.",
                "Tarred rope hangs from wall to wall, and the washing hangs from the rope.",
            ),
        ),
    ),
    people=(
        Person(
            "Odile Marsh",
            "the gatekeeper",
            "with a ring of keys at her belt as big as a wheel",
            (
                "“I let in nine hundred people today,” she says, “and eight hundred and"
                " ninety-nine of them had shadows. You learn not to stare.”",
                "“If a road asks you where you are going,” she says, “lie to it.”",
                "“Every gate has two sides,” she says. “People forget who it is that stands in the"
                " middle.”",
            ),
        ),
        Person(
            "Bram Tolliver",
            "the innkeeper of the Split Lantern",
            "drying a mug that has been dry for some time",
            (
                "“The soup is honest,” he says. “I will not speak for the pie.”",
                "“You have the look,” he says, “of a person who is about to break a chair. Try to"
                " make it one of the old ones.”",
                "“Rooms are a coin, the window is a coin more, and the thing under the bed is"
                " included,” he says.",
            ),
        ),
        Person(
            "Sister Wren",
            "the bell-ringer",
            "small and grey, with forearms like a smith",
            (
                "“A bell says one word all its life,” she says. “Make sure it is the right one"
                " before you pour the bronze.”",
                "“I do not hear as well as I did,” she says. “That is why I listen.”",
                "“Go carefully after the ninth stroke,” she says. “The tenth is not mine.”",
            ),
        ),
        Person(
            "Corvin Ash",
            "the map-seller",
            "ink to the elbows, a pen behind each ear",
            (
                "“This one is accurate,” he says of a blank sheet, “but only on Thursdays.”",
                "“I never draw a place I have been,” he says. “It spoils them.”",
                "“Tell me what you find out there,” he says, “and I will tell you what you owe me"
                " for having looked.”",
            ),
        ),
    ),
    foes=(_HOUND, _HOLLOW),
    finds=(
        Find(
            "Counting House",
            "a narrow house of shut ledgers, its abacus still clicking over by one bead an hour",
            ("town", "house"),
        ),
        Find(
            "Stair",
            "a flight of steps between two roofs that leads up to a door and no room",
            ("town", "height"),
        ),
        Find(
            "Fountain",
            "a dry fountain with three stone faces, and fresh coins in the mouth of each",
            ("town", "water"),
        ),
        Find(
            "Puppet Theatre",
            "a puppet stage with its curtain half drawn and all the strings cut at one length",
            ("town", "stage"),
        ),
        Find(
            "Clock",
            "a clock set into a blind wall, whose hands agree with nobody and are never stopped",
            ("town", "time"),
        ),
    ),
    trifles=(
        "a ticket for a coach that left a hundred years ago, punched this morning",
        "a spoon bent into a very good likeness of somebody",
        "half a playing card, and by the look of it the half that loses",
        "a brass key with the teeth filed off",
        "a child’s drawing of this very street, with one house too many",
        "a glove, the left one, warm",
        "a coin with the head of a queen who has not been crowned yet",
    ),
    quests=(_TENTH_ROAD, _BELL),
)
