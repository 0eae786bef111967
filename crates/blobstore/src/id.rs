//! The name of an object.

use std::fmt;
use std::str::FromStr;

use crate::Error;

const LENGTH: usize = 32;

/// The name of an object: 32 lower-case hexadecimal digits, used for one object and never again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ObjectId(Box<str>);

impl ObjectId {
    /// Makes a new id (UUID version 7, RFC 9562 §5.7): ordered by time, random at its end.
    pub fn fresh() -> ObjectId {
        ObjectId(uuid::Uuid::now_v7().simple().to_string().into())
    }

    /// When it was made, in milliseconds since the epoch by the clock of its maker.
    pub fn made_at_ms(&self) -> i64 {
        let digits = self.0.get(..12).unwrap_or_default();
        i64::from_str_radix(digits, 16).unwrap_or_default()
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ObjectId {
    type Err = Error;

    /// Reads the text form and nothing else: no dashes, no upper case.
    fn from_str(text: &str) -> Result<ObjectId, Error> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != LENGTH || !digits {
            return Err(Error::InvalidId { text: text.to_owned() });
        }
        Ok(ObjectId(text.into()))
    }
}
