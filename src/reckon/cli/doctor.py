"""`reckon doctor`: what this machine can run, and how much memory a training run would need on it."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from reckon.doctor import Diagnosis
    from reckon.memory import MemoryEstimate


class DtypeName(StrEnum):
    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def doctor(
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Estimate memory for a folder, a hub id, or layers=24,hidden=896,..."),
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Prompts sampled at a time.")] = 16,
    group_size: Annotated[int, typer.Option(min=1, help="Replies per prompt.")] = 8,
    prompt_length: Annotated[int, typer.Option(min=1, help="Tokens per prompt.")] = 512,
    reply_length: Annotated[int, typer.Option(min=1, help="Tokens per reply.")] = 128,
    micro_batch: Annotated[int, typer.Option(min=1, help="Groups per forward and backward pass.")] = 1,
    lora_rank: Annotated[int, typer.Option(min=0, help="Rank of the LoRA adapters; 0: full fine-tuning.")] = 4,
    dtype: Annotated[
        DtypeName, typer.Option(help="Type of the weights; auto: as a training decides.")
    ] = DtypeName.AUTO,
    checkpointing: Annotated[bool, typer.Option(help="Recompute activations instead of keeping them.")] = True,
    items: Annotated[int, typer.Option(min=0, help="Items in the catalog.")] = 0,
    batch_items: Annotated[int, typer.Option(min=0, help="R2ec: items that an update encodes with gradient.")] = 0,
    item_length: Annotated[int, typer.Option(min=1, help="Tokens per item prompt.")] = 64,
    reference: Annotated[bool, typer.Option(help="Whether there is a KL term, and so a reference policy.")] = False,
) -> None:
    """Print versions, devices, missing extras and, with --model, the memory that a training run needs."""
    from reckon.doctor import examine
    from reckon.memory import MemoryPlan, estimate_memory, read_shape
    from reckon.models.backbone import default_device
    from reckon.models.precision import settled

    console = Console()
    diagnosis = examine()
    if model is None:
        render_diagnosis(console, diagnosis)
        return
    weights = settled(dtype.value, adapters=lora_rank > 0, device=default_device())
    plan = MemoryPlan(
        prompts=prompts,
        group_size=group_size,
        prompt_length=prompt_length,
        reply_length=reply_length,
        micro_batch=micro_batch,
        lora_rank=lora_rank,
        dtype=weights,
        gradient_checkpointing=checkpointing,
        items=items,
        batch_items=batch_items,
        item_length=item_length,
        reference=reference,
    )
    shape = read_shape(model)
    console.print(
        f"{shape.parameters:,} parameters, {shape.layers} layers of width {shape.hidden_size:,}, weights in {weights}"
    )
    console.print(positions_line(shape.positions, prompt_length, reply_length), highlight=False)
    render_memory(console, estimate_memory(shape, plan), diagnosis)


def positions_line(positions: int | None, prompt: int, reply: int) -> str:
    """How many tokens the model can read and write in all, and what becomes of a longer prompt."""
    if positions is None:
        return "the model names no limit on the tokens of a prompt and its reply"
    asked = f"a prompt of {prompt:,} and a reply of {reply:,} tokens"
    if prompt + reply <= positions:
        return f"{positions:,} positions: {asked} fit"
    if reply >= positions:
        return f"{positions:,} positions: {asked} do not fit; lower --reply-length"
    return f"{positions:,} positions: {asked} do not fit; prompts are cut to {positions - reply:,} tokens"


def render_diagnosis(console: Console, diagnosis: "Diagnosis") -> None:
    """Three small tables: versions, devices, extras."""
    versions = Table("package", "version", box=box.SIMPLE_HEAD)
    for package, version in diagnosis.versions.items():
        versions.add_row(package, version or "[red]not installed[/red]")
    devices = Table("device", "memory", "free now", "bfloat16", "dtype: auto", box=box.SIMPLE_HEAD)
    for device in diagnosis.devices:
        bfloat16 = "fast" if device.bfloat16 else "slow"
        devices.add_row(device.name, _gib(device.memory), _gib(device.free), bfloat16, device.dtype)
    extras = Table("extra", "for", "status", box=box.SIMPLE_HEAD)
    for extra in diagnosis.extras:
        missing = f"missing {', '.join(extra.missing)}: pip install 'reckon-recsys\\[{extra.name}]'"
        extras.add_row(extra.name, extra.purpose, missing if extra.missing else "installed")
    for table in (versions, devices, extras):
        console.print(table)


def render_memory(console: Console, estimate: "MemoryEstimate", diagnosis: "Diagnosis") -> None:
    """What is needed by purpose, the peak of both phases, and on which devices it fits now."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("memory for")
    table.add_column("need", justify="right")
    rows = {
        "weights": estimate.weights,
        "gradients": estimate.gradients,
        "optimizer": estimate.optimizer,
        "activations": estimate.activations,
        "working space of the update": estimate.working,
        "key/value cache": estimate.key_value_cache,
        "item table": estimate.item_table,
        "scores of the catalog": estimate.scores,
        "items of an update, and their gradient": estimate.item_term,
        "activations of a chunk of items": estimate.item_activations,
        "reference policy": estimate.reference,
    }
    for name, size in rows.items():
        if size:
            table.add_row(name, _gib(size))
    table.add_section()
    table.add_row("peak while sampling", _gib(estimate.sampling))
    table.add_row("peak while updating", _gib(estimate.update))
    console.print(table)
    for device in diagnosis.devices:
        if device.free is not None:
            verdict = "fits" if estimate.peak <= device.free else "does not fit"
            console.print(f"{device.name}: {verdict} ({_gib(device.free)} free)", highlight=False)


def _gib(size: int | None) -> str:
    if size is None:
        return "unknown"
    return f"{size / 2**30:,.2f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"
