"""What the project promises about itself: documented commands parse, settings are current, nothing loads pickles."""

import ast
import dataclasses
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from reckon.cli import app
from reckon.config import load_config
from reckon.config_docs import describe, markdown_table
from reckon.data.sources.amazon2023 import Amazon2023
from reckon.data.sources.table import Table
from reckon.errors import ConfigError
from reckon.methods.r2ec.config import R2ecConfig
from reckon.methods.recone.config import RecOneConfig
from reckon.methods.reczero.config import RecZeroConfig
from reckon.methods.rporec.config import RPORecConfig
from reckon.serving.config import ServiceConfig
from reckon.small_backbone.pretrain import SIZES, PretrainConfig

CONFIGS = {
    "r2ec": R2ecConfig,
    "rporec": RPORecConfig,
    "reczero": RecZeroConfig,
    "recone": RecOneConfig,
    "backbone": PretrainConfig,
    "serve": ServiceConfig,
}
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CLI: Any = typer.main.get_command(app)


def code_blocks(page: Path, *languages: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [body for language, body in blocks if language in languages]


def shell_lines(page: Path) -> list[str]:
    lines = [
        line.strip().removeprefix("$ ")
        for block in code_blocks(page, "bash", "sh", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line.partition(" > ")[0] for line in lines if line]


def documented(program: str) -> list[Any]:
    return [
        pytest.param(line, id=f"{page.name}: {line}")
        for page in PAGES
        for line in dict.fromkeys(shell_lines(page))
        if line.split()[0] == program
    ]


def leaf_commands(group: Any, path: str = "reckon") -> list[str]:
    if not hasattr(group, "commands"):
        return [path]
    return [leaf for name, command in group.commands.items() for leaf in leaf_commands(command, f"{path} {name}")]


def found(command: str) -> Any:
    """The command of a path such as `reckon data describe`."""
    here = CLI
    for word in command.split()[1:]:
        here = here.commands[word]
    return here


def settings_of(command: str) -> Any:
    """The config that `--set` of this command changes."""
    return CONFIGS[{"reckon backbone new": "backbone"}.get(command, command.split()[-1])]


def parse(line: str) -> str:
    """Through the real parser, options and their values included, but without running the command; its path."""
    command, path, rest = CLI, "reckon", shlex.split(line)[1:]
    while hasattr(command, "commands"):
        assert rest, f"{path} needs a subcommand"
        assert rest[0] in command.commands, f"{path} has no {rest[0]}"
        command, path, rest = command.commands[rest[0]], f"{path} {rest[0]}", rest[1:]
    context = command.make_context(path, rest)
    for override in context.params.get("overrides") or ():
        load_config(settings_of(path), overrides=[override])
    return path


@pytest.mark.parametrize("line", documented("reckon"))
def test_a_documented_command_parses(line):
    parse(line)


@pytest.mark.parametrize("command", leaf_commands(CLI))
def test_the_help_of_every_command_ends_with_examples_that_parse(command):
    lines = (found(command).epilog or "").split("\n\n")  # typer gives each of these a line of its own
    for line in lines:
        assert line.startswith("Example: "), f"{command} has no example"
        assert parse(line.removeprefix("Example: ")) == command


@pytest.mark.parametrize("command", ["reckon backbone new", *leaf_commands(CLI.commands["train"], "reckon train")])
def test_the_help_of_set_names_a_setting_of_its_command_and_where_all_are_listed(command):
    overrides = next(option for option in found(command).params if option.name == "overrides")
    (example,) = re.findall(r"e\.g\. (\S+=\S+);", overrides.help)
    load_config(settings_of(command), overrides=[example])
    assert f"`reckon config {'backbone' if 'backbone' in command else 'METHOD'}`" in overrides.help


def test_the_help_of_size_states_the_sizes():
    size = next(option for option in found("reckon backbone new").params if option.name == "size")
    sizes = [f"{name}: width {config.hidden_size}, {config.layers} layers" for name, config in SIZES.items()]
    assert size.help == f"{'; '.join(sizes)}."


@pytest.mark.parametrize("source", [Amazon2023, Table])
def test_the_default_of_unknown_items_is_the_sources_own(source):
    own = {field.name: field.default for field in dataclasses.fields(source)}
    options = found(f"reckon data prepare {own['name']}").params
    (option,) = [option for option in options if option.name == "unknown_items"]
    assert option.default == own["unknown_items"]


@pytest.mark.parametrize("line", documented("make"))
def test_a_documented_target_is_in_the_makefile(line):
    makefile = (ROOT / "Makefile").read_text()
    for target in shlex.split(line)[1:]:
        assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("command", leaf_commands(CLI))
def test_every_command_is_documented_and_explains_itself(command):
    group, *words = command.split()
    assert group == "reckon"
    page = (ROOT / "docs" / "cli.md").read_text()
    # The sources of `data prepare` have a page of their own.
    assert (command if words[:2] != ["data", "prepare"] else "reckon data prepare") in page
    assert found(command).help
    assert all(getattr(option, "help", None) or option.name == "help" for option in found(command).params), command


@pytest.mark.parametrize("method", CONFIGS)
def test_the_page_of_settings_is_current(method):
    page = (ROOT / "docs" / ("serving.md" if method == "serve" else "configuration.md")).read_text(encoding="utf-8")
    command = f"reckon config {method} --format markdown"
    table = page.partition(f"by `{command}`; a test compares -->\n")[2].partition("<!-- end of settings -->")[0]
    assert table == markdown_table(describe(CONFIGS[method])), f"paste the output of `{command}`"


@pytest.mark.parametrize("method", CONFIGS)
def test_every_setting_has_a_meaning(method):
    assert [row.path for row in describe(CONFIGS[method]) if not row.doc] == []


def test_documented_yaml_is_a_config():
    import yaml

    for block in code_blocks(ROOT / "docs" / "configuration.md", "yaml"):
        for section, fields in yaml.safe_load(block).items():
            load_config(R2ecConfig, overrides=[f"{section}.{name}={value}" for name, value in fields.items()])


def test_documented_errors_are_the_real_ones():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for override in ("training.max_step=50", "training.max_steps=many", "recpo.num_generations=1"):
        with pytest.raises(ConfigError) as error:
            load_config(R2ecConfig, overrides=[override])
        assert f"reckon: {error.value}\n" in page


def test_a_setting_of_a_method_is_unknown_to_a_small_backbone_as_it_was_typed():
    with pytest.raises(ConfigError, match=r"^training\.max_steps = 50: there is no such setting\. Fix: valid names"):
        load_config(PretrainConfig, overrides=["training.max_steps=50"])


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_documented_python_imports_what_exists(page):
    for block in code_blocks(ROOT / page, "python"):
        imports = [node for node in ast.parse(block).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert imports
        exec(compile(ast.Module(imports, type_ignores=[]), page, "exec"), {})


def test_local_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


FORBIDDEN = {
    r"\bpickle\b\s*\.\s*loads?\(|import pickle|joblib\.load|dill": "a pickle runs whatever its author wrote",
    r"torch\.load\(": "torch.load reads pickles; use safetensors",
    r"allow_pickle\s*=\s*True": "numpy would read pickles",
    r"trust_remote_code\s*=\s*True": "it runs code from a model folder",
    r"yaml\.(full_load|unsafe_load|load_all)": "use a SafeLoader",
}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_source_file_loads_code_with_data(pattern):
    hits = [path.name for path in SOURCES if re.search(pattern, path.read_text(encoding="utf-8"))]
    assert not hits, FORBIDDEN[pattern]


def test_constraints_pin_every_dependency_and_fit_the_ranges():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    # A plain version: no host, no local path, no build of one machine (`+cpu`).
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line) for line in lines)
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["dev"], *extras["postgres"]]:
        requirement = Requirement(text)
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_every_module_says_what_it_is_for():
    undocumented = [str(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert undocumented == []
