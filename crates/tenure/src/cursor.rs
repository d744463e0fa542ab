//! Cursors: where a walk stands, in a text that only Tenure reads.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::{Hash, Invalid, StoreError, TenantId};

/// Where a walk stands: opaque, versioned, and bound to the query that gave it.
///
/// It holds no secret and grants nothing. A cursor that was altered, cut, or given by another query
/// is an error, never a silent restart at the first page.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Cursor(Vec<u8>);

const LIST: u8 = 1;
const FEED: u8 = 2;
const CHECK: usize = 4;

impl Cursor {
    /// A place in a list: after this tenant, for the query of this fingerprint.
    pub fn list(query: Hash, after: TenantId) -> Self {
        let mut bytes = vec![LIST];
        bytes.extend_from_slice(&query.as_bytes()[..8]);
        bytes.extend_from_slice(after.as_uuid().as_bytes());
        Self::seal(bytes)
    }

    /// A place in the feed of this epoch: after this position.
    pub fn feed(epoch: Uuid, position: (u64, u64)) -> Self {
        let mut bytes = vec![FEED];
        bytes.extend_from_slice(epoch.as_bytes());
        bytes.extend_from_slice(&position.0.to_be_bytes());
        bytes.extend_from_slice(&position.1.to_be_bytes());
        Self::seal(bytes)
    }

    /// Reads a place in a list.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorInvalid`] if it is not of the query of this fingerprint.
    pub fn as_list(&self, query: Hash) -> Result<TenantId, StoreError> {
        let body = self.open(LIST).ok_or(StoreError::CursorInvalid)?;
        let (of, id) = body.split_at_checked(8).ok_or(StoreError::CursorInvalid)?;
        let id = Uuid::from_slice(id).map_err(|_| StoreError::CursorInvalid)?;
        if of == &query.as_bytes()[..8] {
            Ok(TenantId::new(id))
        } else {
            Err(StoreError::CursorInvalid)
        }
    }

    /// Reads a place in a feed: its epoch and position.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorInvalid`] if it is no feed cursor.
    pub fn as_feed(&self) -> Result<(Uuid, (u64, u64)), StoreError> {
        let read = || {
            let body = self.open(FEED)?;
            let (epoch, rest) = body.split_at_checked(16)?;
            let (first, second) = rest.split_at_checked(8)?;
            let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
            Some((
                Uuid::from_slice(epoch).ok()?,
                (number(first)?, number(second)?),
            ))
        };
        read().ok_or(StoreError::CursorInvalid)
    }

    fn seal(mut bytes: Vec<u8>) -> Self {
        let check = Hash::of(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
        Self(bytes)
    }

    fn open(&self, kind: u8) -> Option<&[u8]> {
        let (body, check) = self.0.split_at_checked(self.0.len().checked_sub(CHECK)?)?;
        let intact = &Hash::of(body).as_bytes()[..CHECK] == check;
        let (first, rest) = body.split_first()?;
        (intact && *first == kind).then_some(rest)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({self})")
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| Invalid::new("cursor", "must be sent back as it was given"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TenantId = TenantId::new(Uuid::from_u128(7));

    #[test]
    fn the_format_is_pinned() {
        assert_eq!(
            Cursor::list(Hash::new([1; 32]), ID).to_string(),
            "AQEBAQEBAQEBAAAAAAAAAAAAAAAAAAAAB02X774"
        );
    }

    #[test]
    fn any_altered_character_is_refused() {
        let query = Hash::new([1; 32]);
        let text = Cursor::list(query, ID).to_string();
        assert_eq!(text.parse::<Cursor>().unwrap().as_list(query).unwrap(), ID);
        for at in 0..text.len() {
            for with in ["A", "z", ""] {
                let mut altered = text.clone();
                altered.replace_range(at..=at, with);
                if altered != text {
                    let read = altered
                        .parse::<Cursor>()
                        .ok()
                        .map(|c| c.as_list(query).is_ok());
                    assert_ne!(read, Some(true), "{altered}");
                }
            }
        }
    }

    #[test]
    fn a_cursor_of_another_query_or_kind_is_refused() {
        let list = Cursor::list(Hash::new([1; 32]), ID);
        assert!(list.as_list(Hash::new([2; 32])).is_err());
        assert!(list.as_feed().is_err());
        let feed = Cursor::feed(Uuid::from_u128(9), (3, 4));
        assert_eq!(feed.as_feed().unwrap(), (Uuid::from_u128(9), (3, 4)));
        assert!(feed.as_list(Hash::new([1; 32])).is_err());
    }
}
