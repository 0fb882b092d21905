"""The plots of scripts/bench-peers: SVG, readable in light and dark, without a library."""
import math
import os
import statistics

from peers_tables import FLOORS, OURS, OURS_DROP, median, of, subjects, value

OWN = {OURS: "#d62728", OURS_DROP: "#ff7f0e", "tracing to " + OURS: "#d62728"}
COLOURS = ["#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f",
           "#5254a3", "#ad494a", "#6b8e23", "#008080"]
WIDTH, HEIGHT, LEFT, TOP, LEGEND = 860, 420, 70, 40, 230


def svg(height, title, body):
    style = ("text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600}"
             ".grid{stroke:#999;stroke-opacity:.3}.spread{stroke:#888;stroke-width:2}"
             "@media(prefers-color-scheme:dark){text{fill:#ddd}}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
            f"<title>{escape(title)}</title><style>{style}</style>"
            f'<text class="title" x="{LEFT}" y="22">{escape(title)}</text>' + "".join(body) + "</svg>\n")


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1, y1, x2, y2, kind="grid"):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def nines(percent):
    """The place of a percentile: how many nines it has."""
    return -math.log10(1 - min(percent, 99.9999) / 100)


def time_label(nanoseconds):
    for unit, size in [("s", 1e9), ("ms", 1e6), ("us", 1e3)]:
        if nanoseconds >= size:
            return f"{nanoseconds / size:g} {unit}"
    return f"{nanoseconds:g} ns"


def curves(title, series):
    """Latency over percentiles, both by powers of ten. `series`: names with points (percent, nanoseconds)."""
    right, bottom = WIDTH - LEGEND, HEIGHT - 40
    all_values = [max(y, 1) for _, points in series for _, y in points]
    low, high = math.floor(math.log10(min(all_values))), math.ceil(math.log10(max(all_values) + 1))
    x = lambda percent: LEFT + nines(percent) / nines(99.9999) * (right - LEFT)
    y = lambda figure: bottom - (math.log10(max(figure, 1)) - low) / max(high - low, 1) * (bottom - TOP)
    body = []
    for power in range(low, high + 1):
        body += [line(LEFT, y(10 ** power), right, y(10 ** power)),
                 text(LEFT - 6, y(10 ** power) + 4, time_label(10 ** power), "end")]
    for percent in [50, 90, 99, 99.9, 99.99, 99.999]:
        body += [line(x(percent), TOP, x(percent), bottom), text(x(percent), bottom + 18, f"{percent:g} %", "middle")]
    for at, (name, points) in enumerate(series):
        colour, wide = OWN.get(name, COLOURS[at % len(COLOURS)]), 3 if name in OWN else 1.5
        path = " ".join(f"{x(percent):.1f},{y(figure):.1f}" for percent, figure in points if percent < 100)
        body += [f'<polyline fill="none" stroke="{colour}" stroke-width="{wide}" points="{path}"/>',
                 f'<rect x="{right + 16}" y="{TOP + at * 20}" width="12" height="12" fill="{colour}"/>',
                 text(right + 34, TOP + at * 20 + 11, name)]
    return svg(HEIGHT, title, body)


def bars(title, figures, unit):
    """One bar for each name, with the least and the most of the rounds. `figures`: name, list."""
    height, left, right = TOP + 26 * len(figures) + 16, 220, WIDTH - 150
    most = max(max(found) for _, found in figures)
    x = lambda figure: left + figure / most * (right - left)
    body = []
    for at, (name, found) in enumerate(figures):
        middle, y = statistics.median(found), TOP + 26 * at
        colour = OWN.get(name, COLOURS[0])
        body += [text(left - 8, y + 14, name, "end"),
                 f'<rect x="{left}" y="{y + 2}" width="{x(middle) - left:.1f}" height="16" fill="{colour}"/>',
                 line(x(min(found)), y + 10, x(max(found)), y + 10, "spread"),
                 text(x(max(found)) + 6, y + 14, f"{middle:,.4g} {unit}")]
    return svg(height, title, body)


def curve_of(rows):
    """The median curve of several rounds."""
    found = [value(row, "latency/curve") for row in rows if value(row, "latency/curve")]
    return [(points[0][0], statistics.median(point[1] for point in points)) for points in zip(*found)]


def write(results, directory):
    """Writes the plots; returns their files and titles."""
    os.makedirs(directory, exist_ok=True)
    made = []

    def save(name, title, make):
        with open(os.path.join(directory, name), "w") as file:
            file.write(make)
        made.append((name, title))

    for section, key, unit, title, name, floors in [
        ("burst", "ns_a_call", "ns", "A burst that fits: nanoseconds a call", "peers-burst.svg", True),
        ("saturate", "mb_per_s", "MB/s", "Saturation: MB/s to the medium", "peers-saturation.svg", False),
        ("saturate", "cpu_s_per_gb", "s", "Saturation: CPU seconds a GB", "peers-cpu.svg", False),
    ]:
        figures = [(s, [value(row, key) for row in of(results, section, s)]) for s in subjects(results, section)
                   if (floors or s not in FLOORS) and median(of(results, section, s), key)]
        if figures:
            save(name, title, bars(title, figures, unit))
    series = [(s, curve_of(of(results, "burst", s))) for s in subjects(results, "burst")]
    if any(points for _, points in series):
        title = "A burst that fits: time of a call, with two readings of the clock"
        save("peers-burst-curve.svg", title, curves(title, [pair for pair in series if pair[1]]))
    for load in sorted({r["load"] for r in results if r["section"] == "paced" and "load" in r}):
        series = [(s, curve_of(of(results, "paced", s, load=load, free=True))) for s in subjects(results, "paced")]
        series = [pair for pair in series if pair[1]]
        if series:
            title = f"Paced at {load} % of what each sustains, one processor free: from the time due"
            save(f"peers-paced-{load}.svg", title, curves(title, series))
    for trouble, words in [("freeze", "no writes for 2 s"), ("full", "full for 2 s"), ("rotate", "a rotation every second")]:
        series = [(s, curve_of(of(results, "trouble", s, trouble=trouble))) for s in subjects(results, "trouble")]
        series = [pair for pair in series if pair[1]]
        if series:
            title = f"100,000 records/s, {words}: from the time due"
            save(f"peers-trouble-{trouble}.svg", title, curves(title, series))
    return made
