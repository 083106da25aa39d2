"""What the project promises about itself: documented commands parse, settings are current, nothing loads pickles."""

import ast
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
from reckon.errors import ConfigError
from reckon.methods.r2ec_config import R2ecConfig
from reckon.methods.recone import RecOneConfig
from reckon.methods.reczero_config import RecZeroConfig

CONFIGS = {"r2ec": R2ecConfig, "reczero": RecZeroConfig, "recone": RecOneConfig}
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


@pytest.mark.parametrize("line", documented("reckon"))
def test_a_documented_command_parses(line):
    """Through the real parser, options and their values included, but without running the command."""
    command, path, rest = CLI, "reckon", shlex.split(line)[1:]
    context = None
    while hasattr(command, "commands"):
        assert rest, f"{path} needs a subcommand"
        assert rest[0] in command.commands, f"{path} has no {rest[0]}"
        command, path, rest = command.commands[rest[0]], f"{path} {rest[0]}", rest[1:]
    context = command.make_context(path, rest)
    for override in context.params.get("overrides") or ():
        if path.startswith("reckon train "):
            load_config(CONFIGS[path.split()[2]], overrides=[override])


@pytest.mark.parametrize("line", documented("make"))
def test_a_documented_target_is_in_the_makefile(line):
    makefile = (ROOT / "Makefile").read_text()
    for target in line.split()[1:]:
        assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("command", leaf_commands(CLI))
def test_every_command_is_documented_and_explains_itself(command):
    group, *words = command.split()
    assert group == "reckon"
    page = (ROOT / "docs" / "cli.md").read_text()
    # The sources of `data prepare` have a page of their own.
    assert (command if words[:2] != ["data", "prepare"] else "reckon data prepare") in page
    found = CLI
    for word in words:
        found = found.commands[word]
    assert found.help
    assert all(getattr(option, "help", None) or option.name == "help" for option in found.params), command


@pytest.mark.parametrize("method", CONFIGS)
def test_the_page_of_settings_is_current(method):
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
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


def test_python_in_the_readme_imports_what_exists():
    for block in code_blocks(ROOT / "README.md", "python"):
        imports = [node for node in ast.parse(block).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert imports
        exec(compile(ast.Module(imports, type_ignores=[]), "README.md", "exec"), {})


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
