"""Commands about decisions: list them, read one, make it again, check that nothing was changed, give some away."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import AgentError, ConfigError, PilothouseError

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.agents.capsules import Capsule, Kept
    from pilothouse.agents.figures import Figure

Id = Annotated[str, typer.Argument(metavar="ID", help="A decision's id, or the beginning of it.")]
FromBundle = Annotated[Path | None, typer.Option("--bundle", "-b", help="Read this file that `pilothouse export` wrote, not the ledger.")]
Key = Annotated[str, typer.Option("--key", help="The public key that a bundle must be signed by, in hexadecimal digits.")]


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    for command in (decisions, show, diff, replay, verify, export):
        app.command()(command)


@told_plainly
def decisions(
    agent: Annotated[str, typer.Option("--agent", "-a", help="Of this agent alone.")] = "",
    action: Annotated[str, typer.Option("--action", help="With this action alone, such as hold.")] = "",
    since: Annotated[datetime | None, typer.Option("--since", help="Made at this moment (UTC) or later.")] = None,
    subject: Annotated[str, typer.Option("--subject", "-s", help="About this alone, such as s4/sales_order/1000100.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="Decisions to print, the newest first.", min=1)] = 20,
    bundle: FromBundle = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """List decisions, the newest first: what was decided about what and whom, the money, the first reason, and how far its proposal got.

    Example: pilothouse decisions --agent credit_desk --action hold --since 2026-06-01
    """
    from pilothouse.agents.figures import figures_of

    moment = since.replace(tzinfo=UTC) if since else None
    with open_platform() as platform:
        entries = kept(platform, bundle)
        found = [*entries.entries(kind="decision", agent=agent, action=action, since=moment, subject=subject, most=limit)]
        statuses = {} if bundle else _statuses(platform, found)
        known = figures_of(entries, found)
    rows = [_listed(each, statuses.get(each.digest, ""), known[each.digest]) for each in found]
    if json_output:
        print_json(rows)
        return
    print_rows([_in_short(row, known[row["id"]]) for row in rows], right=("amount", "chance"))
    if rows:
        console.print(f"[dim]`pilothouse show {rows[0]['id'][:12]}` reads one, `pilothouse why {rows[0]['id'][:12]}` explains it[/]")


@told_plainly
def show(identity: Id, bundle: FromBundle = None, json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """Show one decision whole: reasons, the way through the tree, what would have changed it, what it asked and read, what became of it.

    Example: pilothouse show 3f2a91c04b7d
    """
    from pilothouse.agents.explaining.opened import Opened
    from pilothouse.cli.decision_page import page

    with open_platform() as platform:
        opened = Opened.of(kept(platform, bundle), identity)
        status = "" if bundle else _statuses(platform, [opened.capsule]).get(opened.capsule.digest, "")
        if json_output:
            print_json({**opened.as_json(), "proposal_status": status or None})
            return
        console.print(page(opened, status))
    console.print(f"\n[dim]`pilothouse why {opened.id}` goes on to the source rows, `pilothouse replay {opened.id}` makes it again[/]")


@told_plainly
def diff(
    identity: Id,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[OTHER]", help="Another decision; what today's agent would decide over today's rows without it."),
    ] = None,
    bundle: FromBundle = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Say what makes two decisions differ: what is decided, where their ways part, what the tree saw, the agent, and what it read. Of one
    decision alone: what today's agent would decide over today's rows, and whether the agent or the rows have changed.

    Example: pilothouse diff 3f2a91c04b7d
    """
    from pilothouse.agents.explaining.differing import Side, against_today, between
    from pilothouse.agents.explaining.opened import Opened
    from pilothouse.cli.diff_page import page

    with open_platform() as platform:
        entries = kept(platform, bundle)
        opened = Opened.of(entries, identity)
        if other is None:
            found = against_today(opened, platform.agent(opened.agent), platform.lake)
        else:
            found = between(Side.of(opened), Side.of(Opened.of(entries, other)))
    if json_output:
        print_json(found.as_json())
    else:
        console.print(page(found))


@told_plainly
def replay(
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="A decision's id, or the beginning of it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Make every decision again.")] = False,  # noqa: FBT002 - typer
    bundle: FromBundle = None,
    key: Key = "",
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Make decisions again from their capsules alone, without lake, model or network, and compare them byte for byte. Exit code 1 where
    one differs. Of a bundle the signatures are checked before.

    Example: pilothouse replay 3f2a91c04b7d --bundle decision.zip
    """
    from pilothouse.agents.explaining.opened import Opened

    if (identity is None) == (not every):
        raise typer.BadParameter("name one decision, or say --all", param_hint="ID")
    with open_platform() as platform:
        entries = kept(platform, bundle, key, whole=True)
        wanted = [Opened.of(entries, identity).capsule] if identity else [*entries.entries(kind="decision")]
        made = [_again(platform, entries, each, telling=every) for each in wanted]
    if json_output:
        print_json(made if every else made[0])
    else:
        for told in made:
            if not every or not told["identical"]:
                _print_replayed(told)
        if every:
            same = sum(told["identical"] for told in made)
            console.print(f"{same:,} of {len(made):,} decisions are byte for byte what they were")
    if not all(told["identical"] for told in made):
        raise typer.Exit(1)


@told_plainly
def verify(
    head: Annotated[str, typer.Option("--head", help="A digest that was kept elsewhere and must be among the entries.")] = "",
    bundle: FromBundle = None,
    key: Key = "",
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Check every entry of the ledger to the last bit: digests, order, signatures, blobs. Exit code 1 where anything was changed.

    Keep the head that it prints somewhere else: it alone tells that no entries were cut off at the end.

    Example: pilothouse verify --head 9c1be07d52aa4f0c8a8f7d7f4a6d0f3f5b1c2d3e4f5061728394a5b6c7d8e9f0
    """
    from pilothouse.agents.capsules.capsule import Digest

    if head and not re.fullmatch("[0-9a-f]{64}", head):
        raise ConfigError(f"--head {head}: no digest", hint="give all of the 64 hexadecimal digits that `pilothouse verify` printed")
    with open_platform() as platform:
        entries = kept(platform, bundle, key)
        found = [*entries.verify(kept_head=Digest(head) if head else None)]
        count, last = entries.count(), entries.head()
        told = {"entries": count, "head": last, "public_key": entries.public_key.hex(), "damage": [asdict(each) for each in found]}
    if json_output:
        print_json(told)
    else:
        for each in found:
            console.print(f"[bold red]entry {each.seq}[/]: {escape(each.what)}")
        verdict = f"[bold red]{len(found)} things are not as they were written[/]" if found else "[green]all as written[/]"
        console.print(f"{count:,} entries: {verdict}")
        console.print(f"[dim]head {last or 'none'}\nkey  {told['public_key']}[/]", soft_wrap=True)
    if found:
        raise typer.Exit(1)


@told_plainly
def export(
    identities: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Decisions, each with all that became of it.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("decisions.zip"),
    every: Annotated[bool, typer.Option("--all", help="The whole ledger.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Write decisions and what became of them into one file for somebody who has nothing else. `deploy/verify_capsules.py` checks it with
    Python's standard library alone, `pilothouse replay --bundle` makes its decisions again.

    Example: pilothouse export 3f2a91c04b7d --out decision.zip
    """
    from pilothouse.agents.capsules import bundle
    from pilothouse.agents.explaining.opened import Opened

    if bool(identities) == every:
        raise typer.BadParameter("name decisions, or say --all", param_hint="ID")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent}", hint="name a file in a folder that is there")
    with open_platform() as platform:
        ledger = platform.ledger
        opened = [Opened.of(ledger, each) for each in identities or ()]
        wanted = {entry.digest: entry for each in opened for entry in (each.capsule, *each.sequels)}
        count = bundle.write(ledger, ledger.entries() if every else wanted.values(), out)
        public = ledger.public_key.hex()
    if json_output:
        print_json({"file": str(out), "entries": count, "public_key": public})
        return
    console.print(f"{escape(str(out))}: {count:,} entr{'y' if count == 1 else 'ies'}, {out.stat().st_size:,} bytes", soft_wrap=True)
    console.print(f"[dim]signed by {public}: tell it to the reader by another way[/]", soft_wrap=True)


def kept(platform: Platform, file: Path | None, key: str = "", *, whole: bool = False) -> Kept:
    """The ledger, or a bundle; one that must be `whole` is checked before anything of it is believed."""
    if file is None:
        return platform.ledger
    from pilothouse.agents.capsules.bundle import Bundle

    found = Bundle(file, key)
    damage = next(found.verify(), None) if whole else None
    if damage is not None:
        raise AgentError(f"{file}: entry {damage.seq}: {damage.what}", hint="`pilothouse verify --bundle` lists all damage")
    return found


def _again(platform: Platform, entries: Kept, capsule: Capsule, *, telling: bool) -> dict[str, Any]:
    """What came of making one decision again. Of many, one that cannot be made is `telling` why and leaves the others their turn."""
    from pilothouse.agents.running import replay as made_again

    told: dict[str, Any] = {"id": capsule.digest, "subject": capsule.manifest["subject"], "identical": False}
    try:
        made = made_again(entries, capsule, platform.agent(capsule.manifest["agent"]))
    except PilothouseError as error:
        if not telling:
            raise
        return {**told, "error": error.message}
    parts = {} if made.identical else {"then": json.loads(made.then), "now": json.loads(made.now)}
    return {
        **told,
        "identical": made.identical,
        "same_code": made.same_code,
        "digest": capsule.blobs["output"],
        "bytes": len(made.now),
        "action": json.loads(made.now).get("action"),
        **parts,
    }


def _print_replayed(told: Mapping[str, Any]) -> None:
    from pilothouse.cli.decision_page import coloured, said

    name = f"[bold]{told['id'][:12]}[/] {escape(told['subject'])}"
    if "error" in told:
        console.print(f"{name}: [bold red]cannot be made again[/]: {escape(told['error'])}")
        return
    if told["identical"]:
        console.print(f"{name}: {coloured(str(told['action']))}, [green]byte for byte what it was[/] ({told['bytes']:,} bytes)")
        console.print(f"[dim]output {told['digest']}[/]", soft_wrap=True)
    else:
        console.print(f"{name}: [bold red]differs from what it was[/]")
        rows = [(each, told["then"].get(each), told["now"].get(each)) for each in sorted({*told["then"], *told["now"]})]
        print_rows([{"field": each, "then": said(then), "now": said(now)} for each, then, now in rows if then != now])
    code = "the code is that of then" if told["same_code"] else "the code has changed since: it was made again by today's"
    console.print(f"[dim]{code}[/]")


def _statuses(platform: Platform, found: Sequence[Capsule]) -> dict[str, str]:
    """How far the proposals of decisions got, by decision."""
    return {str(each.decision): each.status for each in platform.proposals.of([capsule.digest for capsule in found])}


def _listed(capsule: Capsule, status: str, known: Sequence[Figure]) -> dict[str, Any]:
    output = capsule.body.get("output") or {}
    return {
        "id": capsule.digest,
        "at": capsule.manifest["at"],
        "agent": capsule.manifest["agent"],
        "subject": capsule.manifest["subject"],
        "action": output.get("action"),
        **{each.name: each.of(output) for each in known},
        "reason": next(iter(output.get("reasons") or []), None),
        "proposal": status or None,
        "synthetic": capsule.manifest["synthetic"],
    }


def _in_short(row: Mapping[str, Any], known: Sequence[Figure]) -> dict[str, Any]:
    from pilothouse.agents.figures import first

    return {
        "id": row["id"][:12],
        "at": datetime.fromisoformat(row["at"]).strftime("%Y-%m-%d %H:%M:%S"),
        "subject": row["subject"],
        "name": first(known, "name", row) or None,
        "action": row["action"],
        "amount": first(known, "EUR", row) or None,
        "chance": first(known, "share", row) or None,
        "first reason": row["reason"],
        "proposal": row["proposal"],
    }
