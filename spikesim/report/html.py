"""One self-contained HTML file: headings, paragraphs, tables and figures, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from ..core.files import written

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #22303c;
       max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; background: #fff; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { margin-top: 2.4rem; border-bottom: 1px solid #c9d3da; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; } figcaption { color: #52626f; font-size: .92rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .94rem; } td, th { padding: .3rem .8rem; text-align: left; }
th { border-bottom: 2px solid #22303c; } td { border-bottom: 1px solid #e3e9ed; } td.n { text-align: right;
font-variant-numeric: tabular-nums; } .cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; }
.card { border: 1px solid #c9d3da; border-radius: 8px; padding: .7rem 1.1rem; min-width: 8.5rem; }
.card b { display: block; font-size: 1.5rem; } .small { color: #52626f; font-size: .92rem; }
"""


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


@dataclass
class Page:
    """An HTML page that grows part by part; text is escaped."""

    title: str
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        self.parts.append(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str, small: bool = False) -> None:
        self.parts.append(f"<p{' class=small' if small else ''}>{escape(text)}</p>")

    def cards(self, cards: Iterable[tuple[str, str]]) -> None:
        """(caption, value) pairs as a row of boxes."""
        boxes = "".join(f'<div class="card"><b>{escape(v)}</b>{escape(k)}</div>' for k, v in cards)
        self.parts.append(f'<div class="cards">{boxes}</div>')

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> None:
        """A table; `numbers` are the columns set flush right."""
        top = "".join(f"<th>{escape(h)}</th>" for h in head)
        cells = [
            "".join(f"<td{' class=n' if i in numbers else ''}>{escape(c)}</td>" for i, c in enumerate(row))
            for row in rows
        ]
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        self.parts.append(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")

    def figure(self, image: bytes, caption: str) -> None:
        """A PNG, embedded."""
        data = base64.b64encode(image).decode()
        text = escape(caption)
        self.parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def write(self, path: Path) -> None:
        """The page at `path`, atomically."""
        head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(self.title)}</title>'
        body = f"<h1>{escape(self.title)}</h1>" + "\n".join(self.parts)
        text = f"<!doctype html><html lang=en><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>\n"
        with written(path) as temporary:
            temporary.write_text(text)
