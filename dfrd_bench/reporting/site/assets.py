"""The scripts and styles of a site: DataTables as itables brings it, Vega as vl-convert does, and the site's own."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.site.charts import WITHOUT, specifications

TABLES_JS, TABLES_CSS = "assets/tables.js", "assets/tables.css"
CHARTS_JS, SITE_JS, SITE_CSS = "assets/charts.js", "assets/report.js", "assets/report.css"
SCRIPTS, STYLES = (TABLES_JS, CHARTS_JS, SITE_JS), (TABLES_CSS, SITE_CSS)
EMBED = "window.vegaEmbed = vegaEmbed;"
EXPORTED = re.compile(r"export\s*\{([^{}]*)\};?")


def assets() -> dict[str, str]:
    """Every script and style by its name below the site's folder.

    Raises:
        DfrdBenchError: what makes them is not installed, or is of a version that brings them in another form.
    """
    try:
        import itables
        import vl_convert
    except ImportError as error:
        raise DfrdBenchError(WITHOUT.format(name=error.name)) from error
    bundle = files(itables) / "html"
    own = files("dfrd_bench") / "templates" / "site"
    kinds = json.dumps(specifications(), ensure_ascii=False, separators=(",", ":"))
    return {
        TABLES_JS: as_plain_script((bundle / "dt_bundle.js").read_text(encoding="utf-8"), "DataTables"),
        TABLES_CSS: (bundle / "dt_bundle.css").read_text(encoding="utf-8"),
        CHARTS_JS: f"{vl_convert.javascript_bundle(EMBED)}\nwindow.chartKinds={kinds};\n",
        SITE_JS: (own / "report.js").read_text(encoding="utf-8"),
        SITE_CSS: (own / "report.css").read_text(encoding="utf-8"),
    }


def as_plain_script(module: str, name: str) -> str:
    """A module as a script whose exports are `window.NAME`: browsers load no modules from disk.

    Raises:
        DfrdBenchError: the text does not end in the one list of exports that is expected.
    """
    found = EXPORTED.findall(module)
    if len(found) != 1 or re.search(r"\bimport\.meta\b", module):
        raise DfrdBenchError(
            "The installed itables brings its tables in a form that is not known here: install itables 2.9."
        )
    pairs = [part.strip().split(" as ") for part in found[0].split(",") if part.strip()]
    members = ",".join(f"{json.dumps(pair[-1])}:{pair[0]}" for pair in pairs)
    body = EXPORTED.sub(lambda _: f"window[{json.dumps(name)}]={{{members}}};", module)
    return f'(()=>{{"use strict";\n{body}\n}})();\n'
