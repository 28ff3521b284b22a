"""Reading an archive within bounds: what it claims is checked before it is made."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

MOST_FREE: Final = 64 * 2**20
"""Bytes that the members of any archive may have together, however small it is."""

MOST_RATIO: Final = 20
"""Bytes beyond these that members may have for each byte of the archive. Draws hardly
shrink; only their flags do, which are a small part."""

MOST_TEXT: Final = 32 * 2**20
"""Bytes of JSON text."""

MOST_VALUES: Final = 1_000_000
"""Values in the JSON text: about three for each estimate."""

MOST_DEPTH: Final = 64
"""Lists and objects inside each other in the JSON text; saved ones have about ten."""

_STEP: Final = 2**20
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKET: Final = re.compile(r"[\[\]{}]")


class Damage(ValueError):
    """What a file holds that `save` never writes, and where."""


def check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse members that `save` does not write, or that are too large together.

    Parameters
    ----------
    archive : ZipFile
        Only its directory is looked at.
    size : int
        Bytes of the file that it is in.
    """
    for member in archive.infolist():
        # Other decompressors allocate what the data ask for.
        if member.compress_type not in _METHODS:
            raise Damage(
                f"{member.filename}: expected a member that is stored or deflated; got "
                f"compression method {member.compress_type}"
            )
    total = sum(member.file_size for member in archive.infolist())
    most = MOST_FREE + MOST_RATIO * size
    if total > most:
        raise Damage(
            f"its members: expected at most {most} bytes in an archive of {size}; got "
            f"{total}"
        )


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member, in steps and never more of it than its declared size."""
    size = archive.getinfo(name).file_size
    content = bytearray()
    with archive.open(name) as file:
        # The read after the last byte compares the checksum.
        while piece := file.read(_STEP):
            content += piece
            if len(content) > size:
                raise Damage(f"{name}: expected {size} bytes; got more")
    if len(content) != size:
        raise Damage(f"{name}: expected {size} bytes; got {len(content)}")
    return bytes(content)


def read_json(archive: zipfile.ZipFile, name: str) -> Any:
    """Return what a member of strict JSON holds, if it is neither large nor deep."""
    size = archive.getinfo(name).file_size
    if size > MOST_TEXT:
        raise Damage(f"{name}: expected at most {MOST_TEXT} bytes; got {size}")
    text = read_member(archive, name).decode("utf-8")
    bare = _STRING.sub("", text)
    values = sum(map(bare.count, ",[{"))
    if values > MOST_VALUES:
        raise Damage(f"{name}: expected at most {MOST_VALUES} values; got {values}")
    depth = 0
    for bracket in _BRACKET.findall(bare):
        depth += 1 if bracket in "[{" else -1
        if depth > MOST_DEPTH:
            raise Damage(
                f"{name}: expected values at most {MOST_DEPTH} levels deep; got more"
            )
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} in JSON")


def read_array(archive: zipfile.ZipFile, name: str) -> Any:
    """Return an array, after its header was compared with what there is of it."""
    content = read_member(archive, name)
    _check_size(content)
    return np.load(io.BytesIO(content), allow_pickle=False)


def _check_size(content: bytes) -> None:
    """Refuse an array whose header claims other than there is, before it is made."""
    file = io.BytesIO(content)
    major, _ = npy.read_magic(file)
    header = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject:  # NumPy refuses these
        return
    if dtype.kind not in "fbiu":
        raise ValueError(f"an array of {dtype}, expected numbers")
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    expected = file.tell() + math.prod(shape) * dtype.itemsize
    if expected != len(content):
        raise ValueError(f"an array of {len(content)} bytes, expected {expected}")
