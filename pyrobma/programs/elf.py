"""Whether a compiled program is whole and made for this machine (Linux)."""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from pathlib import Path

from pyrobma.errors import ToolchainError

# Opening a library with a piece missing ends the interpreter with SIGBUS.

_HEADER = {1: "HHIIIIIHHHHHH", 2: "HHIQQQIHHHHHH"}  # after the 16 bytes of e_ident
_LOADED = 1  # PT_LOAD


def check(path: Path, *, script: bool = False) -> None:
    """Raise an error unless a file is a whole program of this machine.

    Parameters
    ----------
    path : Path
        A file that exists.
    script : bool
        Whether one that begins with ``#!`` will do.

    Raises
    ------
    ToolchainError
        If it is another kind of file, of another machine, or truncated.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        status = path.stat()
        found = _fault(path, status.st_size, status.st_mtime_ns, script)
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror})"
    if found:
        raise ToolchainError(
            f"programs: expected a compiled program for this machine in {path}; got "
            f"{found}. Build it again: install pyrobma anew, or run python -m "
            f"pyrobma.programs build --into {path.parent}."
        )


@lru_cache(maxsize=64)
def _fault(path: Path, size: int, changed: int, script: bool) -> str:
    """Return what is wrong, or nothing; size and time are the cache's."""
    with path.open("rb") as file:
        start = file.read(64)
        if not start:
            return "an empty file"
        if script and start.startswith(b"#!"):
            return ""
        if not start.startswith(b"\x7fELF"):
            return "a file that is none"
        if len(start) < 20:
            return f"a truncated file of {size} bytes"
        own = _own_start()
        # The width, the order of bytes and the machine.
        if own and (start[4:6], start[18:20]) != (own[4:6], own[18:20]):
            return "one for another kind of machine"
        layout = "<>"[start[5] == 2] + _HEADER.get(start[4], _HEADER[2])
        if len(start) < 16 + struct.calcsize(layout):
            return f"a truncated file of {size} bytes"
        fields = struct.unpack_from(layout, start, 16)
        programs, sections = fields[4], fields[5]
        each_program, program_count, each_section, section_count = fields[8:12]
        ends = [programs + each_program * program_count]
        if sections:
            ends.append(sections + each_section * section_count)
        if max(ends) <= size:  # else there is no whole table to read
            file.seek(programs)
            table = file.read(each_program * program_count)
            ends += _segment_ends(table, layout[0], start[4], each_program)
        if max(ends) > size:
            return f"a truncated file of {size} bytes, not {max(ends)}"
    return ""


def _segment_ends(table: bytes, order: str, width: int, each: int) -> list[int]:
    """Return where the parts end that are loaded into memory."""
    layout = order + ("IIIII" if width == 1 else "IIQQQQ")
    ends = []
    for at in range(0, len(table), max(each, 1)):
        if at + struct.calcsize(layout) > len(table):
            break
        fields = struct.unpack_from(layout, table, at)
        if fields[0] == _LOADED:
            place, length = (fields[1], fields[4]) if width == 1 else fields[2:6:3]
            ends.append(place + length)
    return ends


@lru_cache(maxsize=1)
def _own_start() -> bytes:
    """Return how the interpreter's own file begins; nothing if that is unknown."""
    try:
        with Path("/proc/self/exe").open("rb") as file:
            start = file.read(64)
    except OSError:
        return b""
    return start if start.startswith(b"\x7fELF") else b""
