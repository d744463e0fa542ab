//! The pulse of the feed: one look at its end for all who wait for changes, however many they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenure::Cursor;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::state::ApiState;

/// How often the end of the feed is looked at while somebody waits.
const LOOK: Duration = Duration::from_millis(250);

/// The end of the feed, as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    end: watch::Sender<Option<Cursor>>,
    beats: AtomicBool,
}

impl Pulse {
    /// Tells whenever the end may have moved, from now on.
    pub(super) fn listen(api: &ApiState) -> watch::Receiver<Option<Cursor>> {
        let pulse = api.pulse();
        let listener = pulse.end.subscribe();
        if !pulse.beats.swap(true, Ordering::SeqCst) {
            let api = api.clone();
            api.clone().spawn(async move { beat(&api).await });
        }
        listener
    }

    /// Whether nobody listens, and so nothing is to be looked at any more.
    fn rests(&self) -> bool {
        if self.end.receiver_count() > 0 {
            return false;
        }
        self.beats.store(false, Ordering::SeqCst);
        // Somebody who came in between saw it beat, and relies on it.
        self.end.receiver_count() == 0 || self.beats.swap(true, Ordering::SeqCst)
    }
}

async fn beat(api: &ApiState) {
    let pulse = api.pulse();
    while !pulse.rests() {
        let look = api.engine().store().changes_end();
        // Who waits reads for themselves before long, and is told then what is wrong with the store.
        if let Ok(Ok(end)) = timeout(api.options().limits.request, look).await {
            pulse.end.send_if_modified(|seen| {
                let moved = seen.as_ref() != Some(&end);
                *seen = Some(end);
                moved
            });
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = api.stopped() => return,
        }
    }
}
