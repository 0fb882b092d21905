//! Sizes and seconds in the forms that people type and read, as only the commands that write need them.

use std::time::Duration;

/// Parses `64M`: a whole number of bytes, or of K, M or G (powers of 1024).
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => return Err("a size is a whole number of bytes, K, M or G".into()),
    };
    // `parse` alone would also accept a sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a size is a whole number of bytes, K, M or G".into());
    }
    let number: u64 = digits.parse().map_err(|_| "more bytes than there are")?;
    let bytes = number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "more bytes than this machine can address".into())
}

/// `1.5 s` for people; three digits are enough.
pub(crate) fn show_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{:.0} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("1K"), Ok(1024));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("2g"), Ok(2 << 30));
        for bad in
            ["", "K", "1.5M", "-1", "+1", "1KB", "1 K", "64X", "99999999999999999999", "\u{661}"]
        {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert!(parse_size("18446744073709551615G").is_err());
    }

    #[test]
    fn shown() {
        assert_eq!(show_seconds(Duration::from_micros(12)), "12 us");
        assert_eq!(show_seconds(Duration::from_millis(1234)), "1.23 s");
    }
}
