"""The picture: a bar for each that was measured, logarithmic, as SVG, in two columns."""
import math
from xml.sax.saxutils import escape

from figures import number

COLUMN, LABEL, FIGURE, BAR, GAP, HEAD = 410, 105, 75, 13, 16, 62
DETAILS = ": rate", ": p50", ": p99", "late, p99"  # names that end so are in the table only
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .note { fill: #57606a }
.ours { fill: #0969da } .peer { fill: #afb8c1 } .limit { fill: #d4a72c }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #8d96a0 }
  .ours { fill: #4493f8 } .peer { fill: #57606a } .limit { fill: #9e6a03 }
}
"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">' \
           f'{escape(words)}</text>'


def height(row):
    return GAP + len(row.figures) * BAR + GAP // 2


def kind_of(row, who):
    return "limit" if who in row.limits else "ours" if who.startswith("ours") else "peer"


def bars(row, left, top):
    """One row: a title, and the bars from the best to the last."""
    medians = [(who, row.median(who)) for who in row.order()]
    shown = [figure for _, figure in medians if figure > 0]
    low, high = min(shown) / 2, max(shown)
    parts = [text(left, top + 11, f"{row.name}, {row.unit}", "title")]
    for i, (who, figure) in enumerate(medians):
        y = top + GAP + i * BAR
        share = math.log(max(figure, low) / low) / math.log(high / low)
        length = share * (COLUMN - LABEL - FIGURE)
        parts += [text(left + LABEL - 6, y + 10, who, anchor="end"),
                  f'<rect x="{left + LABEL}" y="{y + 1}" width="{length:.1f}" '
                  f'height="{BAR - 3}" class="{kind_of(row, who)}"/>',
                  text(left + LABEL + length + 5, y + 10, number(figure), "note")]
    return parts


def draw(rows, about):
    """The SVG of those rows that peers have, too, but for details."""
    parts, tops = [], [HEAD, HEAD]
    for row in rows:
        if row.best_peer() and not row.name.endswith(DETAILS):
            column = tops.index(min(tops))
            parts += bars(row, column * (COLUMN + GAP), tops[column])
            tops[column] += height(row)
    width, bottom = 2 * COLUMN + GAP, max(tops)
    head = [text(0, 12, "Shorter is better; logarithmic. Medians; of servers the processor time. "
                        "Gold: a limit, written by hand.", "note"),
            text(0, 28, f"{about['date']}, {about['processor']}, {about['kernel']}", "note"),
            text(0, 44, about["command"], "note")]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 0 {width + 8} '
                      f'{bottom}" width="{width + 8}" height="{bottom}">',
                      f"<style>{STYLE}</style>", *head, *parts, "</svg>\n"])
