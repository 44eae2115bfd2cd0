"""The schema of the phrase tables: which tables exist, and which placeholders are bound in each."""

from typing import Any, Final

from pydantic import create_model

from app.standins.storyteller import templates as t

Phrases = dict[str, tuple[str, ...]]
"""The templates of each table, by `file.table`."""

_QUEST: Final = f"{t.GIVER} quest task"

# For each file, the placeholders that are bound beside those of every scene, and the tables.
# Tables under None have neither placeholders nor choices: the story recognises their texts.
_TABLES: Final[dict[str, dict[str | None, str]]] = {
    "echo": {
        "": "wordless nonsense",
        "retold_again": "again",
        "words comma stop": "spoken asked",
    },
    "combat": {
        None: "hurt",
        "": "struck_first stance finishing quiet old_wound way_open refuge surrendered mercy beaten",
        "others": "company",
        "foe foe_kind": "arrivals",
        "foe helpers": "answer_attack answer_talk answer_look answer_use answer_rest"
        " answer_magic answer_fizzle answer_careless answer_other circling dropping strikes falters"
        " ends choices advice helpers_gone flight losing",
        _QUEST: "back_to_quest quest_remains",
    },
    "quest": {
        "": "ready departure afterwards refused_choice given_up_choice",
        t.GIVER: "meeting meeting_again pleading",
        f"{t.GIVER} reference": "led_back back_to_reference",
        _QUEST: "setting_out on_the_way not_yet plain_stages plain_finales plain_rewards refused"
        " given_up lost",
        f"{_QUEST} next_task": "next",
        f"{_QUEST} treasure": "rewards",
    },
    "plain": {
        None: "sentences words",
    },
    "content": {
        None: "names looks manners motives secrets buried places points dwellers hooks gists"
        " remarks faults advice",
        "who people trade origin place genre tone": "backstory personality combat equipment plot"
        " location quest dialogue event story scene description closing",
    },
    "table": {
        None: "responses options conditions threats progress notes",
    },
    "place": {
        "": "feeling changed",
        "find trait poi": "found",
        "place memory": "reminded returned",
    },
    "scene": {
        None: "healed",
        "": "introduction first_choice used met met_again rumours rested left adrift thoughts"
        " options hooks silence elegies ghostly rest_in_peace any_spot magic fizzle declined"
        " surrendered nothing_carried further",
        "goods": "carried",
        "words stop": "wished last_words",
        "trifle": "noticed taken",
        "line": "moved arrived",
        _QUEST: "quest_talk giver_talk quest_options quest_hooks",
    },
}


def _model(tables: dict[str | None, str]) -> type[t.Record]:
    fields: dict[str, Any] = {
        name: (t.Some[t.Line] if bound is None else t.templates(f"{t.SCENE} {bound}"), ...)
        for bound, names in tables.items()
        for name in names.split()
    }
    return create_model("Phrases", __base__=t.Record, **fields)


MODELS: Final = {file: _model(tables) for file, tables in _TABLES.items()}
