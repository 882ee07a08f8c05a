"""What a `[sources.<name>]` section with `connector = "sap"` may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.connector import SourceOptions
from connectors.sap.streams import STREAMS, SapStream
from pilothouse.kernel.streams import Change, Cursor

MIB = 2**20


class ExtraStream(BaseModel):
    """A stream of the user's own: an entity set of any OData service of the source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="of the stream and its table")
    path: str = Field(pattern=r"^/.+/[^/?]+$", description="service root and entity set, such as /sap/opu/odata/sap/ZORDERS_SRV/Orders")
    key: tuple[str, ...] = Field(min_length=1)
    cursor: str | None = Field(None, description="the field that tells when a row changed")
    created: str | None = Field(None, description="the field that stands in for the cursor in rows that never changed")
    lag: timedelta = Field(timedelta(minutes=5), description="how late a change may still become visible")
    delta: bool = Field(default=False, description="follow the service's delta links")
    deletes: Literal["snapshot", "tombstones", "keys", "never"] | None = Field(
        None, description="how a deletion becomes known; None: by the kind of read"
    )
    announces: Mapping[Change, str] = Field(default_factory=dict, description="change to event name")
    label: str = ""
    description: str = ""
    owner: str = ""

    @model_validator(mode="after")
    def _one_kind_of_read(self) -> Self:
        if self.delta and self.cursor:
            raise ValueError(f"stream {self.name}: choose `delta` or `cursor`, not both")
        if self.cursor and self.deletes in {"snapshot", "tombstones"}:
            raise ValueError(f"stream {self.name}: a read by cursor brings changes only; `deletes` is `keys` or `never`")
        if self.created and not self.cursor:
            raise ValueError(f"stream {self.name}: `created` stands in for a `cursor`, and there is none")
        return self

    def stream(self) -> SapStream:
        """The declared value."""
        usual: Literal["tombstones", "keys", "snapshot"] = "tombstones" if self.delta else "keys" if self.cursor else "snapshot"
        return SapStream(
            name=self.name,
            key=self.key,
            path=self.path,
            cursor=Cursor(self.cursor, lag=self.lag) if self.cursor else None,
            created=self.created,
            delta=self.delta,
            deletes=self.deletes or usual,
            announces=self.announces,
            label=self.label,
            description=self.description,
            owner=self.owner,
        )


class SapOptions(SourceOptions):
    """One S/4HANA, or any other server that speaks OData V2 or V4. Log on by user and password, or by OAuth client credentials."""

    url: str = Field(pattern=r"^https?://[^/\s]+", description="scheme, host and port; a path if a gateway puts one before /sap")
    user: str | None = Field(None, description="the communication user")
    password: SecretStr | None = Field(None, description="of that user")
    token_url: str | None = Field(None, description="of OAuth client credentials, absolute or below url")
    client_id: str | None = Field(None, description="of OAuth client credentials")
    client_secret: SecretStr | None = Field(None, description="of OAuth client credentials")
    verify: bool | Path = Field(default=True, description="a PEM file of the certificate authority; false trusts anybody")
    sap_client: str | None = Field(None, pattern=r"^\d{3}$", description="the client (Mandant) to log on to")
    streams: tuple[str, ...] | None = Field(None, description="names of the streams to read; None reads all")
    extra_streams: tuple[ExtraStream, ...] = Field((), description="streams of your own, such as custom CDS views")
    page_size: int = Field(5000, ge=1, le=100_000, description="rows a page that we ask for; the server may give fewer")
    paging: Literal["server", "client"] = Field("server", description="client: $skip and $top, for services that do not page by themselves")
    prefetch: int = Field(2, ge=0, le=32, description="pages fetched ahead")
    batch_rows: int = Field(100_000, ge=1, description="rows after which a read that can be resumed makes what it has durable")
    requests_per_minute: int | None = Field(None, ge=1, description="what we allow ourselves; we wait where it is used up")
    requests_per_sync: int | None = Field(None, ge=1, description="the same for one sync; it ends where it is used up")
    timeout: float = Field(60.0, gt=0, description="seconds without a byte after which a request is given up")
    largest_response: int = Field(64 * MIB, ge=1024, description="bytes of one response that we take into memory")

    @field_validator("extra_streams")
    @classmethod
    def _names_are_free(cls, extra: tuple[ExtraStream, ...]) -> tuple[ExtraStream, ...]:
        names = [each.name for each in extra]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"extra stream {name!r} is declared twice")
        return extra

    @model_validator(mode="after")
    def _selection_is_known(self) -> Self:
        known = {each.name for each in self._offered()}
        unknown = sorted(set(self.streams or ()) - known)
        if unknown:
            raise ValueError(f"no stream is called {', '.join(map(repr, unknown))}; there are {', '.join(sorted(known))}")
        return self

    @model_validator(mode="after")
    def _one_way_to_log_on(self) -> Self:
        basic = {"user": self.user, "password": self.password}
        oauth = {"token_url": self.token_url, "client_id": self.client_id, "client_secret": self.client_secret}
        given = [way for way in (basic, oauth) if any(way.values())]
        if len(given) > 1:
            raise ValueError("log on by `user` and `password`, or by `token_url`, `client_id` and `client_secret`: give one of the two")
        return self

    def missing(self) -> tuple[str, ...]:
        """What logging on takes: a user and his password, or what OAuth's client credentials need."""
        oauth = {"token_url": self.token_url, "client_id": self.client_id, "client_secret": self.client_secret}
        needed = oauth if any(oauth.values()) else {"user": self.user, "password": self.password}
        return tuple(name for name, value in needed.items() if not value)

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the settings that say who we are."""
        return ("user", "password") if self.user else ("client_id", "client_secret")

    def selected(self) -> Sequence[SapStream]:
        """The streams to read, in the order of their declaration; an extra stream takes the place of its namesake."""
        wanted = None if self.streams is None else set(self.streams)
        return [each for each in self._offered() if wanted is None or each.name in wanted]

    def _offered(self) -> list[SapStream]:
        extra = {each.name: each.stream() for each in self.extra_streams}
        return [*(each for each in STREAMS if each.name not in extra), *extra.values()]
