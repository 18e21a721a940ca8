# SPDX-License-Identifier: Apache-2.0
"""What was measured, as medians of rounds, tables and JSON."""
import statistics


class Results:
    """{part: {row: {metric: [one value a round]}}}, and the versions of what was measured."""

    def __init__(self, only=()):
        self._only = only
        self.parts = {}
        self.versions = {}
        self.lay_out = as_text      # how table() shows its lines

    def wanted(self, row):
        return not self._only or any(word in row for word in (*self._only, "ringhop"))

    def add(self, part, row, values, version=None):
        metrics = self.parts.setdefault(part, {}).setdefault(row, {})
        for name, value in values.items():
            metrics.setdefault(name, []).append(value)
        print(f"{part}, {row}: " + ", ".join(f"{name} {number(value)}"
                                             for name, value in values.items()), flush=True)
        if version:
            self.versions[row] = version

    def get(self, part, row, metric):
        """The median, or None if it was not measured."""
        values = self.parts.get(part, {}).get(row, {}).get(metric)
        return statistics.median(values) if values else None

    def most(self, part, row, metric):
        """The greatest of the rounds, for what must never be; or None."""
        return max(self.parts.get(part, {}).get(row, {}).get(metric, ()), default=None)

    def rows(self, part):
        return list(self.parts.get(part, {}))

    def as_json(self):
        return {part: {row: {metric: {"median": statistics.median(values), "rounds": values}
                             for metric, values in metrics.items()}
                       for row, metrics in rows.items()}
                for part, rows in self.parts.items()}

    @staticmethod
    def from_json(parts, versions):
        """What as_json() made of other results."""
        results = Results()
        results.versions = versions
        results.parts = {part: {row: {metric: values["rounds"] for metric, values in metrics.items()}
                                for row, metrics in rows.items()}
                         for part, rows in parts.items()}
        return results


def number(value, digits=1):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or digits == 0 else f"{value:,.{digits}f}"


def table(results, part, columns, base=None, title=None):
    """Prints a row for each that was measured. `columns` are (metric, heading); with `base`, the
    row to compare with, the ratio to it follows each metric whose heading does not begin with =."""
    rows = results.rows(part)
    if not rows:
        return
    print(f"\n{title or part}")
    heads = [heading.lstrip("=") for _, heading in columns]
    lines = [["", *[cell for head, (_, raw) in zip(heads, columns)
                    for cell in ([head] if raw.startswith("=") or not base else [head, "x"])]]]
    for row in rows:
        line = [row]
        for metric, heading in columns:
            value = results.get(part, row, metric)
            line.append(number(value))
            if base and not heading.startswith("="):
                against = results.get(part, base, metric)
                line.append(f"{value / against:.2f}" if value and against else "-")
        lines.append(line)
    print("\n".join(results.lay_out(lines)))


def as_text(lines):
    """Columns below each other, all but the first at the right. `lines` are lists of cells, the first of them
    the heading."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return ["  " + line[0].ljust(widths[0]) + "".join(
        "  " + cell.rjust(width) for cell, width in zip(line[1:], widths[1:])) for line in lines]


def as_markdown(lines):
    """The same as a table of a page."""
    head, *rows = ["| " + " | ".join(line) + " |" for line in lines]
    return ["", head, "|---" + "|---:" * (len(lines[0]) - 1) + "|", *rows]
