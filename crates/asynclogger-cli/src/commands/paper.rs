//! `asynclogger completions` and `asynclogger man`: the command line, written down for shells and for `man`.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    args::CommandLine,
    outcome::{Answer, Failure},
    output::Output,
};

pub(crate) fn completions(shell: Shell) -> Result<Answer, Failure> {
    // The generator panics if its output fails, so it writes to memory.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "asynclogger", &mut text);
    print(&text)
}

pub(crate) fn manual(command: Option<&str>) -> Result<Answer, Failure> {
    let mut all = CommandLine::command();
    all.build();
    let page = match command {
        None => all,
        Some(name) => {
            let found = all.get_subcommands().find(|known| known.get_name() == name);
            let unknown = || Failure::Usage(format!("there is no command {name:?}"));
            let found = found.ok_or_else(unknown)?.clone();
            found.name(format!("asynclogger-{name}")).version(env!("CARGO_PKG_VERSION"))
        }
    };
    let mut text = Vec::new();
    Man::new(page).render(&mut text)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<Answer, Failure> {
    let mut out = Output::open()?;
    out.write_all(text)?;
    out.flush()?;
    Ok(Answer::Fine)
}
