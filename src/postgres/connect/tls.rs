//! Encryption of a connection by rustls, per `sslmode` as libpq means it.
//!
//! Two things differ from rustls' own verifier, both as in libpq: `require` without root
//! certificates encrypts and verifies nothing, and a server certificate that is itself one of the
//! given root certificates is trusted (a self-signed server certificate that was handed out).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{ConnectionSettings, RootCertificates, SslMode};
use crate::postgres::error::PostgresError;

/// The connector for these settings.
pub(in crate::postgres) fn connector(
    settings: &ConnectionSettings,
) -> Result<MakeRustlsConnect, PostgresError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failure(settings, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                certificates(certificate)?,
                PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?,
            )
            .map_err(|error| failure(settings, &error))?,
    };
    // PostgreSQL 17 and newer want its name where ALPN is used at all; older ones ignore it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

fn verifier(
    settings: &ConnectionSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Verifier, PostgresError> {
    let default_file = std::env::home_dir()
        .map(|home| home.join(".postgresql/root.crt"))
        .filter(|path| path.is_file())
        .map(RootCertificates::File);
    let source = settings.root_certificates.clone().or(default_file);
    let must_verify = matches!(settings.ssl_mode, SslMode::VerifyCa | SslMode::VerifyFull);
    let may_verify = must_verify || settings.ssl_mode == SslMode::Require;
    let mut pinned = Vec::new();
    let mut roots = RootCertStore::empty();
    match source.filter(|_| may_verify) {
        None if must_verify => {
            return Err(PostgresError::CertificateFile {
                path: "~/.postgresql/root.crt".to_owned(),
                reason: "it is not there, and the URL has no `sslrootcert`".to_owned(),
            });
        }
        None => {}
        Some(RootCertificates::System) => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(RootCertificates::File(path)) => {
            pinned = certificates(&path)?;
            roots.add_parsable_certificates(pinned.iter().cloned());
        }
    }
    let chain = if roots.is_empty() {
        if may_verify && (must_verify || !pinned.is_empty()) {
            return Err(PostgresError::Tls {
                target: settings.redacted(),
                reason: "no usable root certificate was found".to_owned(),
            });
        }
        None
    } else {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| failure(settings, &error))?;
        Some(verifier)
    };
    Ok(Verifier {
        chain,
        pinned,
        host_name: settings.ssl_mode == SslMode::VerifyFull,
        provider: Arc::clone(provider),
    })
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))?;
    if all.is_empty() {
        return Err(unusable(path, &"it holds no PEM certificate"));
    }
    Ok(all)
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> PostgresError {
    PostgresError::CertificateFile { path: path.display().to_string(), reason: reason.to_string() }
}

fn failure(settings: &ConnectionSettings, error: &dyn std::fmt::Display) -> PostgresError {
    PostgresError::Tls { target: settings.redacted(), reason: error.to_string() }
}

/// Checks a server's certificate as far as `sslmode` asks.
#[derive(Debug)]
struct Verifier {
    /// The check of the chain; `None` checks nothing.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the root file, trusted also when the server shows one as its own.
    pinned: Vec<CertificateDer<'static>>,
    /// Whether the host's name must be in the certificate.
    host_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let outcome =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match outcome {
            // webpki checks the dates first, so this certificate is within them. The host's name is
            // then still to be checked.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string() == "CaUsedAsEndEntity"
                    && self.pinned.iter().any(|root| root.as_ref() == end_entity.as_ref()) =>
            {
                if self.host_name {
                    let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
                    rustls::client::verify_server_name(&parsed, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            // The chain was found good before the name was looked at.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.host_name => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
