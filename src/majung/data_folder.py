"""The data folder of the embedded profile: what lies where, and its database alone.

Apart from `compose`, so that a command such as `majung user` need not load the whole server to write a row.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from majung.backends.embedded.database import EmbeddedDatabase


def database_path(data: Path) -> Path:
    """Where the embedded database of a data folder is."""
    return data / "majung.db"


def views_path(data: Path) -> Path:
    """Where the views of orders are; the file may be deleted while no server runs."""
    return data / "views.db"


def prepare_folder(data: Path) -> None:
    """Make the data folder, for its owner alone: it holds keys and where people were."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.asynccontextmanager
async def open_database(data: Path) -> AsyncIterator[EmbeddedDatabase]:
    """The database alone, for commands that work beside a running server."""
    prepare_folder(data)
    database = EmbeddedDatabase(database_path(data))
    await database.open()
    try:
        yield database
    finally:
        await database.close()
