"""The doctor names what is there and what is missing, and agrees with pyproject.toml about the extras."""

import tomllib
from pathlib import Path

import torch
from support.tiny import config
from typer.testing import CliRunner

import reckon
from reckon.cli import app
from reckon.doctor import EXTRAS, Extra, examine

ROOT = Path(__file__).parents[1]
runner = CliRunner()


def test_every_extra_of_the_project_is_known_to_the_doctor():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {extra.name for extra in EXTRAS} == set(project["optional-dependencies"])


def test_a_missing_module_is_named_and_a_present_one_is_not():
    assert Extra("x", ("json", "no_such_module_here"), "nothing").missing == ("no_such_module_here",)


def test_versions_are_those_of_the_running_process():
    versions = examine().versions
    assert versions["torch"] == torch.__version__
    assert versions["reckon"] == reckon.__version__


def test_the_cpu_is_listed_last_with_its_memory():
    cpu = examine().devices[-1]
    assert cpu.name.startswith("cpu")
    assert cpu.memory is None or 0 < (cpu.free or 0) <= cpu.memory


def test_the_command_prints_versions_devices_and_extras():
    out = runner.invoke(app, ["doctor"]).output
    assert torch.__version__ in out
    assert all(extra.name in out for extra in EXTRAS)


def test_the_command_says_whether_a_model_fits():
    shape = "layers=2,hidden=64,heads=4,kv_heads=2,intermediate=128,vocab=1000"
    result = runner.invoke(app, ["doctor", "--model", shape, "--lora-rank", "0"])
    assert result.exit_code == 0, result.output
    assert "peak while updating" in result.output
    assert "fits" in result.output


def test_a_model_that_cannot_be_read_is_one_line():
    result = runner.invoke(app, ["doctor", "--model", "layers=2,width=3"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "'width=3' is no part of a shape" in result.stderr


def test_the_command_names_the_positions_of_a_model_and_where_prompts_are_cut(tmp_path):
    config("qwen2").save_pretrained(tmp_path)  # 256 positions

    def told(prompt, reply):
        words = ["doctor", "--model", str(tmp_path), "--prompt-length", str(prompt), "--reply-length", str(reply)]
        return " ".join(runner.invoke(app, words).output.split())

    assert "256 positions: a prompt of 200 and a reply of 56 tokens fit" in told(200, 56)
    assert "do not fit; prompts are cut to 128 tokens" in told(512, 128)
    assert "do not fit; lower --reply-length" in told(512, 300)
