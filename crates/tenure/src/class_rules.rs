//! What a class asks of `desired` beyond the rules: defaults under it, and a check of the whole.

use std::fmt;

use crate::{ClassName, Document, Invalid};

/// What classes ask of `desired`. The engine goes by it on every write; see
/// [`Engine::with_rules`](crate::Engine::with_rules).
///
/// Both functions are pure: for as long as an engine has them, they answer alike for equal input.
/// A class that they know nothing of asks for nothing.
pub trait ClassRules: Send + Sync + fmt::Debug {
    /// `desired` with the defaults of the class under it. Completing twice is completing once.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if the result breaks a rule of documents.
    fn complete(&self, class: &ClassName, desired: &Document) -> Result<Document, Invalid>;

    /// Whether the whole of `desired` is as the class asks.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names each place that is not, with the rule that it breaks, and never a value: it
    /// may be secret.
    fn check(&self, class: &ClassName, desired: &Document) -> Result<(), Invalid>;
}
