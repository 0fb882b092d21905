//! The answer to a flush as a future, for any runtime.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::Gate;
use crate::{Error, sync::Arc};

/// The answer to a flush: ready when the attempt that covers the call is over.
///
/// The flush was requested by the call that returned this future, and goes on if the future is dropped. The future needs
/// no runtime and no thread of its own: the logger's own thread wakes the task. It does not keep the logger open: if the
/// last handle is dropped meanwhile, the answer is that of the close.
#[must_use = "the answer is known only when the future is awaited"]
pub struct Flushing(State);

enum State {
    /// The answer was known at once.
    Known(Result<(), Error>),
    Waits {
        on: Arc<dyn HasGate>,
        ticket: u64,
        then: Option<Then>,
    },
    Over,
}

type Then = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// The owner of a gate.
pub(crate) trait HasGate: Send + Sync {
    fn gate(&self) -> &Gate;
}

impl Flushing {
    pub(crate) fn known(answer: Result<(), Error>) -> Flushing {
        Flushing(State::Known(answer))
    }

    /// Waits for a ticket of a gate; after a good answer `then` has the last word.
    pub(crate) fn on(on: Arc<dyn HasGate>, ticket: u64, then: Option<Then>) -> Flushing {
        Flushing(State::Waits { on, ticket, then })
    }
}

impl Future for Flushing {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Known(answer) => Poll::Ready(answer),
            State::Waits { on, ticket, then } => match on.gate().poll(ticket, context) {
                Poll::Ready(Ok(())) => Poll::Ready(then.map_or(Ok(()), |then| then())),
                Poll::Ready(answer) => Poll::Ready(answer),
                Poll::Pending => {
                    self.0 = State::Waits { on, ticket, then };
                    Poll::Pending
                }
            },
            // Nobody may poll again after the answer; if somebody does, there is no second answer.
            State::Over => Poll::Pending,
        }
    }
}

impl fmt::Debug for Flushing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flushing").finish_non_exhaustive()
    }
}
