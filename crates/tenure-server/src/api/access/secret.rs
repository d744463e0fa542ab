//! What a token looks like: `tnr_` and 58 characters, the last of which check the others.
//!
//! A typing error and most of what merely looks like a token are known without asking the store, and
//! a scanner for leaked secrets can tell a token for sure.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use tenure::Hash;

/// What each begins with.
pub(crate) const PREFIX: &str = "tnr_";

/// Random bytes of a token.
const RANDOM: usize = 32;

/// Bytes of its checksum.
const CHECK: usize = 4;

/// A token, whole. It can't be printed by accident.
pub(crate) struct Secret(String);

impl Secret {
    /// Draws one from the system's generator.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut random = [0_u8; RANDOM];
        getrandom::fill(&mut random)?;
        let mut bytes = random.to_vec();
        bytes.extend(crc32fast::hash(&random).to_be_bytes());
        let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        Ok(Self(format!("{PREFIX}{text}")))
    }

    /// What the store keeps of it.
    pub(crate) fn hash(&self) -> Hash {
        Hash::of(self.0.as_bytes())
    }

    /// To be shown once.
    pub(crate) fn reveal(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The hash of a text that is formed like a token, with a checksum that fits.
pub(crate) fn hash_of(text: &str) -> Option<Hash> {
    let body = text.strip_prefix(PREFIX)?;
    if body.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let bytes = BASE32_NOPAD
        .decode(body.to_ascii_uppercase().as_bytes())
        .ok()?;
    let (random, check) = bytes.split_at_checked(RANDOM)?;
    let fits = check.len() == CHECK && crc32fast::hash(random).to_be_bytes() == check;
    fits.then(|| Hash::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_form() {
        let token = Secret::draw().unwrap();
        let (hash, text) = (token.hash(), token.reveal());
        assert_eq!((text.len(), hash_of(&text)), (62, Some(hash)));
        assert_ne!(Secret::draw().unwrap().reveal(), text);
    }

    #[test]
    fn every_typing_error_is_found() {
        let text = Secret::draw().unwrap().reveal();
        for at in PREFIX.len()..text.len() {
            let mut typed = text.clone().into_bytes();
            typed[at] = if typed[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(hash_of(std::str::from_utf8(&typed).unwrap()), None, "{at}");
        }
        let upper = text.to_ascii_uppercase().replace("TNR_", PREFIX);
        for bad in [
            "",
            "tnr_",
            text.strip_prefix('t').unwrap(),
            text.get(..61).unwrap(),
            &format!("{text}a"),
            &upper,
        ] {
            assert_eq!(hash_of(bad), None, "{bad}");
        }
    }
}
