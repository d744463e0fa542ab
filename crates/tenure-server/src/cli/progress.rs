//! Progress of long work, for people who watch. Who does not watch sees nothing of it.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::is_watched;

/// Work shorter than this many steps needs no bar.
const STEPS_MIN: usize = 50;

/// A bar on stderr, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for so many steps, shown if they are many.
    pub(crate) fn new(what: &'static str, steps: usize) -> Self {
        if steps < STEPS_MIN {
            Self(ProgressBar::hidden())
        } else {
            Self::shown(what, Some(steps))
        }
    }

    /// A bar that is shown for any number of steps, known or not.
    pub(crate) fn shown(what: &'static str, steps: Option<usize>) -> Self {
        let target = if is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let steps = steps.map(|steps| u64::try_from(steps).unwrap_or(u64::MAX));
        let template = match steps {
            Some(_) => "{prefix} {bar:30} {pos}/{len} {wide_msg}",
            None => "{prefix} {pos} {msg}",
        };
        let bar = ProgressBar::with_draw_target(steps, target).with_prefix(what);
        // A template of our own that did not parse would leave the default one.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// So many steps are done.
    pub(crate) fn at(&self, steps: usize) {
        self.0
            .set_position(u64::try_from(steps).unwrap_or(u64::MAX));
    }

    /// Says what is being done.
    pub(crate) fn say(&self, message: String) {
        self.0.set_message(message);
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.0.finish_and_clear();
    }
}
