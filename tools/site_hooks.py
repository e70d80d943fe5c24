"""Hooks of mkdocs: pages from outside of docs/ join the site, and links between all of them lead right.

A link to a file of the repository that is no page, code say, is written as its text alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Pages outside of docs/ -> where the site has them.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
    "asr_seq2seq/model_file/pretrained/README.md": "models/digits.md",
    "asr_seq2seq/model_file/pretrained/english.md": "models/english.md",
}
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside of docs/."""
    from mkdocs.structure.files import File

    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with its links as the site needs them."""
    return with_site_links(markdown, page.file.src_uri)


def with_site_links(markdown: str, page: str) -> str:
    """Lead the relative links of a page of the site, written for the repository, to pages of the site."""
    source = {place: path for path, place in OUTSIDE.items()}.get(page, f"docs/{page}")

    def lead(link: re.Match[str]) -> str:
        image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
        if ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in OUTSIDE or path.startswith("docs/"):
            place = OUTSIDE.get(path, path.removeprefix("docs/"))
            return f"{image}[{text}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor})"
        return text if (ROOT / path).exists() else link[0]

    return _LINK.sub(lead, markdown)
