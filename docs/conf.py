"""Settings of the documentation site: ``python -m sphinx -W -b html docs docs/_build``."""

from sphinx.application import Sphinx

from rnnic import __version__

project = "RNNIC"
author = "The RNNIC developers"
project_copyright = "The RNNIC developers"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build"]
highlight_language = "none"  # blocks without a language are diagrams and commands
smartquotes = False  # would make one dash of the two before an option

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, and shapes and units with them
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"RNNIC {release}"
html_theme_options = {"navigation_with_keys": True}

# Pages are read on their own, too, where these are files; in the site they are pages.
LINKS = {
    "](../SPEC.md)": "](format.md)",
    "](../src/rnnic/options.py)": "](api.md#options-and-results)",
}


def link_pages(_app: Sphinx, _name: str, content: list[str]) -> None:
    """Let links to files outside this folder lead to the pages that show them."""
    for file, page in LINKS.items():
        content[0] = content[0].replace(file, page)


def setup(app: Sphinx) -> None:
    """Connect the hook."""
    app.connect("source-read", link_pages)
