//! Steps: how far an operation is, in the provisioner's own words.

use serde::{Deserialize, Serialize};

use crate::{Invalid, Message};

/// Most steps that one tenant's operation may have.
pub const STEPS_MAX: usize = 100;

/// Most bytes of a step's name.
const NAME_MAX: usize = 100;

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It has not begun.
    Pending,
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was not needed.
    Skipped,
}

impl StepState {
    /// The word, as JSON and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One step of an operation, as its provisioner reported it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name, unique among the steps of the operation.
    pub name: String,
    /// How it stands.
    pub state: StepState,
    /// How it goes, in a sentence; may be empty.
    #[serde(default, skip_serializing_if = "Message::is_empty")]
    pub message: Message,
    /// How much of it is done, 0 to 100, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

impl Step {
    /// Takes a step that keeps the rules: a name of 1 to 100 bytes without control characters, and
    /// a percentage of at most 100.
    ///
    /// ```
    /// use tenure::{Message, Step, StepState};
    /// assert!(Step::new("copy files", StepState::Running, Message::none(), Some(40)).is_ok());
    /// assert!(Step::new("", StepState::Running, Message::none(), None).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn new(
        name: impl Into<String>,
        state: StepState,
        message: Message,
        percent: Option<u8>,
    ) -> Result<Self, Invalid> {
        let name = name.into();
        if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(Invalid::new(
                "step",
                format!("must have a name of 1 to {NAME_MAX} bytes without control characters"),
            ));
        }
        if percent.is_some_and(|percent| percent > 100) {
            return Err(Invalid::new("step", "must have a percent of 0 to 100"));
        }
        Ok(Self {
            name,
            state,
            message,
            percent,
        })
    }
}
