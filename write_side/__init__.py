"""What decides: commands become events or are refused, one file per aggregate.

May import `events` and `infra`, nothing else of ours. Processes: `python -m write_side` serves the command API, over HTTP and NATS.

To add a command: write it in the file of its aggregate, name it in the union there, and give it an arm in `decide`;
its route, schema and permission follow from the class. To add an aggregate: add the file with its `Decider` at the
foot and one line in `catalog.py`.
"""
