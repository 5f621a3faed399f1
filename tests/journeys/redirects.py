"""A host that sends its callers elsewhere, where they may not go."""

import http.server

ELSEWHERE = {"/away": "http://169.254.169.254/latest/meta-data/", "/file": "file:///etc/passwd"}


class Redirects(http.server.BaseHTTPRequestHandler):
    """A host that the operator allowed, and that sends elsewhere."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path in ELSEWHERE else 200)
        if self.path in ELSEWHERE:
            self.send_header("Location", ELSEWHERE[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
