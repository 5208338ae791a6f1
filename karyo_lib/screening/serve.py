"""A worklist on this computer alone, which writes reviews beside itself."""

import re
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from karyo_lib.screening.journal import Journal
from karyo_lib.screening.review import ReviewError, format_reviews, parse_reviews, read_reviews, write_review
from karyo_lib.screening.worklist import PICTURE_FOLDER

HOST = "127.0.0.1"
_MOST_SENT = 5_000_000  # bytes of one review
_PICTURE = re.compile(r"[0-9a-f]{32}(-small|-heat)?\.(webp|png)")
_KINDS = {".html": "text/html; charset=utf-8", ".webp": "image/webp", ".png": "image/png"}


class ReviewServer(ThreadingHTTPServer):
    """Serves one worklist on 127.0.0.1, to who knows its token; ValueError if the folder holds none."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0):
        self.folder = Path(folder)
        journal = Journal.finished(self.folder)
        self.known = {result.digest for result in journal.read(journal.entries)} - {""}
        if not (self.folder / "worklist.html").is_file():
            raise ValueError(
                f"Expected a worklist.html in {self.folder.name!r}. Received a folder without it."
            )
        self.token = secrets.token_urlsafe(24)
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """Where the worklist is; whoever has it can read and review."""
        return f"http://{HOST}:{self.server_port}/{self.token}/worklist.html"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    server_version, sys_version = "karyo", ""
    timeout = 30

    def do_GET(self) -> None:
        name = self._asked()
        if name == "reviews":
            self._answer_reviews()
        elif name in ("worklist.html", "patients.html"):
            self._send_file(self.server.folder / name)
        elif name is not None and _PICTURE.fullmatch(name.removeprefix(f"{PICTURE_FOLDER}/")):
            self._send_file(self.server.folder / PICTURE_FOLDER / name.removeprefix(f"{PICTURE_FOLDER}/"))
        elif name is not None:
            self._say(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        if (name := self._asked()) is None:
            return
        origin, length = self.headers.get("Origin"), self.headers.get("Content-Length", "")
        if name != "reviews":
            self._say(HTTPStatus.NOT_FOUND, "Only reviews are taken.")
        elif origin not in (None, f"http://{self.headers.get('Host')}"):
            self._say(HTTPStatus.FORBIDDEN, "Reviews are taken from the worklist alone.")
        elif self.headers.get_content_type() != "application/json":
            self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Expected JSON.")
        elif not length.isascii() or not length.isdigit() or int(length) > _MOST_SENT:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Expected at most {_MOST_SENT} bytes.")
        else:
            self._take(self.rfile.read(int(length)))

    def _take(self, content: bytes) -> None:
        try:
            reviews = parse_reviews(content)
            if any(review.picture not in self.server.known for review in reviews):
                raise ReviewError("Expected reviews of cases in this worklist. Received others.")
            for review in reviews:
                write_review(self.server.folder, review)
        except ReviewError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, error.strerror or "The review could not be written.")
        else:
            self._say(HTTPStatus.OK, "written")

    def _answer_reviews(self) -> None:
        try:
            content = format_reviews(read_reviews(self.server.folder).values())
        except ReviewError as error:
            self._say(HTTPStatus.CONFLICT, str(error))
        else:
            self._send(HTTPStatus.OK, content.encode("utf-8"), "application/json")

    def _asked(self) -> str | None:
        """What is asked for below the token; None where the request was refused."""
        own = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        if self.headers.get("Host") not in own:  # another site's name that leads here
            self._say(HTTPStatus.FORBIDDEN, "This address is not served.")
            return None
        token, _, name = self.path.split("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._say(HTTPStatus.FORBIDDEN, "Open the address that `karyo review` printed.")
            return None
        return name

    def _send_file(self, path: Path) -> None:
        try:
            self._send(HTTPStatus.OK, path.read_bytes(), _KINDS[path.suffix])
        except OSError:
            self._say(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text.encode("utf-8"), "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: the token stands in every line."""
