"""The name of a definition by its content: the same for the same document, in whatever notation it was written."""

import json
from hashlib import sha256


def digest(document: object) -> str:
    """`sha256:` and 64 hexadecimal digits, over the parsed document as JSON with sorted keys, without blanks, in UTF-8."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return "sha256:" + sha256(canonical.encode()).hexdigest()
