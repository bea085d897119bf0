"""How many statements a service sends to its database: what does not depend on what else the machine does."""

from typing import Any

import asyncpg
from sqlalchemy import event

from keyturn.database import Database


class Counter:
    def __init__(self) -> None:
        self.statements = 0
        counter = self

        class Counted(asyncpg.Connection):  # type: ignore[misc]
            async def fetch(self, *args: Any, **options: Any) -> Any:
                counter.statements += 1
                return await super().fetch(*args, **options)

            async def execute(self, *args: Any, **options: Any) -> Any:
                counter.statements += 1
                return await super().execute(*args, **options)

        self._kind = Counted

    async def watch(self, database: Database) -> None:
        """From now on; while nobody uses the database."""
        await database.pool.close()

        @event.listens_for(database.engine.sync_engine, "do_connect")
        def connecting(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
            parameters["connection_class"] = self._kind

        @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
        def executing(*_: Any) -> None:
            self.statements += 1
