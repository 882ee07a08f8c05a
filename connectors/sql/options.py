"""What a `[sources.<name>]` section with `connector = "sql"` may say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.connector import SourceOptions
from pilothouse.kernel.streams import Change


class SqlTable(BaseModel):
    """One table or view to read: how its rows are told apart, and how a change is noticed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str = Field(default="", description="Name of the table or view; the stream's own name where empty.")
    key: tuple[str, ...] = Field(min_length=1, description="The columns that tell one row from another.")
    cursor: str | None = Field(default=None, description="The column that moves with every change; without it each read is complete.")
    lag: timedelta = Field(default=timedelta(minutes=5), description="How late a change may become visible.", ge=timedelta(0))
    deletes: Literal["snapshot", "keys", "never"] | None = Field(
        default=None, description="How deletions are found; `keys` where there is a cursor, `snapshot` where there is none."
    )
    description: str = ""
    owner: str = ""
    announces: Mapping[Change, str] = Field(default_factory=dict, description="Event type by kind of change.")

    @model_validator(mode="after")
    def _deletes_fit_the_cursor(self) -> Self:
        if self.cursor is None and self.deletes == "keys":
            raise ValueError("deletes = 'keys' needs a cursor: without one each read is complete and finds the deletions itself")
        if self.cursor is not None and self.deletes == "snapshot":
            raise ValueError("deletes = 'snapshot' contradicts the cursor: a read by cursor is not complete")
        return self


class SqlOptions(SourceOptions):
    """Where the database is, and which of its tables are streams."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, hide_input_in_errors=True)

    url: SecretStr = Field(description="postgresql://user:password@host:port/database")
    schema_name: str = Field(default="warehouse", alias="schema", min_length=1, description="The schema that holds the tables.")
    streams: Mapping[str, SqlTable] | None = Field(default=None, description="Streams by name; the bureau's tables where absent.")
    readers: int = Field(default=2, ge=1, le=16, description="Connections that read one large table side by side.")
    connect_timeout: int = Field(default=10, ge=1, le=600, description="Seconds to wait for a connection.")
    lock_timeout: int = Field(default=60, ge=1, le=3600, description="Seconds to wait for a table that is being altered.")

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr) -> SecretStr:
        scheme = url.get_secret_value().partition("://")[0]
        if scheme.partition("+")[0] not in {"postgresql", "postgres"}:
            # The value itself stays unsaid: a mistyped URL still holds a password.
            raise ValueError("must be a PostgreSQL URL: postgresql://user:password@host:port/database")
        return url

    @field_validator("streams")
    @classmethod
    def _has_streams(cls, streams: Mapping[str, SqlTable] | None) -> Mapping[str, SqlTable] | None:
        if streams is not None and not streams:
            raise ValueError("name at least one stream, or leave `streams` out to read the bureau's tables")
        return streams
