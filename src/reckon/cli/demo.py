"""`reckon demo`: the whole main job on a simulated bookshop, with no network."""

from pathlib import Path

import typer

from reckon.cli.options import OutDir, Seed


def demo(out: OutDir = Path("demo"), seed: Seed = 0) -> None:
    """Simulate a bookshop, train R2ec on it and compare it with simpler arms and with the best possible."""
    from reckon.demo import run_demo

    report = run_demo(out, seed)
    typer.echo(f"Open {report} in a browser. Numbers: {out / 'metrics.json'}")
