//! Failing, and saying so.

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_errors {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases errors [
        ] $($arg)* }
    };
}
