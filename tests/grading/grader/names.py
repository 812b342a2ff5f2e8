"""Names of files and people, which may hold anything, made fit for terminals, files and tables."""

import hashlib
import os


def shown(name):
    """The name in characters that can be written anywhere; different names stay different."""
    text = os.fsencode(str(name).replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def for_a_cell(text):
    """The text with an apostrophe before what a spreadsheet would take for a formula."""
    return "'" + text if text[:1] in tuple("=+-@\t\r") else text


def for_a_file(text):
    """A name for a file: the text itself, or its start and a digest where it is too long or hidden."""
    text = text.replace("/", "_")
    if len(text.encode()) <= 200 and not text.startswith("."):
        return text
    return text.lstrip(".").encode()[:150].decode("utf-8", "ignore") + "-" + hashlib.sha1(text.encode()).hexdigest()[:8]
