"""A table before it is drawn: for a terminal, as Markdown, CSV or LaTeX.

Entry point: `Grid`. What stands in the cells is decided by whoever makes one.
"""

import csv
import io
import re
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from reckon.messages import printable


@dataclass(frozen=True, slots=True)
class Grid:
    """A table before it is drawn: a heading per column, text in the cells, lines of a cell split by a newline."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def to_rich(self) -> Table:
        """For a terminal."""
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            caption=Text(self.caption) if self.caption else None,  # text, not rich markup
            caption_justify="left",
        )
        for number, heading in enumerate(self.headings):
            table.add_column(Text(printable(heading)), justify="left" if number == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(printable(cell)) for cell in row))  # a name is text, not rich markup
        return table

    def to_markdown(self) -> str:
        """For a document: the lines of a cell follow each other."""
        align = ["---"] + ["--:"] * (len(self.headings) - 1)
        lines = [self.headings, align, *self.rows]
        table = "\n".join(f"| {' | '.join(_markdown_cell(cell) for cell in line)} |" for line in lines)
        return f"{table}\n\n{self.caption}\n" if self.caption else f"{table}\n"

    def to_csv(self) -> str:
        """For a spreadsheet: one line per row, the lines of a cell joined by a blank, without the caption."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_csv_cell(cell) for cell in row] for row in (self.headings, *self.rows))
        return file.getvalue()

    def to_latex(self) -> str:
        """For a paper: a `table` with the rules of booktabs, everything that LaTeX would read as a command escaped."""
        columns = "l" + "r" * (len(self.headings) - 1)
        lines = [" & ".join(map(_latex_cell, row)) + r" \\" for row in (self.headings, *self.rows)]
        head = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule"]
        caption = [rf"\caption{{{_latex_cell(self.caption)}}}"] if self.caption else []
        return "\n".join([*head, *lines[1:], r"\bottomrule", r"\end{tabular}", *caption, r"\end{table}"]) + "\n"


LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
    "°": r"$^\circ$",
    "†": r"$^\dagger$",
    "²": "$^2$",
    "×": r"$\times$",
    "–": "--",
    "\n": " ",
}


NUMBERS = re.compile(r"[-+][^a-zA-Z|!'\"@]*")  # as -0.01 or +2 ± 1; the minus of tables is another sign


def _csv_cell(text: str) -> str:
    """A cell on one line. A spreadsheet takes what begins with one of these signs for a formula, so it gets a quote."""
    text = printable(text.replace("\n", " ").replace("\t", " "))
    formula = text.lstrip()[:1] in ("=", "+", "-", "@") and not NUMBERS.fullmatch(text)
    return f"'{text}" if formula else text


def _latex_cell(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def _markdown_cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
