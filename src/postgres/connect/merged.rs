//! A connection on which rows come many to a message.
//!
//! A server sends each row of a `COPY … TO STDOUT` as a message of its own, and a client that hands them
//! on one by one spends more on the messages than on the rows. Where one message ends and the next begins
//! means nothing (PostgreSQL's documentation, "Frontend/Backend Protocol", "COPY Operations"), so this
//! stream, which lies between the connection and `tokio-postgres`, makes one `CopyData` message of all that
//! have come. Every other message passes as it is.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// The kind (1) and the length (4), which counts itself and not the kind.
const HEADER_BYTES: usize = 5;
const COPY_DATA: u8 = b'd';
/// What one read takes at most: as much as the system holds ready for a connection.
const READ_BYTES: usize = 256 << 10;

/// A stream whose `CopyData` messages are merged on the way in.
pub struct Merged<S> {
    inner: S,
    channel_binding: fn(&S) -> ChannelBinding,
    /// What has come and was not handed on yet is `come[taken..end]`.
    come: Box<[u8]>,
    taken: usize,
    end: usize,
    /// How much of a message whose beginning was handed on is still to follow.
    rest_bytes: usize,
}

impl<S> Merged<S> {
    /// Wraps a stream that is not encrypted, on which nothing but a server's messages will come.
    pub fn plain(inner: S) -> Self {
        Self::new(inner, |_| ChannelBinding::none())
    }

    fn new(inner: S, channel_binding: fn(&S) -> ChannelBinding) -> Self {
        let come = vec![0; READ_BYTES].into_boxed_slice();
        Self { inner, channel_binding, come, taken: 0, end: 0, rest_bytes: 0 }
    }

    /// Moves what has come into `buffer`, as far as it goes; whether anything was moved.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let before = buffer.filled().len();
        loop {
            let come = self.come.get(self.taken..self.end).unwrap_or_default();
            let bytes = self.rest_bytes.min(come.len()).min(buffer.remaining());
            buffer.put_slice(&come[..bytes]);
            self.taken += bytes;
            self.rest_bytes -= bytes;
            let come = &come[bytes..];
            let Some(header) = come.first_chunk().filter(|_| self.rest_bytes == 0) else { break };
            let room = buffer.remaining().saturating_sub(HEADER_BYTES);
            let (messages_bytes, data_bytes) = whole_copy_data(come, room);
            if data_bytes == 0 {
                // What is no message is not judged here: it is handed on, and refused there.
                self.rest_bytes = message_bytes(*header).unwrap_or(usize::MAX);
                continue;
            }
            let length = u32::try_from(data_bytes + 4).unwrap_or(u32::MAX);
            buffer.put_slice(&[COPY_DATA]);
            buffer.put_slice(&length.to_be_bytes());
            let mut messages = &come[..messages_bytes];
            while let Some((header, after)) = messages.split_first_chunk() {
                let (data, next) =
                    after.split_at(message_bytes(*header).unwrap_or(HEADER_BYTES) - HEADER_BYTES);
                buffer.put_slice(data);
                messages = next;
            }
            self.taken += messages_bytes;
        }
        buffer.filled().len() > before
    }
}

/// A message's length with its header; `None` if that is none.
fn message_bytes(header: [u8; HEADER_BYTES]) -> Option<usize> {
    let [_, length @ ..] = header;
    usize::try_from(u32::from_be_bytes(length))
        .ok()
        .filter(|length| *length >= 4)
        .map(|one| one + 1)
}

/// How many bytes of whole `CopyData` messages stand at the beginning, whose data are at most `room`
/// bytes, and how many those are.
fn whole_copy_data(bytes: &[u8], room: usize) -> (usize, usize) {
    let (mut messages_bytes, mut data_bytes) = (0, 0);
    while let Some(header) = bytes.get(messages_bytes..).and_then(|left| left.first_chunk())
        && header[0] == COPY_DATA
        && let Some(message) = message_bytes(*header)
        && message <= bytes.len() - messages_bytes
        && data_bytes + message - HEADER_BYTES <= room
    {
        messages_bytes += message;
        data_bytes += message - HEADER_BYTES;
    }
    (messages_bytes, data_bytes)
}

impl<S: AsyncRead + Unpin> AsyncRead for Merged<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buffer.remaining() > 0 && !this.hand_on(buffer) {
            // At most a header that has come in part is left.
            this.come.copy_within(this.taken..this.end, 0);
            this.end -= this.taken;
            this.taken = 0;
            let mut read = ReadBuf::new(&mut this.come[this.end..]);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            let bytes = read.filled().len();
            this.end += bytes;
            if bytes == 0 {
                // The end. What was begun is handed on, so that it is missed there and not here.
                this.rest_bytes = this.end;
                this.hand_on(buffer);
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Merged<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Merges the messages of connections that `inner` encrypts.
#[derive(Clone)]
pub struct MergedTls<T>(pub T);

impl<S, T: MakeTlsConnect<S>> MakeTlsConnect<S> for MergedTls<T> {
    type Stream = Merged<T::Stream>;
    type TlsConnect = MergedTls<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, Self::Error> {
        self.0.make_tls_connect(domain).map(MergedTls)
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for MergedTls<T> {
    type Stream = Merged<T::Stream>;
    type Error = T::Error;
    type Future = MapOk<T::Future, fn(T::Stream) -> Merged<T::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        self.0.connect(stream).map_ok(|stream| Merged::new(stream, TlsStream::channel_binding))
    }
}

/// Merges the messages of connections that are not encrypted: to `tokio-postgres` it is an encryption that
/// begins at once and does nothing.
#[derive(Clone, Copy)]
pub struct MergedPlain;

impl MakeTlsConnect<Socket> for MergedPlain {
    type Stream = Merged<Socket>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(Self)
    }
}

impl TlsConnect<Socket> for MergedPlain {
    type Stream = Merged<Socket>;
    type Error = io::Error;
    type Future = Ready<io::Result<Merged<Socket>>>;

    fn connect(self, stream: Socket) -> Self::Future {
        ready(Ok(Merged::plain(stream)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Merged<S> {
    fn channel_binding(&self) -> ChannelBinding {
        (self.channel_binding)(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A stream on which bytes come in these pieces.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.front_mut() {
                let bytes = piece.len().min(buffer.remaining());
                buffer.put_slice(&piece[..bytes]);
                piece.drain(..bytes);
                if piece.is_empty() {
                    self.0.pop_front();
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    type Messages = Vec<(u8, Vec<u8>)>;

    fn written(messages: &Messages) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, data) in messages {
            bytes.push(*kind);
            bytes.extend(u32::try_from(data.len() + 4).unwrap().to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    fn read(mut bytes: &[u8]) -> Messages {
        let mut messages = Vec::new();
        while let Some((header, after)) = bytes.split_first_chunk() {
            let (data, next) = after.split_at(message_bytes(*header).unwrap() - HEADER_BYTES);
            messages.push((header[0], data.to_vec()));
            bytes = next;
        }
        assert_eq!(bytes, b"", "whole messages");
        messages
    }

    /// The same with neighbouring `CopyData` as one.
    fn merged(messages: Messages) -> Messages {
        let mut merged: Messages = Vec::new();
        for (kind, data) in messages {
            match merged.last_mut() {
                Some((COPY_DATA, before)) if kind == COPY_DATA => before.extend(data),
                _ => merged.push((kind, data)),
            }
        }
        merged
    }

    /// What comes out of a stream that is read `read_bytes` at a time.
    fn through(bytes: &[u8], cuts: &[usize], read_bytes: usize) -> Vec<u8> {
        let mut pieces = VecDeque::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            if cut > from && cut <= bytes.len() {
                pieces.push_back(bytes[from..cut].to_vec());
                from = cut;
            }
        }
        let mut stream = Merged::plain(Pieces(pieces));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let (mut all, mut some) = (Vec::new(), vec![0; read_bytes]);
            loop {
                match stream.read(&mut some).await.unwrap() {
                    0 => return all,
                    bytes => all.extend_from_slice(&some[..bytes]),
                }
            }
        })
    }

    proptest! {
        #[test]
        fn every_message_passes_however_the_bytes_arrive(
            messages in prop::collection::vec(
                (prop::sample::select(b"dddTCZ".to_vec()), prop::collection::vec(any::<u8>(), 0..60)),
                0..12,
            ),
            mut cuts in prop::collection::vec(0_usize..600, 0..9),
            read_bytes in 1_usize..300,
        ) {
            cuts.sort_unstable();
            let passed = read(&through(&written(&messages), &cuts, read_bytes));
            prop_assert!(passed.len() <= messages.len());
            prop_assert_eq!(merged(passed), merged(messages));
        }

        #[test]
        fn what_is_no_message_passes_as_it_is(bytes: Vec<u8>, read_bytes in 1_usize..300) {
            // Merging only ever takes headers away.
            prop_assert!(through(&bytes, &[], read_bytes).len() <= bytes.len());
        }
    }

    #[test]
    fn rows_that_have_come_together_are_one_message_of_their_bytes() {
        let row = |number: u8| (COPY_DATA, vec![number; 40]);
        let messages: Messages = (0..100).map(row).collect();
        let passed = read(&through(&written(&messages), &[], 8192));
        assert_eq!(passed.len(), 1);
        assert_eq!(passed[0].1.len(), 4000);
    }

    #[test]
    fn an_end_in_the_middle_of_a_message_is_handed_on() {
        let bytes = written(&vec![(b'T', vec![1; 20])]);
        for end in 0..bytes.len() {
            assert_eq!(through(&bytes[..end], &[], 64), &bytes[..end]);
        }
        let bytes = written(&vec![(COPY_DATA, vec![1; 20])]);
        for end in 0..bytes.len() {
            assert_eq!(through(&bytes[..end], &[], 64), &bytes[..end]);
        }
    }
}
