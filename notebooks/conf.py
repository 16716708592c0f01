"""Build the site offline: ``python -m sphinx -W --keep-going notebooks site``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # for `_site` and this copy of the package
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from _site.inventories import mapping  # noqa: E402

import braininit  # noqa: E402

project, author, copyright = "braininit", "the braininit developers", "the braininit developers"  # noqa: A001
version = release = braininit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "_site.gallery",
    "_site.included",
    "_site.links",
    "_site.mathml",
    "_site.reference",
]
exclude_patterns = ["_*", "**.ipynb_checkpoints"]
default_role = "py:obj"  # docstrings refer to names in single backticks
autodoc_typehints = "none"  # the docstrings describe types
autodoc_member_order = "bysource"
autodoc_default_options = {"no-value": True}
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]  # statistics that a notebook stores for its test
nb_execution_mode = "off"  # saved with outputs; tests/test_notebooks.py runs them
intersphinx_mapping = mapping(HERE / "_inventories")
nitpicky = True  # fail on unresolved names of ours and of projects with an inventory
nitpick_ignore_regex = [("py:.*", r"(?!(braininit|flax|jax|numpy|scipy)\.).*")]

html_theme = "sphinx_book_theme"
html_title = "braininit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = html_show_sourcelink = False
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # search is in the sidebar
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
