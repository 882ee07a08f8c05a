"""What a `[sources.<name>]` section with `connector = "salesforce"` may say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.connector import SourceOptions
from pilothouse.kernel.streams import Change

Grant = Literal["client_credentials", "jwt", "password"]


class SalesforceObject(BaseModel):
    """One object to read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    object: str = Field(min_length=1, pattern=r"^[A-Za-z]\w*$", description="API name of the object, such as Account or Invoice__c.")
    cursor: str | None = Field(default="SystemModstamp", description="The field that moves with every change.", pattern=r"^[A-Za-z]\w*$")
    lag: timedelta = Field(default=timedelta(minutes=10), description="How late a change may become visible.", ge=timedelta(0))
    deletes: Literal["tombstones", "keys", "snapshot", "never"] | None = Field(
        default=None, description="How deletions are found; `tombstones` where there is a cursor, `snapshot` where there is none."
    )
    description: str = ""
    owner: str = ""
    announces: Mapping[Change, str] = Field(default_factory=dict, description="Event type by kind of change.")

    @model_validator(mode="after")
    def _deletes_fit_the_cursor(self) -> Self:
        if self.cursor is None and self.deletes not in {None, "snapshot"}:
            raise ValueError(f"deletes = {self.deletes!r} needs a cursor: without one each read is complete and finds the deletions itself")
        if self.cursor is not None and self.deletes == "snapshot":
            raise ValueError("deletes = 'snapshot' contradicts the cursor: a read by cursor is not complete")
        return self


class SalesforceOptions(SourceOptions):
    """Which org, who we are there, and how much of it is ours to use."""

    url: str = Field(description="The org's My Domain URL (or a login URL): https://acme.my.salesforce.com")
    auth: Grant = Field(default="client_credentials", description="How we log in.")
    client_id: str = Field(default="", description="Consumer key of the connected app.")
    client_secret: SecretStr | None = Field(default=None, description="Consumer secret of the connected app.")
    username: str = Field(default="", description="Who we are, for the grants jwt and password.")
    password: SecretStr | None = Field(default=None, description="Of that user, for the grant password.")
    security_token: SecretStr | None = Field(default=None, description="Appended to the password where our address is not trusted.")
    private_key_file: Path | None = Field(default=None, description="PEM file of the key that signs JWT bearer assertions.")
    audience: str = Field(default="", description="Audience of the assertion; login or test.salesforce.com where empty.")
    api_version: str = Field(default="62.0", pattern=r"^\d{2,3}\.0$", description="Of the REST and Bulk APIs.")
    verify: bool | Path = Field(default=True, description="Certificate authorities to trust, as a PEM file; false trusts anybody.")
    timeout: float = Field(default=60.0, gt=0, le=600, description="Seconds without a byte before a request is given up.")
    api_share: float = Field(default=0.2, ge=0, lt=1, description="Fraction of the org's daily API requests that is left for others.")
    bulk_threshold: int = Field(default=20_000, ge=0, description="From this many rows on the Bulk API is used.")
    bulk_patience: float = Field(default=3600.0, gt=0, description="Seconds to wait until Salesforce has prepared a bulk result.")
    key_field: str = Field(
        default="Pilothouse_Key__c", pattern=r"^\w+__c$", description="External id that tells what we created, on objects we create in."
    )
    streams: Mapping[str, SalesforceObject] | None = Field(default=None, description="Streams by name; four standard objects where absent.")

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in {"https", "http"}:
            raise ValueError("must be the org's URL, such as https://acme.my.salesforce.com")
        if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("must be https: our credentials would cross the network in the clear")
        return url.rstrip("/")

    def missing(self) -> tuple[str, ...]:
        """What the chosen way to log on needs."""
        needed: Mapping[Grant, tuple[str, ...]] = {
            "client_credentials": ("client_id", "client_secret"),
            "jwt": ("client_id", "username", "private_key_file"),
            "password": ("username", "password"),
        }
        missing = [name for name in needed[self.auth] if not getattr(self, name)]
        if self.auth == "password" and bool(self.client_id) != bool(self.client_secret):
            missing.append("client_secret" if self.client_id else "client_id")
        return tuple(missing)

    @field_validator("streams")
    @classmethod
    def _has_streams(cls, streams: Mapping[str, SalesforceObject] | None) -> Mapping[str, SalesforceObject] | None:
        if streams is not None and not streams:
            raise ValueError("name at least one stream, or leave `streams` out to read the standard objects")
        return streams

    @property
    def credentials(self) -> tuple[str, ...]:
        """The settings that say who we are, for hints."""
        by_grant: Mapping[Grant, tuple[str, ...]] = {
            "client_credentials": ("client_id", "client_secret"),
            "jwt": ("client_id", "username", "private_key_file"),
            "password": ("username", "password", "security_token"),
        }
        return by_grant[self.auth]
