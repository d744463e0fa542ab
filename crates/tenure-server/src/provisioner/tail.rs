//! The end of what a program wrote to stderr: enough to see why, never enough to fill the memory.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much is kept.
const KEPT: usize = 4 * 1024;

/// How much of it goes into a message, which must hold a sentence beside it.
const SHOWN: usize = 1_200;

/// The last bytes of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// Reads a stream to its end and keeps the last of it.
    pub(super) async fn read(mut from: impl AsyncRead + Unpin) -> Self {
        let mut tail = Self::default();
        let mut chunk = [0; KEPT];
        // A pipe that fails has ended as far as a reader can tell.
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            tail.push(chunk.get(..read).unwrap_or_default());
        }
        tail
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// `; it said: …`, or nothing if nothing was said.
    pub(super) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
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
        let tail = Tail::read(text.as_bytes()).await;
        assert!(tail.0.len() <= KEPT);
        let said = tail.said();
        assert!(
            said.starts_with("; it said: …") && said.ends_with("the end"),
            "{said}"
        );
        assert!(said.len() < SHOWN + 30);
    }

    #[tokio::test]
    async fn silence_says_nothing() {
        assert_eq!(Tail::read(&b" \n"[..]).await.said(), "");
    }
}
