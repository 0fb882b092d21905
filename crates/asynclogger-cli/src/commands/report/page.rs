//! The page: one file of HTML that needs nothing else.

use std::{fmt::Write as _, path::Path, time::SystemTime};

use super::{
    chart::{self, Span},
    eras::LeftOut,
    escape::text,
    model::{Model, Rows, Sums},
};
use crate::{
    report::show_dropped,
    units::{show_bytes, show_count, show_number_of, show_time, show_time_of},
};

/// How a page of ours begins. A file that begins so may be replaced by another one.
pub(super) const BEGIN: &str = "<!doctype html>\n<!-- made by asynclogger report -->\n";
const STYLE: &str = include_str!("style.css");
/// The decimals of seconds in tables.
const DECIMALS: usize = 3;

pub(super) fn page(model: &Model, made: SystemTime) -> String {
    let mut page = String::from(BEGIN);
    let names: Vec<String> = model.paths.iter().map(|path| path_text(path)).collect();
    let named = if names.len() > 3 {
        format!("{} and {} more", names[..3].join(", "), names.len() - 3)
    } else {
        names.join(", ")
    };
    let _ = write!(
        page,
        "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Log report: {named}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>Log report</h1>\n<p class=\"of\">{named}</p>\n\
         <p class=\"made\">Made {} by asynclogger {}. All times are UTC.</p>\n</header>\n<main>\n",
        show_time(made, 0),
        env!("CARGO_PKG_VERSION")
    );
    verdict(&mut page, model);
    figures(&mut page, &model.sums);
    plots(&mut page, model);
    damage(&mut page, model);
    logs(&mut page, model);
    segments(&mut page, model);
    sessions(&mut page, model);
    notes(&mut page, model);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn path_text(path: &Path) -> String {
    text(path.as_os_str().as_encoded_bytes())
}

fn verdict(page: &mut String, model: &Model) {
    let Sums { damage, missing, lost, died, dropped, .. } = &model.sums;
    let mut bad = Vec::new();
    if *damage > 0 {
        bad.push(format!("{} damaged", show_number_of(*damage, "place")));
    }
    if *missing > 0 {
        bad.push(format!("{} missing", show_number_of(*missing, "segment")));
    }
    if !lost.is_none() {
        bad.push(format!("{lost} records lost"));
    }
    let unread = model.unread.rows.len() as u64 + model.unread.left_out;
    if unread > 0 {
        bad.push(format!("{} not read", show_number_of(unread, "file")));
    }
    let mut notable = Vec::new();
    if dropped.total() > 0 {
        notable.push(format!("{} dropped", show_number_of(dropped.total(), "record")));
    }
    if *died > 0 {
        let sessions = show_number_of(*died, "session");
        notable.push(format!("{sessions} ended by the death of the writer"));
    }
    let (class, mut said) = match (bad.is_empty(), notable.is_empty()) {
        (false, _) => ("bad", format!("Not whole: {}.", bad.join(", "))),
        (true, false) => ("notable", "Nothing is missing in the files.".to_owned()),
        (true, true) => {
            ("good", "Nothing is missing in the files, nothing was dropped.".to_owned())
        }
    };
    if !notable.is_empty() {
        let _ = write!(said, " Also: {}.", notable.join(", "));
    }
    let _ = writeln!(page, "<p class=\"verdict {class}\" role=\"status\">{said}</p>");
    if unread > 0 {
        page.push_str("<ul class=\"unread\">\n");
        for error in &model.unread.rows {
            let _ = writeln!(page, "<li>{}</li>", text(error));
        }
        page.push_str("</ul>\n");
    }
}

fn figures(page: &mut String, sums: &Sums) {
    let span = match sums.times.0 {
        Some((first, last)) => {
            let (first, last) = (show_time(first, 0), show_time(last, 0));
            format!("<time>{first}</time> to <time>{last}</time>")
        }
        None => "no times in these files".into(),
    };
    let figures = [
        ("Records", show_count(sums.records)),
        ("Payload", show_bytes(sums.bytes)),
        ("On the medium", show_bytes(sums.stored)),
        ("Dropped", show_count(sums.dropped.total())),
        ("Lost", sums.lost.to_string()),
        ("Salvaged", show_count(sums.salvaged)),
        ("Segments", show_count(sums.segments)),
        ("Sessions", show_count(sums.sessions)),
        ("From and to", span),
    ];
    page.push_str("<dl class=\"figures\">\n");
    for (name, figure) in figures {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{figure}</dd></div>");
    }
    page.push_str("</dl>\n");
}

fn plots(page: &mut String, model: &Model) {
    page.push_str("<section>\n<h2>Over time</h2>\n");
    let Some((columns, left_out)) = model.columns.main() else {
        page.push_str("<p>These files have no times.</p>\n</section>\n");
        return;
    };
    let (width, (begin, columns)) = (columns.width(), columns.all());
    let span = Span { begin, width, columns };
    let of = chart::show_width(&span);
    let _ = writeln!(page, "<p>One column is {of}. Each shows its figures under the pointer.</p>");
    if let Some(LeftOut { records, first, last }) = left_out {
        let records = show_number_of(records, "record");
        let [first, last] = [first, last].map(|time| show_time_of(time.into(), 0));
        let _ = writeln!(
            page,
            "<p>Not in the plots: {records} with times from {first} to {last}, years away from the others. \
             Was a clock not set?</p>"
        );
    }
    let records =
        chart::rate(&span, "records", ("Records per second", "records/s"), |it| it.records);
    let bytes =
        chart::rate(&span, "bytes", ("Payload per second, in MB", "MB/s"), |it| it.bytes / 1e6);
    for plot in [records, bytes, chart::drops(&span), chart::marks(&span)] {
        page.push_str(&plot);
    }
    page.push_str(
        "<details>\n<summary>The figures of the plots as a table</summary>\n<div class=\"wide\"><table>\n\
         <caption>Each column of the plots that has something</caption>\n",
    );
    let heads = ["From (UTC)", "Records/s", "MB/s", "Dropped"];
    let marks = super::columns::MARKS.map(|(_, name)| name);
    head(page, heads.into_iter().chain(marks), &[0]);
    for (index, column) in span.columns.iter().enumerate() {
        if *column == super::columns::Column::default() {
            continue;
        }
        let dropped: u64 = column.dropped.iter().fold(0, |sum, n| sum.saturating_add(*n));
        let mut cells = vec![
            span.show(index),
            chart::si(column.records / span.seconds()),
            chart::si(column.bytes / 1e6 / span.seconds()),
            show_count(dropped),
        ];
        cells.extend(column.marks.iter().map(|count| show_count(*count)));
        row(page, &cells, &[0]);
    }
    page.push_str("</tbody>\n</table></div>\n</details>\n</section>\n");
}

fn damage(page: &mut String, model: &Model) {
    if model.damage.rows.is_empty() {
        return;
    }
    let words = [0, 3];
    let heads = ["File", "Offset", "Bytes", "Kind", "Records lost"];
    begin(page, "Damage", "Damaged places, by the metadata", &heads, &words);
    for it in &model.damage.rows {
        let cells = [
            path_text(&it.path),
            show_count(it.offset),
            show_count(it.len),
            text(&it.kind),
            it.lost.to_string(),
        ];
        row(page, &cells, &words);
    }
    end(page, &model.damage, "place");
}

fn logs(page: &mut String, model: &Model) {
    let words = [0, 1, 9, 10];
    let heads = [
        "Log or event",
        "Last file",
        "Segments",
        "Missing",
        "Records",
        "Payload",
        "Stored",
        "Dropped",
        "Lost",
        "First (UTC)",
        "Last (UTC)",
    ];
    begin(page, "Logs", "Logs; of a manager, one for each event", &heads, &words);
    for it in &model.logs.rows {
        let sums = &it.sums;
        let file = it.path.file_name().unwrap_or_default();
        let cells = [
            if it.name.is_empty() { "(no name)".into() } else { text(&it.name) },
            text(file.as_encoded_bytes()),
            show_count(sums.segments),
            show_count(sums.missing),
            show_count(sums.records),
            show_bytes(sums.bytes),
            show_bytes(sums.stored),
            show_count(sums.dropped.total()),
            sums.lost.to_string(),
            time(sums.times.first()),
            time(sums.times.last()),
        ];
        row(page, &cells, &words);
    }
    end(page, &model.logs, "log");
}

fn segments(page: &mut String, model: &Model) {
    let words = [0, 7, 8, 9];
    let heads = [
        "File",
        "Number",
        "Records",
        "Payload",
        "Stored",
        "Damaged places",
        "Lost",
        "First (UTC)",
        "Last (UTC)",
        "Ending",
    ];
    begin(page, "Segments", "The files, in their order", &heads, &words);
    for it in &model.segments.rows {
        let sums = &it.sums;
        let cells = [
            path_text(&it.path),
            it.number.to_string(),
            show_count(sums.records),
            show_bytes(sums.bytes),
            show_bytes(sums.stored),
            show_count(sums.damage),
            sums.lost.to_string(),
            time(sums.times.first()),
            time(sums.times.last()),
            text(&it.ending),
        ];
        row(page, &cells, &words);
    }
    end(page, &model.segments, "segment");
}

fn sessions(page: &mut String, model: &Model) {
    if model.sessions.rows.is_empty() {
        return;
    }
    let words = [0, 1, 2, 3, 4];
    let heads = [
        "Log or event",
        "Session",
        "State",
        "First (UTC)",
        "Last (UTC)",
        "Records",
        "Dropped",
        "Salvaged",
        "Lost",
    ];
    begin(page, "Sessions", "The runs of the loggers", &heads, &words);
    for it in &model.sessions.rows {
        let sums = &it.sums;
        let cells = [
            if it.log.is_empty() { "(no name)".into() } else { text(&it.log) },
            format!("{:016x}", it.id),
            text(&it.state),
            time(sums.times.first()),
            time(sums.times.last()),
            show_count(sums.records),
            show_dropped(&sums.dropped),
            show_count(sums.salvaged),
            sums.lost.to_string(),
        ];
        row(page, &cells, &words);
    }
    end(page, &model.sessions, "session");
}

fn notes(page: &mut String, model: &Model) {
    page.push_str(
        "<section>\n<h2>How to read this</h2>\n<ul>\n\
         <li>This page was made from the heads of the blocks. What is inside of them was not checked: \
         <code>asynclogger verify</code> checks every byte.</li>\n\
         <li>A block counts from its first record to its sealing. Where records have no times of their own, it counts \
         from the block before it of the same shard on, and for 10 s at most.</li>\n\
         <li>Drops count at the time at which the log declares them: with the next block of their shard, or with a \
         note or an end.</li>\n\
         <li>1 MB is 1,000,000 bytes.</li>\n",
    );
    if model.timeless > 0 {
        let records = show_number_of(model.timeless, "record");
        let _ = writeln!(
            page,
            "<li>{records} of the original's files have no times and are in no plot.</li>"
        );
    }
    page.push_str("</ul>\n</section>\n");
}

fn time(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "-".into(), |time| show_time(time, DECIMALS))
}

/// The beginning of a section with a table; the columns in `words` are aligned left.
fn begin(page: &mut String, title: &str, caption: &str, heads: &[&'static str], words: &[usize]) {
    let _ = writeln!(
        page,
        "<section>\n<h2>{title}</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table>\n\
         <caption>{caption}</caption>"
    );
    head(page, heads.iter().copied(), words);
}

fn head(page: &mut String, heads: impl Iterator<Item = &'static str>, words: &[usize]) {
    page.push_str("<thead><tr>");
    for (index, name) in heads.enumerate() {
        let class = if words.contains(&index) { "" } else { " class=\"n\"" };
        let _ = write!(page, "<th scope=\"col\"{class}>{name}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

/// A row of cells, which are markup already.
fn row(page: &mut String, cells: &[String], words: &[usize]) {
    page.push_str("<tr>");
    for (index, cell) in cells.iter().enumerate() {
        let class = if words.contains(&index) { "" } else { " class=\"n\"" };
        let _ = match index {
            0 => write!(page, "<th scope=\"row\"{class}>{cell}</th>"),
            _ => write!(page, "<td{class}>{cell}</td>"),
        };
    }
    page.push_str("</tr>\n");
}

fn end<T>(page: &mut String, rows: &Rows<T>, what: &str) {
    page.push_str("</tbody>\n</table></div>\n");
    if rows.left_out > 0 {
        let more = show_number_of(rows.left_out, what);
        let _ = writeln!(page, "<p>{more} more are in the sums, and not listed here.</p>");
    }
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_are_years_away_are_told_and_not_plotted() {
        let mut model = Model::default();
        let now = 1_800_000_000_000_000_000;
        model.columns.add_records(now, now + 1_000_000_000, 5, 50);
        let of = |model: &Model| page(model, SystemTime::UNIX_EPOCH);
        assert!(!of(&model).contains("Not in the plots"));
        model.columns.add_records(7_000_000_000, 7_000_000_000, 2, 20);
        let page = of(&model);
        let told = "Not in the plots: 2 records with times from 1970-01-01T00:00:07Z to 1970-01-01T00:00:07Z";
        assert!(page.contains(told), "{page}");
        assert_eq!(page.matches("1970-01-01T00:00:07Z").count(), 2);
    }
}
