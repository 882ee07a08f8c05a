"""Commands by which people steer: proposals, approve, reject, edit, comment, undo, token."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import AccessDenied, ConfigError, Conflict

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.approvals.principals import Principal
    from pilothouse.approvals.proposals import Proposal, Remark

Which = Annotated[str, typer.Argument(metavar="ID", help="Of a proposal or of its decision, or the beginning of it.")]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept in the ledger.")]
_TOKEN = "PILOTHOUSE_TOKEN"  # noqa: S105 - the name of a variable
_WAIT = 120.0
_LONG = 60  # letters of a value that a list shows; one proposal shows all of it


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    for command in (proposals, approve, reject, edit, comment, undo, token):
        app.command()(command)


@told_plainly
def proposals(
    named: Annotated[str | None, typer.Argument(metavar="[ID]", help="One proposal in full.")] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", help="Only those: open, approved, rejected, expired, executed, conflict, refused, undone."),
    ] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """List what agents propose to write; of one, show the change, the reasons, who may approve it and what was said.

    Example: pilothouse proposals --status open
    """
    from typing import get_args

    from pilothouse.approvals.proposals import Status

    if status is not None and status not in get_args(Status):
        raise ConfigError(f"there is no status '{status}'", hint=f"there are {', '.join(get_args(Status))}")
    with open_platform() as platform:
        if named is not None:
            _show(platform, platform.proposals.get(named), json_output=json_output)
            return
        found = platform.proposals.all(status)  # type: ignore[arg-type]  # checked above
    if json_output:
        print_json([_as_json(each) for each in found])
        return
    rows = [
        {
            "proposal": each.id,
            "status": each.status,
            "amount": _money(each),
            "write": f"{each.target}: {each.action}",
            "change": change_of(each),
            "reason": each.reason,
            "decision": each.decision[:12],
            "until": each.expires_at.astimezone(UTC) if each.status == "open" else None,
        }
        for each in found
    ]
    print_rows(rows, right=("amount",))


@told_plainly
def approve(
    named: Which,
    why: Why = "",
    wait: Annotated[bool, typer.Option("--wait", help="Until it is written, or cannot be.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Say yes to a proposal. With the last yes that it needs, it is written into the source system within seconds.

    Example: pilothouse approve 3f9a21c07b5e --why "agreed with sales"
    """
    with open_platform() as platform:
        done = platform.proposals.approve(named, who(platform), why)
        if wait:
            done = _wait_for(platform, done)
        _tell(done, json_output=json_output)


@told_plainly
def reject(
    named: Which,
    why: Annotated[str, typer.Option("--why", help="The reason; agents are judged by it.")],
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Say no to a proposal.

    Example: pilothouse reject 3f9a21c07b5e --why "they paid this morning"
    """
    with open_platform() as platform:
        _tell(platform.proposals.reject(named, who(platform), why), json_output=json_output)


@told_plainly
def edit(
    named: Which,
    values: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE...", help="What is to be written instead.")],
    why: Why = "",
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Change what a proposal would write. Who edits it becomes its author, and somebody else must approve it.

    Example: pilothouse edit 3f9a21c07b5e DeliveryBlockReason=02 --why "prepayment will do"
    """
    changed = dict(_assigned(each) for each in values)
    with open_platform() as platform:
        found = platform.proposals.get(named)
        if strange := sorted(changed.keys() - found.action.values.keys()):
            raise ConfigError(
                f"proposal {found.id} sets no field '{strange[0]}'",
                hint=f"it sets {', '.join(found.action.values)}; what else is to be written is another proposal",
            )
        _tell(platform.proposals.edit(named, who(platform), changed, why), json_output=json_output)


@told_plainly
def comment(named: Which, text: Annotated[str, typer.Argument(help="What is to be said.")], json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """Say a word on a proposal, whatever its status.

    Example: pilothouse comment 3f9a21c07b5e "asked their accountant"
    """
    with open_platform() as platform:
        platform.proposals.comment(named, who(platform), text)
        _tell(platform.proposals.get(named), json_output=json_output)


@told_plainly
def undo(
    named: Which,
    why: Annotated[str, typer.Option("--why", help="The reason; it is kept in the ledger.")],
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Take an executed write back: what was there before is there again. Where somebody has changed it since, nothing is written; what is
    proposed instead is named.

    Example: pilothouse undo 3f9a21c07b5e --why "the customer paid"
    """
    with open_platform() as platform:
        try:
            done = platform.executor.undo(named, who(platform), why)
        except Conflict as conflict:
            if conflict.differences and not json_output:
                words = {"field": "field", "before": "as we left it", "ours": "as it would be", "now": "as it is now"}
                print_rows([{told: each[name] for name, told in words.items()} for each in conflict.differences])
            raise
        _tell(done, json_output=json_output)


@told_plainly
def token(
    name: Annotated[str, typer.Argument(help="A principal that pilothouse.toml declares.")],
    revoke: Annotated[bool, typer.Option("--revoke", help="Void it, and issue none.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Issue somebody's token; the one before it is void. Administrators may, and everybody may have their own replaced.

    Example: pilothouse token ada
    """
    from pilothouse.approvals.principals import ADMIN
    from pilothouse.local.admin import local_token, token_file, write_token

    with open_platform() as platform:
        people, settings = platform.principals, platform.settings
        by = people.authority(name, _given(platform))
        issued = None if revoke else people.issue(name, by)
        found = people.revoke(name, by) if revoke else True
        kept = issued is not None and name == ADMIN and local_token(settings) is not None
        if issued is not None and kept:
            write_token(settings, issued)
    if json_output:
        print_json({"principal": name, "token": issued, "revoked": revoke and found})
    elif issued is None:
        console.print(f"{name} holds no token any more" if found else f"{name} held none")
    else:
        console.print(issued, markup=False, soft_wrap=True)
        told = f"written to {token_file(settings)}" if kept else f"shown this once; {name} sets {_TOKEN} to it"
        console.print(f"[dim]{escape(told)}[/]", soft_wrap=True)


def who(platform: Platform) -> Principal:
    """Who gives this command: whoever's token it is."""
    token = _given(platform)
    if token is None:
        declared = ", ".join(platform.settings.principals)
        hint = f"set {_TOKEN} to yours; an administrator issues it: `pilothouse token NAME`, for {declared}"
        raise AccessDenied("nobody says who you are", hint=hint if declared else "`pilothouse up` makes a token for this machine's owner")
    return platform.principals.by_token(token)


def _given(platform: Platform) -> str | None:
    from pilothouse.local.admin import local_token

    return os.environ.get(_TOKEN) or local_token(platform.settings)


def _wait_for(platform: Platform, proposal: Proposal) -> Proposal:
    """As it stands once the executor has tried it; as it is where two must approve it, or nothing executes."""
    until = time.monotonic() + _WAIT
    while proposal.status == "approved" and time.monotonic() < until:
        time.sleep(0.5)
        proposal = platform.proposals.get(proposal.id)
    return proposal


def _assigned(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"'{text}' sets no field", hint="write FIELD=VALUE, such as DeliveryBlockReason=02")
    return name, value


def _tell(proposal: Proposal, *, json_output: bool) -> None:
    if json_output:
        print_json(_as_json(proposal))
        return
    said = f": {proposal.said}" if proposal.said else ""
    console.print(f"[bold]{proposal.id}[/] is {proposal.status}{escape(said)}", soft_wrap=True)
    console.print(f"  {escape(f'{proposal.target}: {proposal.action}')}  {escape(change_of(proposal))}", soft_wrap=True)
    from assets.own_records import final

    no_way_back = final(proposal.action, proposal.target)
    further = {
        "approved": f"the executor writes it within seconds: `pilothouse proposals {proposal.id}` tells what came of it",
        "executed": f"it cannot be taken back: {no_way_back}"
        if no_way_back
        else f'`pilothouse undo {proposal.id} --why "..."` takes it back',
        **({"open": f"once written it cannot be taken back: {no_way_back}"} if no_way_back else {}),
    }
    if proposal.status in further:
        console.print(f"  [dim]{escape(further[proposal.status])}[/]", soft_wrap=True)


def _show(platform: Platform, proposal: Proposal, *, json_output: bool) -> None:
    people = platform.proposals.may_approve(proposal, platform.principals)
    remarks, needed = platform.proposals.remarks(proposal), platform.proposals.needed(proposal)
    reasons = list(platform.ledger.get(proposal.decision).body.get("output", {}).get("reasons", [])) or [proposal.reason]
    if json_output:
        told = {"reasons": reasons, "needed": needed, "may_approve": people, "remarks": [_remark(each) for each in remarks]}
        print_json(_as_json(proposal) | told)
        return
    _tell(proposal, json_output=False)
    lines = [
        ("proposed by", f"{proposal.proposed_by}, in decision {proposal.decision[:12]}, {proposal.created_at:%Y-%m-%d %H:%M} UTC"),
        *((name, line) for name, value in proposal.action.values.items() if "\n" in str(value) for line in str(value).splitlines()),
        ("amount", f"{_money(proposal)} EUR{', of the enterprise in a box' if proposal.synthetic else ''}"),
        *(("because", reason) for reason in reasons),
        *((("instead of", f"taking back {proposal.compensates}, which was refused"),) if proposal.compensates else ()),
        *_approvers(proposal, people, needed),
    ]
    for name, text in lines:
        console.print(f"  [dim]{name:<12}[/] {escape(text)}", soft_wrap=True)
    for each in remarks:
        changed = "; ".join(f"{name}: {before!r} → {after!r}" for name, (before, after) in (each.change or {}).items())
        words = " ".join(filter(None, (each.by + ":", each.verb, each.why, changed)))
        console.print(f"  [dim]{each.at:%m-%d %H:%M} [/] {escape(words)}", soft_wrap=True)


def _approvers(proposal: Proposal, people: dict[str, str], needed: int) -> Sequence[tuple[str, str]]:
    """Who may say yes, while somebody can."""
    if proposal.status != "open":
        return []
    if proposal.expires_at <= datetime.now(UTC):
        return [("approval", f"expired at {proposal.expires_at:%Y-%m-%d %H:%M} UTC")]
    may = [name for name, obstacle in people.items() if not obstacle]
    told = f"by {' or '.join(may) or 'nobody who is declared'}, until {proposal.expires_at:%Y-%m-%d %H:%M} UTC"
    two = "; two people must say yes" if needed > 1 else ""
    return [("approval", told + two), *(("not by", obstacle) for obstacle in people.values() if obstacle)]


def change_of(proposal: Proposal) -> str:
    """What would be written, in brief. Of a record that is made there is nothing before."""
    if not proposal.action.identity:
        return ", ".join(f"{name}: {_brief(after)}" for name, (_, after) in proposal.change.items())
    return ", ".join(f"{name}: {_brief(before or '')} → {_brief(after)}" for name, (before, after) in proposal.change.items())


def _brief(value: Any) -> str:
    """A value in one short line."""
    first, _, more = str(value).partition("\n")
    return repr(value) if not more and len(first) <= _LONG else f"{first[:_LONG]!r}…"


def _money(proposal: Proposal) -> str:
    return f"{proposal.amount:,.2f}" if proposal.amount.is_finite() else "unknown"


def _remark(remark: Remark) -> dict[str, Any]:
    return {name: getattr(remark, name) for name in ("at", "by", "verb", "revision", "why", "change")}


def _as_json(proposal: Proposal) -> dict[str, Any]:
    import msgspec

    from assets.own_records import final

    copied = (
        "id",
        "status",
        "said",
        "decision",
        "proposed_by",
        "target",
        "reason",
        "roles",
        "revision",
        "synthetic",
        "compensates",
        "expires_at",
    )
    return {
        **{name: getattr(proposal, name) for name in copied},
        "amount": str(proposal.amount) if proposal.amount.is_finite() else None,
        "action": msgspec.to_builtins(proposal.action),
        "change": proposal.change,
        "final": final(proposal.action, proposal.target) or None,
    }
