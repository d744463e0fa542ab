//! Points in time, to the microsecond, and where they come from.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// A point in time: whole microseconds since the Unix epoch, UTC.
///
/// Both stores keep exactly this number, so a time is the same on each. Written as RFC 3339 with
/// six decimals, which makes equal times equal text.
///
/// ```
/// use tenure::Timestamp;
/// let at: Timestamp = "2026-11-22T20:00:00Z".parse()?;
/// assert_eq!(at.to_string(), "2026-11-22T20:00:00.000000Z");
/// assert_eq!(at.as_micros(), 1_795_377_600_000_000);
/// # Ok::<(), tenure::Invalid>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// Year 9999, the last that RFC 3339 can write.
const LAST: i64 = 253_402_207_200_000_000;

impl Timestamp {
    /// The Unix epoch, 1970-01-01T00:00:00Z: the earliest time there is.
    pub const EPOCH: Self = Self(0);

    /// Takes microseconds since the epoch.
    ///
    /// # Errors
    ///
    /// [`Invalid`] before 1970 or after year 9999.
    pub fn from_micros(micros: i64) -> Result<Self, Invalid> {
        if (0..=LAST).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(Invalid::new("time", "must be between 1970 and 9999"))
        }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This time plus a duration, stopping at the end of year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(LAST);
        Self(self.0.saturating_add(micros).min(LAST))
    }

    /// This long before; the epoch if that would be before it.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(0))
    }

    /// How long this is after `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.to_jiff())
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let at: jiff::Timestamp = text.parse().map_err(|_| {
            Invalid::new(
                "time",
                "must be RFC 3339 with an offset, such as 2026-11-22T20:00:00Z",
            )
        })?;
        Self::from_micros(at.as_microsecond())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

/// Where the time comes from. Nothing in Tenure asks the system directly.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond().clamp(0, LAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_round_trips_through_its_text() {
        for micros in [0, 1, 999_999, 1_795_377_600_123_456, LAST] {
            let at = Timestamp::from_micros(micros).unwrap();
            assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        }
    }

    #[test]
    fn times_outside_of_1970_to_9999_are_refused() {
        assert!(Timestamp::from_micros(-1).is_err());
        assert!(Timestamp::from_micros(LAST + 1).is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
