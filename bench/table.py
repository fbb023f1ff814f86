"""Rows of measurements as a table that people can read.

A row is {"what", "unit", "goal", "chorus": [...], "ipyparallel": [...]}; a side that wasn't measured has no values,
and a row without a goal has None.
"""

import statistics


def median(values):
    return statistics.median(values) if values else None


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


def missed(row):
    """Whether Chorus was measured and its median isn't as good as the goal."""
    value = median(row["chorus"])
    return row["goal"] is not None and value is not None and value > row["goal"]


def number(value):
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows):
    lines = [
        "| | unit | Chorus | p95 | goal | | ipyparallel | p95 | ratio |",
        "|---|---|--:|--:|--:|---|--:|--:|--:|",
    ]
    for row in rows:
        ours, theirs = median(row["chorus"]), median(row["ipyparallel"])
        tails = [
            number(percentile(row[side], 95)) if len(row[side]) >= 20 else "" for side in ("chorus", "ipyparallel")
        ]
        goal = "" if row["goal"] is None else f"≤ {number(row['goal'])}"
        verdict = "" if row["goal"] is None or ours is None else ("missed" if missed(row) else "met")
        ratio = f"{theirs / ours:.1f}×" if ours and theirs and ours > 0 else "–"
        cells = [row["what"], row["unit"], number(ours), tails[0], goal, verdict, number(theirs), tails[1], ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
