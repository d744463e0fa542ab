//! Sending again.

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_idempotency {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases idempotency [
        ] $($arg)* }
    };
}
