"""Another version of an agent over past events, each as it was known then.

candidate.py    the version: another tree, thresholds, a model, other instructions
past.py         the world as it was known on a day before decisions were kept
groups.py       what ownership groups owed on a day
events.py       what there was to decide on: decisions of the ledger, and orders before it
running.py      the candidate decides again
comparison.py   decisions, money and outcomes beside what was decided, with intervals
picture.py      the same as a chart
"""
