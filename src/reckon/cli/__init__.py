"""The command line: `reckon`. Each command parses, makes one library call and renders what comes back.

Entry point: `main`. Command modules import nothing heavier than rich at their top, so `reckon --help` answers at
once; the library (and with it torch) is imported inside the command that needs it.
"""

import os
import select
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from reckon import __version__
from reckon.cli import backbone, config, data, traces, train
from reckon.cli.compare import compare
from reckon.cli.demo import demo
from reckon.cli.doctor import doctor
from reckon.cli.evaluate import evaluate
from reckon.cli.reason import reason
from reckon.cli.recommend import recommend
from reckon.cli.serving import keys, store
from reckon.cli.serving.serve import serve
from reckon.errors import ReckonError, of_the_system
from reckon.messages import one_line
from reckon.stopping import WORDS, has_interrupted, listen, stop_listening, stopped_by

USER_ERROR = 2  # as for a wrong option
INTERRUPTED = 130  # 128 + SIGINT, as shells expect
TERMINATED = 143  # 128 + SIGTERM
UNREAD = 141  # 128 + SIGPIPE
STOPPED = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
UsageError: Any = typer.BadParameter.__base__  # a wrong option or argument; typer has no public name for it


class _ReckonGroup(TyperGroup):
    """The one place where a user's errors become one line; anything else is a bug and keeps its traceback."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _one_line_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _one_line_errors():
            return super().invoke(ctx)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Print what the user can mend, or what has stopped the command, in one line, and end with its exit code."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here, where a pipe that nobody reads has an exit code
    except ReckonError as error:
        _stop(str(error), USER_ERROR)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command shows its help
            raise
        command = error.ctx.command_path if error.ctx is not None else "reckon"
        _stop(f"{error.format_message().rstrip('.')}. Fix: see `{command} --help`.", USER_ERROR)
    except KeyboardInterrupt as interrupt:  # training saves first and says where to
        _stopped(interrupt)
    except typer.Exit:
        raise
    except BrokenPipeError:
        if not (_is_unread(sys.stdout) or _is_unread(sys.stderr)):
            raise
        _nobody_reads()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # so rich ends a process that nobody reads
            _nobody_reads()
        raise
    except Exception as error:
        if has_interrupted():  # an extension module turns an interrupt into an error of its own
            _stopped(error.__cause__ or error)
        refusal = of_the_system(error)
        if refusal is None:
            raise
        _stop(str(refusal), USER_ERROR)


def _stop(message: str, code: int) -> NoReturn:
    with suppress(BrokenPipeError):
        typer.echo(f"reckon: {one_line(message)}", err=True)
    raise typer.Exit(code) from None


def _stopped(why: BaseException) -> NoReturn:
    """End after Ctrl-C or SIGTERM."""
    by, said = stopped_by(), str(why) if isinstance(why, KeyboardInterrupt) else ""
    _stop(f"{WORDS[by]}. {said}", STOPPED[by])


def _is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe that nobody reads."""
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _nobody_reads() -> NoReturn:
    """End without a word, as `reckon … | head` should."""
    with suppress(OSError, ValueError):  # what is left in the buffer must go somewhere when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(UNREAD) from None


app = typer.Typer(
    name="reckon",
    help="Train, evaluate and serve recommender models that reason before they recommend.",
    epilog="Exit codes: 0 done; 2 something that you can mend, in one line; 1 a bug, with its traceback; 130 Ctrl-C; "
    "143 SIGTERM; 141 nobody reads what is printed.",
    cls=_ReckonGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reckon {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command(
    epilog="Example: reckon demo\n\nExample: reckon demo --method rporec --out rporec-demo\n\n"
    "Example: reckon demo --task rating --out rating-demo"
)(demo)
app.add_typer(data.app, name="data", help="Prepare data sets from a source, and describe them.")
app.add_typer(backbone.app, name="backbone", help="Import an open language model, or make a small one.")
app.add_typer(traces.app, name="traces", help="Ask a teacher for the reasoning that RecOne starts from.")
app.add_typer(train.app, name="train", help="Train a recommender.")
app.command(
    epilog="Example: reckon evaluate runs/shop --beside runs/shop-plain\n\n"
    "Example: reckon evaluate runs/music --samples 8"
)(evaluate)
app.command(
    epilog='Example: reckon recommend runs/shop --history "The Quiet Harbour; A Map of Sand" --k 5 --stream\n\n'
    'Example: reckon recommend runs/music --rate "Blue Train" --user A3'
)(recommend)
app.command(
    epilog="Example: reckon compare runs/shop-plain runs/shop runs/shop-rporec\n\n"
    "Example: reckon compare --data data/books --config bookshop --out comparisons/books\n\n"
    "Example: reckon compare --data data/shop --config shop.yaml --workers 8 --set tuning.trials=16"
)(compare)
app.command(epilog="Example: reckon reason runs/shop-rporec --out stores/shop.sqlite")(reason)
app.command(
    epilog="Example: reckon serve demo/full\n\n"
    "Example: reckon serve runs/shop --beside runs/shop-plain --store postgresql://shop@db/reckon --set recommend.k=20"
)(serve)
app.add_typer(keys.app, name="keys", help="Keys of the service: who may ask it, and what.")
app.add_typer(store.app, name="store", help="Back up, restore, upgrade and purge what `reckon serve` remembers.")
app.add_typer(config.app, name="config", help="List every setting, with its meaning; print comparisons to start from.")
app.command(epilog="Example: reckon doctor --model Qwen/Qwen2.5-0.5B-Instruct --group-size 4 --reply-length 512")(
    doctor
)


def main() -> None:
    """Run the command line; `reckon.__main__` calls it."""
    quiet_libraries()
    listen()
    try:
        app(prog_name="reckon")
    finally:
        stop_listening()


def quiet_libraries() -> None:
    """Keep bars of libraries, and warnings of what their next versions rename, off the terminal.

    What the user has set in the environment stays.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
