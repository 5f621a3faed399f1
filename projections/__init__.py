"""What is remembered: read models kept from the events, one file per read model.

May import `events` and `infra`, never `write_side`: what was decided is in the events.

To add a read model: write its frozen Row, `locate`, `project` and the bound Projection in a file named after what the
reader sees, and add one line in `catalog.py`. When rows change shape or meaning, raise the projection's `version`:
it is rebuilt then.
"""
