//! The facade `log`.

use std::fmt;

use asynclogger::{
    Destination,
    log::{Facade, Format},
};
use log::{
    Level, LevelFilter, Log, Metadata, Record,
    kv::{ToValue, Value},
};
use serde_json::json;

use super::{logger, manager, records};

type Pairs<'a> = [(&'a str, Value<'a>)];

fn say(facade: &Facade, level: Level, target: &str, message: &str, pairs: &Pairs<'_>) {
    let args = format_args!("{message}");
    let mut record = Record::builder();
    let record = record.level(level).target(target).args(args).key_values(&pairs);
    facade.log(&record.build());
}

/// A value that is neither a number nor a string.
struct Shown(&'static str);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.0)
    }
}

#[test]
fn a_record_is_a_line_of_text_or_an_object() {
    let none: Option<u8> = None;
    let pairs = [
        ("user", 4711_u32.to_value()),
        ("below", (-1_i64).to_value()),
        ("share", 0.5_f64.to_value()),
        ("is_new", true.to_value()),
        ("word", "/a/b".to_value()),
        ("words", "a \"b\"\n".to_value()),
        ("shown", Value::from_debug(&Shown("x \"y\""))),
        ("none", none.to_value()),
    ];
    let fields = json!({
        "user": 4711, "below": -1, "share": 0.5, "is_new": true, "word": "/a/b", "words": "a \"b\"\n",
        "shown": "Shown(x \"y\")", "none": null,
    });
    let text = r#"WARN app::db: it is "slow" user=4711 below=-1 share=0.5 is_new=true word=/a/b words="a \"b\"\n" shown="Shown(x \"y\")" none=null"#;
    for format in [Format::Text, Format::Json] {
        let (_directory, logger) = logger();
        let facade = Facade::new(logger.clone()).format(format);
        say(&facade, Level::Warn, "app::db", "it is \"slow\"", &pairs);
        say(&facade, Level::Info, "app", "", &[]);
        logger.close().expect("closed");
        let found = records(logger.path());
        if format == Format::Text {
            assert_eq!(found, [text, "INFO app: "]);
            continue;
        }
        let found: Vec<serde_json::Value> =
            found.iter().map(|record| serde_json::from_str(record).expect("JSON")).collect();
        let message = "it is \"slow\"";
        let first =
            json!({"level": "WARN", "target": "app::db", "message": message, "fields": fields});
        assert_eq!(found, [first, json!({"level": "INFO", "target": "app", "message": ""})]);
    }
}

#[test]
fn the_level_decides() {
    let (_directory, logger) = logger();
    let facade = Facade::new(logger.clone()).level(LevelFilter::Info);
    for level in Level::iter() {
        say(&facade, level, "app", "said", &[]);
        let metadata = Metadata::builder().level(level).target("app").build();
        assert_eq!(facade.enabled(&metadata), level <= Level::Info);
    }
    facade.flush();
    assert_eq!(logger.stats().durable, 3);
    logger.close().expect("closed");
    let said = ["ERROR app: said", "WARN app: said", "INFO app: said"];
    assert_eq!(records(logger.path()), said);
}

#[test]
fn target_or_field_name_the_event() {
    let (directory, to_manager) = manager();
    let by_target = Destination::by_target(to_manager.clone(), |target| {
        target.split("::").next().unwrap_or(target)
    });
    let by_field = Destination::by_field(to_manager.clone(), "event", "rest");
    say(&Facade::new(by_target), Level::Info, "payments::db", "a", &[]);
    let facade = Facade::new(by_field);
    say(&facade, Level::Info, "app", "b", &[("event", "audit".to_value())]);
    say(&facade, Level::Info, "app", "c", &[("other", 1.to_value())]);
    to_manager.close().expect("closed");
    let read = |event: &str| records(&directory.path().join(format!("{event}.log")));
    assert_eq!(read("payments"), ["INFO payments::db: a"]);
    assert_eq!(read("audit"), ["INFO app: b event=audit"]);
    assert_eq!(read("rest"), ["INFO app: c other=1"]);
}

#[test]
fn a_value_that_logs_while_it_is_shown_is_a_record_of_its_own() {
    struct Logs<'a>(&'a Facade);
    impl fmt::Debug for Logs<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            say(self.0, Level::Debug, "inner", "shown", &[]);
            f.write_str("outer")
        }
    }
    let (_directory, logger) = logger();
    let facade = Facade::new(logger.clone());
    let logs = Logs(&facade);
    say(&facade, Level::Info, "outer", "begins", &[("value", Value::from_dyn_debug(&logs))]);
    logger.close().expect("closed");
    let found = records(logger.path());
    assert!(found.contains(&r#"INFO outer: begins value="outer""#.to_owned()), "{found:?}");
    assert!(found.iter().all(|record| record != "DEBUG inner: shown") == (found.len() == 1));
    assert!(found.len() > 1, "{found:?}");
}
