"""Is there a network? Found out in seconds, and never in silence."""

import http.client
import os
import ssl
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from assignment.progress import say

_SECONDS = 5


class Unavailable(Exception):
    """This source cannot serve now; the message says why, and the next source is tried."""


def forbidden() -> bool:
    """Has the user forbidden every network attempt (environment variable ASSIGNMENT_OFFLINE)?"""
    return os.environ.get("ASSIGNMENT_OFFLINE", "") not in ("", "0")


def require(url: str) -> None:
    """Returns once a server has answered at `url`, in whatever way.

    Raises:
      Unavailable: nothing answered within seconds.
    """
    host = urlsplit(url).hostname or url
    say(f"asking {host} for an answer (at most {_SECONDS} s) …")
    answers = []
    # A time-out of the socket does not bound the look-up of the name: hence a thread that is waited for no longer.
    attempt = threading.Thread(target=lambda: answers.append(_answers(url)), daemon=True)
    attempt.start()
    attempt.join(_SECONDS)
    if not any(answers):
        raise Unavailable(f"no answer from {host}")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=_SECONDS).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True  # a refusal is an answer; the download itself gives the reason
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # the download itself may know other certificates
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True
