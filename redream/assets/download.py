"""Downloads a file over HTTP: retried, checked, and in its place only when it is whole."""

import http.client
import logging
import random
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from redream.files import whole_file

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that may be other ones soon
_LONGEST_WAIT_S = 60.0
_FAILURES = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
    ValueError,  # what arrived is not what it should be
)


@dataclass(frozen=True)
class Downloader:
    """How to download.

    Attributes:
        num_tries: Tries in all, at least 1.
        timeout_s: Seconds without an answer, or without a byte, after which a try has failed.
        backoff_s: Seconds before the second try; they double from try to try, up to a minute, and
            vary by a quarter so that many processes do not come back at once. A server's own
            ``Retry-After`` is obeyed up to a minute, too.
    """

    num_tries: int = 5
    timeout_s: float = 30.0
    backoff_s: float = 1.0

    def __post_init__(self) -> None:
        if self.num_tries < 1 or self.timeout_s <= 0.0 or self.backoff_s < 0.0:
            raise ValueError(
                f"num_tries must be at least 1, timeout_s positive and backoff_s not negative, "
                f"not {self.num_tries}, {self.timeout_s} and {self.backoff_s}"
            )

    def fetch(self, url: str, path: Path, check: Callable[[Path], object]) -> None:
        """Downloads ``url`` to ``path``.

        The file is written under a name of its own beside ``path``, compared with the server's
        ``Content-Length``, checked, and renamed; so processes may fetch one file at a time.

        Args:
            url: What to fetch; redirections are followed.
            path: The file. Its folder is made where it is missing.
            check: Looks at the finished file and raises ``ValueError`` if it is not what it
                should be.

        Raises:
            FileNotFoundError: If the server does not have it (404 or 410).
            ConnectionError: If no try succeeded; one line with the last reason.
            OSError: If the file cannot be written.
        """
        for attempt in range(1, self.num_tries + 1):
            try:
                with whole_file(path) as temporary:
                    self._receive(url, temporary)
                    check(temporary)
                return
            except urllib.error.HTTPError as error:
                error.close()
                reason, wait = f"HTTP {error.code} {error.reason}", _retry_after(error.headers)
                if error.code in (404, 410):
                    raise FileNotFoundError(f"{url} does not exist ({reason})") from error
                if error.code not in _PASSING:
                    raise ConnectionError(f"cannot download {url}: {reason}") from error
            except _FAILURES as error:
                reason, wait = _one_line(error), 0.0
            if attempt < self.num_tries:
                wait = max(wait, self.backoff_s * 2.0 ** (attempt - 1) * random.uniform(0.75, 1.25))
                wait = min(wait, _LONGEST_WAIT_S)
                _log.warning("%s: %s; trying again in %.1f s", url, reason, wait)
                time.sleep(wait)
        raise ConnectionError(f"cannot download {url}: {reason} ({self.num_tries} tries)")

    def _receive(self, url: str, path: Path) -> None:
        """Streams the answer into a file and compares its length with the promised one."""
        with urllib.request.urlopen(url, timeout=self.timeout_s) as answer:
            promised = answer.headers.get("Content-Length")
            size = 0
            with path.open("wb") as file:
                while chunk := answer.read(_CHUNK):
                    size += file.write(chunk)
        if promised is not None and size != int(promised):
            raise ValueError(f"cut short after {size} of {promised} bytes")


def _retry_after(headers: Message) -> float:
    """The seconds that a server asks to wait; 0 where it does not say (or says a date)."""
    stated = headers.get("Retry-After", "")
    return float(stated) if stated.isdigit() else 0.0


def _one_line(error: BaseException) -> str:
    """Why a try failed."""
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
