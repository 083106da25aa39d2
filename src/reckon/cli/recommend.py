"""`reckon recommend RUN`: the reasoning, then the ranked items, for one user or one typed history."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from reckon.cli.options import RunDir, TopK

if TYPE_CHECKING:
    from reckon.data import Catalog
    from reckon.models.recommender import Recommendation


def recommend(
    run: RunDir,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="A user of the run's data set.")] = None,
    history: Annotated[
        str | None, typer.Option("--history", metavar='"TITLE; TITLE"', help="Titles or item ids, oldest first.")
    ] = None,
    k: TopK = 10,
    stream: Annotated[bool, typer.Option("--stream", help="Show the reasoning while it is written.")] = False,
) -> None:
    """Recommend K items to a user of the data set, or to a history given as titles; says why first."""
    from reckon.data.titles import parse_history
    from reckon.methods.r2ec import R2ec

    if (user is None) == (history is None):
        raise typer.BadParameter("give exactly one of --user and --history")
    model = R2ec.from_pretrained(run)
    items = model.history_of(user) if user is not None else parse_history(model.catalog, history or "")
    console = Console()
    render_history(console, model.catalog, items)
    if stream and model.config.reasons:
        console.print("[bold]Reasoning[/bold]")
        recommendation = model.recommend_streaming(items, k, on_text=lambda text: console.out(text, end=""))
        console.print()
        render_items(console, model.catalog, recommendation)
    else:
        with console.status("Reasoning"):
            recommendation = model.recommend([items], k)[0]
        render_reasoning(console, recommendation)
        render_items(console, model.catalog, recommendation)


def render_history(console: Console, catalog: "Catalog", items: list[int]) -> None:
    """One line of titles, oldest first."""
    console.print(Text("History: ", style="bold") + Text("; ".join(catalog.titles[item] for item in items)))


def render_reasoning(console: Console, recommendation: "Recommendation") -> None:
    """The reasoning in a panel; nothing where the arm has none."""
    if recommendation.reasoning:
        # Text, not markup: the model may well write square brackets.
        title = "Reasoning, cut off at its longest" if recommendation.truncated else "Reasoning"
        console.print(Panel(Text(recommendation.reasoning.strip()), title=title, title_align="left"))


def render_items(console: Console, catalog: "Catalog", recommendation: "Recommendation") -> None:
    """Rank, title, item id and score of each recommended item."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("#", justify="right")
    table.add_column("item")
    table.add_column("id", style="dim")
    table.add_column("score", justify="right")
    for rank, (item, score) in enumerate(zip(recommendation.items, recommendation.scores, strict=True), start=1):
        table.add_row(str(rank), Text(catalog.titles[int(item)]), Text(catalog.ids[int(item)]), f"{score:.3f}")
    console.print(table)
