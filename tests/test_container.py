"""The Dockerfile builds from what is there, from Python's image alone; its images do not run as root."""

import fnmatch
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Name of a stage -> its instructions, FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, rest in instructions():
        if name == "FROM":
            found[rest.partition(" AS ")[2]] = []
        list(found.values())[-1].append((name, rest))
    return found


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves the path out: the last line that fits it, or a folder of it, decides."""
    left_out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            parts = path.split("/")
            heads = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
            anywhere = pattern.startswith("**/")
            found = parts if anywhere else heads
            if any(fnmatch.fnmatch(name, pattern.removeprefix("**/")) for name in found):
                left_out = not line.startswith("!")
    return left_out


def test_there_is_a_light_and_a_training_target() -> None:
    assert list(stages()) == ["wheel", "user", "train", "light"]  # the last is what is built by default
    light = " ".join(rest for _, rest in stages()["light"])
    assert "[train" in " ".join(rest for _, rest in stages()["train"])
    assert "train" not in light


def test_bases_are_pythons_image_of_one_version() -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert {base for base in bases if base not in stages()} == {"python:3.12-slim"}


def test_the_images_run_as_a_user_without_rights() -> None:
    for target in ("train", "light"):
        assert stages()[target][-1] == ("USER", "10001")
    assert "--uid 10001" in DOCKERFILE


def test_no_secret_and_no_address_is_in_it() -> None:
    assert {name for name, _ in instructions()} <= {
        *("FROM", "WORKDIR", "COPY", "RUN", "ARG", "ENTRYPOINT", "CMD", "USER")  # neither ADD nor ENV
    }
    assert not re.search(r"://|key|token|password|secret", DOCKERFILE, re.IGNORECASE)


def test_all_that_the_package_is_built_from_is_copied_and_no_more() -> None:
    copied = [word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, folders = settings["project"], settings["tool"]["setuptools"]["package-dir"].values()
    needed = {"pyproject.toml", project["readme"], *project["license-files"], project["name"], *folders}
    assert set(copied) == needed
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for path in filter(None, tracked):
        assert ignored(path) is (path.split("/")[0] not in needed), path
    assert ignored("asr_seq2seq/cli/__pycache__/train.pyc") and ignored("venv/bin/python") and ignored(".git")
