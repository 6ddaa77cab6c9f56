"""Choosing a set of agents without a language model: the fast side of the router ``tcar``.

`tower` fine-tunes the encoder, `known` scores agents with logged queries and `strangers` those without,
`parts` takes joined queries apart, `choice` picks the set of highest expected reward.
"""
