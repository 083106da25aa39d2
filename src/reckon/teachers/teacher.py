"""Teacher: a source of the reasoning that RecOne is fine-tuned on, and RPORec's first stage.

Entry points: the protocol `Teacher`, the `Question` it is asked and the `TeacherReply` it gives. `ask` answers one
question; `most_parallel` limits the number of threads that call it. The teachers are in
`reckon.teachers.openai_teacher`, `local_teacher` and `file_teacher`.

A teacher that cannot answer a question raises `TeacherFailure`, with a flag for retries; one that cannot answer any
question raises `TeacherRefused`. `reckon.teachers.asking` retries, `reckon.teachers.rules` judges.

Source: RecZero (arXiv 2510.23077), RecOne's cold start.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from reckon.errors import ConfigError, ReckonError
from reckon.prompts.render import Message

Finish = Literal["stop", "length", "refused"]
PLAIN, HINTED, CHECK = 1, 2, 3  # attempts at one row, in this order


@dataclass(frozen=True, slots=True)
class Question:
    """A question to a teacher about one training row."""

    row: int
    """Row number in `rating_examples(dataset, "train")`."""
    user_id: str
    item_id: str
    time: int | None
    messages: list[Message]
    attempt: int = PLAIN
    """PLAIN; HINTED: the messages hold the true rating; CHECK: the messages hold a reasoning for the second reading."""

    @property
    def hinted(self) -> bool:
        """Whether the messages hold the true rating."""
        return self.attempt == HINTED


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """Reply of a teacher. Token counts are None where the teacher does not report them."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish: Finish = "stop"


class TeacherFailure(Exception):
    """One question got no reply. `kind` is a stable word for reports."""

    def __init__(self, kind: str, detail: str = "", *, again: bool = True, retry_after: float | None = None) -> None:
        self.kind, self.detail, self.again, self.retry_after = kind, detail, again, retry_after
        super().__init__(f"{kind}: {detail}" if detail else kind)


class TeacherRefused(ReckonError):
    """The teacher cannot answer any question: wrong key, unknown model, no credit."""


class Teacher(Protocol):
    """Interface of a teacher."""

    most_parallel: int | None
    """Most questions at the same time; None: no limit."""

    @property
    def identity(self) -> dict[str, Any]:
        """Settings that decide the replies, as JSON; stored with the traces and compared when a run is resumed."""

    def answers(self, question: Question) -> bool:
        """Whether the teacher can answer this question."""

    def ask(self, question: Question) -> TeacherReply:
        """Answer a question. Raises TeacherFailure or TeacherRefused."""


def check_sampling(max_tokens: int, temperature: float | None) -> None:
    """Raises ConfigError for sampling settings out of range."""
    if max_tokens < 1:
        raise ConfigError("--max-tokens", max_tokens, "must be at least 1", "use 2048")
    if temperature is not None and not temperature >= 0:
        raise ConfigError("--temperature", temperature, "must not be negative", "use 0.7, or leave it out")
