"""The old forest."""

from app.standins.storyteller.lore import Find, Foe, Person, QuestTale, Spot, Stage, World

_SIGNS = (
    "forest forests wood woods tree trees grove glade jungle swamp marsh fen druid fey fae fairy"
    " elf elven ranger hunter wild wilds thicket briar willow oak leaf leaves witch wolf wolves"
)

_WOLF = Foe(
    name="ash wolf",
    epithets=("grey", "lame", "yearling"),
    description="A wolf the colour of a cold hearth, that leaves soot where it has stood.",
    threat="medium",
    arrivals=(
        "The birds stop, all in the same breath. Between two birches {a:foe_kind} has been standing"
        " for longer than you like, and now it is walking.",
        "A smell of cold hearths comes up the path, and after it {a:foe_kind}, unhurried, putting"
        " each foot down without a sound.",
    ),
    strikes=(
        "{Foe} springs, and you feel the wind of its teeth on your wrist.",
        "{Foe} does not bite. It leans, with its whole weight, and the ground comes up to meet you.",
        "Soot bursts from the coat of {foe} as it turns, and for two heartbeats you fight blind.",
    ),
    falters=(
        "{Foe} puts a foot wrong. It looks at the foot as though it belonged to somebody else.",
        "The growl of {foe} breaks in the middle and comes back thinner.",
    ),
    ends=(
        "{Foe} sits down, shakes itself once, and falls into a heap of clean grey ash that the wind"
        " takes away between the trees.",
        "You and {foe} look at one another. Then it turns its back, which is the only way a wolf"
        " can say it, and limps off into the fern.",
    ),
)
_THORNLING = Foe(
    name="thornling",
    epithets=("crooked", "flowering", "squat"),
    description="A bundle of bramble that has learned to walk by watching deer.",
    threat="low",
    arrivals=(
        "A bramble you stepped over is in front of you again. It unknots itself, stands up on four"
        " legs of briar, and becomes {a:foe_kind}.",
        "There is a creak like a basket being lifted. {A:foe_kind} pulls its roots out of the path,"
        " one after the other, and turns the side with the thorns to you.",
    ),
    strikes=(
        "{Foe} whips a runner round your ankle and pulls as if it were landing a fish.",
        "A spray of thorns rattles against your sleeve, and {foe} creaks with satisfaction.",
        "{Foe} rolls at you like a hoop, all hooks.",
    ),
    falters=(
        "Half of {foe} stays behind on a stump, and the other half does not seem to know it.",
        "Sap runs from {foe}, green and sweet, and its steps grow short.",
    ),
    ends=(
        "One good cut at the root, and {foe} is a bramble again, with three early berries on it.",
        "{Foe} lets go of the ground, and without the ground it is nothing but kindling.",
    ),
)

_OAK = QuestTale(
    title="The Nail in the Oak",
    giver="Old Tamsin",
    foe="thornling",
    summary="The oldest tree of the wood is dying of an iron nail, and the wood is growing spiteful"
    " with the pain. {giver} asks you to find the nail and draw it.",
    offer="{Giver} takes your hand without asking and lays it against the nearest trunk. It is as"
    " hot as a sick child.\n\n“All of them,” she says, “from here to the river. Somebody has driven"
    " iron into the oldest one, and it has told the others. When trees are in pain they do not"
    " scream. They grow.” Behind her a bramble moves, though the air is still. “Find the nail,"
    " love. Draw it out before the wood finds somebody to blame.”",
    stages=(
        Stage(
            "Ask the trees the way to the leaning oak",
            "the leaning oak",
            "You go from trunk to trunk with your palm flat, as Tamsin did, and follow the heat. It"
            " leads you off the path, under a bank and over a brook that runs warm. Nobody has come"
            " this way in years, except for one pair of hobnailed boots.\n\nThe oak leans over its"
            " clearing like an old man over a table. At the height of a raised hammer, the bark has"
            " turned black.",
            "The fever leads to the leaning oak, and so do somebody’s hobnailed boots.",
        ),
        Stage(
            "Draw the nail out of the leaning oak",
            "the leaning oak",
            "The nail is as long as your hand and so cold that your breath sticks to it. You set"
            " your heel against the trunk and pull. It comes a finger’s width, and the whole wood"
            " draws in its breath.\n\nIt comes out all at once, with a sound like a tooth. The oak"
            " shudders from root to crown; and everything it has grown in its pain, having nobody"
            " to hate now but you, gets up.",
            "The nail is out, and what the pain grew has turned on you.",
            fight=True,
        ),
        Stage(
            "Bring the nail to Old Tamsin",
            "the herb garden",
            "Tamsin turns the nail over and over in her apron. There is a smith’s mark under the"
            " head, and she spends a long while not telling you whose it is. “He wanted the land,”"
            " she says in the end. “Well, it has had a good look at him now.”\n\nShe lays your hand"
            " on the nearest trunk again. It is cool, and rough, and under the bark, slow as"
            " a tide, something turns over and goes back to sleep.",
            "The nail is drawn, and the fever has left the wood.",
        ),
    ),
    items=("An acorn that is always warm",),
    gold=25,
    experience=120,
)
_LIGHTS = QuestTale(
    title="The Boy Who Followed the Lights",
    giver="Hesper Vane",
    foe="ash wolf",
    summary="Pell, the son of {giver}, followed the lights into the blackthorn last night. Bring"
    " him home before they teach him to burn.",
    offer="{Giver} does not stop stacking wood while she talks, because if she stops she will sit"
    " down. “My Pell is nine,” she says. “He has seen the lights all summer. Last night he left his"
    " boots by the door, side by side, the way you do when you go into somebody’s house.”\n\nShe"
    " holds the boots out to you. They are very small. “He will want these,” she says. “It is"
    " stony, where they live.”",
    stages=(
        Stage(
            "Follow the barefoot tracks to the ford",
            "the ford of stepping stones",
            "A barefoot child leaves a light track, but he stopped often to look up, and there the"
            " heels went deep. They take you to the ford of stepping stones, where eleven stones"
            " cross the water and each has a small scorched ring on it.\n\nOn the far bank hangs a"
            " scrap of blue wool. Beyond it the light between the trees is the wrong colour for"
            " this time of day.",
            "Pell crossed the ford, and the lights crossed with him.",
        ),
        Stage(
            "Find the place in the blackthorn where the lights live",
            "the blackthorn hollow",
            "The blackthorn grows in a ring with its thorns pointing inwards, as if to keep"
            " something from leaving. In the hollow the lights hang at the height of a child’s"
            " eyes, and in the middle of them sits Pell, laughing, holding out his hands as one"
            " does to a fire.\n\nHis fingertips are grey. He does not hear you. Something that"
            " does lifts its head from his lap.",
            "Pell is in the hollow among the lights, and they have set a guard.",
            fight=True,
        ),
        Stage(
            "Talk Pell out of the ring of lights",
            "the blackthorn hollow",
            "You sit down outside the ring, put the boots in front of you, and talk: about supper,"
            " about stony paths, about how his mother stacks wood when there is nobody to hand it"
            " to her. The lights press close. They do not know these words.\n\nPell looks at his"
            " hands, and then at the boots. “I should put those on,” he says slowly, and one after"
            " the other the lights go out.",
            "Pell has put on his boots, and the lights have let him go.",
        ),
        Stage(
            "Bring Pell home to Hesper",
            "the charcoal clearing",
            "Hesper sees the boots first, coming up the path with feet in them, and sets down the"
            " log she is holding as gently as an egg. Nobody says anything for a while. Pell shows"
            " her his grey fingers, and she puts them in her own black ones and says that now he"
            " looks like a proper burner.\n\nThat night no lights show in the blackthorn, only the"
            " one in the window, and it burns until morning.",
            "Pell is home, and the blackthorn is dark.",
        ),
    ),
    items=("A whistle of burnt elder",),
    gold=20,
    experience=140,
)

WOOD = World(
    name="wood",
    signs=frozenset(_SIGNS.split()),
    vistas=(
        "Beyond the last fence of {here} the trees begin, and they begin at once, the way deep"
        " water does. Moss has taken the milestones. A path goes in that somebody keeps open, though"
        " you see no footprints on it.",
        "The light in {here} is green and comes from everywhere. Rain that fell this morning is"
        " still on its way down, leaf by leaf, and the oldest oaks keep some of it for later.",
    ),
    weather=(
        "A woodpecker knocks, and is not let in.",
        "The fern closes again behind something small.",
        "Sunlight comes down in one place only, and moves on.",
        "It smells of rain that has not been decided on yet.",
        "An acorn drops, and it is a long time landing.",
        "A jay scolds and thinks better of it.",
        "Mist stands between the trunks like washing.",
        "Leaves turn over, pale side up.",
        "Somewhere a branch comes down that nobody touched.",
        "The ground gives a little underfoot, as if it breathed.",
    ),
    spots=(
        Spot(
            "the charcoal clearing",
            (
                "Three earth-covered stacks smoke here day and night, and must never be left alone.",
                "The ground is black for fifty paces round, and even the butterflies are grey.",
            ),
        ),
        Spot(
            "the ford of stepping stones",
            (
                "There are eleven stones across the water, and everyone counts twelve steps.",
                "The water talks here, and it has a good deal to say about what is upstream.",
            ),
        ),
        Spot(
            "the blackthorn hollow",
            (
                "The thorns all point inwards.",
                "Nothing sings in the hollow, and yet it is never quite quiet.",
            ),
        ),
        Spot(
            "the warden’s hut",
            (
                "A hundred iron traps hang under its eaves, all of them sprung and rusted shut.",
                "Smoke comes from the chimney whether or not there is anybody at home.",
            ),
        ),
        Spot(
            "the leaning oak",
            (
                "It would take eight people with their arms out to go round it, and a ninth to"
                " persuade them.",
                "It leans towards whoever is speaking, or so it seems from underneath.",
            ),
        ),
    ),
    people=(
        Person(
            "Old Tamsin",
            "the herbwife",
            "with her apron full of something that is still moving",
            (
                "“Eat nothing blue,” she says. “I mean to say, nothing that turned blue while you"
                " were looking.”",
                "“I was lost in here for a year once,” she says. “Best year I had.”",
                "“The wood does not hate you,” she says. “It has only just noticed you. Walk as if"
                " you were asked.”",
            ),
        ),
        Person(
            "Hesper Vane",
            "the charcoal burner",
            "black to the eyes, with a rake over her shoulder",
            (
                "“Fire is like a guest,” she says. “Give it a chair, or it will take the bed.”",
                "“You want to hear the weather?” she says. “Put your ear on the stack. It knows"
                " before the sky does.”",
                "“I do not mind company,” she says, “so long as it can carry wood and talk at the"
                " same time.”",
            ),
        ),
        Person(
            "Ilar",
            "the warden",
            "so still that you take him for a post at first",
            (
                "“Two went in this morning,” he says. “Three came out. I am thinking about it.”",
                "“Leave the path if you must,” he says, “but tell it when you will be back.”",
                "“That was an owl,” he says. A moment later he says: “No.”",
            ),
        ),
        Person(
            "Fenna Reed",
            "the basket weaver",
            "her fingers going on working while she looks at you",
            (
                "“I had a basket once that would hold water,” she says. “Then somebody told it that"
                " it could not.”",
                "“Willow remembers,” she says. “Never make a cradle from the tree you wept under.”",
                "“Sit,” she says. “You make the birds nervous.”",
            ),
        ),
    ),
    foes=(_WOLF, _THORNLING),
    finds=(
        Find("Shrine", "a knee-high shrine of river stones, with fresh bread on it", ("forest",)),
        Find(
            "CharacterProgress Stone",
            "a standing stone wound about with ivy, except where a hand has been laid on it",
            ("forest", "stone"),
        ),
        Find(
            "Wellspring",
            "a spring that rises between two roots, and so clear that you see it only by its cold",
            ("forest", "water"),
        ),
        Find(
            "Hunting Lodge",
            "a lodge with a tree through its roof, the table laid for six under the leaves",
            ("forest", "house"),
        ),
        Find(
            "Beehive",
            "a hollow lime tree full of bees, with a little door cut into it at a child’s height",
            ("forest", "bees"),
        ),
    ),
    trifles=(
        "a ring of toadstools with one set of footprints going in",
        "a wooden spoon, hung on a twig as if to dry",
        "a bird’s nest lined with human hair, three colours of it",
        "a button carved from a cherry stone",
        "a feather, half white, half black, with a perfectly straight line between",
        "a child’s boot print with moss already growing in it",
        "an arrow shot straight into the ground, up to the feathers",
    ),
    quests=(_OAK, _LIGHTS),
)
