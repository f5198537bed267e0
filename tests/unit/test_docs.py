"""The generated documents are what the code makes them, and lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from majung.serve.http.app import ROUTES
from majung.settings import Settings
from majung.settings_doc import rows
from scripts.build_docs import FILES, parse_proto

ROOT = Path(__file__).resolve().parent.parent.parent
HINT = "run `make docs` and commit what it writes"


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_current(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), HINT


def test_every_process_makes_the_same() -> None:
    """Whatever order sets have in it, and wherever it was started."""
    code = "import sys; from scripts.build_docs import FILES; sys.stdout.write(''.join(f() for f in FILES.values()))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "4711",
        "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path)),
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == "".join(make() for make in FILES.values())


def test_every_route_stands_in_the_reference() -> None:
    text = FILES["docs/api.md"]()
    for route in ROUTES:
        methods = getattr(route, "http_methods", ())
        if methods and not route.include_in_schema:
            continue
        for path in route.paths:
            shown = re.sub(r"\{(\w+):\w+\}", r"{\1}", path)
            for method in methods or ("",):
                assert f"`{method} {shown}`".replace("` ", "`") in text, shown


def test_every_setting_is_listed() -> None:
    text = FILES["docs/settings.md"]()
    listed = [(name, meaning) for name, _, _, meaning in rows(Settings.model_construct())]
    assert len(listed) > 40
    for name, meaning in listed:
        assert f"| `{name}` |" in text
        assert meaning in text, name
        assert meaning, name


def test_the_contract_stands_in_the_reference() -> None:
    text = FILES["docs/api.md"]()
    file = parse_proto()
    for message in file.message_type:
        for field in message.field:
            assert f"| {field.number} | `{field.name}` |" in text
    for service in file.service:
        for call in service.method:
            assert f"| `{call.name}` |" in text


@pytest.mark.parametrize("name", FILES)
def test_links_lead_somewhere(name: str) -> None:
    text = FILES[name]()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        there = (ROOT / "docs" / file).read_text(encoding="utf-8") if file else text
        headings = re.findall(r"^#+ (.+)$", there, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target
