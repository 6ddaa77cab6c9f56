"""Task types: from a query to a distribution over kinds of task (AMRO-S's semantic router).

`base` has the interface, `head` the fast default on sentence vectors, `language_model` the small language
model of the paper, `instructions` the templated instructions both learn from.
"""
