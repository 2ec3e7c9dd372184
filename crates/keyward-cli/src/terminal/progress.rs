//! Progress of long operations.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Terminal;
use crate::platform::start_thread;

/// A shorter operation shows no bar, which would only flicker.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// A bar on stderr, if a person sees it. It vanishes when it is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// It is not shown, or not yet.
    is_hidden: bool,
    can_show: bool,
}

impl Terminal {
    /// A bar for `total` steps of `what`, such as `checking the history`.
    pub fn progress(&self, what: &'static str, total: u64) -> Progress {
        let options = &self.options;
        let can_show = self.kinds.stderr_is_terminal && !options.quiet && !options.json && !options.dumb;
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        // The template is a constant: with a mistake in it, the bar would only look different.
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress { bar: bar.with_message(what), is_hidden: true, can_show }
    }
}

impl Progress {
    /// Sets how many steps are done.
    pub fn at(&mut self, done: u64) {
        if self.is_hidden && self.can_show && self.bar.elapsed() >= SHOWN_AFTER {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_hidden = false;
        }
        self.bar.set_position(done);
    }
}

/// A sign of activity without a measure of progress. It vanishes when it is dropped.
#[derive(Debug)]
pub struct Spinner {
    stop: Option<Sender<()>>,
    shows: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Shows that `what` is in progress, once it has taken a while.
    pub fn working(&self, what: &'static str) -> Spinner {
        if !self.progress(what, 0).can_show {
            return Spinner { stop: None, shows: None };
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let goes_on = move |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        let shows = start_thread(move || {
            if goes_on(SHOWN_AFTER) {
                let spinner = ProgressBar::new_spinner().with_message(what);
                spinner.tick();
                while goes_on(Duration::from_millis(100)) {
                    spinner.tick();
                }
                spinner.finish_and_clear();
            }
        });
        Spinner { stop: Some(stop), shows: shows.ok() }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(shows) = self.shows.take() {
            let _ = shows.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
