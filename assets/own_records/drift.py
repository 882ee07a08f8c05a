"""A stream that its source describes otherwise than before, and whether that was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assets.own_records.kind import BY, OWN, OwnKind, told_as_target
from connectors.target import Seen, Stale
from pilothouse.kernel.errors import TargetError
from pilothouse.kernel.lake.notes import Overtaken

if TYPE_CHECKING:
    from connectors.target import Value, Values

DRIFT: Final = "stream_drift"


class Drift(OwnKind):
    """Accepted as `pilothouse drift accept` does, as long as the source says what was seen; taken back while nothing was loaded by it.

    `seen` in its key is a digest of the differences. Of others that are refused by now nobody has decided: these are gone.
    """

    record = DRIFT
    key = ("source", "stream", "seen")
    field = "status"

    def look(self, identity: Values) -> Seen | None:
        """What was noted last; the token is the moment of that."""
        from quality.refusals import Refusals

        source, stream, seen = (str(identity[name]) for name in self.key)
        newest = Refusals(self.platform.lake).newest(source, stream)
        if newest is None:
            return None
        return Seen(values={"status": newest.status if newest.seen == seen else "gone"}, token=newest.noted_at.isoformat())

    def check(self, identity: Values, value: Value) -> None:  # noqa: ARG002 - as every kind is asked
        """Accepted, or not."""
        if value not in ("accepted", "refused"):
            raise TargetError(
                f"{OWN}: a changed schema can be accepted, and that be taken back, and nothing else", hint="say accepted or refused"
            )

    def change(self, identity: Values, value: Value, token: str) -> None:
        """Accept the differences, or take that back."""
        from assets.accepting import accept, take_back

        source, stream, seen = (str(identity[name]) for name in self.key)
        known = self.look(identity)
        if known is None or known.token != token:
            raise Stale
        self.check(identity, value)
        with told_as_target():
            try:
                (accept if value == "accepted" else take_back)(self.platform, source, stream, by=BY, seen=seen)
            except Overtaken:
                raise Stale from None
