//! Plots as inline SVG: bars over time, and a strip of marks. Each has a title and a text that says what it shows.

use std::fmt::Write as _;

use super::{
    columns::{Column, MARKS, REASONS},
    escape::text,
};
use crate::units::{show_count, show_number_of, show_time_of};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;
/// Distances of ticks on the axis of time, in columns.
const TICKS: [usize; 12] = [1, 2, 3, 5, 6, 10, 12, 15, 20, 24, 30, 60];
const ROW: f64 = 24.0;
/// The place of the names of the rows of marks.
const LABELS: f64 = 190.0;

/// The columns of all plots, with their times.
pub(super) struct Span {
    pub(super) begin: i128,
    pub(super) width: i128,
    pub(super) columns: Vec<Column>,
}

impl Span {
    pub(super) fn seconds(&self) -> f64 {
        self.width as f64 / 1e9
    }

    pub(super) fn time(&self, index: usize) -> i128 {
        self.begin + self.width * index as i128
    }

    /// `2026-07-01T10:00:00Z`, as short as the width of a column allows.
    pub(super) fn show(&self, index: usize) -> String {
        show_time_of(self.time(index), if self.width < 1_000_000_000 { 1 } else { 0 })
    }

    /// The index of the first column with the greatest value.
    fn peak(&self, value: impl Fn(&Column) -> f64) -> (usize, f64) {
        let mut peak = (0, 0.0);
        for (index, column) in self.columns.iter().enumerate() {
            let value = value(column);
            if value > peak.1 {
                peak = (index, value);
            }
        }
        peak
    }
}

/// `12.3 M`, `4.56 k`: three digits.
pub(super) fn si(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 999.5e6 => (v / 1e9, " G"),
        v if v >= 999.5e3 => (v / 1e6, " M"),
        v if v >= 999.5 => (v / 1e3, " k"),
        v => (v, ""),
    };
    let decimals = match value {
        v if v >= 99.95 || v == v.trunc() => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.01 => 2,
        _ => 4,
    };
    format!("{value:.decimals$}{unit}")
}

/// The least 1, 2 or 5 times a power of ten such that four of it reach `most`.
fn tick(most: f64) -> f64 {
    let raw = (most / 4.0).max(1e-9);
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|n| *n >= raw).unwrap_or(raw)
}

struct Plot<'a> {
    span: &'a Span,
    svg: String,
    left: f64,
    bottom: f64,
}

impl<'a> Plot<'a> {
    fn begin(
        span: &'a Span,
        id: &str,
        (title, desc): (&str, &str),
        left: f64,
        height: f64,
    ) -> Plot<'a> {
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
            text(title),
            text(desc)
        );
        Plot { span, svg, left, bottom: height - BOTTOM }
    }

    fn step(&self) -> f64 {
        (WIDTH - self.left - RIGHT) / self.span.columns.len().max(1) as f64
    }

    fn x(&self, index: usize) -> f64 {
        self.left + self.step() * index as f64
    }

    /// The axis of time: a tick at some columns, with the time, and the date where it changes.
    fn time_axis(&mut self) {
        let count = self.span.columns.len();
        let every = TICKS.into_iter().find(|every| count.div_ceil(*every) <= 8).unwrap_or(60);
        // At round times.
        let first = self.span.begin.div_euclid(self.span.width).rem_euclid(every as i128);
        let first = (every - first as usize) % every;
        let mut day = String::new();
        let y = self.bottom;
        // A few columns can all be before the first round time.
        let first = if first < count { first } else { 0 };
        for index in (first..count).step_by(every) {
            let x = self.x(index);
            let shown = self.span.show(index);
            let (date, time) = shown.split_once('T').unwrap_or((&shown, ""));
            let time = time.trim_end_matches('Z');
            let mut label = |text: &str, below: f64| {
                let y = y + below;
                let _ = writeln!(
                    self.svg,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{text}</text>"
                );
            };
            label(time, 18.0);
            if date != day {
                label(date, 34.0);
                day = date.to_owned();
            }
            let _ = writeln!(self.svg, "<path class=\"axis\" d=\"M{x:.1} {y:.1}v4\"/>");
        }
        let (left, right) = (self.left, WIDTH - RIGHT);
        let _ = writeln!(self.svg, "<path class=\"axis\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>");
    }

    fn value_axis(&mut self, most: f64) -> f64 {
        let tick = tick(most);
        let top = (most / tick).ceil().max(1.0) * tick;
        let mut value = 0.0;
        while value <= top * 1.001 {
            let y = self.bottom - value / top * (self.bottom - TOP);
            let (left, right) = (self.left, WIDTH - RIGHT);
            let _ = writeln!(
                self.svg,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 6.0,
                y + 4.0,
                si(value)
            );
            value += tick;
        }
        top
    }

    /// A bar from one value to another.
    fn bar(&mut self, index: usize, class: &str, (from, to, top): (f64, f64, f64)) {
        if to <= from {
            return;
        }
        let high = |value: f64| self.bottom - value / top * (self.bottom - TOP);
        // A value that is not 0 is seen, however small it is.
        let (low, high) = (high(from), high(to).min(high(from) - 0.7));
        let (x, step) = (self.x(index), self.step());
        let gap = if step > 4.0 { 0.8 } else { 0.0 };
        let _ = writeln!(
            self.svg,
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{high:.2}\" width=\"{:.2}\" height=\"{:.2}\"/>",
            step - gap,
            low - high
        );
    }

    /// What a pointer over a column shows.
    fn hint(&mut self, index: usize, hint: &str) {
        let (x, step, height) = (self.x(index), self.step(), self.bottom - TOP);
        let _ = writeln!(
            self.svg,
            "<rect class=\"hint\" x=\"{x:.2}\" y=\"{TOP}\" width=\"{step:.2}\" height=\"{height:.2}\">\
             <title>{}</title></rect>",
            text(format!("{}: {hint}", self.span.show(index)))
        );
    }

    fn end(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// Bars of one value a second.
pub(super) fn rate(
    span: &Span,
    id: &str,
    (title, unit): (&str, &str),
    value: impl Fn(&Column) -> f64,
) -> String {
    let a_second = |column: &Column| value(column) / span.seconds();
    let (at, peak) = span.peak(a_second);
    let sum: f64 = span.columns.iter().map(&value).sum();
    let average = sum / (span.seconds() * span.columns.len().max(1) as f64);
    let desc = format!(
        "At most {} {unit} ({}), {} {unit} on average.",
        si(peak),
        span.show(at),
        si(average)
    );
    let mut plot = Plot::begin(span, id, (title, &desc), LEFT, HEIGHT);
    let top = plot.value_axis(peak);
    for (index, column) in span.columns.iter().enumerate() {
        plot.bar(index, "bar", (0.0, a_second(column), top));
    }
    plot.time_axis();
    for (index, column) in span.columns.iter().enumerate() {
        plot.hint(index, &format!("{} {unit}", si(a_second(column))));
    }
    figure(title, &desc, plot.end())
}

/// Drops, one colour a reason.
pub(super) fn drops(span: &Span) -> String {
    let title = "Dropped records";
    let all = |column: &Column| column.dropped.iter().map(|n| *n as f64).sum::<f64>();
    let (at, peak) = span.peak(all);
    let sums: Vec<u64> = (0..REASONS.len())
        .map(|reason| {
            span.columns.iter().map(|column| column.dropped[reason]).fold(0, u64::saturating_add)
        })
        .collect();
    if sums.iter().all(|sum| *sum == 0) {
        return format!("<h3>{title}</h3>\n<p>No record was dropped.</p>\n");
    }
    let shown: Vec<String> = (REASONS.iter().zip(&sums))
        .filter(|(_, sum)| **sum > 0)
        .map(|(reason, sum)| format!("{reason} {}", show_count(*sum)))
        .collect();
    let desc = format!(
        "By reason: {}. Most in one column: {} ({}).",
        shown.join(", "),
        show_count(peak as u64),
        span.show(at)
    );
    let mut plot = Plot::begin(span, "drops", (title, &desc), LEFT, HEIGHT);
    let top = plot.value_axis(peak);
    for (index, column) in span.columns.iter().enumerate() {
        let mut from = 0.0;
        for (reason, count) in column.dropped.iter().enumerate() {
            let to = from + *count as f64;
            plot.bar(index, &format!("reason{reason}"), (from, to, top));
            from = to;
        }
    }
    plot.time_axis();
    for (index, column) in span.columns.iter().enumerate() {
        let parts = REASONS.iter().zip(column.dropped).filter(|(_, count)| *count > 0);
        let parts: Vec<String> =
            parts.map(|(reason, count)| format!("{reason} {}", show_count(count))).collect();
        let hint = if parts.is_empty() { "0 dropped".into() } else { parts.join(", ") };
        plot.hint(index, &hint);
    }
    let mut legend = String::from("<ul class=\"legend\">");
    for (reason, name) in REASONS.iter().enumerate().filter(|(reason, _)| sums[*reason] > 0) {
        let _ = write!(
            legend,
            "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><rect class=\"reason{reason}\" width=\"10\" height=\"10\"/></svg> \
             {name}: {}</li>",
            show_count(sums[reason])
        );
    }
    let width = show_width(span);
    figure(&format!("{title} per {width}"), &desc, format!("{legend}</ul>\n{}", plot.end()))
}

/// What happened, one row a kind.
pub(super) fn marks(span: &Span) -> String {
    let title = "Restarts, rotations, salvages, damage and gaps";
    let sums: Vec<u64> = (0..MARKS.len())
        .map(|mark| {
            span.columns.iter().map(|column| column.marks[mark]).fold(0, u64::saturating_add)
        })
        .collect();
    let shown = MARKS.iter().zip(&sums);
    let parts: Vec<String> = shown.map(|((_, name), sum)| many(*sum, name)).collect();
    let desc = format!("{}.", parts.join(", "));
    let height = TOP + ROW * MARKS.len() as f64 + BOTTOM;
    let mut plot = Plot::begin(span, "marks", (title, &desc), LABELS, height);
    for (row, part) in parts.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        let right = WIDTH - RIGHT;
        let class = if sums[row] > 0 { "name" } else { "name none" };
        let _ = writeln!(
            plot.svg,
            "<path class=\"grid\" d=\"M{LABELS:.1} {y:.1}H{right:.1}\"/>\
             <text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LABELS - 10.0,
            y + 4.0,
            text(part)
        );
        for (index, column) in span.columns.iter().enumerate() {
            let count = column.marks[row];
            if count > 0 {
                let x = plot.x(index) + plot.step() / 2.0;
                let _ = writeln!(
                    plot.svg,
                    "<circle class=\"mark{row}\" cx=\"{x:.2}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>",
                    text(format!("{}: {}", span.show(index), many(count, MARKS[row].1)))
                );
            }
        }
    }
    plot.time_axis();
    figure(title, &desc, plot.end())
}

/// `2 deaths of a writer`
pub(super) fn many(count: u64, what: &str) -> String {
    match what.split_once(" of ") {
        Some((first, rest)) => format!("{} of {rest}", show_number_of(count, first)),
        None => show_number_of(count, what),
    }
}

/// `10 s`, `5 min`, `2 h`, `1 d`
pub(super) fn show_width(span: &Span) -> String {
    let seconds = span.seconds();
    match seconds {
        s if s < 60.0 => format!("{s} s"),
        s if s < 3600.0 => format!("{} min", s / 60.0),
        s if s < 86_400.0 => format!("{} h", s / 3600.0),
        s => format!("{} d", si(s / 86_400.0)),
    }
}

fn figure(title: &str, desc: &str, svg: String) -> String {
    format!(
        "<figure>\n<h3>{}</h3>\n{svg}<figcaption>{}</figcaption>\n</figure>\n",
        text(title),
        text(desc)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.5, 7.0, 12.34, 999.4, 999.6, 123_456.0, 2e6, 3.21e9].map(si);
        assert_eq!(shown, ["0", "0.50", "7", "12.3", "999", "1.00 k", "123 k", "2 M", "3.21 G"]);
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!([0.9, 4.0, 4.1, 900.0].map(tick), [0.5, 1.0, 2.0, 500.0]);
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        let span = Span { begin: 0, width: 1_000_000_000, columns: vec![Column::default()] };
        let svg = rate(&span, "records", ("Records", "records/s"), |column| column.records);
        assert!(svg.contains("At most 0 records/s") && !svg.contains("NaN"), "{svg}");
    }
}
