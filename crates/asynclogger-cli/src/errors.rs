//! Errors of the library, in words for users who know the options of the command.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use asynclogger::Error;

use crate::output::say;

/// The time within which the same error is printed once. A full disk is reported at each attempt, many times
/// a second.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The most errors that are printed in that time: a thousand events on a full disk have a thousand errors,
/// each with its own path.
const AT_ONCE: usize = 10;

/// The library's settings and the options that set them. If two begin alike, the longer one comes first.
const OPTIONS: [(&str, &str); 12] = [
    ("`Config::buffer_size`", "--buffer-size"),
    ("`CrashSafe::in_dir`", "--crash-safe=DIR"),
    ("buffer_size / num_shards", "--buffer-size / --shards"),
    ("num_shards", "--shards"),
    ("Retention::keep", "--keep"),
    ("Retention::max_age", "--keep-for"),
    ("Retention::max_total", "--max-total"),
    ("Rotation::max_size", "--rotate-size"),
    ("Rotation::max_age", "--rotate-every"),
    ("Rotation::local_time", "--local-time"),
    ("the level of Zstd", "the level of --compress zstd"),
    ("the mode", "--mode"),
];

/// The text of an error, with the names of options in place of the library's settings.
pub(crate) fn in_options(text: &str) -> String {
    OPTIONS.iter().fold(text.to_owned(), |text, (setting, option)| text.replace(setting, option))
}

/// Prints errors: the same one again only after some seconds, and a limited number in that time.
pub(crate) fn reporter() -> impl Fn(&Error) + Send + Sync + 'static {
    let said = Mutex::new(Vec::new());
    move |error| {
        let text = format!("{error:#}");
        let Ok(mut said) = said.lock() else { return };
        if is_new(&mut said, &text, Instant::now()) {
            say(text);
        }
    }
}

/// Whether to print `text` at `now`; `said` has the printed texts and their times.
fn is_new(said: &mut Vec<(String, Instant)>, text: &str, now: Instant) -> bool {
    said.retain(|(_, at)| now.duration_since(*at) < AGAIN_AFTER);
    let is_new = said.len() < AT_ONCE && said.iter().all(|(earlier, _)| earlier != text);
    if is_new {
        said.push((text.to_owned(), now));
    }
    is_new
}

#[cfg(test)]
mod tests {
    use asynclogger::{Config, Retention, Rotation};

    use super::*;

    #[test]
    fn settings_have_the_names_of_options() {
        let retention = Retention::new().max_total(1 << 20);
        let rotation = Rotation::new().max_size(1 << 30);
        let config = Config::new("a.log").rotation(rotation).retention(retention);
        let text = in_options(&config.validate().expect_err("refused").to_string());
        assert!(text.contains("--max-total is") && text.contains("(--rotate-size)"), "{text}");
        let text = in_options(
            &Config::new("a").num_shards(9999).validate().expect_err("refused").to_string(),
        );
        assert!(text.contains("--buffer-size / --shards is"), "{text}");
        for text in [text, in_options("Retention::keep is 0"), in_options("num_shards is 99999")] {
            assert!(text.contains("--") && !text.contains("::") && !text.contains('_'), "{text}");
        }
    }

    #[test]
    fn each_error_is_said_once_in_a_while_and_not_a_thousand_of_them() {
        let (mut said, begin) = (Vec::new(), Instant::now());
        assert!(is_new(&mut said, "full", begin));
        assert!(is_new(&mut said, "gone", begin));
        assert!(!is_new(&mut said, "full", begin + AGAIN_AFTER / 2));
        assert!(is_new(&mut said, "full", begin + AGAIN_AFTER));
        let later = begin + 3 * AGAIN_AFTER;
        let many = (0..1000).filter(|n| is_new(&mut said, &format!("{n}"), later)).count();
        assert_eq!(many, AT_ONCE);
    }
}
