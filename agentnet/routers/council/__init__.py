"""Parts of the router `collective`.

``views``: what it sees of a task. ``types``: the task nodes, read off these views. ``memory``: the logged
queries and what their neighbours, types and fellow agents say of an agent on a new query. ``strengths``:
the few numbers of that propagation, learned by gradient. ``bank``: sets and cascades as arms of their own.
"""
