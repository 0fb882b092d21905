//! What `write` and its sisters say: where it goes, and what is left out.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use super::{Writer, wait_until};
use crate::support::Place;

/// Standard error that is a file at the limit of files: messages are lost, records are not.
#[test]
fn standard_error_beyond_the_limit_of_files_ends_nothing() {
    let place = Place::new();
    place.put("err", &[b'x'; 200_000]);
    let bin = env!("CARGO_BIN_EXE_asynclogger");
    // At most 195 blocks of 512 or 1024 bytes.
    let script =
        format!("ulimit -f 195 && exec '{bin}' write --buffer-size 64K --shards 1 app.log 2>>err");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(place.dir()).stdin(Stdio::piped());
    let mut child = shell.spawn().expect("a shell");
    let mut input = child.stdin.take().expect("a pipe");
    writeln!(input, "1\n{}\n2", "x".repeat(70_000)).expect("written");
    drop(input);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert_eq!(fs::metadata(place.file("err")).expect("a file").len(), 200_000);
    assert_eq!(place.cat("app.log"), b"1\n2\n");
}

/// A name is not a command to a terminal, and no line of its own.
#[test]
fn control_characters_of_names_are_escaped() {
    let place = Place::new();
    fs::create_dir(place.file("logs")).expect("made");
    for name in ["logs/\x1b[31mred.log", "logs/nl\nx.log"] {
        place.write("app.log", "1\n");
        fs::rename(place.file("app.log"), place.file(name)).expect("renamed");
        // Damage, for the messages.
        let mut bytes = fs::read(place.file(name)).expect("a file");
        let len = bytes.len();
        bytes[4096.min(len - 1)..].fill(0xff);
        fs::write(place.file(name), bytes).expect("written");
    }
    fs::write(place.file("logs/no\x1blog\n.log"), "no log").expect("written");
    let mut said = String::new();
    for command in ["cat", "tail", "stat", "verify", "salvage --dry-run"] {
        let run = place.run(&format!("{command} logs"), "");
        assert!(!run.text().contains('\x1b') && !run.stderr.contains('\x1b'), "{command}: {run:?}");
        assert!(run.stderr.lines().all(|line| line.starts_with("asynclogger: ")), "{run:?}");
        let is_forged = |line: &str| line.starts_with("x.log") || line.starts_with(".log");
        assert!(!run.text().lines().any(is_forged), "{command}: {run:?}");
        said += &(run.text() + &run.stderr);
    }
    assert!(said.contains("\\x1b[31mred.log") && said.contains("nl\\x0ax.log"), "{said}");
}

#[test]
fn repeated_messages_are_summed_up() {
    let place = Place::new();
    let mut writer = Writer::ready(&place, "--flush-interval 10ms");
    for line in 2..=4 {
        wait_until("the record", || {
            let printed = place.run("cat app.log", "");
            printed.code == 0 && !printed.stdout.is_empty()
        });
        fs::remove_file(place.file("app.log")).expect("removed");
        writer.say(&format!("{line}\n"));
    }
    let (code, said) = writer.ends();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(place.cat("app.log"), b"4\n");
    // Ten seconds can pass on a machine that is held up: then there are more lines, and fewer repetitions.
    let mut deletions = 0;
    for line in said.lines().filter(|line| line.contains("deleted")) {
        let repeated =
            line.strip_prefix("asynclogger: ").and_then(|line| line.split_once(" more: "));
        let repeated = repeated.and_then(|(times, _)| times.split(' ').next()?.parse::<u64>().ok());
        deletions += repeated.unwrap_or(1);
    }
    assert_eq!(deletions, 3, "{said}");
}
