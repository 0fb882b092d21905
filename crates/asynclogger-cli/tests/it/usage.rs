use crate::support::Place;

const COMMANDS: [&str; 9] =
    ["write", "cat", "tail", "verify", "stat", "report", "repair", "salvage", "bench"];

#[test]
fn help_is_data_and_says_the_exit_codes() {
    let place = Place::new();
    let all = place.run("--help", "").ends_with(0);
    for command in COMMANDS {
        assert!(all.text().contains(&format!("  {command} ")), "{command}");
        for flag in ["-h", "--help"] {
            let help = place.run(&format!("{command} {flag}"), "").ends_with(0).text();
            assert!(help.contains("Usage: asynclogger"), "{help}");
            assert!(help.contains("Exit codes:"), "{help}");
        }
    }
    assert!(place.run("--version", "").ends_with(0).text().starts_with("asynclogger "));
}

#[test]
fn the_defaults_are_in_the_help() {
    let place = Place::new();
    for command in ["write", "bench"] {
        let help = place.run(&format!("{command} -h"), "").text();
        for default in ["dsync", "preferred", "auto", "64M", "8", "10s"] {
            assert!(help.contains(&format!("[default: {default}]")), "{default} in {help}");
        }
    }
    let help = place.run("bench -h", "").text();
    assert!(help.contains("[default: 2]") && help.contains("[default: 256]"), "{help}");
}

/// Every command and option is in the completions of every shell, and on the manual pages.
#[test]
fn completions_and_manual_have_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = place.run(&format!("completions {shell}"), "").ends_with(0).text();
        for word in COMMANDS.into_iter().chain(["rotate-size", "by-time"]) {
            assert!(text.contains(word), "{word} in {shell}");
        }
    }
    let main = place.run("man", "").ends_with(0).text();
    assert!(main.starts_with(".ie") || main.starts_with(".TH"), "{main}");
    for command in COMMANDS {
        assert!(main.contains(&format!("asynclogger\\-{command}")), "{command} in {main}");
        let page = place.run(&format!("man {command}"), "").ends_with(0).text();
        assert!(page.contains(".SH OPTIONS") && page.contains("Exit codes"), "{page}");
    }
    assert_eq!(place.run("man nothing", "").code, 2);
    assert_eq!(place.run("completions tcsh", "").code, 2);
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let place = Place::new();
    let bad = [
        "",
        "wirte x",
        "write",
        "write a b",
        "cat",
        "tail",
        "tail a b",
        "tail -n many a",
        "verify",
        "stat",
        "report",
        "repair a",
        "repair --output b",
        "bench",
        "cat --format xml a",
        "cat --layout other a",
        "verify --nothing a",
        "write --policy wait a",
        "write --policy block-for=1 a",
        "write --policy block-for= a",
        "write --durability sometimes a",
        "write --direct maybe a",
        "write --buffer-size 64Q a",
        "write --buffer-size -1 a",
        "write --shards many a",
        "write --flush-interval 10 a",
        "write --rotate-size 1T a",
        "write --rotate-every weekly a",
        "write --rotate-every 0s a",
        "write --keep 0 a",
        "write --keep-for 30 a",
        "write --max-total -1 a",
        "write --compress gzip a",
        "write --compress zstd=23 a",
        "write --local-time a",
        "write --grace 5 a",
        "write --wait-lock soon a",
        "write --failover a",
        "write --mode rw a",
        "write --mode 1777 a",
        "write --mode 444 a",
        "write --when-full cry a",
        "write --events",
        "write --events a b",
        "cat --all --event a b",
        "tail --event a",
        "bench --threads 0 a",
        "bench --size 15 a",
        "bench --count 0 a",
        "bench --rate 0 a",
        "bench --seconds 0 a",
        "bench --seconds 1 --count 1 a",
    ];
    for args in bad {
        let run = place.run(args, "").ends_with(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{args}: {run:?}");
    }
    assert_eq!(std::fs::read_dir(place.dir()).unwrap().count(), 0, "nothing was created");
}

/// What is not there must not be accepted and ignored.
#[test]
fn options_of_features_to_come_are_not_accepted() {
    let place = Place::new();
    let later = ["export a --to b", "ship a --to b"];
    for args in later {
        place.run(args, "").ends_with(2);
    }
}

#[test]
fn absurd_settings_are_refused_with_the_limit() {
    let place = Place::new();
    place.run("write --buffer-size 1K --shards 100 a", "x\n").ends_with(2).says("shard");
    place.run("write --buffer-size 17179869183G a", "x\n").ends_with(2).says("at most");
    place.run("write --shards 100000000 a", "x\n").ends_with(2).says("most");
    place.run("write --rotate-size 16383 a", "x\n").ends_with(2).says("--rotate-size is 16383");
    place.run("write --rotate-size 0 a", "x\n").ends_with(2).says("--rotate-size is 0");
    place.run("write --max-total 0 a", "x\n").ends_with(2).says("--max-total is 0");
    let both = place.run("write --rotate-size 2G --max-total 1G a", "x\n").ends_with(2);
    both.says("--max-total is 1073741824").says("(--rotate-size)");
    place.run("write --mode 044 a", "x\n").ends_with(2).says("--mode is 0o44");
    place.run("bench --size 9M --count 1 a", "").ends_with(2).says("the longest");
    for deletes in ["--keep 1", "--keep-for 1h", "--max-total 1G"] {
        place.run(&format!("bench --count 1 {deletes} a"), "").ends_with(2).says("deleted");
    }
    assert!(!place.file("a").exists());
}

#[test]
fn rotation_has_a_heading_of_its_own_and_says_what_is_meant() {
    let place = Place::new();
    let help = place.run("write --help", "").ends_with(0).text();
    let (before, rotation) = help.split_once("Rotation options:").expect("the heading");
    assert!(before.contains("Logger options:"), "{help}");
    let (_, service) = before.split_once("Service options:").expect("the heading");
    for option in
        ["--grace <DURATION>", "--wait-lock <DURATION>", "--failover <DIR>", "--mode <MODE>"]
    {
        assert!(service.contains(option), "{option} in {help}");
    }
    for option in [
        "--rotate-size <SIZE>",
        "--rotate-every <hourly|daily|DURATION>",
        "--keep <N>",
        "--keep-for <DURATION>",
        "--max-total <SIZE>",
        "--compress <zstd[=LEVEL]>",
        "--when-full <ACTION>",
        "--local-time",
    ] {
        assert!(rotation.contains(option), "{option} in {help}");
    }
    let words = rotation.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("A duration, such as 10m or 12h, is the age of a file"), "{help}");
    let help = place.run("bench --help", "").ends_with(0).text();
    assert!(help.contains("Rotation options:") && help.contains("--rotate-every"), "{help}");
}

#[test]
fn rotation_options_go_together() {
    let place = Place::new();
    let all = "--rotate-size 1G --rotate-every daily --keep 3 --keep-for 30d --max-total 10G --compress zstd=5";
    place.run(&format!("write {all} a.log"), "x\n").ends_with(0);
    place.run("write --rotate-every 10m --compress zstd b.log", "x\n").ends_with(0);
    assert_eq!(place.cat("a.log"), place.cat("b.log"));
}
