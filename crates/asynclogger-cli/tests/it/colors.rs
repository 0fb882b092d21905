//! When the output has colours, and that they change nothing else.

use std::fs;

use crate::support::{Place, Run, numbers};

/// `args` with these variables and no others that are about colours. Both outputs are pipes.
fn run(place: &Place, args: &str, variables: &[(&str, &str)]) -> Run {
    let mut command = place.command(args);
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().expect("it runs");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

fn without_colors(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').expect("a colour").1)
}

fn logs(place: &Place) {
    place.write("app.log", numbers(10));
    let mut bytes = fs::read(place.file("app.log")).expect("a log");
    bytes[4096 + 100] ^= 1;
    place.put("bad.log", &bytes);
}

#[test]
fn a_pipe_has_no_colors_unless_they_are_asked_for() {
    let place = Place::new();
    logs(&place);
    for args in ["verify bad.log", "stat app.log bad.log", "verify gone.log"] {
        let plain = run(&place, args, &[]);
        let text = plain.text() + &plain.stderr;
        assert!(!text.contains('\x1b'), "{text}");
        for (more, variables, has_colors) in [
            (" --color always", vec![], true),
            (" --color always", vec![("NO_COLOR", "1")], true),
            ("", vec![("CLICOLOR_FORCE", "1")], true),
            ("", vec![("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (" --color never", vec![("CLICOLOR_FORCE", "1")], false),
            (" --color auto", vec![], false),
        ] {
            let colored = run(&place, &format!("{args}{more}"), &variables);
            let text = colored.text() + &colored.stderr;
            assert_eq!(text.contains('\x1b'), has_colors, "{args}{more} {variables:?}: {text}");
            assert_eq!(without_colors(&colored.text()), plain.text());
            assert_eq!(without_colors(&colored.stderr), plain.stderr);
            assert_eq!(colored.code, plain.code);
        }
    }
}

#[test]
fn what_is_wrong_is_red_and_what_is_whole_is_green() {
    let place = Place::new();
    logs(&place);
    let good = place.run("--color always verify app.log", "").ends_with(0).text();
    assert!(good.contains("\x1b[32m") && !good.contains("\x1b[31m"), "{good:?}");
    let bad = place.run("--color=always verify bad.log", "").ends_with(1).text();
    assert_eq!(bad.matches("\x1b[31m").count(), 2, "a place and the verdict: {bad:?}");
    assert!(!bad.contains("\x1b[32m"), "{bad:?}");
    let table = place.run("stat --color always app.log bad.log", "").ends_with(1).text();
    let red = table.lines().filter(|line| line.contains("\x1b[31m"));
    assert!(red.clone().all(|line| line.starts_with("bad.log")) && red.count() == 1, "{table:?}");
    let said = place.run("--color always repair gone.log --output new.log", "").ends_with(3).stderr;
    assert!(said.starts_with("\x1b[1m\x1b[31masynclogger:\x1b[0m gone.log"), "{said:?}");
    // Data never have colours.
    for args in
        ["cat app.log", "cat --format json app.log", "verify --json bad.log", "tail app.log"]
    {
        let run = place.run(&format!("--color always {args}"), "");
        assert!(!run.text().contains('\x1b'), "{args}");
    }
}

#[test]
fn a_service_is_told_the_same() {
    let place = Place::new();
    place.run("--color always write app.log", numbers(3)).ends_with(0);
    let said = place.run("--color always write .", "").ends_with(2).stderr;
    assert!(said.contains("\x1b[31masynclogger:\x1b[0m "), "{said:?}");
}
