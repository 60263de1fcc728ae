//! The client: who asks, over which connection, and how long it waits for an answer.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::shared::IntoShared;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::StoreError;
use super::failure::{socks_proxy, text_of};
use super::place::Place;

/// The region that requests are signed for where an endpoint is given and no region.
const REGION_OF_ENDPOINTS: &str = "us-east-1";
/// How long a connection may take, in seconds.
const CONNECT_SECONDS_MAX: u64 = 10;
/// How long nothing may move in a body before the connection counts as dead, in seconds.
const STALLED_SECONDS_MAX: u64 = 20;
/// Finds credentials and region, and makes the client. Nothing is asked of the bucket yet.
pub(super) async fn connect(place: &Place) -> Result<Client, StoreError> {
    let settings = &place.settings;
    let location = || place.location();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX).min(settings.timeout))
        .read_timeout(settings.timeout)
        .build();
    if let Some(proxy) = socks_proxy(place) {
        let reason = format!(
            "the environment names the SOCKS proxy {proxy}, and only HTTP proxies can be used; \
             NO_PROXY can name the host"
        );
        return Err(StoreError::Unsupported { location: location(), reason });
    }
    let over_tls = over_tls(place)?;
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(over_tls.clone())
        .timeout_config(timeouts)
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .grace_period(Duration::from_secs(STALLED_SECONDS_MAX))
                .build(),
        )
        // A wrong clock is told, not worked around: retention dates stand on it.
        .disable_clock_skew_correction(true)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if settings.profile.is_some() || settings.credentials.is_some() {
        loader = named_profile(loader, place, over_tls);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    } else if settings.endpoint.is_some() {
        // The usual chain would ask Amazon's own machines, which are not in question here.
        let environment = EnvironmentVariableRegionProvider::new();
        let mut file = ProfileFileRegionProvider::builder();
        if let Some(profile) = &settings.profile {
            file = file.profile_name(profile);
        }
        let chain = RegionProviderChain::first_try(environment)
            .or_else(file.build())
            .or_else(Region::from_static(REGION_OF_ENDPOINTS));
        loader = loader.region(chain);
    }
    let found = loader.load().await;

    let Some(region) = found.region().cloned() else {
        return Err(StoreError::Unsupported {
            location: location(),
            reason: "no region is given, in its URL or anywhere else".to_owned(),
        });
    };
    let Some(credentials) = found.credentials_provider() else {
        return Err(StoreError::Credentials { location: location(), reason: "none".to_owned() });
    };
    if let Err(error) = credentials.provide_credentials().await {
        let reason = format!("none could be loaded ({})", one_line(&text_of(&error)));
        return Err(StoreError::Credentials { location: location(), reason });
    }
    let mut config = aws_sdk_s3::config::Builder::from(&found)
        .region(region)
        .force_path_style(settings.path_style)
        // `patience` sends again what passes.
        .retry_config(RetryConfig::disabled());
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(&endpoint.url);
        if !endpoint.tls {
            // No certificates are needed for it, and some machines have none.
            config = config.http_client(in_the_clear(place));
        }
    }
    Ok(Client::from_conf(config.build()))
}

/// What the URL names comes before what the environment holds.
fn named_profile(
    mut loader: ConfigLoader,
    place: &Place,
    over_tls: SharedHttpClient,
) -> ConfigLoader {
    let settings = &place.settings;
    let mut files = EnvConfigFiles::builder().include_default_config_file(true);
    files = match &settings.credentials {
        Some(file) => files.with_file(EnvConfigFileKind::Credentials, file),
        None => files.include_default_credentials_file(true),
    };
    let files = files.build();
    let source = ProviderConfig::default().with_http_client(over_tls);
    let mut credentials =
        ProfileFileCredentialsProvider::builder().configure(&source).profile_files(files.clone());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
        credentials = credentials.profile_name(profile);
    }
    loader.profile_files(files).credentials_provider(credentials.build())
}

fn connector_settings(place: &Place) -> HttpConnectorSettings {
    let timeout = place.settings.timeout;
    HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX).min(timeout))
        .read_timeout(timeout)
        .build()
}

fn in_the_clear(place: &Place) -> SharedHttpClient {
    let connector = Connector::builder()
        .connector_settings(connector_settings(place))
        .proxy_config(ProxyConfig::from_env())
        .build_http();
    shared(connector)
}

fn over_tls(place: &Place) -> Result<SharedHttpClient, StoreError> {
    let unsupported =
        |reason: String| StoreError::Unsupported { location: place.location(), reason };
    // The library takes at least one certificate of the system's for granted.
    let native = !rustls_native_certs::load_native_certs().certs.is_empty();
    let mut trust = TrustStore::empty().with_native_roots(native);
    if let Some(file) = &place.settings.ca {
        let named = file.display();
        let pem = std::fs::read(file)
            .map_err(|error| unsupported(format!("its `ca` {named} cannot be read: {error}")))?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        if certificates.is_ok_and(|certificates| certificates.is_empty()) {
            return Err(unsupported(format!("its `ca` {named} holds no certificate in PEM form")));
        }
        trust = trust.with_pem_certificate(pem);
    }
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| unsupported(text_of(&error)))?;
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .connector_settings(connector_settings(place))
        .proxy_config(ProxyConfig::from_env())
        .build();
    Ok(shared(connector))
}

fn shared(connector: Connector) -> SharedHttpClient {
    let connector: SharedHttpConnector = connector.into_shared();
    http_client_fn(move |_, _| connector.clone())
}

/// What the chain of places says that was searched in vain, a place a line, as a part of a sentence.
fn one_line(text: &str) -> String {
    let Some((said, places)) = text.split_once(". Attempted:") else { return text.to_owned() };
    let places = places.lines().filter_map(|line| line.split(':').next()).map(str::trim);
    let places: Vec<_> = places.filter(|place| !place.is_empty()).collect();
    format!("{said}; looked for in {}", places.join(", "))
}
