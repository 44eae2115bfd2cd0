"""The harbour and what the sea leaves there."""

from app.standins.storyteller.lore import Find, Foe, Person, QuestTale, Spot, Stage, World

_SIGNS = (
    "harbour harbor sea ship ships island isle coast pirate pirates beach port ocean bay sail sails"
    " sailor captain dock docks pier lighthouse reef shore tide lagoon mermaid kraken boat ferry"
)

_CRAWLER = Foe(
    name="brine crawler",
    epithets=("barnacled", "one-clawed", "pale"),
    description="A crab the size of a door, wearing pieces of the ships it has outlived.",
    threat="medium",
    arrivals=(
        "A heap of wet planks at the water’s edge shifts and gets to its feet. {A:foe_kind} has"
        " been wearing them, and it has seen you.",
        "Pebbles roll towards you, although the beach slopes the other way. Out of the hole they"
        " leave climbs {a:foe_kind}, sideways, clicking.",
    ),
    strikes=(
        "The great claw of {foe} closes where your arm was, with the sound of a gate.",
        "{Foe} spits brine, and the salt finds every scratch you own.",
        "{Foe} runs sideways, faster than anything should run sideways, and cuts you off from dry"
        " ground.",
    ),
    falters=(
        "A plank splits off the back of {foe}, with half a ship’s name on it, and there is something"
        " soft beneath.",
        "{Foe} favours one side now, and draws a wet half circle in the sand.",
    ),
    ends=(
        "{Foe} folds its legs one by one, as if it were counting them, and the next wave takes it"
        " out like a piece of furniture.",
        "The shell cracks from side to side. {Foe} backs into the water until there is only"
        " a line of bubbles, moving away.",
    ),
)
_WRECKER = Foe(
    name="wrecker",
    epithets=("bearded", "barefoot", "grinning"),
    description="A lantern in one hand, a boathook in the other, and no love of witnesses.",
    threat="medium",
    arrivals=(
        "A shuttered lantern opens a finger’s width. Behind the light {a:foe_kind} sighs, almost"
        " kindly, and swings a boathook down from one shoulder.",
        "“You ought not to have come up here,” somebody says. {A:foe_kind} steps out of the gorse,"
        " wet to the thighs, between you and the path.",
    ),
    strikes=(
        "The boathook of {foe} hums past your ear and takes a bite out of the rock.",
        "{Foe} throws a handful of wet sand at your eyes and comes in behind it.",
        "{Foe} hooks your ankle and pulls, laughing through broken teeth.",
    ),
    falters=(
        "The lantern falls and goes out, and in the dark the breathing of {foe} is suddenly loud.",
        "{Foe} glances over one shoulder, to see how far it is to the boat.",
    ),
    ends=(
        "The boathook clatters down the rocks. {Foe} goes after it, not quite of their own will, and"
        " comes up spluttering and swimming hard for anywhere else.",
        "“Enough,” says {foe}, and sits down with both hands showing. “It was never my idea. It was"
        " the light’s.”",
    ),
)

_FALSE_LIGHT = QuestTale(
    title="The Light That Lies",
    giver="Ysolde Finch",
    foe="wrecker",
    summary="A second light is burning on the cliffs, and ships have begun to believe it. {giver}"
    " asks you to find it and put it out before the grain fleet comes in.",
    offer="{Giver} leads you up to the lamp and turns you round by the shoulders to face the night."
    " “That is what I look at,” she says. Far down the coast, where there are only rocks, a second"
    " lamp turns. It keeps the same time as hers to the heartbeat.\n\n“Two ships so far. The grain"
    " fleet is due on the next tide, thirty sail of it. I cannot let mine go dark to look for that"
    " one.” She hands you a tin snuffer on a pole, solemnly, like a sword. “Put it out.”",
    stages=(
        Stage(
            "Search the wreck on the bar for a survivor",
            "the wreck on the bar",
            "The wreck lies with her back broken and her flag still up. In what was the galley sits"
            " the cook, up to his chest in the sea, guarding a ham. “We steered by the light,” he"
            " says, when you have made him understand that you are real. “It winked at us. Lights"
            " do not wink, do they? It was up by the salt caves.”",
            "The cook of the wreck saw the false light above the salt caves.",
        ),
        Stage(
            "Climb through the salt caves to the false light",
            "the salt caves",
            "The caves go up like the inside of a shell, and somebody has cut steps and hung a rope."
            " Crates stand along the wall: oranges, tin plates, a harp. At the top is a slot of"
            " sky, and in it a lamp as tall as you are, turning on a spit over a slow fire.\n\nIt"
            " is a good lamp. Somebody loved it once. And somebody is watching it.",
            "The false light stands above the salt caves, and it has a keeper.",
            fight=True,
        ),
        Stage(
            "Put out the false light and bring the news to Ysolde",
            "the lamp house",
            "It takes the snuffer, your cloak and a good deal of sea water, and then the false light"
            " is only hot glass ticking in the dark. Out on the water thirty lanterns hesitate."
            " They swing, one after another, towards the one light that is left.\n\nYsolde is at her"
            " rail when you come up the stairs. She does not turn round, because she is counting."
            " “Thirty,” she says at last, and lets go of the breath she has been holding for a"
            " week.",
            "The false light is out, and all thirty ships are in.",
        ),
    ),
    items=("A tin snuffer, dented with honour",),
    gold=45,
    experience=120,
)
_OWES = QuestTale(
    title="What the Tide Owes",
    giver="Maren Quill",
    foe="brine crawler",
    summary="The sea took the strongbox of {giver}’s father forty years ago. Tonight’s tide is the"
    " lowest since then, and she would like it back.",
    offer="{Giver} spits in the water, which is how she says good day to it. “Forty years ago it took"
    " my father,” she says. “I have carried people over its back ever since, so that we might stay"
    " on speaking terms.”\n\nShe points with her pole. Out on the bar, mud shows where there has"
    " always been sea. “Tonight it goes out further than it has since that day. His strongbox is"
    " down there. I do not want what is in it. I want to know what is in it. You will understand"
    " the difference when you are old.”",
    stages=(
        Stage(
            "Learn from Old Hob where the ship went down",
            "the fish stairs",
            "Old Hob mends three more knots before he lets himself hear you. “The Constance,” he"
            " says. “I was the boy on her. I have never told Maren that.” He takes a net needle and"
            " scratches a line on the step, and a cross at the end of it. “Walk towards the"
            " lamp house until you can see both chimneys. Then stop, or you will be standing on"
            " us.”",
            "Old Hob was aboard, and has marked where the Constance lies.",
        ),
        Stage(
            "Cross the bare sea bed to the Constance",
            "the bed of the sea",
            "You walk out where nobody walks. Eels lie in the cart ruts of a road that somebody paved"
            " before there was a sea here. When both chimneys stand clear of the hill you stop, and"
            " there are ribs of black oak all about you, and a figurehead with her hands over her"
            " eyes.\n\nThe strongbox is in the captain’s cabin, bolted to the floor. The cabin is"
            " not empty. It has had a tenant for forty years.",
            "The strongbox is in the cabin of the Constance, and something lives there.",
            fight=True,
        ),
        Stage(
            "Carry the strongbox ashore before the tide turns",
            "the tar-black pier",
            "The bolts are rust and the box is not. You drag it by a loop of chain, and behind you"
            " the sea clears its throat. It comes in along the old road at the pace of a man late"
            " for work. You run the last hundred yards with water in your boots and the strongbox"
            " skipping over the mud like a dog on a lead, and Hob’s hands haul you up the last of"
            " the stairs.",
            "The strongbox is ashore, and the tide has only got your footprints.",
        ),
        Stage(
            "Open the strongbox with Maren",
            "the tar-black pier",
            "Maren breaks the lock with the heel of her pole. No gold, or hardly any. The box is full"
            " of letters in waxed cloth, one for each birthday of a girl called Maren, written"
            " ahead, up to her sixtieth.\n\nShe looks at them for a long time. “I am"
            " fifty-nine,” she says. She puts a hand on the planks, and under them the sea, quite"
            " gently, touches the pier and goes away again.",
            "The box is open, and the sea and Maren Quill are even.",
        ),
    ),
    items=("A coin from the Constance",),
    gold=30,
    experience=140,
)

COAST = World(
    name="coast",
    signs=frozenset(_SIGNS.split()),
    vistas=(
        "The sea has {here} on three sides and would like the fourth. Masts tick in the wind. Gulls"
        " stand along the harbour wall in order of rank, and the one at the end is looking at you.",
        "Low water, and {here} stands on its green legs with its skirts held up. Nets dry on"
        " everything that will hold a net. The air tastes of tar and of somebody’s breakfast.",
    ),
    weather=(
        "A wave comes in that is not the same size as the others.",
        "The gulls fall silent, and begin again with a different subject.",
        "Fog feels its way along the wall like a blind man.",
        "Rigging hums, a little flat.",
        "The tide turns over in its bed.",
        "A buoy clanks out in the grey.",
        "Spray comes over the wall, and nobody looks up.",
        "The wind backs, and every weathercock disagrees.",
        "Far out, a sail shows and is folded away.",
        "Salt has drawn maps on the window panes.",
    ),
    spots=(
        Spot(
            "the tar-black pier",
            (
                "It goes out further than it needs to, as though somebody could not stop building.",
                "Names are burnt into the planks, and there is a gap left where yours would go.",
            ),
        ),
        Spot(
            "the fish stairs",
            (
                "Forty slippery steps go down into the water, and people sit on them by seniority.",
                "Scales shine on every step, and cats lie above them in various stages of regret.",
            ),
        ),
        Spot(
            "the lamp house",
            (
                "The great lamp turns with a sound like a slow thought.",
                "The stairs wind up around a weight on a chain, which winds down.",
            ),
        ),
        Spot(
            "the wreck on the bar",
            (
                "At low water you can walk to her. At high water she can walk to you, they say.",
                "Her bell hangs crooked and speaks at every seventh wave.",
            ),
        ),
        Spot(
            "the salt caves",
            (
                "The walls are white and sweat a little, and whatever is said here stays on the lips.",
                "Your breath goes in ahead of you and does not come back.",
            ),
        ),
    ),
    people=(
        Person(
            "Maren Quill",
            "the ferrywoman",
            "leaning on her pole as if it were planted there",
            (
                "“I have never lost a passenger,” she says. “I have put one or two back.”",
                "“There are four tides a day,” she says. “They only tell you about two of them.”",
                "“Sit in the middle,” she says, “and do not wave back.”",
            ),
        ),
        Person(
            "Ysolde Finch",
            "the lamp keeper",
            "with her eyes screwed up against a brightness that is not there",
            (
                "“I sleep by day,” she says, “and dream in flashes. One long, two short.”",
                "“It is not the dark that sinks ships,” she says. “It is being sure.”",
                "“They write to me from the other side,” she says, “to ask whether I could burn it"
                " a little lower.”",
            ),
        ),
        Person(
            "Old Hob",
            "the net mender",
            "with a wooden needle between his teeth",
            (
                "“A net is only holes,” he says, “tied together by a man with patience.”",
                "“I had a fish once that I let go,” he says, “and it has made my life very"
                " difficult.”",
                "“Ask me something easy,” he says. “Ask me where the wind goes.”",
            ),
        ),
        Person(
            "Dace Corrigan",
            "the harbour master",
            "writing down your arrival before you have finished arriving",
            (
                "“Anything to declare?” she asks. “Grudges count.”",
                "“I have you down as cargo,” she says, “until you prove otherwise.”",
                "“One ship more went out this morning than came in last night,” she says. “I am not"
                " asking you. I am telling you.”",
            ),
        ),
    ),
    foes=(_CRAWLER, _WRECKER),
    finds=(
        Find(
            "Slipway", "a slipway that runs down under the weed, its rails still greased", ("sea",)
        ),
        Find(
            "Boathouse",
            "a boathouse with one boat in it, keel upward, and a thin smoke coming from the keel",
            ("sea", "house"),
        ),
        Find(
            "Tide Pool",
            "a pool in the rocks, round as an eye, with a stair cut into its far side",
            ("sea", "water"),
        ),
        Find(
            "Figurehead",
            "a figurehead set upright in the sand, hung with necklaces of shell by several hands",
            ("sea", "ship"),
        ),
        Find(
            "Salt Chapel",
            "a chapel of driftwood where the candles are lit from below, by the sea, at high water",
            ("sea", "chapel"),
        ),
    ),
    trifles=(
        "a wooden leg, left, carved all over with hearts",
        "a ship’s biscuit with a date on it, and teeth marks later than the date",
        "a glass float with a candle stub inside it",
        "a bottle with a message in it, in your own handwriting, too wet to read",
        "a brass dial that shows the depth of something other than water",
        "a shell with a different sea in it",
        "a sailor’s knot that nobody could have tied with two hands",
    ),
    quests=(_FALSE_LIGHT, _OWES),
)
