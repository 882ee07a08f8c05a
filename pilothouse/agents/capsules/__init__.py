"""What was decided and what became of it, so that nobody can change it unnoticed and anybody can check it.

capsule.py   one entry: its manifest, canonical bytes and digest
signing.py   the key that entries are signed with
ledger.py    the chain of entries in the operational database
reading.py   what can be asked of entries, wherever they lie
bundle.py    a part of the chain as one file, for an auditor who has nothing else
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pilothouse.agents.capsules.capsule import Capsule, Draft
    from pilothouse.agents.capsules.ledger import Ledger
    from pilothouse.agents.capsules.reading import Kept
    from pilothouse.agents.capsules.signing import Signer

__all__ = ["Capsule", "Draft", "Kept", "Ledger", "Signer"]

_PLACES: Final = {"Capsule": "capsule", "Draft": "capsule", "Kept": "reading", "Ledger": "ledger", "Signer": "signing"}


def __getattr__(name: str) -> Any:
    """Looked up when used: who declares an agent needs canonical bytes, and neither SQLAlchemy nor a key."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
