"""Models from and to the Hub, against a server on loopback that speaks as much of it as is needed."""

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from asr_seq2seq import bundled, hub
from asr_seq2seq.cli.application import make_app
from asr_seq2seq.cli.run import run
from asr_seq2seq.errors import ModelFileError
from asr_seq2seq.extras import MissingExtraError
from asr_seq2seq.hub import HubName

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra `hub` is not installed")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """Files by their place OWNER/NAME/FILE, and what was asked for."""

    daemon_threads = True
    files: dict[str, bytes]
    asked: list[str]
    large: bool = False  # files are to be sent apart from the commit
    claims: int | None = None  # the size that is told in place of the true one


class Handler(BaseHTTPRequestHandler):
    """What huggingface_hub asks for to read a file, make a repository and commit to it."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        parts = self.path.strip("/").split("/")
        if parts[2:3] != ["resolve"]:
            self.answer(404)
            return
        owner, name, _, revision, *file = parts
        place = f"{owner}/{name}/{'/'.join(file)}"
        if not any(known.startswith(f"{owner}/{name}/") for known in self.server.files):
            self.answer(404, X_Error_Code="RepoNotFound")
        elif revision not in ("main", COMMIT):
            self.answer(404, X_Error_Code="RevisionNotFound")
        elif place not in self.server.files:
            self.answer(404, X_Error_Code="EntryNotFound")
        else:
            content = self.server.files[place]
            size = self.server.claims or len(content)
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.answer(200, content, ETag=tag, X_Repo_Commit=COMMIT, Content_Length=str(size))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        content = self.body()
        self.server.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") == "Bearer wrong":
            self.answer(401, b'{"error": "no"}')
        elif self.path == "/api/repos/create":
            asked = json.loads(content)
            name = f"{asked.get('organization', 'me')}/{asked['name']}"
            self.answer_json({"url": f"{constants.ENDPOINT}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            mode = "lfs" if self.server.large else "regular"
            files = [one["path"] for one in json.loads(content)["files"]]
            told = [{"path": file, "uploadMode": mode, "shouldIgnore": False} for file in files]
            self.answer_json({"files": told})
        elif self.path.endswith("/objects/batch"):
            objects = json.loads(content)["objects"]
            at = f"http://127.0.0.1:{self.server.server_port}/stored/"
            told = [one | {"actions": {"upload": {"href": f"{at}{one['oid']}"}}} for one in objects]
            self.answer_json({"transfer": "basic", "objects": told})
        else:
            repository = "/".join(self.path.split("/")[3:5])
            for line in map(json.loads, content.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    place = f"{repository}/{value['path']}"
                    self.server.files[place] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    stored = self.server.files.pop(f"stored/{value['oid']}")
                    self.server.files[f"{repository}/{value['path']}"] = stored
            told = {
                "commitUrl": f"{constants.ENDPOINT}/{repository}/commit/{COMMIT}",
                "commitOid": COMMIT,
                "hookOutput": "",
                "success": True,
            }
            self.answer_json(told)

    def do_PUT(self) -> None:
        self.server.files[self.path.strip("/")] = self.body()
        self.answer(200)

    def answer_json(self, told: Any) -> None:
        self.answer(200, json.dumps(told).encode(), Content_Type="application/json")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An empty Hub, and a cache of its own."""
    made = Server(("127.0.0.1", 0), Handler)
    made.files, made.asked = {}, []
    threading.Thread(target=made.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{made.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "right")
    bundled._from_hub.cache_clear()
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("large", [False, True])
def test_a_model_goes_to_the_hub_and_comes_back(
    large: bool, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.large = large
    options = ["--license", "cc-by-4.0", "--language", "en"]
    assert run(make_app(), ["push-to-hub", "digits", "me/numbers", *options]) == 0
    assert capsys.readouterr().out.strip().endswith("me/numbers")
    readme = server.files["me/numbers/README.md"].decode()
    metadata = yaml.safe_load(readme.split("---")[1])
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["pipeline_tag"] == "automatic-speech-recognition"
    assert "--model hf:me/numbers" in readme
    found = bundled.find("hf:me/numbers")
    assert found.read_bytes() == bundled.find("digits").read_bytes()
    assert bundled.find(Path("hf:me/numbers")) == found  # asked for once
    assert sum(asked.startswith("GET /me/numbers") for asked in server.asked) == 1
    sample = Path(__file__).parents[1] / "data" / "samples" / "digits_01.flac"
    assert run(make_app(), ["transcribe", str(sample), "--model", "hf:me/numbers"]) == 0
    assert capsys.readouterr().out == (sample.with_suffix(".txt")).read_text()


def test_another_file_and_revision(server: Server) -> None:
    server.files["me/numbers/small.safetensors"] = b"content"
    found = hub.download(f"hf:me/numbers/small.safetensors@{COMMIT}")
    assert found.read_bytes() == b"content"


def test_own_card(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "card.md"
    card.write_text("# Mine\n")
    assert run(make_app(), ["push-to-hub", "digits", "me/numbers", "--card", str(card)]) == 0
    assert server.files["me/numbers/README.md"] == b"# Mine\n"
    assert run(make_app(), ["push-to-hub", "digits", "me/n", "--card", str(card), "--language", "en"]) == 2
    assert "holds its own license and language" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hf:me", "names no model on the Hub; write hf:OWNER/NAME"),
        ("hf:me/../x", "names no model on the Hub"),
        ("hf:me/numbers/../../etc/passwd", "names no model on the Hub"),
        ("hf:me/nothing", "is not there, or is private; check the name, and set HF_TOKEN"),
        ("hf:me/numbers@old", "has no such revision"),
        ("hf:me/numbers/no.safetensors", "has no such file"),
    ],
)
def test_one_sentence_says_what_is_wrong(name: str, told: str, server: Server) -> None:
    server.files["me/numbers/model.safetensors"] = b"content"
    with pytest.raises(ModelFileError, match=told.replace("?", ".")) as error:
        hub.download(name)
    assert str(error.value).startswith(name)


def test_what_is_no_model_is_refused_as_any_other_file(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["me/bad/model.safetensors"] = b"\x80\x04cos\nsystem\n"
    assert run(make_app(), ["inspect", "hf:me/bad"]) == 2
    assert "is not a model file of this program" in capsys.readouterr().err


def test_a_huge_file_is_not_fetched(server: Server) -> None:
    server.files["me/numbers/model.safetensors"] = b"content"
    server.claims = 10 * 2**30
    with pytest.raises(ModelFileError, match=r"the file has 10\.7 GB, more than the 4\.3"):
        hub.download("hf:me/numbers")


def test_the_cache_serves_when_the_hub_does_not(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the five tries of its library
    server.files["me/numbers/model.safetensors"] = b"content"
    hub.download("hf:me/numbers")
    server.shutdown()
    server.server_close()
    assert hub.download("hf:me/numbers").read_bytes() == b"content"
    with pytest.raises(ModelFileError, match="is not in the cache, and the Hub cannot be reached"):
        hub.download("hf:me/others")


def test_a_token_that_may_not(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert run(make_app(), ["push-to-hub", "digits", "me/numbers"]) == 2
    assert "the Hub does not let you; set HF_TOKEN" in capsys.readouterr().err


def test_names() -> None:
    assert HubName.parse("hf:a/b") == HubName("a/b")
    assert HubName.parse("hf:a/b/c.safetensors@v1/x") == HubName("a/b", "c.safetensors", "v1/x")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"needs huggingface-hub: pip install 'asr_seq2seq\[hub\]'"):
        hub.download("hf:me/numbers")
