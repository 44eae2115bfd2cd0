"""Quests that can happen in any world. {far} and {near} are two of its spots."""

from app.standins.storyteller.lore import QuestTale, Stage

QUESTS = (
    QuestTale(
        title="A Letter for Nobody",
        giver=None,
        foe=None,
        summary="{giver} has carried a sealed letter for seven years, and there is no such person as"
        " the one it is addressed to. Deliver it all the same.",
        offer="{Giver} draws a letter out of an inside pocket, soft with carrying. There is a name on"
        " it. “I have asked everywhere,” {giver} says. “Nobody of that name has ever lived here. And"
        " every year, on this day, the ink is fresh.”\n\nYou look. It shines, as if the pen had just"
        " been lifted. “It has got heavier this week. I think that somebody has arrived. Will you"
        " carry it for me? My legs are not what they were when it was only paper.”",
        stages=(
            Stage(
                "Ask for the name on the letter at {far}",
                "{far}",
                "At {far} you say the name aloud, feeling a little foolish, and then a second time,"
                " feeling less so, because the letter has turned in your hand. It wants to go left."
                "\n\nSomebody who has been standing here all the while says: “They have been asking"
                " for you, too. Over there. They said that you would be late.”",
                "Somebody of that name has arrived, and is expecting you.",
            ),
            Stage(
                "Find the stranger who is waiting near {near}",
                "{near}",
                "You see the stranger from a distance: a chair, a table with two cups, all set out in"
                " the open as if the walls had been taken away from round them. The letter grows so"
                " heavy that you carry it in both arms.\n\n“Ah,” says the stranger. “Mine, I think."
                " But you were followed. Letters like that are worth something, to those who cannot"
                " write.”",
                "The stranger is real, and you are not the only one who wants the letter delivered.",
                fight=True,
            ),
            Stage(
                "Put the letter into the right hands",
                "{near}",
                "You hold it out, and it weighs no more than paper. The stranger reads it standing,"
                " twice, and folds it small. “It says that I was here,” the stranger tells you, “and"
                " that somebody noticed. You have no idea how few people can prove it.”\n\nWhen you"
                " look up from the cup that has been pushed across to you, the chair is empty. You"
                " bring the second cup back to {giver}, who turns it round and round, and smiles,"
                " and does not ask.",
                "The letter has been delivered.",
            ),
        ),
        items=("A cup of thin blue china",),
        gold=30,
        experience=100,
    ),
    QuestTale(
        title="The Sleeper’s Stone",
        giver=None,
        foe=None,
        summary="Nobody has slept since a grey stone was dug up near {near}. {giver} asks you to find"
        " out what it misses, and to take it back.",
        offer="{Giver} has not slept, and it shows: the sentences begin well and then look about them."
        " “Five nights,” {giver} says. “All of us. It began when they dug up that stone. We lie"
        " there with our eyes open, and we can feel it lying there, too.”\n\nA grey thing is put into"
        " your hands, wrapped in a scarf, no larger than a loaf. It is warm on one side, like"
        " a pillow that somebody has just left. “Take it back,” {giver} begs. “Only first find out"
        " what it wants. We tried just putting it back.”",
        stages=(
            Stage(
                "Look at the hole near {near} where the stone lay",
                "{near}",
                "The hole is lined with moss, and shaped: here a shoulder, there a hip. It was"
                " never a stone in the ground, you think. It was a stone in a bed. And beside the"
                " first hollow there is a second, smaller, empty too, with a drag mark leading away"
                " towards {far}.",
                "There were two stones, and the small one has been taken to {far}.",
            ),
            Stage(
                "Find the smaller stone at {far}",
                "{far}",
                "You do not find the small stone so much as hear it. It is a sound like a child who"
                " has been crying for so long that it has become a kind of breathing. Somebody has"
                " used it to prop a door. In your arms the large stone turns over.\n\nYou reach for"
                " the small one, and find that something has taken a liking to it, and does not"
                " share.",
                "The smaller stone is found, and so is the one who kept it.",
                fight=True,
            ),
            Stage(
                "Lay the two stones back to bed",
                "{near}",
                "You lay the large one down first and the small one in the crook of it, and pull the"
                " moss up over both. Nothing happens, the way nothing happens when a house goes"
                " quiet.\n\nOn the way back you pass people asleep on benches, asleep against walls,"
                " asleep with the spoon halfway. {Giver} is asleep on your doorstep, and has a purse"
                " with your name on it in one open hand.",
                "Both stones are in bed, and everybody sleeps.",
            ),
        ),
        items=("A scarf that smells of sleep",),
        gold=30,
        experience=110,
    ),
)
