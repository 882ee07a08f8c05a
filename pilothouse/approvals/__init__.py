"""From a proposal to a write in a source system and back: people decide, and only what they approved is executed.

principals.py   who somebody is, what they may approve, and how they prove it
policy.py       who may approve what
proposing.py    what follows from a decision: its proposals, in its transaction
proposals.py    proposals and what people said of them
compensating.py what is offered where a write cannot be taken back
proof.py        what the signed ledger says of a proposal, which alone is believed
executor.py     the one place that writes into source systems
"""
