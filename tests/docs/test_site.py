"""The site of the pages: links lead somewhere, in the repository too, and nothing is fetched."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]

from commands import pages  # noqa: E402
from site_hooks import OUTSIDE, with_site_links  # noqa: E402

LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """The names of the headings, as code hosts and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*pages(ROOT), ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if ":" not in target:
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(aim), f"{page.name}: {target}#{anchor}"


def test_every_page_has_a_place_in_the_navigation() -> None:
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert there | set(OUTSIDE.values()) == set(listed), "list the page under `nav` in mkdocs.yml"
    assert all((ROOT / path).is_file() for path in OUTSIDE)


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("index.md", "[a](docs/training.md#in-stages)", "[a](training.md#in-stages)"),
        ("index.md", "![a](docs/images/report.png)", "![a](images/report.png)"),
        ("index.md", "[a](data/README.md)", "[a](data.md)"),
        ("results.md", "[a](../data/README.md)", "[a](data.md)"),
        ("results.md", "[a](../asr_seq2seq/model_file/pretrained/english.md)", "[a](models/english.md)"),
        ("models/english.md", "[a](../../../docs/results.md)", "[a](../results.md)"),
        ("training.md", "[a](../configs/an4.yaml)", "a"),
        ("training.md", "[a](https://example.org/x)", "[a](https://example.org/x)"),
        ("training.md", "[a](#b) [c](missing.md)", "[a](#b) [c](missing.md)"),
    ],
)
def test_links_for_the_repository_lead_right_on_the_site(page: str, link: str, expected: str) -> None:
    assert with_site_links(link, page) == expected


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed (extra dev)")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*", text
        )
        assert not fetched, (page.name, fetched)


def test_the_site_is_searched_without_a_server(site: Path) -> None:
    browsers = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    with browsers.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "training.html").as_uri())
        page.click("input.md-search__input")
        page.keyboard.type("scheduled")
        page.wait_for_selector(".md-search-result__link", timeout=60_000)
        assert "settings.html" in page.inner_html(".md-search-result__list")
        browser.close()
    assert asked and all(url.startswith(("file:", "data:", "blob:", "about:")) for url in asked), asked
