"""The operations that front ends call."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.characters.api import X_CHARACTER_ID
from app.frontends import schemas
from app.frontends.ag_ui.routes import post_run
from app.frontends.ai_sdk.routes import get_chat_stream, post_chat
from app.frontends.openai import routes as openai
from app.frontends.openai import schemas as completions
from app.turns.api import ATTACHING, MODEL, READABLE, RUNNING
from app.turns.schemas import TurnCancelledAnswer
from app.web.parameters import (
    CHARACTER_ID,
    EXAMPLE_TURN,
    IDEMPOTENCY_KEY,
    USER_ID,
)
from app.web.routing import Answer, Body, Operation, Parameter, Tag

FRONT_ENDS: Final = Tag("Front ends", "Turns in the protocols of other people's front ends.")
_operation = partial(Operation, scope="turns", tag=FRONT_ENDS)
_PLAYING: Final = (*ATTACHING, *RUNNING, errors.IdempotencyKeyReused, errors.NoNewAction)
_ONE_LINE: Final = {"type": "string", "pattern": r"^[^\n]*$"}
_SAY: Final = "I lift the latch and look inside."
_LEAVING: Final = (
    " Leaving stops nothing, unless `DIALECT_STOP=cancel`: `POST /turns/{X-Turn-Id}/cancel` does."
)

OPERATIONS: Final = (
    _operation(
        method="POST",
        path="/ag-ui/{character_id}",
        endpoint=post_run,
        name="runAgent",
        summary="Take a turn as a run of AG-UI",
        about="The same message of the same thread is the same turn. A run whose last message is an "
        "answer of ours goes on with that turn's text." + _LEAVING,
        parameters=(CHARACTER_ID, USER_ID),
        request=Body(
            schemas.RunBody,
            {
                "threadId": "thread-1",
                "runId": "run-1",
                "messages": [{"id": "message-1", "role": "user", "content": _SAY}],
            },
        ),
        answers=(Answer(200, "The run.", foreign="An event of AG-UI 1.0.", headers=READABLE),),
        errors=_PLAYING,
    ),
    _operation(
        method="POST",
        path="/ai-sdk/{character_id}",
        endpoint=post_chat,
        name="streamChat",
        summary="Take a turn as a message of the AI SDK",
        about="The same message of the same chat is the same turn, also when it is to be regenerated."
        + _LEAVING,
        parameters=(CHARACTER_ID, USER_ID),
        request=Body(
            schemas.ChatBody,
            {
                "id": "chat-1",
                "trigger": "submit-message",
                "messages": [
                    {
                        "id": "message-1",
                        "role": "user",
                        "parts": [{"type": "text", "text": _SAY}],
                    }
                ],
            },
        ),
        answers=(
            Answer(
                200, "The message.", foreign="A chunk of a UI message stream.", headers=READABLE
            ),
        ),
        errors=_PLAYING,
    ),
    _operation(
        method="GET",
        path="/ai-sdk/{character_id}/{chat:path}/stream",
        endpoint=get_chat_stream,
        name="resumeChat",
        summary="The newest turn of a chat, from its start",
        about="While it runs and for 60 s after its end.",
        parameters=(
            CHARACTER_ID,
            Parameter("chat", "path", "The chat's id, in one line.", _ONE_LINE, "chat-1"),
            USER_ID,
        ),
        answers=(
            Answer(
                200,
                "The message.",
                foreign="A chunk of a UI message stream.",
                headers=READABLE[:2],
            ),
            Answer(204, "No turn of the chat runs or has just ended."),
        ),
        errors=(errors.ValidationError, errors.RateLimitExceeded, errors.Overloaded),
    ),
    _operation(
        method="POST",
        path=openai.PATH,
        endpoint=openai.post_completion,
        name="createChatCompletion",
        summary="Take a turn as a chat completion",
        about="The last user message is the action. What repeats, regenerates or continues a turn is "
        "that turn; what front ends ask by themselves is answered without one." + _LEAVING,
        parameters=(
            IDEMPOTENCY_KEY,
            Parameter("X-OpenWebUI-Chat-Id", "header", "Distinguishes chats."),
            Parameter("x-stainless-retry-count", "header", "How often an SDK repeats a request."),
            USER_ID,
        ),
        request=Body(
            completions.CompletionBody,
            {
                "model": "dungeon-master/new",
                "stream": True,
                "messages": [{"role": "user", "content": "Maren Ashdown, human, ranger"}],
            },
        ),
        answers=(
            Answer(
                200,
                "The chunks, or a whole completion.",
                json=completions.Completion,
                foreign="A `chat.completion.chunk`, or an `error`.",
                headers=(*READABLE, X_CHARACTER_ID),
            ),
        ),
        errors=(
            *_PLAYING,
            *MODEL,
            errors.HistoryIsWritten,
            errors.NotATurn,
            errors.ModelNotFound,
            errors.CharacterExists,
        ),
    ),
    _operation(
        method="POST",
        path="/v1/chat/completions/{completion_id}/cancel",
        endpoint=openai.post_cancel,
        name="cancelChatCompletion",
        summary="Cancel the turn of a completion",
        about="For clients that see the `id` of chunks, and no headers.",
        parameters=(
            Parameter(
                "completion_id", "path", "`id` of any chunk.", example=f"chatcmpl-{EXAMPLE_TURN}"
            ),
            USER_ID,
        ),
        answers=(Answer(202, "It is cancelled.", json=TurnCancelledAnswer),),
        errors=(errors.TurnNotFound, errors.NotCancellable),
    ),
    _operation(
        method="GET",
        path="/v1/models",
        endpoint=openai.get_models,
        name="listModels",
        summary="A model for each character",
        about="And `dungeon-master/new`, which makes one, and `dungeon-master-tasks`, which answers "
        "what front ends ask by themselves.",
        parameters=(USER_ID,),
        answers=(Answer(200, "The models.", json=completions.Models),),
        errors=(errors.Forbidden, errors.JourneyLogError, errors.JourneyLogTimeout),
    ),
    _operation(
        method="GET",
        path="/v1/models/{model:path}",
        endpoint=openai.get_model,
        name="getModel",
        summary="One of the models",
        parameters=(
            Parameter("model", "path", "Its id.", example="dungeon-master/new"),
            USER_ID,
        ),
        answers=(Answer(200, "The model.", json=completions.Model),),
        errors=(
            errors.Forbidden,
            errors.ModelNotFound,
            errors.JourneyLogError,
            errors.JourneyLogTimeout,
        ),
    ),
)
