"""The measurements of bench/kernel.py as tables that people can read, and whether the goals were met.

A ratio is Chorus divided by evcxr_jupyter: below 1, Chorus is faster or smaller.
"""

import math

from table import median, number

OVERALL = 0.5
"""The goal for the ratio over all kinds of new cells, by the sum as well as by the geometric mean."""


def ratio(row):
    ours, theirs = median(row["chorus"]), median(row["evcxr"])
    return ours / theirs if ours is not None and theirs else None


def missed(row):
    goal = row["goal"]
    most, most_ratio = goal.get("most"), goal.get("most_ratio")
    if most is not None and median(row["chorus"]) > most:
        return True
    return most_ratio is not None and ratio(row) > most_ratio


def overall(rows):
    """Ratio of the sums of the medians, and geometric mean of the ratios."""
    sums = [sum(median(row[side]) for row in rows) for side in ("chorus", "evcxr")]
    return sums, sums[0] / sums[1], math.exp(sum(math.log(ratio(row)) for row in rows) / len(rows))


def missed_any(results):
    if any(missed(row) for row in results["cells"] + results["rest"]):
        return True
    return bool(results["cells"]) and max(overall(results["cells"])[1:]) > OVERALL


def goal_of(row):
    goal = row["goal"]
    if "most" in goal:
        return f"≤ {number(goal['most'])} {row['unit']}".rstrip()
    return f"≤ {number(goal['most_ratio'])}×" if "most_ratio" in goal else ""


def verdict(goal, is_missed):
    return "" if not goal else ("missed" if is_missed else "met")


def lines_of(rows):
    for row in rows:
        goal = goal_of(row)
        medians = [number(median(row[side])) for side in ("chorus", "evcxr")]
        yield [row["what"], row["unit"], *medians, f"{ratio(row):.2f}×", goal, verdict(goal, missed(row))]


def table(lines):
    head = ["| | unit | Chorus | evcxr_jupyter | ratio | goal | |", "|---|---|--:|--:|--:|---|---|"]
    return "\n".join(head + ["| " + " | ".join(line) + " |" for line in lines])


def report(results):
    before, after = results["load"]
    parts = [f"{results['machine']}; load {before:.1f} before and {after:.1f} after; medians"]
    if cells := results["cells"]:
        sums, of_sums, of_ratios = overall(cells)
        goal = f"≤ {number(OVERALL)}×"
        total = ["**all, sum**", "ms", *map(number, sums), f"{of_sums:.2f}×", goal, verdict(goal, of_sums > OVERALL)]
        mean = ["**all, geometric mean**", "", "", "", f"{of_ratios:.2f}×", goal, verdict(goal, of_ratios > OVERALL)]
        parts.append("A new cell\n\n" + table([*lines_of(cells), total, mean]))
    if results["rest"]:
        parts.append("Everything else\n\n" + table(lines_of(results["rest"])))
    if results["floor"]:
        rows = results["floor"].items()
        lines = [f"| {what} | {number(median(values))} | {number(min(values))} |" for what, values in rows]
        parts.append("\n".join(["The floor, ms\n", "| | median | least |", "|---|--:|--:|", *lines]))
    return "\n\n".join(parts)
