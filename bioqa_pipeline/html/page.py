"""Self-contained HTML pages: one frame, one style, and a policy that lets a browser load nothing from anywhere.

Texts come through Jinja with escaping on; scripts and styles are allowed by their hash, so that a script in a title
would not run even where escaping failed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_BEGINNING = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-"""
# What HTML cannot hold, and line ends that browsers normalise before they hash a script.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates of this package; every value is escaped, a name that is not given is an error."""
    templates = Environment(
        loader=PackageLoader("bioqa_pipeline.html", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters.update(
        thousands=lambda n: f"{n:,}", duration=duration, cut=cut, clock="{:%d %b %Y, %H:%M} UTC".format
    )
    return templates


def asset(name: str) -> str:
    """A style or script that comes with the package."""
    return files("bioqa_pipeline.html").joinpath("templates", name).read_text("utf-8")


def html_page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page.

    Args:
        title: text.
        body: HTML, everything in it escaped already.
        style: CSS after the common one.
        script: JavaScript, run at the end of the page.
    """
    style = asset("page.css") + style
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = environment().get_template("page.html.j2")
    whole = page.render(title=title, body=Markup(body), style=Markup(style), script=Markup(script), policy=policy)
    return _CONTROL.sub("\ufffd", whole)


def is_page(head: bytes) -> bool:
    """Whether a file begins as pages of this program do, those of earlier versions too."""
    return head.startswith(_BEGINNING)


def duration(seconds: float) -> str:
    """ "48 s", "3 min 05 s", "2 h 10 min"."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
