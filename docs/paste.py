"""Run the code of the README and of the guide, and paste below it what it prints."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
CODE = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(\n```text\n(?P<text>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


def examples(page: Path) -> list[tuple[str, str]]:
    """Return each block of code with what it prints."""
    found = CODE.finditer(page.read_text(encoding="utf-8"))
    return [(one["code"], one["text"] or "") for one in found]


def printed(page: Path) -> Iterator[str]:
    """Run the blocks of a page one after the other and yield what each prints."""
    names: dict[str, object] = {}
    for code, _ in examples(page):
        with redirect_stdout(StringIO()) as text:
            exec(compile(code, page.name, "exec"), names)
        yield text.getvalue()


def pasted(page: Path) -> str:
    """Return the text of a page with what its code prints now."""
    texts = printed(page)

    def block(found: re.Match[str]) -> str:
        text = next(texts)
        below = f"\n```text\n{text}```\n" if text else ""
        return f"```python\n{found['code']}```\n{below}"

    return CODE.sub(block, page.read_text(encoding="utf-8"))


def main() -> None:
    """Paste into the pages that are named, or into all that have code."""
    pages = [Path(name).resolve() for name in sys.argv[1:]]
    pages = pages or [page for page in PAGES if examples(page)]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # figures and reports are written there
        for page in pages:
            page.write_text(pasted(page), encoding="utf-8")


if __name__ == "__main__":
    main()
