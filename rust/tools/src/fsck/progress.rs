// SPDX-License-Identifier: GPL-2.0

//! fsck.pfnfs: the progress bar, and whether the user has had enough.

use std::io::{stderr, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

/// A bar on a terminal, or nothing.
pub struct Progress {
    bar: ProgressBar,
    stopped: Arc<AtomicBool>,
}

impl Progress {
    /// A bar if `shown`, or by itself on a terminal. From here on ^C is only noted.
    ///
    /// # Errors
    ///
    /// Signals cannot be caught.
    pub fn new(shown: bool) -> anyhow::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stopped)).context("cannot catch signals")?;
        }
        let bar = if shown || stderr().is_terminal() {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(ProgressStyle::with_template("{bar:40} {percent:>3} % {elapsed_precise}")?);
        Ok(Self { bar, stopped })
    }

    /// Shows how much is done.
    pub fn at(&self, done: u64, all: u64) {
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Makes room for other output.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
        self.bar.reset();
    }

    /// Whether the user wants it to end.
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
