"""`reckon traces make`: a teacher's reasoning for training rows, for RecOne's cold start."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reckon.cli.options import DataDir, NoVerify, OutDir, Seed
from reckon.errors import ConfigError

if TYPE_CHECKING:
    from reckon.teachers.teacher import Teacher

app = typer.Typer(no_args_is_help=True)

EXAMPLES = (
    "--teacher openai --model gpt-5-mini --price-in 0.25 --price-out 2",
    "--teacher openai --model qwen --base-url http://localhost:8000/v1",
    "--teacher local --model Qwen/Qwen2.5-7B-Instruct --rows 200",
    "--teacher file --file replies.jsonl",
)


class Kind(StrEnum):
    OPENAI = "openai"
    LOCAL = "local"
    FILE = "file"


class PromptStyle(StrEnum):
    INSTRUCT = "instruct"
    BRIEF = "brief"
    COMPACT = "compact"


# The teacher.
TeacherKind = Annotated[
    Kind,
    typer.Option(
        "--teacher",
        help="openai: any OpenAI-compatible endpoint; local: a model here; file: replies made elsewhere.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The endpoint's model name; local: a folder or hub id."),
]
BaseURL = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="Endpoint, e.g. http://localhost:8000/v1; default: OpenAI's own."),
]
ReplyFile = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="JSON lines with user_id, item_id and reply.")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Tokens of a reply at most.")]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", min=0, help="Sampling temperature; default: the endpoint's, local 0.7."),
]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds of silence after which a request failed.")]

# What it is asked.
Rows = Annotated[int, typer.Option("--rows", min=1, help="Training rows to ask about, drawn under the seed.")]
StyleOption = Annotated[PromptStyle, typer.Option("--style", help="Style of the prompt the teacher reads.")]
Window = Annotated[int, typer.Option("--window", min=0, help="Earlier ratings of the user in a prompt.")]
ItemWindow = Annotated[
    int, typer.Option("--item-window", min=0, help="Earlier ratings of the item by others in a prompt.")
]
Check = Annotated[
    bool,
    typer.Option(
        "--check/--no-check", help="Have hinted reasoning read again without its rating; keep what leads to it."
    ),
]
ReviewWords = Annotated[int, typer.Option("--review-words", min=0, help="Words of each review in a prompt.")]

# How often and how fast, and what that costs.
Parallel = Annotated[int, typer.Option("--parallel", min=1, help="Questions at one time.")]
RequestsPerMinute = Annotated[
    float | None, typer.Option("--requests-per-minute", metavar="N", help="The most requests per minute.")
]
Retries = Annotated[int, typer.Option("--retries", min=0, help="Further requests after one that failed.")]
AskFailedAgain = Annotated[
    bool, typer.Option("--ask-failed-again", help="Going on: ask rows again that failed after all retries.")
]
PriceIn = Annotated[
    float | None, typer.Option("--price-in", min=0, help="Price of a million prompt tokens, to count cost.")
]
PriceOut = Annotated[
    float | None, typer.Option("--price-out", min=0, help="Price of a million reply tokens, to count cost.")
]


@app.callback()
def _group() -> None:
    """Ask a teacher for reasoning traces."""


@app.command(
    epilog="\n\n".join(f"Example: reckon traces make --data data/music --out traces {rest}" for rest in EXAMPLES)
)
def make(
    data: DataDir,
    out: OutDir,
    teacher: TeacherKind,
    model: ModelName = None,
    base_url: BaseURL = None,
    file: ReplyFile = None,
    rows: Rows = 1000,
    seed: Seed = 0,
    style: StyleOption = PromptStyle.INSTRUCT,
    window: Window = 10,
    item_window: ItemWindow = 10,
    review_words: ReviewWords = 64,
    check: Check = True,
    max_tokens: MaxTokens = 2048,
    temperature: Temperature = None,
    parallel: Parallel = 8,
    requests_per_minute: RequestsPerMinute = None,
    timeout: Timeout = 120.0,
    retries: Retries = 5,
    ask_failed_again: AskFailedAgain = False,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    no_verify: NoVerify = False,
) -> None:
    """Ask a teacher how users come to their ratings; keep what is right, ask again with a hint, drop the rest.

    The key of an endpoint comes from the environment variable OPENAI_API_KEY alone. Repeat the same command to go on
    after a stop: nothing is asked twice.
    """
    from reckon.data import Dataset
    from reckon.teachers.asking import Patience
    from reckon.teachers.traces import TraceSettings, make_traces

    patience = Patience(parallel=parallel, requests_per_minute=requests_per_minute, retries=retries)
    settings = TraceSettings(
        rows=rows,
        seed=seed,
        style=style.value,
        window=window,
        item_window=item_window,
        review_words=review_words,
        check=check,
        patience=patience,
        ask_failed_again=ask_failed_again,
        price_in=price_in,
        price_out=price_out,
    )
    asked = make_teacher(teacher, model, base_url, file, max_tokens, temperature, timeout, seed)
    summary = make_traces(Dataset.load(data), asked, out, settings)
    for line in summary.lines():
        typer.echo(line)
    typer.echo(f"Wrote {out}")


def make_teacher(
    kind: Kind,
    model: str | None,
    base_url: str | None,
    file: Path | None,
    max_tokens: int,
    temperature: float | None = None,
    timeout: float = 120.0,
    seed: int = 0,
    reply_end: str | None = None,
) -> "Teacher":
    """The teacher that was named, or ConfigError where an option is missing or means nothing to it."""
    from reckon.prompts.rating_reply import REPLY_END
    from reckon.teachers.file_teacher import FileTeacher
    from reckon.teachers.local_teacher import LocalTeacher
    from reckon.teachers.openai_teacher import OpenAITeacher

    for option, value, kinds in (
        ("--base-url", base_url, (Kind.OPENAI,)),
        ("--file", file, (Kind.FILE,)),
        ("--model", model, (Kind.OPENAI, Kind.LOCAL)),
    ):
        if value is not None and kind not in kinds:
            raise ConfigError(option, str(value), f"means nothing to --teacher {kind.value}", "leave it out")
    if kind is Kind.FILE:
        if file is None:
            raise ConfigError("--file", None, "is missing", "name the file of replies")
        return FileTeacher(file)
    if model is None:
        raise ConfigError("--model", None, "is missing", "name the model to ask")
    if kind is Kind.LOCAL:
        return LocalTeacher(
            model, max_tokens=max_tokens, temperature=temperature, seed=seed, reply_end=reply_end or REPLY_END
        )
    return OpenAITeacher(model, base_url=base_url, max_tokens=max_tokens, temperature=temperature, timeout=timeout)
