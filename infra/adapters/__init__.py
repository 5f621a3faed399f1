"""Input and output: Postgres, JetStream, HTTP. One contract suite each in tests/contract."""
