"""Answers that are more than what a model has written."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from app.core.fields import Time, Uuid
from app.core.rules import Severity
from app.core.themes import Category, Element


class TokenUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ContentMetadata(TypedDict):
    content_type: str
    model_used: Annotated[str, Field(description="`offline`: the storyteller, no model.")]
    token_usage: TokenUsage
    created_at: Time


class Reply(TypedDict):
    """The fields of every answer."""

    content_id: Uuid
    metadata: ContentMetadata
    parent_content_id: NotRequired[Uuid]


class ContentRow(Reply):
    """Content as it was given; beside these it has the fields of its kind."""

    kind: str


class ContentDescription(ContentRow):
    children: Annotated[list[Uuid], Field(description="Content that names it as its parent.")]


class Contents(TypedDict):
    contents: list[ContentRow]
    next: Annotated[Uuid | None, Field(description="To go on with `before`.")]


class StoryReply(TypedDict):
    content: str
    summary: str
    element_type: str
    parent_element_id: Annotated[Uuid | None, Field(description="The same as `parent_content_id`.")]
    child_elements: Annotated[list[Uuid], Field(description="Those there are when it is read.")]


class ElementView(TypedDict):
    element: Element
    score: Annotated[float, Field(ge=0, le=1)]
    description: str
    suggestions: list[str]


class CompatibilityView(TypedDict):
    score: Annotated[float, Field(ge=0, le=1)]
    conflicts: list[str]
    enhancements: list[str]
    transition_steps: list[str]


class SuggestedView(TypedDict):
    genre: str
    tone: str
    style: str


class ThemeReply(TypedDict):
    analysis: str
    primary_category: Category
    secondary_categories: list[Category]
    category_confidence: Annotated[float, Field(description="Of the primary category.")]
    confidences: Annotated[
        dict[str, float], Field(description="Of all categories; their sum is 1.")
    ]
    elements: list[ElementView]
    suggested_parameters: SuggestedView
    compatibility: NotRequired[
        Annotated[CompatibilityView, Field(description="Where both themes were given.")]
    ]


class IssueView(TypedDict):
    rule_id: str
    severity: Severity
    message: str
    location: NotRequired[str]
    suggestions: list[str]


class RuleResult(TypedDict):
    rule_id: str
    name: str
    passed: Annotated[bool, Field(description="Whether the score is at least 0.7.")]
    score: Annotated[float, Field(ge=0, le=1)]
    issues: list[IssueView]


class ValidationReply(TypedDict):
    overall_score: Annotated[float, Field(description="Mean of the required rules; 1 without any.")]
    passed: Annotated[bool, Field(description="Whether all required rules are met.")]
    results: Annotated[list[RuleResult], Field(description="One for each rule, in their order.")]
    summary: str
    analysis: str
