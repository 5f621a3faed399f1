"""The loops that run the patterns on the adapters: command bus, relay, projector, saga runner, work offers, notice publisher."""
