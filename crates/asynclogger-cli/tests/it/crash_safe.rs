//! A `write` that is killed: with --crash-safe nothing that it logged is lost; without, the death is told.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::PathBuf,
    process::{Child, ChildStdin},
    thread,
    time::{Duration, Instant},
};

use crate::{
    support::{Place, numbers},
    tail::lines,
};

const SAFE: &str = "write --buffer-size 1M --shards 1 --flush-interval 1h --crash-safe=maps";
const UNSAFE: &str = "write --buffer-size 1M --shards 1";
/// The most bytes that one read of `write` takes, if no line is longer than half of that.
const ONE_READ: usize = 256 << 10;

struct Writer {
    child: Child,
    input: ChildStdin,
}

impl Writer {
    fn start(place: &Place, args: &str) -> Writer {
        let mut child = place.command(args).spawn().expect("it runs");
        let input = child.stdin.take().expect("a pipe");
        Writer { child, input }
    }

    /// The bytes that are still in the pipe.
    fn unread(&self) -> usize {
        rustix::io::ioctl_fionread(&self.input).expect("a pipe") as usize
    }

    fn say(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).expect("written");
        let begun = Instant::now();
        while self.unread() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not read");
            thread::yield_now();
        }
    }

    /// All lines said before are logged: one thread reads and logs, so when it has read something new, it is done with
    /// what it read before. The new line itself may be logged or not.
    fn has_logged_all_but(&mut self, line: &str) {
        self.say(line);
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
    }
}

/// What a kill left: the lines of the log, which are `1` to some number, each once and in order.
fn count_of(place: &Place, log: &str) -> u64 {
    let text = place.run(&format!("cat {log}"), "").ends_with(0).text();
    let count = text.lines().count() as u64;
    assert!(text == numbers(count), "the lines are not the first {count}");
    count
}

fn maps(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.file("maps")).expect("a directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_killed_write_has_lost_no_line_that_it_had_logged() {
    let place = Place::new();
    let mut writer = Writer::start(&place, &format!("{SAFE} app.log"));
    writer.say(&lines(1, 20_000));
    writer.has_logged_all_but("20001\n");
    writer.kill();
    assert_eq!(maps(&place).len(), 1);
    let run = place.run(&format!("{SAFE} app.log"), "").ends_with(0);
    let count = count_of(&place, "app.log");
    assert!((20_000..=20_001).contains(&count), "{count}");
    assert!(run.stderr.contains("of a process that died, written to"), "{}", run.stderr);
    assert!(maps(&place).is_empty());
    // What was salvaged stands in the file.
    let json = place.run("verify --json app.log", "").ends_with(0).json();
    let salvaged = json[0]["salvaged"].as_u64().expect("a number");
    assert!(salvaged > 0 && salvaged <= count, "{salvaged}");
    assert_eq!((json[1]["salvaged"].as_u64(), json[1]["died"].as_u64()), (Some(salvaged), Some(0)));
    assert_eq!(json[0]["unended"].as_array().expect("a list").len(), 0);
    let text = place.run("verify app.log", "").ends_with(0).text();
    assert!(text.contains("  salvaged  "), "{text}");
    let text = place.run("stat app.log", "").ends_with(0).text();
    assert!(text.contains("SALVAGED"), "{text}");
}

/// Killed while the pipe is full: lost is at most what one read had taken, and the log has each line before that.
#[test]
fn a_write_that_is_killed_in_the_stream_loses_at_most_one_read() {
    let place = Place::new();
    let mut logged = 0;
    for round in 0..8 {
        let log = format!("{round}.log");
        let Writer { mut child, mut input } =
            Writer::start(&place, &format!("{SAFE} --durability none {log}"));
        // Another thread feeds; this one keeps the pipe open, to see what is left in it.
        let pipe = rustix::io::dup(&input).expect("a descriptor");
        let feeder = thread::spawn(move || {
            let mut given = 0;
            for first in (1..).step_by(1000) {
                let text = lines(first, first + 999);
                let mut rest = text.as_bytes();
                while !rest.is_empty() {
                    match input.write(rest) {
                        Ok(len) => {
                            given += len;
                            rest = &rest[len..];
                        }
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => return given,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            given
        });
        thread::sleep(Duration::from_millis(60 + 53 * round));
        child.kill().expect("killed");
        child.wait().expect("its end");
        let given = feeder.join().expect("no panic");
        let left = rustix::io::ioctl_fionread(&pipe).expect("a pipe") as usize;
        let read = given - left;
        place.run(&format!("{SAFE} {log}"), "").ends_with(0);
        let count = match place.file(&log).exists() {
            true => count_of(&place, &log),
            false => 0,
        };
        let kept = numbers(count).len();
        assert!(kept <= read && read <= kept + ONE_READ, "{kept} of {read} bytes are kept");
        logged += count;
    }
    println!("{logged} lines were logged before the kills");
    assert!(logged > 0);
}

#[test]
fn salvage_writes_what_is_left_wherever_the_log_is() {
    let place = Place::new();
    fs::create_dir(place.file("logs")).expect("a directory");
    let mut writer = Writer::start(&place, &format!("{SAFE} logs/app.log"));
    writer.say(&lines(1, 5000));
    writer.has_logged_all_but("5001\n");
    // A live process is named, and nothing of it is touched.
    let run = place.run("salvage --crash-safe-dir maps", "").ends_with(0);
    assert!(run.stdout.is_empty(), "{run:?}");
    let pid = writer.child.id();
    run.says("not touched").says(&format!("process {pid}")).says("logs/app.log");
    writer.kill();
    fs::rename(place.file("logs"), place.file("logs.old")).expect("moved");

    for trial in 0..2 {
        let trial_of =
            place.run("salvage --crash-safe-dir maps --dry-run logs.old", "").ends_with(0);
        assert!(trial_of.text().contains("would be written to"), "{trial}: {trial_of:?}");
        assert_eq!(maps(&place).len(), 1);
    }
    let dry =
        place.run("salvage --crash-safe-dir maps --dry-run logs.old/app.log", "").ends_with(0);
    // The old path has no log any more; the given one wins.
    let run = place.run("salvage --crash-safe-dir maps logs.old/app.log", "").ends_with(0);
    assert_eq!(run.text().lines().count(), 1, "{run:?}");
    assert_eq!(run.text(), dry.text().replace("would be written", "written"));
    assert!(run.text().contains("logs.old/app.log"), "{run:?}");
    assert!(!place.file("logs").exists());
    let count = count_of(&place, "logs.old/app.log");
    assert!((5000..=5001).contains(&count), "{count}");
    assert!(maps(&place).is_empty());
    place.run("salvage --crash-safe-dir maps logs.old", "").ends_with(0).says("nothing is left");
}

#[test]
fn salvage_takes_a_directory_of_logs_and_leaves_the_others() {
    let place = Place::new();
    for log in ["here/a.log", "here/b.log", "there/c.log"] {
        fs::create_dir_all(place.file(log).parent().expect("a directory")).expect("a directory");
        let mut writer = Writer::start(&place, &format!("{SAFE} {log}"));
        writer.say(&lines(1, 100));
        writer.has_logged_all_but("101\n");
        writer.kill();
    }
    let run = place.run("salvage --crash-safe-dir maps here", "").ends_with(0);
    assert_eq!(run.text().lines().count(), 2, "{run:?}");
    assert_eq!(maps(&place).len(), 1);
    let run = place.run("salvage --crash-safe-dir maps", "").ends_with(0);
    assert_eq!(run.text().lines().count(), 1, "{run:?}");
    for log in ["here/a.log", "here/b.log", "there/c.log"] {
        assert!(count_of(&place, log) >= 100, "{log}");
    }
}

#[test]
fn the_lines_of_events_come_back_in_the_files_of_their_events() {
    let place = Place::new();
    let safe = "write --buffer-size 4M --shards 1 --flush-interval 1h --crash-safe=maps";
    let input: String = (1..=5000).map(|n| format!("{}\t{n}\n", ["a", "b/c"][n % 2])).collect();
    for how in ["restart", "salvage", "moved"] {
        let directory = format!("{how}.logs");
        let mut writer = Writer::start(&place, &format!("{safe} --events {directory}"));
        writer.say(&input);
        writer.has_logged_all_but("a\t5001\n");
        writer.kill();
        assert_eq!(maps(&place).len(), 1);
        let (directory, run) = match how {
            "restart" => (directory.clone(), format!("{safe} --events {directory}")),
            "salvage" => (directory, "salvage --crash-safe-dir maps".to_owned()),
            _ => {
                fs::rename(place.file(&directory), place.file("elsewhere")).expect("moved");
                ("elsewhere".to_owned(), "salvage --crash-safe-dir maps elsewhere".to_owned())
            }
        };
        if how != "restart" {
            let dry = place.run(&format!("{run} --dry-run"), "").ends_with(0);
            assert_eq!(dry.text().lines().count(), 2, "{dry:?}");
            let run = place.run(&run, "").ends_with(0);
            assert_eq!(dry.text().replace("would be written", "written"), run.text());
        } else {
            place.run(&run, "").ends_with(0).says("of a process that died");
        }
        assert!(maps(&place).is_empty(), "{how}");
        let of = |event: &str| {
            place.run(&format!("cat --event {event} {directory}"), "").ends_with(0).text()
        };
        let every_second = |first: usize| -> String {
            (first..=5000).step_by(2).map(|n| format!("{n}\n")).collect()
        };
        assert_eq!(of("b/c"), every_second(1), "{how}");
        let last = of("a");
        assert_eq!(last.strip_suffix("5001\n").unwrap_or(&last), every_second(2), "{how}");
    }
}

#[test]
fn memory_that_cannot_be_used_is_left_alone_and_told() {
    let place = Place::new();
    let mut writer = Writer::start(&place, &format!("{SAFE} app.log"));
    writer.say(&lines(1, 100));
    writer.kill();
    let map = maps(&place).pop().expect("a map");
    let mut bytes = fs::read(&map).expect("a file");
    bytes[100] ^= 1;
    fs::write(&map, &bytes).expect("written");
    for args in ["salvage --crash-safe-dir maps", "salvage --crash-safe-dir maps --dry-run"] {
        let run = place.run(args, "").ends_with(1);
        assert!(run.stdout.is_empty(), "{run:?}");
        run.says("left alone: its head is damaged");
    }
    assert_eq!(fs::read(&map).expect("a file"), bytes);
}

#[test]
fn without_crash_safety_the_death_is_told_and_is_no_damage() {
    let place = Place::new();
    let mut writer = Writer::start(&place, &format!("{UNSAFE} app.log"));
    writer.say(&lines(1, 100));
    // The pause of the input is over when the lines are in the file.
    let begun = Instant::now();
    while !place.file("app.log").exists() || place.run("cat app.log", "").stdout.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written");
    }
    let text = place.run("verify app.log", "").ends_with(0).text();
    assert!(text.contains("is being written") && !text.contains("died"), "{text}");
    let json = place.run("stat --json app.log", "").ends_with(0).json();
    assert_eq!((&json[0]["unended"][0]["state"], &json[1]["died"]), (&"live".into(), &0.into()));
    writer.kill();
    let told = "has no end: its writer died; records of the last interval may be missing";
    for paths in ["app.log", "--all app.log", "."] {
        let run = place.run(&format!("verify {paths}"), "").ends_with(0);
        assert!(run.text().contains(told), "{paths}: {run:?}");
        assert!(run.text().contains("1 session ended by the death of the writer"), "{run:?}");
        let run = place.run(&format!("stat {paths}"), "").ends_with(0).says(told);
        assert!(run.text().contains("open, its writer died"), "{run:?}");
        let json = place.run(&format!("verify --json {paths}"), "").ends_with(0).json();
        assert_eq!(
            (&json[0]["unended"][0]["state"], &json[1]["died"]),
            (&"died".into(), &1.into())
        );
    }
    // The next one sets the file aside, and ends its own.
    place.run(&format!("{UNSAFE} app.log"), "x\n").ends_with(0).says("set aside");
    let run = place.run("verify .", "").ends_with(0);
    assert_eq!(run.text().matches(told).count(), 1, "{run:?}");
    place.run("verify app.log", "").ends_with(0);
    assert!(!place.run("verify app.log", "").text().contains("unended"));
}

#[test]
fn bench_keeps_its_buffers_there_too() {
    let place = Place::new();
    let args = "bench --count 1000 --buffer-size 1M --shards 2 --crash-safe=maps app.log";
    assert!(place.run(args, "").ends_with(0).text().contains("lost"), "the report");
    assert!(maps(&place).is_empty());
}

#[test]
fn a_place_that_cannot_be_used_is_refused_in_the_words_of_the_options() {
    let place = Place::new();
    place.run("write --crash-safe=/proc/none app.log", "x\n").ends_with(3);
    place.run("write --crash-safe= app.log", "x\n").ends_with(2);
    // The buffers have 128 MB.
    let command = env!("CARGO_BIN_EXE_asynclogger");
    let mut shell = std::process::Command::new("sh");
    let script = format!("ulimit -f 20000; echo x | {command} write --crash-safe=maps app.log");
    let output = shell.args(["-c", &script]).current_dir(place.dir()).output().expect("a shell");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{said}");
    for what in ["RLIMIT_FSIZE", "(--buffer-size)", "(--crash-safe=DIR)"] {
        assert!(said.contains(what), "no {what} in {said}");
    }
}
