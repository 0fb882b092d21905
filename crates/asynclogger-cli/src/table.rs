//! Columns of text.

use std::io::{self, Write};

use crate::{paint::Paint, show::plain};

/// How the line of something that is not whole ends.
const BAD: [&str; 2] = ["  no", "damaged"];

/// Writes the rows below each other; the first one has the headings. `is_right`: the columns that end at the same place.
pub(crate) fn write_table<const N: usize>(
    out: &mut impl Write,
    rows: &[[String; N]],
    is_right: [bool; N],
) -> io::Result<()> {
    // Names of files are in it, which can have control characters.
    let rows: Vec<[_; N]> =
        rows.iter().map(|row| std::array::from_fn(|column| plain(&row[column]))).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let paint = Paint::stdout();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(is_right) {
            line += &if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
        }
        let line = line.trim_end();
        if number == 0 {
            writeln!(out, "{}", paint.heading(line))?;
            continue;
        }
        // The last column says what is wrong, and is as long as its text.
        match BAD.iter().find_map(|bad| line.strip_suffix(bad).map(|begin| (begin, bad))) {
            Some((begin, bad)) => writeln!(out, "{begin}{}", paint.bad(bad))?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}
