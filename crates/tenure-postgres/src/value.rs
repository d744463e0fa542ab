//! How the rules' values stand in PostgreSQL's binary form.

use std::error::Error;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tenure::{Hash, Timestamp};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// A time as `timestamptz`: microseconds since 2000-01-01.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) Timestamp);

/// 2000-01-01T00:00:00Z in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0.as_micros() - POSTGRES_EPOCH);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp::from_micros(
            micros.saturating_add(POSTGRES_EPOCH),
        )?))
    }

    accepts!(TIMESTAMPTZ);
}

/// A hash as `bytea`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sha(pub(crate) Hash);

impl ToSql for Sha {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(BYTEA);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Sha {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Hash::new(raw.try_into()?)))
    }

    accepts!(BYTEA);
}

/// The longest time span that is sent: a hundred years, so that no sum leaves what a column holds.
const LONGEST: i64 = 100 * 366 * 24 * 3600 * 1_000_000;

/// A span as whole microseconds.
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros())
        .unwrap_or(LONGEST)
        .min(LONGEST)
}

/// A counter as a 64-bit column; beyond it there is nothing.
pub(crate) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A counter as a 32-bit column. Beyond two thousand million the column's own check refuses it.
pub(crate) fn small(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(-1)
}
