//! A response body that hands out shared bytes slice by slice.
//!
//! The web server copies what a body yields into a buffer of the connection. Given a whole body at once, it copies all of
//! it, and a client that never reads holds that copy. Slices keep the copy to a few dozen KiB, whatever the size of the body.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};

/// Bytes per slice.
const SLICE_BYTES: usize = 8 * 1024;
/// Up to this size a body is sent in one piece.
pub const MAX_WHOLE_BYTES: usize = 32 * 1024;

/// The bytes not sent yet.
pub struct SlicedBody(Bytes);

impl SlicedBody {
    /// Shares `bytes`: cloned `Bytes` are the same memory.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl MessageBody for SlicedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.0.len().min(SLICE_BYTES);
        Poll::Ready((length > 0).then(|| Ok(self.0.split_to(length))))
    }

    fn try_into_bytes(self) -> Result<Bytes, Self> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    #[actix_web::test]
    async fn the_slices_are_the_bytes_and_share_their_memory() {
        let bytes = Bytes::from((0..20_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        let mut body = pin!(SlicedBody::new(bytes.clone()));
        assert_eq!(body.size(), BodySize::Sized(80_000));
        let mut offset = 0;
        while let Some(Ok(slice)) = poll_fn(|context| body.as_mut().poll_next(context)).await {
            assert!(slice.len() <= SLICE_BYTES);
            let expected = bytes.slice(offset..offset + slice.len());
            assert_eq!((slice.as_ptr(), slice.len()), (expected.as_ptr(), expected.len()));
            offset += slice.len();
        }
        assert_eq!(offset, bytes.len());
    }
}
