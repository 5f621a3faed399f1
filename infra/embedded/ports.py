"""Free ports on this machine."""

import random
import socket

from infra.embedded.process import ServerNotStarted

# Below the range that the kernel gives to outgoing connections: they could take a port while its server restarts.
_FIRST, _LAST = 20_000, 29_999
_TRIES_MAX = 200


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now; a number that is no port is not free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError):
            return False
    return True


def free_port(host: str = "127.0.0.1", taken: frozenset[int] = frozenset()) -> int:
    """A port that is free now and stays free as long as nobody asks for it by number."""
    for _ in range(_TRIES_MAX):
        port = random.randint(_FIRST, _LAST)
        if port not in taken and is_free(host, port):
            return port
    raise ServerNotStarted(f"No free port was found on {host} between {_FIRST} and {_LAST}.")
