//! A connection that does not wait for its client for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::ConnectionLimits;

/// Whose turn it is: odd while the server works on a request, even while the client is to send one.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

impl Turns {
    /// A request has come whole; it is the server's turn until the guard is dropped.
    pub(super) fn begin(&self) -> Turn {
        self.0.fetch_add(1, Ordering::AcqRel);
        Turn(self.clone())
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The server's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Turns);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A connection whose reads fail once a header takes too long, and whose writes fail once the
/// client takes nothing for too long.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    turns: Turns,
    limits: ConnectionLimits,
    /// Runs from a header's first byte, for the first from the start; void once the turn has changed.
    header: Option<(u64, Pin<Box<Sleep>>)>,
    /// Runs while the client takes nothing.
    write: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    /// A connection that was just made: its first header is due from now on, as nobody connects to
    /// say nothing.
    pub(super) fn new(stream: S, turns: Turns, limits: ConnectionLimits) -> Self {
        Self {
            stream,
            header: Some((turns.now(), Box::pin(sleep(limits.header)))),
            turns,
            limits,
            write: None,
        }
    }

    /// Fails if the header that is being read has taken too long.
    fn check_header(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let turn = self.turns.now();
        self.header.take_if(|(of, _)| *of != turn);
        if let Some((_, timer)) = &mut self.header
            && timer.as_mut().poll(cx).is_ready()
        {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the header took too long",
            ));
        }
        Ok(())
    }

    /// Fails if the client has taken nothing for too long.
    fn check_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write = None;
            return written;
        }
        let limit = self.limits.write;
        let timer = self.write.get_or_insert_with(|| Box::pin(sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not take its answer",
            ))),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let turn = self.turns.now();
        let is_clients = turn.is_multiple_of(2);
        let is_first = self.header.as_ref().is_none_or(|(of, _)| *of != turn);
        if is_clients && is_first && buf.filled().len() > before {
            self.header = Some((turn, Box::pin(sleep(self.limits.header))));
        }
        self.check_header(cx)?;
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.check_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.check_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
