"""What was decided and what became of it, so that nobody can change it unnoticed and anybody can check it.

capsule.py   one entry: its manifest, canonical bytes and digest
signing.py   the key that entries are signed with
ledger.py    the chain of entries in the operational database
reading.py   what can be asked of entries, wherever they lie
bundle.py    a part of the chain as one file, for an auditor who has nothing else
"""

from pilothouse.agents.capsules.capsule import Capsule, Draft
from pilothouse.agents.capsules.ledger import Ledger
from pilothouse.agents.capsules.reading import Kept
from pilothouse.agents.capsules.signing import Signer

__all__ = ["Capsule", "Draft", "Kept", "Ledger", "Signer"]
