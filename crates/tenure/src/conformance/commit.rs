//! Writing, and losing a race.

/// The cases of this topic, for the macros that walk them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases_commit {
    ([$($then:tt)*] $($arg:tt)*) => {
        $($then)*! { @cases commit [
        ] $($arg)* }
    };
}
