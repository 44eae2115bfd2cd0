"""The operations on conversations."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.core import wire
from app.dialogue import routes, schemas
from app.turns.api import ANSWERING, READABLE, SEEN_TO_THE_END
from app.web.parameters import EXAMPLE_TURN, IDEMPOTENCY_KEY, LAST_EVENT_ID, USER_ID
from app.web.routing import Answer, Body, Json, Operation, Parameter, Tag

DIALOGUE: Final = Tag("Dialogue", "Talk with a co-host that remembers the conversation.")
_operation = partial(Operation, scope="chat", tag=DIALOGUE)

_CONVERSATION: Final = Parameter(
    "conversation_id",
    "query",
    "Which of the caller's conversations.",
    {
        "type": "string",
        "pattern": schemas.CONVERSATION_ID,
        "default": schemas.DEFAULT_CONVERSATION,
    },
)
_ACCEPT: Final = Parameter("Accept", "header", "`text/event-stream` streams the answer.")
_USAGE: Final[Json] = {
    "model": "gpt-5.1",
    "input_tokens": 210,
    "output_tokens": 9,
    "total_tokens": 219,
    "estimated": False,
}
_REPLY: Final[Json] = {
    "response": "Go left, the bridge is a trap!",
    "error": None,
    "timestamp": "2030-01-01T12:00:00.000Z",
    "context_summary": "",
    "current_topics": ["bridge"],
    "conversation_id": "default",
    "message_id": EXAMPLE_TURN,
    "speaker": "",
    "cached": False,
    "usage": _USAGE,
}

OPERATIONS: Final = (
    _operation(
        method="POST",
        path="/chat",
        endpoint=routes.post_chat,
        name="chat",
        summary="Say something and get the answer",
        about="With `Accept: text/event-stream` the answer is streamed as a turn is: `token` events, then "
        "one `complete` that carries `chat`, resumable at `Location` and cancelled as a turn. Messages to "
        "one conversation are answered one after another. A message whose answer fails, is empty or is "
        "cancelled leaves no trace in the conversation.",
        parameters=(IDEMPOTENCY_KEY, LAST_EVENT_ID, USER_ID, _ACCEPT),
        request=Body(
            schemas.ChatIn,
            {"username": "ann", "message": "Left or over the bridge?", "emotes": ["thinking"]},
        ),
        answers=(
            Answer(
                200,
                "The answer.",
                json=schemas.ChatReply,
                events=wire.TurnEvent,
                headers=READABLE,
                example=_REPLY,
            ),
            SEEN_TO_THE_END,
        ),
        errors=ANSWERING,
    ),
    _operation(
        method="GET",
        path="/context",
        endpoint=routes.get_context,
        name="getContext",
        summary="What a conversation remembers",
        parameters=(_CONVERSATION, USER_ID),
        answers=(Answer(200, "The newest exchanges.", json=schemas.ChatContext),),
        errors=(errors.ValidationError, errors.Overloaded),
    ),
    _operation(
        method="PUT",
        path="/context/personas",
        endpoint=routes.put_personas,
        name="setPersonas",
        summary="Say who speaks in a conversation",
        about="The whole list at a time. A persona knows only what was said since it joined, also where it "
        "is changed later, until the conversation is cleared.",
        parameters=(_CONVERSATION, USER_ID),
        request=Body(
            schemas.PersonasIn,
            {"personas": [{"name": "Grok", "system_prompt": "You are a grumpy orc innkeeper."}]},
        ),
        answers=(Answer(200, "The speakers.", json=schemas.Personas),),
        errors=(errors.Overloaded,),
    ),
    _operation(
        method="DELETE",
        path="/context",
        endpoint=routes.delete_context,
        name="clearContext",
        summary="Forget a conversation",
        about="An answer that is under way is not kept, either.",
        parameters=(_CONVERSATION, USER_ID),
        answers=(Answer(200, "It is forgotten.", json=schemas.ContextCleared),),
        errors=(errors.ValidationError, errors.Overloaded),
    ),
)
