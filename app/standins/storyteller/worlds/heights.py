"""The high passes."""

from app.standins.storyteller.lore import Find, Foe, Person, QuestTale, Spot, Stage, World

_SIGNS = (
    "mountain mountains snow snowy ice icy winter peak peaks pass frost frozen north northern"
    " glacier dwarf dwarven viking cold blizzard cliff cliffs summit giant giants dragon tundra hills"
)

_WIGHT = Foe(
    name="frost wight",
    epithets=("bearded", "roped", "silent"),
    description="A traveller who sat down in the snow to rest, a hundred winters ago.",
    threat="medium",
    arrivals=(
        "The snow to your left sits up. {A:foe_kind} brushes it from both shoulders, with great"
        " care, and holds out a blue hand to be helped to its feet.",
        "Your breath, which has been going up in a plume, bends suddenly sideways. {A:foe_kind} is"
        " breathing it in.",
    ),
    strikes=(
        "{Foe} lays a palm on your chest, almost tenderly, and all the warmth runs to meet it.",
        "An axe of clear ice goes by, and {foe} comes round after it like a door in the wind.",
        "{Foe} opens its mouth, and the blizzard in there comes out.",
    ),
    falters=(
        "A crack runs across {foe} from hip to shoulder, ticking.",
        "Water stands on the face of {foe}. It touches it, and looks at the fingers.",
    ),
    ends=(
        "{Foe} sits down again, as it did once before, and puts its chin on its knees. The snow"
        " comes back and covers it up.",
        "The crack goes all the way through. {Foe} falls in large clear pieces, and in one of them,"
        " tiny, a lamp goes out.",
    ),
)
_CAT = Foe(
    name="ridge cat",
    epithets=("scarred", "white", "gaunt"),
    description="Grey on grey, heavy as a calf, and the silence between two gusts.",
    threat="low",
    arrivals=(
        "A pebble comes down from the ledge above, and no second pebble follows. {A:foe_kind} is"
        " lying there with its chin on its paws, making up its mind.",
        "You look back, and the boulder you passed has a tail. {A:foe_kind} gathers itself under"
        " its own shoulders.",
    ),
    strikes=(
        "{Foe} comes off the rock like a thrown sack and rakes your pack from top to bottom.",
        "A paw the size of a plate pats you, nearly over the edge.",
        "{Foe} screams like a person, and while your blood is still cold it jumps.",
    ),
    falters=(
        "{Foe} lands badly and holds one paw off the snow.",
        "The ears of {foe} go flat. It is doing sums, and does not like them.",
    ),
    ends=(
        "{Foe} springs straight up the cliff, where there is nothing to stand on, and is gone with"
        " a sneeze of snow.",
        "{Foe} turns over once in the air and once on the slope, and then lies still, and looks"
        " smaller.",
    ),
)

_FIRES = QuestTale(
    title="Three Fires on the Ridge",
    giver="Sunniva",
    foe="frost wight",
    summary="The three beacons of the pass are dead, and somebody has been putting them out. {giver}"
    " asks you to relight them before the last caravan crosses.",
    offer="{Giver} shows you her hands, and they are bandaged to the wrist. “I lit it five times,” she"
    " says. “Five times something came and put its palms on it, like a person warming themselves,"
    " and it went out. The other two the same.”\n\nShe nods at the window, at a great deal of"
    " darkness. “There is a caravan on the far side with sixty people in it. Without three fires in"
    " a line they will walk straight off the edge of the world. I can climb, but I cannot hold"
    " a torch. You have hands.”",
    stages=(
        Stage(
            "Light the first fire in the cairn field",
            "the cairn field",
            "The cairns stand about like people who have stopped talking because you came. The first"
            " beacon is a basket of iron on a heap of stones, full of snow that somebody has patted"
            " flat. You dig it out. You lay the kindling with your back to the wind, and the third"
            " spark takes.\n\nIn the new light you see that there is a ring of bare footprints round"
            " the basket. They all point inwards.",
            "The first fire burns, and something barefoot has been warming itself there.",
        ),
        Stage(
            "Light the second fire at the far end of the rope bridge",
            "the rope bridge",
            "Halfway over, the bridge begins to hum, and you find that you are walking in step with"
            " someone behind you. You do not look round. You reach the second basket, you strike,"
            " and it catches with a roar.\n\nOn the bridge the footsteps stop. Then they come on,"
            " faster, as anybody would who has been cold for a hundred years and has seen a fire.",
            "The second fire burns, and the one who puts them out has come to it.",
            fight=True,
        ),
        Stage(
            "Light the last fire on the beacon ledge",
            "the beacon ledge",
            "The wood on the ledge is green, and your tinder is wet. In the end you burn the beacon"
            " keeper’s chair, her table and most of a door, and Sunniva stands by and hands you the"
            " pieces between her wrists. It takes. Three fires stand in a line across the dark."
            "\n\nA long way down a little chain of lanterns stops, thinks, and turns. “Sixty,” says"
            " Sunniva, when the last has gone by below. At the edge of the light, at a proper"
            " distance, somebody barefoot holds out two blue hands to the fire. She lets them stay.",
            "All three fires burn, and the caravan is over the pass.",
        ),
    ),
    items=("A fire steel that never slips",),
    gold=40,
    experience=130,
)
_BRIDGE = QuestTale(
    title="The Bridge-Builder’s Debt",
    giver="Brandt Iver",
    foe="ridge cat",
    summary="{giver} borrowed one plank from the mountain to finish his bridge, and the mountain has"
    " begun to ask for it back. Help him to pay.",
    offer="{Giver} will not meet your eye. He is looking at the bridge, plank by plank, with moving"
    " lips. “I was one short,” he says. “Thirty years ago, with the winter coming. There was a dead"
    " pine by the tarn, with a ribbon on it. I knew what the ribbon meant. I took it anyway.”\n\n"
    "The bridge creaks, though there is nobody on it. “It wants its plank. I have had three goats"
    " through the rail this month, and yesterday the post-boy, nearly. I will pull it if you will"
    " find out what it wants instead. I am too well known up there.”",
    stages=(
        Stage(
            "Find the stump by the frozen tarn",
            "the frozen tarn",
            "The tarn is frozen so clear that the stones on its floor look like stones in the sky."
            " You find the stump on the north side, grey and hard as horn. Thirty ribbons have been"
            " tied to the stub of its last branch, one for each year, and they are all the same"
            " red.\n\nThe newest is not faded at all. There are goat tracks under it, and a woman’s"
            " boots.",
            "Somebody still ties a ribbon to the stump every year.",
        ),
        Stage(
            "Follow the boot prints from the tarn",
            "the goat path",
            "The boots go up where you would not have thought there was an up. It is a path for"
            " goats, and in places not for all goats. At the top of it an old woman sits in the"
            " mouth of a cave with a red ribbon in her lap.\n\n“He might have asked,” she says,"
            " before you have said anything. “It was my husband’s tree. I would have given it.”"
            " Then she looks past you and says, without moving: “She is above you. She is hungry."
            " Do not run.”",
            "The tree was a widow’s, and all Brandt had to do was ask.",
            fight=True,
        ),
        Stage(
            "Bring Brandt to ask, thirty years late",
            "the rope bridge",
            "It takes you an hour to talk Brandt up the goat path, and him a minute to say it. She"
            " lets him stand there for a while, as is her right. Then she gives him the ribbon.\n\n"
            "He ties it to the middle plank himself, down on his knees, with the wind trying to"
            " read over his shoulder. The bridge gives one long creak from end to end, like an old"
            " house on the first warm day, and hangs still. You are the first to walk across.",
            "The bridge has been asked for and given, and it hangs still.",
        ),
    ),
    items=("A red ribbon",),
    gold=35,
    experience=120,
)

HEIGHTS = World(
    name="heights",
    signs=frozenset(_SIGNS.split()),
    vistas=(
        "Above {here} there is only the pass, and above the pass only weather. Snow smokes off the"
        " ridge. Down in the valley the last lights are about as big, and about as warm, as stars.",
        "The road into {here} has been cut from the rock by people who meant it. On one side is the"
        " mountain. On the other is nothing, for a long way, with an eagle in it.",
    ),
    weather=(
        "The sun stands behind the cloud like a lamp behind a sheet.",
        "Ropes of snow unwind from the ridge.",
        "A long way down, a dog barks at the whole mountain.",
        "The cold has a sound here, thin and very high.",
        "For a moment you can see your own shadow on the mist, with a ring round it.",
        "Snow creaks like a new boot.",
        "The wind drops to listen, and rises again.",
        "Somewhere above, ice lets go of stone.",
        "Your breath hangs, glitters and falls.",
        "A raven goes over, rowing hard.",
    ),
    spots=(
        Spot(
            "the way-house",
            (
                "Each guest leaves a log for the next one, and the pile has never been so low.",
                "The door opens both ways, because the snow does not always knock from outside.",
            ),
        ),
        Spot(
            "the rope bridge",
            (
                "It is a hundred and nine planks long, and the fifty-fifth is a different wood.",
                "The ropes hum a chord that was in tune once.",
            ),
        ),
        Spot(
            "the cairn field",
            (
                "Everyone who passes adds a stone, and some of the stones are a good deal older than"
                " the pass.",
                "From the corner of your eye there is always one cairn more.",
            ),
        ),
        Spot(
            "the frozen tarn",
            (
                "The ice is black and clear, and something has written on the underside.",
                "It booms now and then, deep down, like a door in a cellar.",
            ),
        ),
        Spot(
            "the beacon ledge",
            (
                "From here you can see three valleys, and be seen from five.",
                "An iron basket stands on the ledge, and old soot has drawn a tall man on the rock.",
            ),
        ),
    ),
    people=(
        Person(
            "Gudrun Hale",
            "the warden of the pass",
            "with snow in her eyebrows and a ledger under her arm",
            (
                "“I write down who goes over,” she says. “It saves time in the spring.”",
                "“The mountain does not kill people,” she says. “It just does not move out of the"
                " way.”",
                "“Good boots,” she says, looking down. “Somebody liked you.”",
            ),
        ),
        Person(
            "Osk",
            "the goatherd",
            "with a kid under each arm and one in his hood",
            (
                "“That one can count,” he says of a goat. “I would not play her for money.”",
                "“I lost one last week,” he says, “and found two. I have not said anything.”",
                "“Where a goat will not go, I do not go,” he says. “Where a goat will go, I do not"
                " go either.”",
            ),
        ),
        Person(
            "Brandt Iver",
            "the bridge-builder",
            "with a coil of rope over each shoulder, counting under his breath",
            (
                "“Never thank a bridge,” he says. “It makes them careless.”",
                "“There are two ends to a rope,” he says. “A good knot makes you forget it.”",
                "“It will hold you,” he says. “I would not say the same for what you are carrying.”",
            ),
        ),
        Person(
            "Sunniva",
            "the beacon keeper",
            "with soot on her cheekbones, never facing quite away from the window",
            (
                "“A fire is a word,” she says, “and it is the same in every language.”",
                "“I have seen the sun rise twice in one morning,” she says. “I did not light the"
                " second one.”",
                "“Come in or stay out,” she says, “but do not stand in the door. That is how it"
                " gets in.”",
            ),
        ),
    ),
    foes=(_WIGHT, _CAT),
    finds=(
        Find(
            "Cairn",
            "a cairn taller than a house, with a gap left in it for one more stone",
            ("snow",),
        ),
        Find(
            "Ice Cave",
            "a cave of blue ice with a rowing boat frozen into its floor, oars shipped",
            ("snow", "cave"),
        ),
        Find(
            "Watchtower",
            "a watchtower without a door, and a rope ladder that has been let down from inside",
            ("snow", "tower"),
        ),
        Find(
            "Hot Spring",
            "a steaming pool in the snow, and round its rim the folded clothes of eight people",
            ("snow", "water"),
        ),
        Find(
            "Giant’s Chair",
            "a seat of rock the size of a barn, worn smooth, with a worn place for the heels",
            ("snow", "stone"),
        ),
    ),
    trifles=(
        "a sledge runner made from a church pew",
        "a goat’s bell, and the loop of its strap still buckled",
        "three stones on top of one another, the top one warm",
        "a mitten on a string, and at the other end of the string another mitten, much larger",
        "a horseshoe for something with three toes",
        "a flute of ice that does not melt in the hand",
        "a page from the warden’s ledger, dated next spring",
    ),
    quests=(_FIRES, _BRIDGE),
)
