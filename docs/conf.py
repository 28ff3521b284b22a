"""Settings of the pages: ``sphinx-build -W --keep-going -q docs build/docs``."""

from __future__ import annotations

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

import numpydoc.xref
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

import pyrobma

project = "pyrobma"
release = pyrobma.__version__
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
default_role = "py:obj"  # `names` become links; parameters stay as they are
smartquotes = False  # a reader may copy the strings
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed with their outputs
nb_merge_streams = True

# Copies, because links to a page must not leave this folder.
_HERE = Path(__file__).parent
_COPY = _HERE / "notebooks"
_COPY.mkdir(exist_ok=True)
for _notebook in (_HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copy2(_notebook, _COPY)
shutil.copy2(_HERE.parent / "CITATION.cff", _HERE)

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the types are beside the parameters
numpydoc_show_class_members = False  # autodoc lists them

# Of the words in a parameter's type, the classes of the package become links.
numpydoc.xref.DEFAULT_LINKS.clear()
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    name: f"{package.__name__}.{name}"
    for package in [*vars(pyrobma).values(), pyrobma]  # its own names go first
    for name in getattr(package, "__all__", ())
    if inspect.isclass(getattr(package, name))
}

html_theme = "furo"
html_title = f"pyrobma {release}"
html_copy_source = False
html_domain_indices = False
html_show_copyright = False
toc_object_entries_show_parents = "hide"


def describe_data(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Find the text below a constant; autodoc looks only where it is exported."""
    if what != "data":
        return
    lines.clear()  # the documentation of the constant's type
    attribute = name.rpartition(".")[2]
    for module in [m for m in sys.modules if m.startswith("pyrobma.")]:
        text = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", attribute))
        if text and getattr(sys.modules[module], attribute) is obj:
            lines.extend(text)
            return


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Link a name to its page, whichever package exports it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    for path, page in env.domains.python_domain.objects.items():
        # A bare word may be a parameter that is called as some method is.
        member = page.objtype in ("method", "property") and "." not in target
        if path.endswith(f".{target}") and not member:
            return make_refnode(
                app.builder, node["refdoc"], page.docname, page.node_id, content
            )
    return None


def setup(app: Sphinx) -> None:
    """Add the two rules above, the first ahead of numpydoc's."""
    app.connect("autodoc-process-docstring", describe_data, priority=100)
    app.connect("missing-reference", resolve_name)
