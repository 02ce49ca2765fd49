"""The one way to a terminal: any encoding, no control characters but line breaks and tabs, and a full disk is one line.

While a command runs, what stands for stdout and stderr escapes what could move a cursor, whoever writes it (a record, a plugin,
a file's name, a library's warning), and writes what an encoding lacks in letters that it has. Rich, which moves cursors for good
reasons, gets the stream below it, and `printing.SafeConsole` cleans what it is given instead.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

from dfrd_bench.errors import DfrdBenchError

HANDLER = "dfrd-bench.spelled-out"
ASCII = "dfrd-bench-ascii"  # a name of its own: click takes a stream that calls itself ASCII for a mistake
SPELLED = {
    **{
        "±": "+-",
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "×": "x",
        "·": ".",
        "†": "+",
        "‡": "#",
        "≤": "<=",
        "≥": ">=",
    },
    **{
        "ε": "eps",
        "∞": "inf",
        "λ": "lambda",
        "σ": "sigma",
        "µ": "u",
        "↑": "^",
        "↓": "v",
        "→": "->",
        "█": "#",
        "•": "*",
    },
    **{"─": "-", "━": "-", "│": "|", "’": "'", "‘": "'", "“": '"', "”": '"', "\N{NO-BREAK SPACE}": " "},
    **dict(zip("▁▂▃▄▅▆▇", "_.:-=+*", strict=True)),
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def spelled_out(error: UnicodeError) -> tuple[str, int]:
    """What to write for characters that an encoding lacks: the same in other letters, or the escape of Python."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SPELLED.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != ASCII:
        return None
    usual = codecs.lookup("ascii")
    return codecs.CodecInfo(
        usual.encode,
        usual.decode,
        usual.streamreader,
        usual.streamwriter,
        usual.incrementalencoder,
        usual.incrementaldecoder,
        ASCII,
    )


codecs.register_error(HANDLER, spelled_out)
codecs.register(_ascii)


def clean(text: str) -> str:
    r"""The text with control characters, and those that turn the direction of writing, as escapes; \n and \t stay."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: object) -> str:
    """A message on one line, whatever the names in it hold."""
    return clean(str(text).replace("\n", r"\n"))


def _say(error: OSError) -> NoReturn:
    raise DfrdBenchError(f"The output cannot be written: {error.strerror or error}.") from error


def _forget(_: OSError) -> None:
    """What cannot be said on stderr cannot be said; the work goes on."""


class _Stream(io.TextIOWrapper):
    """Writes to a stream of the process in its encoding; what the system refuses is told to `refused`."""

    def __init__(self, stream: TextIO, refused: Callable[[OSError], None]) -> None:
        encoding = ASCII if codecs.lookup(stream.encoding).name == "ascii" else stream.encoding
        super().__init__(stream.buffer, encoding, HANDLER, line_buffering=stream.isatty(), write_through=True)
        self.refused = refused

    def write(self, text: str) -> int:
        """Write a text."""
        try:
            return super().write(text)
        except BrokenPipeError:  # the reader has seen enough
            raise
        except OSError as error:
            self.refused(error)
            return len(text)

    def flush(self) -> None:
        """Hand everything to the system."""
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.refused(error)


class Output(_Stream):
    """A stream for everybody but Rich."""

    def __init__(self, stream: TextIO, refused: Callable[[OSError], None]) -> None:
        super().__init__(stream, refused)
        self.rich_proxied_file = _Stream(stream, refused)  # by this name Rich finds it

    def write(self, text: str) -> int:
        """Write a text, cleaned."""
        super().write(clean(text))
        return len(text)


@contextmanager
def guarded() -> Iterator[None]:
    """While it lasts, stdout and stderr are `Output`s, where they are the process's own; where they are closed, nowhere.

    Raises:
        DfrdBenchError: what was written last cannot be.
    """
    before = sys.stdout, sys.stderr
    try:
        sys.stdout = _guarded(sys.stdout, sys.__stdout__, _say)
        sys.stderr = _guarded(sys.stderr, sys.__stderr__, _forget)
        yield
        if sys.stdout is not before[0]:
            sys.stdout.flush()
    finally:
        for now in (sys.stdout, sys.stderr):
            if isinstance(now, Output):
                _let_go(now)
        sys.stdout, sys.stderr = before


def _guarded(stream: TextIO | None, own: TextIO | None, refused: Callable[[OSError], None]) -> Any:
    if stream is None:  # closed by whoever started this: the next file would take its number, and the output
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if stream is own and isinstance(stream, io.TextIOWrapper):
        stream.flush()
        return Output(stream, refused)
    return stream


def _let_go(stream: Output) -> None:
    """Give the buffer back to Python's own stream; what cannot be written must not be tried again at the exit."""
    number = stream.fileno()
    try:
        io.TextIOWrapper.flush(stream)
    except (OSError, ValueError):
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
    for wrapper in (stream.rich_proxied_file, stream):
        with suppress(OSError, ValueError):
            wrapper.detach()
