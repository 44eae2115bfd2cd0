"""Elements of a campaign's story."""

from __future__ import annotations

from typing import Final, Literal

from app.content.kind import Kind
from app.content.replies import StoryReply
from app.content.requests import CampaignContext, ContentIn, Facts
from app.core.written import Prose, Text, Written

TASKS: Final = {
    "plot": "the plot: premise, antagonist, turns, what is at stake",
    "quest": "the quest: who asks for it, the goal, obstacles, the reward",
    "scene": "the scene, to be read aloud: what the characters perceive, and what awaits their answer",
    "dialogue": "the dialogue; each line stands behind its speaker's name",
    "description": "the description, to be read aloud, for more senses than one",
    "event": "the event: what happens, why, and what it may lead to",
}


class StoryIn(ContentIn):
    """Body of `POST /api/v2/campaign/story`."""

    element_type: Literal["plot", "quest", "scene", "dialogue", "description", "event"]
    context: CampaignContext
    parameters: Facts | None = None


class Story(Written):
    """The model's document for a story element: prose and a summary."""

    content: Prose = ""
    summary: Text = ""


KIND: Final = Kind(
    name="story",
    path="/campaign/story",
    summary="Write an element of a story",
    request=StoryIn,
    document=Story,
    text="content",
    task=lambda asked: (
        f'"content": {TASKS[asked.element_type]}. "summary": one sentence that says what it is about.'
    ),
    reply=lambda asked, story: {
        "element_type": asked.element_type,
        **story.model_dump(),
        "parent_element_id": asked.parent_content_id,
        "child_elements": [],
    },
    replied=StoryReply,
    published="story.generated",
    example={
        "element_type": "plot",
        "context": {"campaign_theme": "Epic Fantasy", "party_level": 5, "party_size": 4},
        "parameters": {"focus": "political intrigue"},
    },
)
