//! The end of what a program wrote to stderr: enough to see why, never enough to fill the memory.
//!
//! It may tell a secret. So a secret's length more than is shown is kept, for a secret that is cut
//! can't be found any more, and what is cut off on the way out takes its piece of the secret along.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::redact::Redactor;

/// How much is kept of what is said, beside a secret's length.
const KEPT: usize = 4 * 1024;

/// How much of it goes into a message, which must hold a sentence beside it.
const SHOWN: usize = 1_200;

/// How much longer a piece of a secret becomes if its first character was split.
const SPLIT_MAX: usize = 9;

/// The last bytes of a stream. It has no `Debug`: it may hold secrets.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    /// Reads a stream to its end and keeps the last of it, enough to find secrets of this length.
    pub(super) async fn read(mut from: impl AsyncRead + Unpin, longest_secret: usize) -> Self {
        let mut tail = Self::default();
        let mut chunk = [0; KEPT];
        // A pipe that fails has ended as far as a reader can tell.
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            tail.push(chunk.get(..read).unwrap_or_default(), KEPT + longest_secret);
        }
        tail
    }

    fn push(&mut self, bytes: &[u8], kept: usize) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(kept);
        self.is_cut |= surplus > 0;
        self.bytes.drain(..surplus);
    }

    /// `; it said: …` without secrets, or nothing if nothing was said.
    pub(super) fn said(&self, redactor: &Redactor) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let start = if self.is_cut {
            redactor.longest() + SPLIT_MAX
        } else {
            0
        };
        let text = redactor.part(&text, start..text.len());
        let text = text.trim();
        if text.is_empty() {
            return String::new();
        }
        let start = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
        let shown = text.get(start..).unwrap_or(text);
        format!(
            "; it said: {}{shown}",
            if shown.len() < text.len() { "…" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_is_kept_and_shown() {
        let text = "é".repeat(100_000) + "the end\n";
        let tail = Tail::read(text.as_bytes(), 0).await;
        assert!(tail.bytes.len() <= KEPT);
        let said = tail.said(&Redactor::default());
        assert!(
            said.starts_with("; it said: …") && said.ends_with("the end"),
            "{said}"
        );
        assert!(said.len() < SHOWN + 30);
    }

    #[tokio::test]
    async fn silence_says_nothing() {
        assert_eq!(
            Tail::read(&b" \n"[..], 0).await.said(&Redactor::default()),
            ""
        );
    }

    #[tokio::test]
    async fn a_secret_is_not_shown_wherever_it_is_cut() {
        let secret = "hunter2".repeat(300);
        let redactor = Redactor::new(vec![secret.clone()]);
        for behind in (0..KEPT + 10).step_by(97) {
            let text = format!("{}{secret}{}", "x".repeat(10_000), "z".repeat(behind));
            let tail = Tail::read(text.as_bytes(), redactor.longest()).await;
            let said = tail.said(&redactor);
            assert!(
                !said.contains("hunter2") && !said.contains("unte"),
                "{said}"
            );
        }
    }
}
