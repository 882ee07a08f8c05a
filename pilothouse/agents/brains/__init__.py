"""Brains that speak: a language model decides, through a gateway to whoever serves one.

conversation.py  what is asked and answered, as plain JSON: what a cassette holds
language.py      the brain
gateway.py       who is asked, in which order, and what happens when nobody answers
health.py        which servers answer at present
speakers.py      one model behind one server, through pydantic-ai
answers.py       answers that were given to the same question over the same data
records.py       prompts and traces in MLflow
"""
