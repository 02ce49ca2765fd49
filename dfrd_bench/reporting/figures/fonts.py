"""Fonts for names in any script: one that has them where it is installed, else a line that says which to install."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)
COVERING = (  # fonts with more scripts than Matplotlib's own, which has Latin, Greek, Cyrillic, Arabic and Hebrew
    *(
        "Noto Sans CJK SC",
        "Noto Sans CJK JP",
        "Noto Sans CJK KR",
        "Noto Sans SC",
        "Source Han Sans SC",
        "WenQuanYi Zen Hei",
    ),
    *("WenQuanYi Micro Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Bengali", "Noto Sans Tamil", "Arial Unicode MS", "Unifont"),
)
SIGN = "missing from"  # in Matplotlib's warning about a glyph


@contextmanager
def every_script(figure: Any) -> Iterator[None]:
    """While it is drawn, a figure's texts may use the fonts that cover more scripts; what none of them has is said once."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    installed = {font.name for font in fontManager.ttflist}
    more = [name for name in COVERING if name in installed]
    for text in figure.findobj(Text):
        if more and not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *more])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    if any(SIGN in str(warning.message) for warning in said):
        log.warning(
            "No installed font has all characters of this figure: install Noto Sans CJK, or the Noto font of its script."
        )
