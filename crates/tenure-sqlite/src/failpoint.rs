//! Named points where a test can make the store fail, stop or die. Nothing without the feature.

/// Returns what a failing point makes of it, if the point is told to fail now.
macro_rules! failpoint {
    ($name:literal, $failure:expr) => {
        #[cfg(feature = "failpoints")]
        if let Some(()) = fail::eval($name, |_| ()) {
            return $failure;
        }
    };
}

pub(crate) use failpoint;
