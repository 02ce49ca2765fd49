"""Writes pages in HTML, each as a file of its own or all in one; whatever a record says is text there and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dfrd_bench._version import __version__
from dfrd_bench.reporting.escaping import printable
from dfrd_bench.reporting.site.assets import CHARTS_JS, SCRIPTS, STYLES, TABLES_JS
from dfrd_bench.reporting.site.pages import Page

if TYPE_CHECKING:
    from jinja2 import Environment

NAVIGATION = (("index", "Leaderboards"), ("runs", "Runs"), ("methods", "Methods"), ("compare", "Compare"))
MARKS = {TABLES_JS: "data-table=", CHARTS_JS: "data-kind="}
"""By what in a page it is seen to need a script; the site's own is on every page."""
BREAKS = re.compile(r"(?<=[+=,:/_])(?=[^\s])")
OWN_TEXT = "'unsafe-inline'"
POLICY = (
    "default-src 'none'; script-src {scripts} 'unsafe-eval'; style-src {styles}; img-src data: blob:; font-src data:; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'"
)
"""What a browser may load for a page: nothing but the site's own scripts and styles. (Vega compiles its formulas.)"""


class Renderer:
    """The templates, and what every one of them knows."""

    def __init__(self, title: str, methods: Mapping[str, str], made: str) -> None:
        """Read the templates.

        Args:
            title: of the site.
            methods: the page of each method.
            made: when the site was made.
        """
        self.environment = _environment()
        self.known: dict[str, Any] = {
            **{"site": printable(title), "methods_at": methods, "made_on": made, "version": __version__},
            "navigation": NAVIGATION,
        }

    def files(self, pages: Iterable[Page]) -> Iterator[tuple[str, str]]:
        """(name, text) of the file of each page; scripts and styles lie in assets/."""
        layout = self.environment.get_template("layout.html")
        for page in pages:
            up = "../" * page.name.count("/")
            link = _linking(up)
            body = self._body(page, link)
            policy = POLICY.format(scripts=f"'self' file: {OWN_TEXT}", styles=f"'self' file: {OWN_TEXT}")
            yield (
                f"{page.name}.html",
                layout.render(
                    **self.known,
                    page=page,
                    body=body,
                    link=link,
                    policy=policy,
                    scripts=[up + name for name in SCRIPTS if MARKS.get(name, "") in body],
                    styles=[up + name for name in STYLES],
                ),
            )

    def single(self, pages: Sequence[Page], assets: Mapping[str, str]) -> str:
        """All pages in one file, the first of them shown; scripts and styles are in it."""
        from markupsafe import Markup

        bodies = [(page, self._body(page, _within)) for page in pages]
        return self.environment.get_template("single.html").render(
            **self.known,
            page=pages[0],
            body=bodies[0][1],
            others=bodies[1:],
            link=_within,
            policy=POLICY.format(scripts=OWN_TEXT, styles=OWN_TEXT),
            scripts=[Markup(_in_script(assets[name])) for name in SCRIPTS],
            styles=[Markup(assets[name]) for name in STYLES],
        )

    def _body(self, page: Page, link: Any) -> Any:
        from markupsafe import Markup

        return Markup(
            self.environment.get_template(page.template).render(**self.known, **page.context, page=page, link=link)
        )


def _environment() -> Environment:
    """Jinja with escaping on in every template, so that a text is never markup unless a template itself wrote it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from jinja2.utils import htmlsafe_json_dumps

    environment = Environment(
        loader=PackageLoader("dfrd_bench", "templates/site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.finalize = _cleaned
    environment.filters["breakable"] = _breakable
    environment.filters["json"] = lambda value: htmlsafe_json_dumps(_cleaned(value), dumps=_dumps)
    return environment


def _breakable(text: str) -> Any:
    """A name that may be broken behind the signs of a variant's, e.g. synthesis_rounds=6+synthesis_steps=7."""
    from markupsafe import Markup

    return Markup("<wbr>").join(BREAKS.split(_cleaned(text)))


def _cleaned(value: Any) -> Any:
    """A text, or every text in plain values, without characters that no page may hold, such as those that turn its direction."""
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in value)
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(inner) for key, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _dumps(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _linking(up: str) -> Any:
    """From the name of a page to its address, seen from one that lies so deep."""
    return lambda name: f"{up}{name}.html"


def _within(name: str) -> str:
    """The same within a single file."""
    return f"#/{name}"


def _in_script(text: str) -> str:
    """A script's text so that nothing in it ends the element that it stands in."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
