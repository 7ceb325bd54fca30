"""How the pages are built: `sphinx-build -W docs build/docs`."""

import sys
from pathlib import Path

import aiolosant

project = "aiolosant"
author = "the aiolosant developers"
release = version = aiolosant.__version__
sys.path.insert(0, str(Path(__file__).parent))  # for what writes the reference
extensions = ["build_reference", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"aiolosant {release}"
exclude_patterns = ["build"]
myst_heading_anchors = 3
# What is said of attributes stands in the docstring of their class.
autodoc_default_options = {
    "members": True,
    "undoc-members": False,
    # But not what Python's own classes have, nor what the root says for all errors.
    "inherited-members": "LosantError,OSError,BaseException,dict,tuple,str,Enum,Protocol,Generic",
}
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
suppress_warnings = ["myst.xref_missing"]  # pages link to files beside this folder, which repositories show
