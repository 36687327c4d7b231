//! tokio's streams as hyper wants them, for one question and its answer.
//!
//! Not hyper-util's: both ends of a conversation are read differently here.

use std::io::{ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// At most this much is read at once.
const PIECE: usize = 8 << 10;

/// A stream.
#[derive(Debug)]
pub(super) struct Conversation<S> {
    stream: S,
    has_asked: bool,
}

impl<S> Conversation<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, has_asked: false }
    }
}

impl<S: AsyncRead + Unpin> Read for Conversation<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<Result<()>> {
        // hyper throws away what comes before the question. It would be chance whether a server that is
        // quick to refuse is understood.
        if !self.has_asked {
            return Poll::Pending;
        }
        let mut piece = [0; PIECE];
        let room = into.remaining().min(PIECE);
        let mut piece = ReadBuf::new(&mut piece[..room]);
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece)) {
            Ok(()) => into.put_slice(piece.filled()),
            // Many servers end a TLS connection without saying so. hyper notices when that cuts off an answer
            // whose length is known.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Conversation<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, from))?;
        if !self.has_asked {
            self.has_asked = true;
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
