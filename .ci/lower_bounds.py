"""Print the lowest releases that pyproject.toml allows, one `name==version` a line, as constraints for pip.

Usage: lower_bounds.py pyproject.toml EXTRA [EXTRA ...]; the core's requirements are always among them.
"""

import re
import sys
import tomllib
from pathlib import Path


def lower_bounds(requirements: list[str]) -> list[str]:
    """Return the lower bound of each requirement that has one, as an exact version."""
    found = []
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*([0-9][0-9A-Za-z.]*)", requirement)
        if match:
            found.append(f"{match[1]}=={match[2]}")
    return found


def main() -> None:
    """Read the project's requirements and print those of the core and of the extras that are named."""
    path, *extras = sys.argv[1:]
    project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
    wanted, taken = list(extras), set()
    requirements = list(project["dependencies"])
    while wanted:
        taken.add(extra := wanted.pop())
        for requirement in project["optional-dependencies"][extra]:
            own = re.match(rf"{project['name']}\[([^]]*)\]", requirement)
            wanted += [name for name in own[1].split(",") if name not in taken] if own else []
            requirements += [] if own else [requirement]
    print("\n".join(lower_bounds(requirements)))


if __name__ == "__main__":
    main()
