"""`POST /turns/ask`."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.turns.questions import TurnQuestions
from app.turns.schemas import QuestionAnswer, QuestionIn
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.inputs import meta_of, read_model
from app.web.parameters import EXAMPLE_CHARACTER, USER_ID
from app.web.routing import Answer, Body, Operation, Tag
from app.web.services import services_of


async def post_ask(request: Request) -> Response:
    body, caller = await read_model(request, QuestionIn), caller_of(request)
    meta = meta_of(request)
    questions = services_of(request).get(TurnQuestions)
    answer = await questions.ask(caller, body.character_id, body.question, meta)
    return JSONAnswer(QuestionAnswer(answer=answer))


def ask_operation(tag: Tag) -> Operation:
    """`tag`: of turns."""
    return Operation(
        method="POST",
        path="/turns/ask",
        endpoint=post_ask,
        name="askAboutStory",
        scope="turns",
        tag=tag,
        summary="Ask about a character's story, out of character",
        about="Answered from the story so far. It is no turn: it waits for none, costs no action, and "
        "nothing of it is written. Its tokens count in the budget of the day.",
        parameters=(USER_ID,),
        request=Body(
            QuestionIn, {"character_id": EXAMPLE_CHARACTER, "question": "Who rang the bell?"}
        ),
        answers=(Answer(200, "The answer.", json=QuestionAnswer),),
        errors=_FAILURES,
    )


_FAILURES: Final = (
    errors.CharacterNotFound,
    errors.Forbidden,
    errors.RateLimitExceeded,
    errors.TokenBudgetExceeded,
    errors.Overloaded,
    errors.JourneyLogError,
    errors.JourneyLogTimeout,
    errors.LLMError,
    errors.LLMResponseError,
    errors.LLMUnavailable,
    errors.LLMTimeout,
)
