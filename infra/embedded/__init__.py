"""Postgres and NATS for one machine, from wheels: started, watched and stopped by `foldwork up`."""
