"""Answers that were given to the same question over the same data: nothing is paid for twice that cannot be answered otherwise.

A question's key covers every word of the conversation, what may be called, the models that may answer, and the versions of the data
that was read. So a run that is made again after a crash, a backtest and an evaluation hear what was said then, and a run over newer
data never does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.agents.brains.conversation import Said
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import model_answers


class Answers:
    """The answers of one operational database, which is opened when a model is asked: who only declares an agent needs none."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database

    def find(self, key: bytes) -> Said | None:
        """What was answered, which costs nothing any more; None where nobody has asked."""
        with self._database().reading() as connection:
            row = connection.execute(sa.select(model_answers).where(model_answers.c.key == key)).first()
        if row is None:
            return None
        kept = row.answer
        return Said(
            model=kept["model"], text=kept["text"], calls=tuple(kept["calls"]), cut_off=kept["cut_off"], cached=True, money=Decimal(0)
        )

    def keep(self, key: bytes, said: Said) -> None:
        """Remember an answer. The first one stays: a run may have been decided by it."""
        row = {"key": key, "answer": said.as_json()}
        with self._database().begin() as connection:
            connection.execute(insert(model_answers).on_conflict_do_nothing(), [row])

    def prune(self, older_than: timedelta) -> int:
        """Forget what was answered that long ago; returns how many. What decisions heard is in their capsules."""
        with self._database().begin() as connection:
            return connection.execute(sa.delete(model_answers).where(model_answers.c.at < sa.func.now() - older_than)).rowcount
