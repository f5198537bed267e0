"""Runs what is missing of the chain. Alembic is imported only when something is.

Importing Alembic and SQLAlchemy costs half a second, which a server that is up to date, and each
`majung device add`, need not pay: which revision is the newest is read from the files' text.
"""

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

FOLDER = Path(__file__).resolve().parent


def known(folder: Path = FOLDER) -> list[str]:
    """The revision ids, oldest first. Raises ValueError when they do not form one chain."""
    after: dict[str | None, str] = {}
    files = sorted((folder / "versions").glob("[0-9]*.py"))
    for file in files:
        names = _constants(file)
        revision, previous = names.get("revision"), names.get("down_revision")
        if revision is None or previous in after:
            raise ValueError(f"{file.name}: no revision id, or a second revision after {previous}")
        after[previous] = revision
    chain: list[str] = []
    previous = None
    while previous in after:
        previous = after.pop(previous)
        chain.append(previous)
    if after:
        raise ValueError(f"these revisions hang in the air: {sorted(after.values())}")
    return chain


def head(folder: Path = FOLDER) -> str:
    """The newest revision id; "" when there is none."""
    return (known(folder) or [""])[-1]


def upgrade(engine: "Engine", folder: Path = FOLDER) -> None:
    """Run every missing revision on the database of `engine`, in one transaction. Blocks.

    The engine must begin transactions with a lock that keeps a second upgrade out.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _constants(file: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                found[name] = value if isinstance(value, str) else None
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
                found[name] = value if isinstance(value, str) else None
    return found
