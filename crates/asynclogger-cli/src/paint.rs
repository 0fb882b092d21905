//! Colours, for people alone: on a terminal, unless `--color`, `NO_COLOR`, `CLICOLOR` or `CLICOLOR_FORCE` say otherwise.

use std::{fmt, io};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};

/// Decides for this process, clap's messages included.
pub(crate) fn choose(choice: ColorChoice) {
    choice.write_global();
}

/// Whether one of the outputs is coloured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    is_on: bool,
}

impl Paint {
    pub(crate) fn stdout() -> Paint {
        Paint::of(&io::stdout())
    }

    pub(crate) fn stderr() -> Paint {
        Paint::of(&io::stderr())
    }

    fn of(stream: &impl RawStream) -> Paint {
        Paint { is_on: AutoStream::choice(stream) != ColorChoice::Never }
    }

    /// Nothing is wrong.
    pub(crate) fn good<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.painted(AnsiColor::Green.on_default().bold(), text)
    }

    /// Something is damaged or lost, or could not be done.
    pub(crate) fn bad<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.painted(AnsiColor::Red.on_default().bold(), text)
    }

    pub(crate) fn heading<T: fmt::Display>(self, text: T) -> impl fmt::Display {
        self.painted(Style::new().bold(), text)
    }

    fn painted<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.is_on { style } else { Style::new() }, text }
    }
}

/// A text with the commands for the terminal around it; a style without attributes has none.
struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Painted { style, text } = self;
        write!(f, "{style}{text}{style:#}")
    }
}
