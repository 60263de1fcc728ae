//! Bytes on their way and their SHA-256, which is computed once: the request is signed with it, and
//! it goes in a header of its own, so that the service keeps it and checks it.

use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use crate::base::digest;
use crate::base::ids::Digest;

/// An object or a part of one, as it is sent.
#[derive(Clone)]
pub(super) struct Summed {
    bytes: Bytes,
    sha256: Digest,
}

impl Summed {
    pub(super) fn new(bytes: Bytes) -> Self {
        let sha256 = digest::sha256(&bytes);
        Self { bytes, sha256 }
    }

    /// Bytes whose sum is known.
    pub(super) fn known(bytes: Bytes, sha256: Digest) -> Self {
        Self { bytes, sha256 }
    }

    pub(super) fn sum(&self) -> Digest {
        self.sha256
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn body(&self) -> ByteStream {
        ByteStream::from(self.bytes.clone())
    }

    /// The value of `x-amz-checksum-sha256`.
    pub(super) fn header(&self) -> String {
        aws_smithy_types::base64::encode(self.sha256.0)
    }

    /// Signs the request with this sum instead of computing it again.
    pub(super) fn signature(&self) -> SignedSum {
        SignedSum(hex::encode(self.sha256.0))
    }
}

/// The sum that a request is signed with.
#[derive(Debug)]
pub(super) struct SignedSum(String);

impl Intercept for SignedSum {
    fn name(&self) -> &'static str {
        "the sum that was computed before"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_has_both_spellings() {
        let nothing = Summed::new(Bytes::new());
        assert_eq!(nothing.header(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(
            nothing.signature().0,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
