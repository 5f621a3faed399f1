"""What answers: the query API, live events and the demo, one file per kind of question.

May import `events`, `projections` and `infra`. Process: `python -m read_side`.

To add a query over a read model: name its filters in a `ModelQueries` in a file of the model's stem, and list it in `api.py`; path,
parameters, cursor, checks and OpenAPI follow from the row class.
"""
