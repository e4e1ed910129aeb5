"""`pointwork corpus` and `pointwork retrieve`, on files alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pointwork.cli.errors import ExitCode
from pointwork.cli.main import main

OFFLINE = """
import sys

def no_network(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError(f"reached for the network: {event}")

sys.addaudithook(no_network)
from pointwork.cli.main import run
run()
"""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "quay.md").write_text("Dredging ended; the quay was closed in April.")
    (folder / "menu.md").write_text("Soup on Monday.")
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    def call_main(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments), "--state-dir", str(tmp_path / "state")])
        return code, *capsys.readouterr()

    return call_main


@pytest.mark.req("CX-70")
def test_retrieval_succeeds_offline_from_the_index_files_alone(
    call: Call, texts: Path, tmp_path: Path
) -> None:
    assert call("corpus", "add", "harbour", texts)[0] == ExitCode.OK
    shutil.rmtree(texts)
    arguments = ["retrieve", "harbour", "closed quay", "--json", "--state-dir"]
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *arguments, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = json.loads(done.stdout)["passages"]
    assert found["id"] == "quay.md#1"


def test_added_corpora_are_listed(call: Call, texts: Path) -> None:
    assert "No corpus yet" in call("corpus", "list")[2]
    added = json.loads(call("corpus", "add", "harbour", texts, "--json")[1])
    assert added["documents"] == 2
    (row,) = json.loads(call("corpus", "list", "--json")[1])
    assert row["corpus"] == "harbour"
    assert "harbour" in call("corpus", "list")[1]


def test_explaining_shows_the_words_and_changes_no_rank(call: Call, texts: Path) -> None:
    call("corpus", "add", "harbour", texts)
    plain = json.loads(call("retrieve", "harbour", "soup quay monday", "--json")[1])["passages"]
    shown = call("retrieve", "harbour", "soup quay monday", "--json", "--explain")[1]
    explained = json.loads(shown)["passages"]
    assert [{k: v for k, v in row.items() if k != "terms"} for row in explained] == plain
    assert {each["term"] for each in explained[0]["terms"]} == {"soup", "monday"}
    assert "menu.md#1" in call("retrieve", "harbour", "soup", "--explain")[1]
    assert "No passage shares a word" in call("retrieve", "harbour", "zebra")[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("retrieve", "town", "x"), "corpus 'town' was never added (there are: harbour); add it"),
        (("retrieve", "../x", "x"), "choose such a name"),
        (("retrieve", "harbour", "x", "-k", "0"), "-k 0 is out of range; give 1 to 50"),
        (("retrieve", "harbour", "x", "--diversity", "2"), "--diversity 2.0 is out of range; give"),
        (("corpus", "add", "Bad", "."), "choose such a name"),
        (("corpus", "add", "a", "nowhere"), "nowhere: is no file or folder; give"),
    ],
)
def test_bad_input_is_told_in_one_sentence(
    call: Call, texts: Path, arguments: tuple[str, ...], says: str
) -> None:
    call("corpus", "add", "harbour", texts)
    code, out, err = call(*arguments)
    assert (code, out) == (ExitCode.BAD_INPUT, "")
    assert says in err


def test_a_damaged_index_is_refused_by_its_path(call: Call, texts: Path, tmp_path: Path) -> None:
    call("corpus", "add", "harbour", texts)
    index = tmp_path / "state" / "corpora" / "harbour.index"
    index.write_bytes(index.read_bytes()[:-3])
    code, _, err = call("retrieve", "harbour", "x")
    assert code == ExitCode.BAD_INPUT
    assert "harbour.index: was altered after it was written; build it again" in " ".join(
        err.split()
    )
