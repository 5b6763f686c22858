"""Downloads that resume and are verified."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from netwright.data.errors import DataError

Report = Callable[[str, int, int], None]

_ATTEMPTS = 3
_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 18


def download(url: str, target: Path, md5: str, report: Report) -> None:
    """Fetches `url` into `target`, going on where an earlier attempt stopped (HTTP Range, RFC 9110
    section 14).

    `target` appears only whole and with the right MD5. Raises DataError when the server cannot be
    reached or sends something else, OSError when the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            _fetch(url, part, report)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is left to fetch: what is there is whole, or wrong
                break
            problem = f"the server answered {error.code} {error.reason}"
        except urllib.error.URLError as error:
            problem = str(error.reason)
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = f"the connection broke ({type(error).__name__})"
    else:
        raise DataError(
            "data-offline",
            f"{url} could not be downloaded: {problem}. Check the network and try again "
            "(it resumes), or get the file yourself and name it as the source.",
        )
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise DataError(
            "data-checksum",
            f"{url} arrived with MD5 {found} instead of {md5}; it was deleted. Try again; if that "
            "does not help, get the file elsewhere and name it as the source.",
        )
    part.replace(target)


def _fetch(url: str, part: Path, report: Report) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        if response.status != 206:  # the whole file, whatever was asked for
            have = 0
        total = have + int(response.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                report("download", have, max(total, have))
        if have < total:
            raise ConnectionError("the connection ended early")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
