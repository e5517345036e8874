"""A folder into Prefect's database in it, empty and up to date.

Prefect makes one by all its migrations since the first, which takes seconds; here its tables are made as they are now.
"""

from __future__ import annotations

from pathlib import Path


def make_database(path: Path) -> None:
    """The tables and what has to be unique in them, for a server that does not migrate."""
    from prefect.server.database.orm_models import Base
    from sqlalchemy import create_engine
    from sqlalchemy.schema import CreateIndex, CreateTable

    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            connection.execute(CreateTable(table))
            for index in table.indexes:
                if index.unique:
                    connection.execute(CreateIndex(index, if_not_exists=True))
    engine.dispose()
