"""Whether a version of an agent is good enough to decide.

case.py       one question with what tools answer to it, and what people want decided
shipped.py    the cases that come with an agent, as a file
feedback.py   the cases that people made of decisions
property.py   what must hold of every decision, whatever the case
judging.py    a language model that reads reasons
trying.py     all of them on one version, as a report
standing.py   which version is in force, and what was reported of each
"""
