//! Errors of the library, in words for users who know the options of the command.

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
}
