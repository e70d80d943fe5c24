"""Every verb, option and setting that a page, a recipe or a message shows exists."""

import ast
import re
import sys
from itertools import chain
from pathlib import Path

import pytest
from typer.main import get_command

sys.path.insert(0, str(Path(__file__).parent))

from commands import Shown, commands_in, pages, quoted_in, texts_in_source

from asr_seq2seq.cli.application import make_app
from asr_seq2seq.config import RENAMED
from asr_seq2seq.settings_reference import tables_of
from asr_seq2seq.training_config import Config, LanguageModelConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = pages(ROOT)
PROGRAM = get_command(make_app())
VERBS = PROGRAM.commands  # type: ignore[attr-defined]
OPTIONS = {
    name
    for command in (PROGRAM, *VERBS.values())
    for parameter in command.params
    for name in (*parameter.opts, *parameter.secondary_opts)
} | {"-h", "--help"}
# Options of other programs that the pages and messages name.
OTHERS = {
    "--": "parts torchrun's options from ours",
    "--logdir": "tensorboard",
    "--gpus": "docker",
    "--target": "docker",
    "--build-arg": "docker",
    "--user": "docker",
    "--preload": "gunicorn",
    "--signal": "Slurm",
    "--count": "tests/fuzz",
    "--strict": "mypy",
    "--nproc-per-node": "torchrun",
}
SETTINGS = {
    re.sub(r"\[\]", "", path)
    for recipe in (Config, LanguageModelConfig)
    for table in tables_of(recipe)
    for path in (table.path.partition(" ")[0], *(one.path for one in table.settings))
}
ROOMS = {path.partition(".")[0] for path in SETTINGS if path} | {*RENAMED}


def absent(value: object) -> bool:
    """Whether nothing was given: None, no words, or the mark that newer releases of click put there."""
    return not isinstance(value, str | tuple | list) or not value


def problem(command: Shown) -> str | None:
    """Why the program would not take this command; None where it does."""
    words = [word for word in command.words if word != "--traceback"]
    if words[0] not in VERBS:
        return f"{command}: there is no verb {words[0]}" if not words[0].startswith("-") else None
    verb = VERBS[words[0]]
    context = verb.context_class(verb, info_name=words[0])
    try:
        given, rest, _ = verb.make_parser(context).parse_args(list(words[1:]))
    except Exception as error:  # click's own, which typer may bring with itself
        return f"{command}: {error}"
    missing = [one.name for one in verb.params if one.required and absent(given.get(one.name))]
    unknown = [text for text in given.get("settings") or () if text.partition("=")[0] not in SETTINGS]
    return f"{command}: {missing} {rest} {unknown}" if missing or rest or unknown else None


def test_commands_of_pages_and_recipes_are_taken() -> None:
    files = [*PAGES, *sorted((ROOT / "configs").glob("*.yaml"))]
    found = [*chain.from_iterable(map(commands_in, files))]
    assert len(found) > 50
    assert list(filter(None, map(problem, found))) == []


def test_the_example_of_every_verb_is_taken() -> None:
    for name, verb in VERBS.items():
        _, _, example = verb.epilog.partition("asr-seq2seq ")
        assert example.startswith(f"{name} ")
        assert problem(Shown(tuple(example.split()), name)) is None


def test_every_verb_is_on_a_page() -> None:
    shown = {
        words[0] for page in PAGES for words in (one.words for one in (*commands_in(page), *quoted_in(page)))
    }
    assert VERBS.keys() <= shown


def options_of(text: str) -> list[str]:
    """What looks like a long option, with its name alone."""
    return re.findall(r"(?<![\w-])(--[a-z][a-z-]*[a-z])\b", text)


def options_of_script(script: Path) -> set[str]:
    """The options of a script: those that it names, and the parameters of its `main`."""
    text = script.read_text(encoding="utf-8")
    mains = [
        node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "main"
    ]
    names = {one.arg for main in mains for one in (*main.args.args, *main.args.kwonlyargs)}
    return {f"--{name.replace('_', '-')}" for name in names} | set(options_of(text))


SCRIPTS = {
    script.relative_to(ROOT).as_posix(): options_of_script(script)
    for folder in ("benchmarks", "tools")
    for script in (ROOT / folder).glob("*.py")
}


def known_options(words: tuple[str, ...]) -> set[str]:
    """The options that may stand in such a command."""
    for word in words:
        if word in SCRIPTS:
            return SCRIPTS[word]
    if words[0] in VERBS:
        own = {name for parameter in VERBS[words[0]].params for name in parameter.opts}
        return own | {"--help", "--traceback"}
    return OPTIONS.union(OTHERS, *SCRIPTS.values())


def test_every_option_in_backquotes_exists() -> None:
    wrong = [
        str(one)
        for one in chain.from_iterable(map(quoted_in, PAGES))
        for name in options_of(" ".join(one.words))
        if name not in known_options(one.words)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_setting_in_backquotes_exists() -> None:
    wrong = []
    for one in chain.from_iterable(map(quoted_in, PAGES)):
        name = re.match(r"([a-z_]+)\.[a-z_.]+(?=$|[=: ])", one.words[0])
        if (
            name
            and name[1] in ROOMS
            and not name[0].endswith((".py", ".yaml", ".safetensors", ".json", ".jsonl", ".onnx"))
            and name[0] not in SETTINGS
        ):
            wrong.append(str(one))
    assert not wrong, "\n".join(wrong)


def test_every_option_in_messages_exists() -> None:
    wrong = [
        f"{one.place}: {name}"
        for one in texts_in_source(ROOT / "asr_seq2seq")
        for name in options_of(one.words[0])
        if name not in OPTIONS and name not in OTHERS
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("command", "taken"),
    [
        ("transcribe a.wav --model english", True),
        ("transcribe a.wav --modle english", False),
        ("transscribe a.wav", False),
        ("evaluate digits", False),
        ("train fsdd --set training.epochs=3", True),
        ("train fsdd --set training.epoch=3", False),
        ("compare a.jsonl b.jsonl", False),
        ("average runs/ten --last", False),
    ],
)
def test_a_wrong_command_is_found(command: str, taken: bool) -> None:
    assert (problem(Shown(tuple(command.split()), "here")) is None) is taken
