"""`reckon recommend RUN`: the reasoning, then ranked items or one predicted rating, for a user or a typed history."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reckon.cli.options import NoVerify, RunDir, TopK, refuse_option
from reckon.messages import cut, printable

if TYPE_CHECKING:
    from reckon.data import Catalog
    from reckon.evaluation import RatingNow
    from reckon.models.recommender import Recommendation

DEFAULT_K = 10
LONGEST_TITLE, LONGEST_ID, LONGEST_REVIEW = 80, 40, 300  # characters shown


def recommend(
    run: RunDir,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="A user of the run's data set.")] = None,
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar='"TITLE; TITLE"',
            help='Titles or item ids, oldest first; for --rate with ratings: "TITLE=4; TITLE=5".',
        ),
    ] = None,
    k: TopK = None,
    stream: Annotated[bool, typer.Option("--stream", help="Rankings: show the reasoning while it is written.")] = False,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="ITEM", help="Ratings: the title or id of the item to rate.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Ratings: predict by the mean of so many sampled replies.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The data set, where it has moved since training."),
    ] = None,
    nearline: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE", help="RPORec: take the reasoning from this store; the language model is not loaded."
        ),
    ] = None,
    no_verify: NoVerify = False,
) -> None:
    """Recommend items to a user of the data set or to a typed history, or predict a rating; says why first."""
    from reckon.errors import ConfigError
    from reckon.methods.finished import task_of

    if (user is None) == (history is None):
        raise typer.BadParameter("give exactly one of --user and --history")
    console = Console()
    if task_of(run) == "ranking":
        for name, value in (("--rate", rate), ("--samples", samples)):
            refuse_option(name, value, f"{run} ranks items and predicts no ratings")
        if nearline is not None:
            refuse_option("--history", history, "a store holds reasoning about users of the data set alone")
            refuse_option("--stream", stream, "a store holds finished reasoning")
            refuse_option("--data", data, "a store holds the histories it was made from")
            _recommend_nearline(console, run, nearline, user or "", DEFAULT_K if k is None else k)
            return
        _recommend_items(console, run, user, history, DEFAULT_K if k is None else k, stream, data)
        return
    for name, option in (("--k", k), ("--stream", stream), ("--nearline", nearline)):
        refuse_option(name, option, f"{run} predicts ratings and ranks no items")
    if rate is None:
        raise ConfigError("--rate", None, f"{run} predicts the rating of one item", "name it: --rate ITEM")

    from reckon.evaluation import rate_now

    with console.status("Reasoning"):
        rated = rate_now(run, rate, user=user, history=history, samples=samples or 1, data=data)
    render_rating(console, rated)


def _recommend_items(
    console: Console, run: Path, user: str | None, history: str | None, k: int, stream: bool, data: Path | None
) -> None:
    from reckon.data.titles import parse_history
    from reckon.methods.finished import data_path_of
    from reckon.methods.registry import load_ranking_model
    from reckon.runs.read import dataset_of

    dataset = None
    if user is not None:
        dataset = dataset_of(run, data_path_of(run), data)
        dataset.latest(user, 1)  # an unknown user is refused before the model is loaded
    from reckon.progress import quiet_transformers

    with quiet_transformers():
        model = load_ranking_model(run)
    if dataset is not None and user is not None:
        example = model.example_of_user(dataset, user)
    else:
        example = model.example_of(parse_history(model.catalog, history or ""))
    render_history(console, model.catalog, [int(item) for item in example.seen])
    if stream and model.reasons:
        console.print("[bold]Reasoning[/bold]")
        recommendation = model.recommend_streaming(
            example, k, on_text=lambda text: console.out(printable(text), end="", highlight=False)
        )
        console.print()
        render_items(console, model.catalog, recommendation)
    else:
        with console.status("Reasoning"):
            recommendation = model.recommend_examples([example], k)[0]
        render_reasoning(console, recommendation)
        render_items(console, model.catalog, recommendation)


def _recommend_nearline(console: Console, run: Path, store: Path, user: str, k: int) -> None:
    from reckon.methods.rporec.nearline import Nearline

    with Nearline.open(run, store) as nearline:
        recommendation, history = nearline.recommend_with_history(user, k)
        render_history(console, nearline.catalog, history)
        render_reasoning(console, recommendation)
        render_items(console, nearline.catalog, recommendation)


def render_history(console: Console, catalog: "Catalog", items: list[int]) -> None:
    """One line of titles, oldest first."""
    console.print(Text("History: ", style="bold") + Text("; ".join(_title(catalog, item) for item in items)))


def render_reasoning(console: Console, recommendation: "Recommendation") -> None:
    """The reasoning in a panel; nothing where the arm has none."""
    if recommendation.reasoning:
        # Text, not markup: the model may well write square brackets.
        title = "Reasoning, cut off at its longest" if recommendation.truncated else "Reasoning"
        console.print(Panel(Text(printable(recommendation.reasoning.strip())), title=title, title_align="left"))


def render_items(console: Console, catalog: "Catalog", recommendation: "Recommendation") -> None:
    """Rank, title, item id and score of each recommended item."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("item")
    table.add_column("id", style="dim")
    table.add_column("score", justify="right")
    for rank, (item, score) in enumerate(zip(recommendation.items, recommendation.scores, strict=True), start=1):
        item_id = Text(cut(catalog.ids[int(item)], LONGEST_ID))
        table.add_row(str(rank), Text(_title(catalog, int(item))), item_id, f"{score:.3f}")
    console.print(table)


def _title(catalog: "Catalog", item: int) -> str:
    return cut(catalog.titles[item], LONGEST_TITLE)


def render_rating(console: Console, rated: "RatingNow") -> None:
    """What was known, the reasoning step by step, and the predicted rating on its scale."""
    shown = rated.shown
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("rated", justify="right", style="bold")
    table.add_column("oldest first")
    for title, rating, review in shown.history:
        table.add_row(
            f"{rating:g}",
            Text.assemble(cut(title, LONGEST_TITLE), (f"  {cut(review, LONGEST_REVIEW)}", "dim") if review else ""),
        )
    console.print(table if shown.history else Text("No ratings yet.", style="dim"))
    console.print()
    others = ", ".join(f"{rating:g}" for rating, _ in shown.others) or "nobody yet"
    mean = "" if shown.item_mean is None else f" (mean of all {shown.item_mean:.2f})"
    console.print(Text.assemble((cut(shown.item, LONGEST_TITLE), "bold"), f"  rated by others: {others}{mean}"))
    if rated.own is not None:
        console.print(Text(f"The user rated it {rated.own:g} already, and the prompt says so.", style="yellow"))
    console.print(Panel(_steps(rated), title=_panel_title(rated), title_align="left"))
    console.print(Text(verdict(rated), style="bold"))


def _steps(rated: "RatingNow") -> Text:
    # Text, not markup: the model may well write square brackets.
    if not rated.shown.steps:
        return Text(printable(rated.shown.reply.strip()) or "(nothing)")
    return Text("\n\n").join(
        Text.assemble((printable(heading), "bold cyan"), f"\n{printable(text)}") for heading, text in rated.shown.steps
    )


def _panel_title(rated: "RatingNow") -> str:
    title = "Reasoning" if rated.samples == 1 else f"Reasoning, the first of {rated.samples}"
    return f"{title}, cut off at its longest" if rated.shown.truncated else title


def verdict(rated: "RatingNow") -> str:
    """The prediction in one line, or why there is none."""
    if rated.prediction is None:
        why = f"the reply has a wrong form ({rated.shown.problem})"
        return f"No rating: {why if rated.samples == 1 else f'none of {rated.samples} replies has the right form'}."
    line = f"Predicted rating: {rated.prediction:.3g} on a scale of {rated.scale}"
    if rated.samples == 1:
        return f"{line}."
    spread = "" if rated.spread is None else f"; spread {rated.spread:.2f}"
    return f"{line}, the mean of {rated.parsed} of {rated.samples} replies{spread}."
