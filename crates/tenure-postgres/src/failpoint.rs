//! Points where tests make calls fail: `postgres::<operation>::before_send`, where nothing was
//! written, and `postgres::<operation>::after_reply_report_failed`, where it was.

#[cfg(feature = "failpoints")]
use crate::error::{Cause, Sent, lost};
use tenure::StoreError;

/// Fails before anything was sent, if a test asks for it.
#[cfg(feature = "failpoints")]
pub(crate) fn before_send(operation: &str) -> Result<(), StoreError> {
    match fail::eval(&format!("postgres::{operation}::before_send"), |_| ()) {
        Some(()) => Err(lost(
            Sent::Harmless,
            Cause::new("fail point before sending"),
        )),
        None => Ok(()),
    }
}

/// Fails after the reply came, if a test asks for it.
#[cfg(feature = "failpoints")]
pub(crate) fn after_reply(operation: &str) -> Result<(), StoreError> {
    match fail::eval(
        &format!("postgres::{operation}::after_reply_report_failed"),
        |_| (),
    ) {
        Some(()) => Err(lost(Sent::Write, Cause::new("fail point after the reply"))),
        None => Ok(()),
    }
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail with the feature")]
pub(crate) const fn before_send(_operation: &str) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail with the feature")]
pub(crate) const fn after_reply(_operation: &str) -> Result<(), StoreError> {
    Ok(())
}
