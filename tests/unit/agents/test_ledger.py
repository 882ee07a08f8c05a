"""The ledger of decisions: complete or absent, and whole to the last bit."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.agents.capsules import Capsule, Draft, Ledger, Signer, bundle
from pilothouse.agents.capsules.capsule import Digest, canonical, digest
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, ConfigError

SCRIPT = Path(__file__).parents[3] / "deploy" / "verify_capsules.py"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "keys" / "capsules.pem"))


def decision(subject: str = "order/1", **blobs: bytes) -> Draft:
    body = {"action": "hold", "amount": "1200.50", "reasons": ["Überfällig"]}
    return Draft(kind="decision", subject=subject, at=NOON, body=body, blobs=blobs, agent="credit_desk", agent_version="v1", synthetic=True)


def filled(ledger: Ledger) -> list[Capsule]:
    first = ledger.append([decision(features=b"{1}", tree=b"the tree"), decision("order/2", features=b"{2}", tree=b"the tree")])
    approval = Draft(kind="approval", subject="order/1", at=NOON, body={"by": "ada"}, about=first[0].digest, synthetic=True)
    return [*first, *ledger.append([approval])]


def run_sql(database: Database, statement: str) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))  # somebody who may do anything
        connection.execute(sa.text(statement))


def test_what_was_appended_is_found_again(ledger: Ledger) -> None:
    first, second, approval = filled(ledger)
    assert [capsule.seq for capsule in ledger.entries()] == [3, 2, 1]
    assert ledger.get(first.digest[:10]) == first
    assert ledger.blob(second.blobs["features"]) == b"{2}"
    assert list(ledger.entries(about=first.digest)) == [approval]
    assert list(ledger.entries(kind="decision", subject="order/2")) == [second]
    assert ledger.head() == approval.digest
    assert list(ledger.verify(kept_head=second.digest)) == []


def test_equal_blobs_are_kept_once(ledger: Ledger, database: Database) -> None:
    filled(ledger)
    with database.reading() as connection:
        kept = connection.scalar(sa.text("SELECT count(*) FROM pilothouse.capsule_blobs"))
    assert kept == 3 + 3  # three manifests, two features, one tree


def test_an_entry_is_there_with_what_it_is_about_or_not_at_all(ledger: Ledger, database: Database) -> None:
    class Crash(Exception):
        pass

    def crash() -> None:
        with database.begin() as connection:
            ledger.append_within(connection, [decision(features=b"lost")])
            raise Crash

    with pytest.raises(Crash):
        crash()
    assert ledger.head() is None
    assert list(ledger.verify()) == []


def test_many_writers_make_one_chain(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ledger.append([decision(f"order/{number}", features=b"%d" % number)] * 2), range(25)))
    assert [capsule.seq for capsule in ledger.entries()] == list(range(50, 0, -1))
    assert list(ledger.verify()) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM pilothouse.capsules WHERE seq = 2", ["1 entries are missing", "does not follow"]),
        ("DELETE FROM pilothouse.capsules WHERE seq = 3", ["cut off"]),
        ("UPDATE pilothouse.capsules SET subject = 'order/9' WHERE seq = 1", ["its subject was changed"]),
        ("UPDATE pilothouse.capsules SET at = at + interval '1 microsecond' WHERE seq = 1", ["its at was changed"]),
        ("UPDATE pilothouse.capsules SET kind = 'feedback' WHERE seq = 3", ["its kind was changed"]),
        ("UPDATE pilothouse.capsules SET about = NULL WHERE seq = 3", ["its about was changed"]),
        ("UPDATE pilothouse.capsules SET agent = 'crediT_desk' WHERE seq = 1", ["its agent was changed"]),
        ("UPDATE pilothouse.capsules SET agent_version = 'v0' WHERE seq = 1", ["its agent_version was changed"]),
        (
            "UPDATE pilothouse.capsules SET previous = set_bit(previous, 7, 1 - get_bit(previous, 7)) WHERE seq = 2",
            ["its previous was changed"],
        ),
        ("UPDATE pilothouse.capsules SET synthetic = false WHERE seq = 2", ["its synthetic was changed"]),
        ("UPDATE pilothouse.capsules SET signature = set_bit(signature, 100, 1 - get_bit(signature, 100))", ["signature is not ours"] * 3),
        ("DELETE FROM pilothouse.capsule_blobs WHERE content = 'the tree'", ["blob tree is missing"]),
        ("UPDATE pilothouse.capsule_blobs SET content = 'a tree' WHERE content = 'the tree'", ["blob tree was changed"]),
    ],
)
def test_whatever_is_changed_is_found(ledger: Ledger, database: Database, statement: str, told: Sequence[str]) -> None:
    head = filled(ledger)[-1].digest
    run_sql(database, statement)
    found = [damage.what for damage in ledger.verify(kept_head=head)]
    assert len(found) == len(told)
    assert all(words in what for words, what in zip(told, found, strict=True)), found


def test_every_flipped_bit_of_a_blob_is_found(ledger: Ledger, database: Database) -> None:
    filled(ledger)
    with database.reading() as connection:
        blobs = connection.execute(sa.text("SELECT digest, length(content) AS size FROM pilothouse.capsule_blobs ORDER BY digest")).all()
    dice = random.Random(5)
    for _ in range(20):
        blob = dice.choice(blobs)
        bit = dice.randrange(blob.size * 8)
        flip = f"SET content = set_bit(content, {bit}, 1 - get_bit(content, {bit})) WHERE digest = '\\x{blob.digest.hex()}'"
        run_sql(database, f"UPDATE pilothouse.capsule_blobs {flip}")
        assert list(ledger.verify()), (blob.digest.hex(), bit)
        run_sql(database, f"UPDATE pilothouse.capsule_blobs {flip}")
    assert list(ledger.verify()) == []


def test_a_changed_or_missing_blob_is_not_handed_out(ledger: Ledger, database: Database) -> None:
    first, *_ = filled(ledger)
    run_sql(database, "UPDATE pilothouse.capsule_blobs SET content = 'a tree' WHERE content = 'the tree'")
    with pytest.raises(AgentError, match="was changed") as told:
        ledger.blob(first.blobs["tree"])
    assert "pilothouse verify" in told.value.hint
    with pytest.raises(AgentError, match="is missing"):
        ledger.blob(digest(b"never stored"))


def test_a_name_that_fits_none_or_several_is_told(ledger: Ledger) -> None:
    with pytest.raises(AgentError, match="no capsule"):
        ledger.get("abc")
    with pytest.raises(AgentError, match="no digest"):
        ledger.get("order/1")
    ledger.append([decision(f"order/{number}") for number in range(40)])
    with pytest.raises(AgentError, match="several"):
        next(ledger.get(first) for first in "0123456789abcdef" if sum(c.digest.startswith(first) for c in ledger.entries()) > 1)


def test_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        keys = {signer.public for signer in pool.map(lambda _: Signer.open(tmp_path / "key.pem"), range(4))}
    assert len(keys) == 1
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    (tmp_path / "key.pem").write_text("rubbish")
    with pytest.raises(ConfigError, match="no signing key"):
        Signer.open(tmp_path / "key.pem")


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(), st.booleans(), st.none()), max_size=5))
@settings(max_examples=50)
def test_equal_values_have_equal_bytes(value: dict[str, object]) -> None:
    assert canonical(value) == canonical(dict(reversed(value.items())))


def test_a_number_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(AgentError, match="cannot hold"):
        canonical({"risk": float("nan")})


# -- for an auditor ---------------------------------------------------------------------------------------------------


def checked(file: Path, *more: str) -> tuple[int, str]:
    """What the script says, run by a Python that sees none of our packages."""
    ran = subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), str(file), *more], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def rewritten(file: Path, changed: Path, name: str, content: bytes | None) -> Path:
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(changed, "w") as after:
        for each in before.namelist():
            if each != name:
                after.writestr(each, before.read(each))
            elif content is not None:
                after.writestr(each, content)
    return changed


def test_a_bundle_is_checked_without_anything_of_ours(ledger: Ledger, tmp_path: Path) -> None:
    entries = filled(ledger)
    file, again = tmp_path / "bundle.zip", tmp_path / "again.zip"
    assert bundle.write(ledger, ledger.entries(), file) == 3
    bundle.write(ledger, entries, again)
    assert file.read_bytes() == again.read_bytes()
    assert checked(file, "--head", entries[-1].digest, "--key", ledger.public_key.hex()) == (0, "3 entries, 3 blobs: all as written\n")
    assert checked(file, "--key", Signer.open(tmp_path / "other.pem").public.hex())[0] == 1
    assert checked(file, "--head", digest(b"cut off"))[0] == 1
    assert checked(SCRIPT)[0] == 2


def test_whatever_is_changed_in_a_bundle_is_found(ledger: Ledger, tmp_path: Path) -> None:
    first, second, _ = filled(ledger)
    file = tmp_path / "bundle.zip"
    bundle.write(ledger, ledger.entries(), file)
    blob, manifest = f"blobs/{first.blobs['tree']}", f"manifests/{second.seq:012d}-{second.digest}.json"
    forged = canonical({**second.manifest, "body": {"action": "release"}})
    for name, content, told in (
        (blob, b"a tree", "it was changed"),
        (blob, None, "blob tree is missing"),
        (manifest, forged, "its manifest was changed"),
        (f"signatures/{first.digest}", (b"00" * 64), "is not signed"),
    ):
        code, said = checked(rewritten(file, tmp_path / "changed.zip", name, content))
        assert (code, told in said) == (1, True), said


def test_a_bundle_of_damaged_entries_is_not_left_half_written(ledger: Ledger, database: Database, tmp_path: Path) -> None:
    filled(ledger)
    run_sql(database, "DELETE FROM pilothouse.capsule_blobs WHERE content = 'the tree'")
    with pytest.raises(AgentError, match="is missing"):
        bundle.write(ledger, list(ledger.entries()), tmp_path / "bundle.zip")
    assert list(tmp_path.glob("*bundle*")) == []


def test_the_digest_of_an_entry_is_that_of_its_manifest(ledger: Ledger) -> None:
    for capsule in filled(ledger):
        assert digest(canonical(capsule.manifest)) == capsule.digest == Digest(capsule.digest)
