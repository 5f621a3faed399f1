"""What to type next, for the tenant that it is about."""

from shlex import join


def suggestion(tenant: str, *words: str) -> str:
    """A command of foldwork, as a shell takes it."""
    return join(["foldwork", *words, *(() if tenant == "default" else ("--tenant", tenant))])
