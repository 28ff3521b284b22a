"""Every public name has its place in the API reference."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

import pyrobma

PAGES = Path(__file__).parents[3] / "docs" / "reference"
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: (\S+)$", re.MULTILINE)
PACKAGES = ["pyrobma", "pyrobma.parameters"] + [
    f"pyrobma.{init.parent.name}"
    for init in sorted(Path(pyrobma.__file__).parent.glob("*/__init__.py"))
    if "__all__" in init.read_text(encoding="utf-8")
]


def documented() -> Counter[str]:
    """Count the places of every name, by the path under which it is documented."""
    places: Counter[str] = Counter()
    for page in sorted(PAGES.glob("*.rst")):
        for kind, path in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if kind == "module":
                names = getattr(importlib.import_module(path), "__all__", ())
                places.update(f"{path}.{name}" for name in names)
            else:
                places[path] += 1
    return places


def paths(package: ModuleType, name: str) -> set[str]:
    """Return the public paths that lead to what a package exports as `name`."""
    modules = map(importlib.import_module, PACKAGES)
    return {
        f"{module.__name__}.{name}"
        for module in modules
        if name in module.__all__ and getattr(module, name) is getattr(package, name)
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_has_every_public_name_once(package):
    module = importlib.import_module(package)
    places = documented()
    found = {
        name: sum(places[path] for path in paths(module, name))
        for name in module.__all__
    }
    assert {name: n for name, n in found.items() if n != 1} == {}


def test_the_reference_has_public_names_only():
    public = {
        f"{package}.{name}"
        for package in PACKAGES
        for name in importlib.import_module(package).__all__
    }
    assert set(documented()) - public == set()
