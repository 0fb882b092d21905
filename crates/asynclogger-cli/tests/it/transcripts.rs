//! What the command prints for what is typed, word for word: a file for each command in `tests/transcripts`.
//!
//! `SNAPSHOTS=overwrite` writes into the files what is printed now.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use regex::Regex;
use snapbox::{Assert, Data, Redactions, data::DataFormat};

use crate::support::Place;

/// What differs from run to run or from machine to machine.
const CHANGING: [(&str, &str); 6] = [
    ("[TIME]", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z"),
    ("[NANOSECONDS]", r#""time":(?<redacted>[0-9]{19})"#),
    // The ids of logs have 32 digits, those of sessions 16.
    ("[ID]", r"(?-u:\b)(?<redacted>[0-9a-f]{32}|[0-9a-f]{16})(?-u:\b)"),
    ("[SECONDS]", r" in (?<redacted>[0-9.]+ (us|ms|s)), "),
    ("[RATE]", r"(?<redacted>[0-9.]+ MB/s)"),
    ("[ENGINE]", r"(?<redacted>(io_uring|pwritev2), (direct|buffered)), "),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

/// The commands of a transcript: the lines after a `$`.
fn typed(transcript: &str) -> impl Iterator<Item = &str> {
    transcript.lines().filter_map(|line| line.strip_prefix("$ "))
}

/// Both outputs of a line for the shell, as a terminal shows them, and behind them the exit code unless it is 0.
fn shown(place: &Place, line: &str) -> String {
    let own = Path::new(env!("CARGO_BIN_EXE_asynclogger")).parent().expect("a directory");
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = [own.to_owned()].into_iter().chain(std::env::split_paths(&others));
    let mut command = Command::new("timeout");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let output = command
        .args(["120", "sh", "-c", &format!("exec 2>&1\n{line}")])
        .current_dir(place.dir())
        .env("PATH", std::env::join_paths(path).expect("paths"))
        .env("TZ", "UTC")
        .envs([("LC_ALL", "C"), ("COLUMNS", "")])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("it runs");
    let mut text = String::from_utf8(output.stdout).expect("text");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match output.status.code() {
        Some(0) => {}
        code => text += &format!("? {}\n", code.expect("an exit code")),
    }
    text
}

/// Runs the commands of a transcript one after the other, and compares what they print.
#[track_caller]
fn is_shown(name: &str) {
    let path = directory().join(format!("{name}.md"));
    let written = fs::read_to_string(&path).expect("a transcript");
    let place = Place::new();
    let mut changing = Redactions::new();
    for (name, pattern) in CHANGING {
        changing.insert(name, Regex::new(pattern).expect("a pattern")).expect("a name");
    }
    let (mut now, mut in_block) = (String::new(), false);
    for line in written.lines() {
        if line.starts_with("```") {
            in_block = line == "```console";
        }
        let command = line.strip_prefix("$ ").filter(|_| in_block);
        // What was printed when the transcript was written is left out.
        if !in_block || line.starts_with("```") || command.is_some() {
            now += &format!("{line}\n");
        }
        now += &command.map(|it| changing.redact(&shown(&place, it))).unwrap_or_default();
    }
    let expected = Data::read_from(&path, Some(DataFormat::Text));
    Assert::new().action_env("SNAPSHOTS").normalize_paths(false).eq(now, expected);
}

macro_rules! transcripts {
    ($($name:ident),*) => {
        const ALL: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                is_shown(stringify!($name));
            }
        )*
    };
}

transcripts!(
    asynclogger,
    bench,
    cat,
    completions,
    ls,
    man,
    repair,
    report,
    salvage,
    stat,
    tail,
    verify,
    write
);

#[test]
fn each_command_has_a_transcript_with_its_help() {
    let help = Place::new().run("--help", "").text();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let mut commands: BTreeSet<&str> =
        commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10, "{help}");
    for command in &commands {
        let text = fs::read_to_string(directory().join(format!("{command}.md"))).expect(command);
        let help = format!("asynclogger {command} --help");
        assert!(typed(&text).any(|line| line == help), "{command}");
    }
    commands.insert("asynclogger");
    assert_eq!(commands, ALL.iter().copied().collect());
    let files = fs::read_dir(directory()).expect("transcripts");
    assert_eq!(files.count(), ALL.len());
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    fs::read_to_string(path).expect("the README")
}

/// The lines for the shell in the README that call the command, without their comments.
fn examples(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| line.contains("asynclogger "));
    lines.map(|line| line.split(" #").next().unwrap_or(line).trim_end()).collect()
}

#[test]
fn the_examples_of_the_readme_are_run() {
    let readme = readme();
    let all: String = ALL
        .iter()
        .map(|name| fs::read_to_string(directory().join(format!("{name}.md"))).expect(name))
        .collect();
    let typed: BTreeSet<&str> = typed(&all).collect();
    let runnable: Vec<&str> =
        examples(&readme).into_iter().filter(|line| !line.contains("PATH")).collect();
    assert!(runnable.len() >= 3, "{runnable:?}");
    for line in runnable {
        assert!(typed.contains(line), "{line}");
    }
}

#[test]
fn the_readme_shows_options_that_exist() {
    let readme = readme();
    let place = Place::new();
    let option = Regex::new("--[a-z-]+").expect("a pattern");
    let synopses: Vec<&str> =
        examples(&readme).into_iter().filter(|line| line.contains("PATH")).collect();
    assert!(synopses.len() >= 9, "{synopses:?}");
    for synopsis in synopses {
        let command = synopsis.split_whitespace().nth(1).expect("a command");
        let help = place.run(&format!("{command} --help"), "").ends_with(0).text();
        let known: BTreeSet<&str> = option.find_iter(&help).map(|found| found.as_str()).collect();
        for found in option.find_iter(synopsis) {
            assert!(known.contains(found.as_str()), "{command}: {}", found.as_str());
        }
    }
}
