//! What is wrong with a value that was given to us.

/// A value that breaks a rule: which field, and what it must be instead.
///
/// Nothing was written. The caller corrects the value; sending it again unchanged fails again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Invalid {
    field: String,
    rule: String,
}

impl Invalid {
    /// Names the field and the rule, so that together they read as a sentence: "name must be …".
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// The field, as the API spells it.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What the value must be, starting with a verb.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}
