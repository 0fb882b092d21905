"""The tables of scripts/bench-peers, from what was measured, and the bounds that they are held to."""
import statistics

OURS, OURS_DROP = "asynclogger", "asynclogger, drop"
FLOORS = ["empty call", "raw copy"]
# Those that have a thread of their own, between the call and the file.
ASYNCHRONOUS = ["channel + BufWriter", "tracing-appender", "tracing-appender, blocking", "spdlog-rs", "flexi_logger",
                "fast_log", "ftlog", "logforth"]
TROUBLES = {
    "rotate": "A rotation every second",
    "freeze": "A file system that takes no writes for 2 s (`FIFREEZE` of an ext4 of its own: writes wait in the kernel; "
              "this stands for a device that stops)",
    "full": "A file system that is full for 2 s (ext4 of 1 GiB; a file takes all the room, and is deleted)",
}


def of(results, section, subject=None, **labels):
    """The measurements of a section that gave figures."""
    return [r for r in results if r["section"] == section and (subject is None or r["subject"] == subject)
            and "seconds" in r and all(r.get(key) == value for key, value in labels.items())]


def subjects(results, section):
    return list(dict.fromkeys(r["subject"] for r in results if r["section"] == section))


def value(result, key):
    for part in key.split("/"):
        result = result.get(part) if isinstance(result, dict) else None
    return result


def values(rows, key):
    return [value(row, key) for row in rows if value(row, key) is not None]


def median(rows, key):
    found = values(rows, key)
    return statistics.median(found) if found else None


def spread(rows, key, scale=1.0, digits=0):
    found = sorted(figure / scale for figure in values(rows, key))
    if not found:
        return "-"
    middle = f"{statistics.median(found):,.{digits}f}"
    return middle if len(found) == 1 else f"{middle} ({found[0]:,.{digits}f}-{found[-1]:,.{digits}f})"


def lost(rows):
    """The part of the offered records that is in no file, over all rows."""
    offered, found = sum(values(rows, "offered")), sum(values(rows, "found"))
    if not rows or not values(rows, "found"):
        return "-"
    return "0" if offered == found else f"{offered - found:,} ({100 * (offered - found) / offered:.2f} %)"


def trouble_of(results, section, subject, **labels):
    """Why there are no figures."""
    for r in results:
        if r["section"] == section and r["subject"] == subject and all(r.get(k) == v for k, v in labels.items()):
            if "cannot" in r or "failed" in r:
                return r.get("cannot") or "failed: " + r["failed"]
    return None


def table(title, head, rows):
    if not rows:
        return ""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([f"**{title}**", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines]) + "\n\n"


def section_table(results, section, title, columns, **labels):
    """A row for each subject; `columns` are heads with functions of the subject's measurements."""
    rows = []
    for subject in subjects(results, section):
        found = of(results, section, subject, **labels)
        if found:
            rows.append([subject, *[make(found) for _, make in columns]])
        elif reason := trouble_of(results, section, subject, **labels):
            rows.append([subject, reason, *[""] * (len(columns) - 1)])
    return table(title, ["", *[head for head, _ in columns]], rows)


def latency(scale, unit, digits, points=("p50", "p99", "p99.9", "p99.99", "max")):
    make = lambda point: lambda rows: spread(rows, "latency/" + point, scale, digits)
    return [(f"{point} {unit}", make(point)) for point in points]


def all_of(results, setups):
    text = table("The loggers", ["", "set up"], [[name, setup] for name, setup in setups.items()
                                                  if any(r["subject"] == name for r in results)])
    burst = [("ns a call", lambda rows: spread(rows, "ns_a_call", digits=1)), *latency(1, "ns", 0),
             ("not in the file", lost)]
    text += section_table(results, "burst", "A burst that fits: 8,000 records of 256 bytes, one thread. The mean of a "
                          "call with the measurement (see `empty call`), percentiles with two readings of the clock", burst)
    medium = [
        ("MB/s to the medium", lambda rows: spread(rows, "mb_per_s")),
        ("not in the file", lost),
        ("CPU s/GB", lambda rows: spread(rows, "cpu_s_per_gb", digits=2)),
        ("peak resident, MB", lambda rows: spread(rows, "peak_resident", 1e6)),
        ("bytes on disk / of records", lambda rows: ratio_of_disk(rows)),
    ]
    text += section_table(results, "saturate", "Saturation: one thread, 256 bytes, everything synced at the end, seconds "
                          "with that sync", medium)
    for free, words in [(True, "one processor left free"), (False, "no processor left free")]:
        for load in sorted({r["load"] for r in results if r["section"] == "paced" and "load" in r}):
            text += section_table(
                results, "paced", f"Paced at {load} % of what each sustains, {words}; from the time at which the call was due",
                [("thousand records/s", lambda rows: spread(rows, "rate", 1e3)), *latency(1e3, "us", 2),
                 ("not in the file", lost)], load=load, free=free)
    text += by_label(results, "threads", "threads", "Saturation by threads, 256 bytes: MB/s to the medium; not in the file",
                     lambda rows: f"{spread(rows, 'mb_per_s')}; {lost(rows)}")
    text += by_label(results, "sizes", "size", "By the bytes of a record, one thread: ns a call in a burst; MB/s to the medium",
                     lambda rows: f"{spread(rows, 'ns_a_call', digits=0)}; "
                                  f"{spread([r for r in rows if 'ns_a_call' not in r], 'mb_per_s')}")
    text += section_table(results, "tracing", "An event of `tracing` through `fmt`: a burst", burst)
    text += section_table(results, "tracing-saturate", "An event of `tracing` through `fmt`: saturation", medium)
    text += section_table(results, "idle", "Idle, after a hundred records", [
        ("wakes/s of its threads", lambda rows: spread(rows, "wakes_per_s", digits=1)),
        ("CPU us/s", lambda rows: spread(rows, "idle_cpu_us_per_s")),
        ("threads", lambda rows: spread(rows, "threads_of_logger")),
        ("resident, MB", lambda rows: spread(rows, "peak_resident", 1e6, 1)),
    ])
    for trouble, words in TROUBLES.items():
        after = [] if trouble == "rotate" else [("of those after it, not in the file", lost_after)]
        text += section_table(
            results, "trouble", words + "; one thread, 100,000 records/s for 3 s",
            [*latency(1e6, "ms", 3, ("p50", "p99.9", "max")), ("not in the file", lost), *after,
             ("the logger says", says)], trouble=trouble)
    return text


def ratio_of_disk(rows):
    payload = [row["found"] * row["size"] for row in rows if row.get("found")]
    disk = [row["disk_bytes"] for row in rows if row.get("found")]
    return f"{sum(disk) / sum(payload):.3f}" if payload else "-"


def lost_after(rows):
    offered, found = sum(values(rows, "offered_after")), sum(values(rows, "found_after"))
    return f"{offered - found:,} of {offered:,}"


def says(rows):
    told = [f"error: {row['end_error']}" for row in rows if "end_error" in row]
    refused = values(rows, "refused")
    return "; ".join(told + ([f"refused {sum(refused):,}"] if refused else [])) or "nothing"


def by_label(results, section, label, title, cell):
    labels = sorted({r[label] for r in results if r["section"] == section and label in r})
    rows = []
    for subject in subjects(results, section):
        found = [of(results, section, subject, **{label: at}) for at in labels]
        rows.append([subject, *[cell(each) if each else "-" for each in found]])
    return table(title, [label, *map(str, labels)], rows)


def verdicts(results):
    """What must hold, as ratios within the run."""
    lines = []

    def say(what, figure, bound, holds):
        lines.append([what, figure, bound, "PASS" if holds else "**FAIL**"])

    def lossless(section, subject):
        rows = of(results, section, subject)
        return rows and sum(values(rows, "offered")) == sum(values(rows, "found"))

    peers = lambda section: [s for s in subjects(results, section) if s not in [*FLOORS, OURS, OURS_DROP]]
    calls = {s: median(of(results, "burst", s), "ns_a_call") for s in subjects(results, "burst")}
    best = [(calls[s], s) for s in peers("burst") if calls[s] and lossless("burst", s)]
    if calls.get(OURS) and best:
        figure, name = min(best)
        say(f"a burst: the best peer that loses nothing ({name}) / ours", f"{figure / calls[OURS]:.2f}", "3",
            figure / calls[OURS] >= 3 and lossless("burst", OURS))
    speed = {s: median(of(results, "saturate", s), "mb_per_s") for s in subjects(results, "saturate")}
    if speed.get(OURS):
        if mutex := speed.get("Mutex<BufWriter>"):
            say("saturation: ours / `Mutex<BufWriter>`", f"{speed[OURS] / mutex:.2f}", "1.3", speed[OURS] / mutex >= 1.3)
        rivals = [(speed[s], s) for s in ASYNCHRONOUS if speed.get(s)]
        if rivals:
            figure, name = max(rivals)
            say(f"saturation: ours / the best asynchronous peer ({name})", f"{speed[OURS] / figure:.2f}", "8",
                speed[OURS] / figure >= 8)
    for load in sorted({r["load"] for r in results if r["section"] == "paced" and "load" in r}):
        for point in ["p99.9", "p99.99"]:
            at = {s: median(of(results, "paced", s, load=load, free=True), "latency/" + point)
                  for s in subjects(results, "paced")}
            ours = [at[s] for s in [OURS, OURS_DROP] if at.get(s)]
            others = [(at[s], s) for s in peers("paced") if at.get(s)]
            if ours and others:
                figure, name = min(others)
                # Both settings of ours are in the table; the bound is held by the one that loses nothing.
                own = at.get(OURS) or ours[0]
                say(f"paced at {load} %, one processor free, {point}: ours ({own / 1e3:.2f} us) / the best peer "
                    f"({name}, {figure / 1e3:.2f} us)", f"{own / figure:.2f}", "below 1", own < figure)
    say_tracing(results, calls, say)
    return table("What must hold, in this run", ["", "figure", "bound", ""], lines)


def say_tracing(results, calls, say):
    event = {s: of(results, "tracing", s) for s in subjects(results, "tracing")}
    ours, sink = event.get("tracing to asynclogger"), event.get("tracing to a sink")
    if not ours or not sink:
        return
    call, empty = calls.get(OURS), calls.get("empty call")
    if call and empty:
        floor = median(sink, "ns_a_call") + call - empty
        figure = median(ours, "ns_a_call") / floor
        say("an event through `fmt`: ours / (to a sink + our call)", f"{figure:.3f}", "1.1", figure <= 1.1)
    rival = event.get("tracing to tracing-appender")
    if not rival:
        return
    for point in ["p50", "p99.9"]:
        own, other = median(ours, "latency/" + point), median(rival, "latency/" + point)
        say(f"an event, {point}: ours / `tracing_appender::non_blocking`", f"{own / other:.2f}", "below 1", own < other)
    own = median(of(results, "tracing-saturate", "tracing to asynclogger"), "mb_per_s")
    other = median(of(results, "tracing-saturate", "tracing to tracing-appender"), "mb_per_s")
    if own and other:
        say("events to the medium: ours / `tracing_appender::non_blocking`", f"{own / other:.2f}", "above 1", own > other)
