//! What a failed request means.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::super::{ConnectionProblem, StoreError};
use super::place::Place;
use crate::base::clock::{Clock, SystemClock};

/// What was asked: for whom the permission is, and on what.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) place: &'a Place,
    /// The permission that it needs, `s3:PutObject`.
    pub(super) action: &'static str,
    /// The object, or the prefix of a list.
    pub(super) name: &'a str,
}

/// What matters of a service's refusal, whatever was asked.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    message: String,
    region: Option<String>,
    date: Option<String>,
    /// How long the service asks to wait.
    pub(super) retry_after: Option<Duration>,
    body: String,
    /// Its body did not come whole.
    broke_off: bool,
    /// Nothing but a status came: no S3 service answers so.
    bare: bool,
}

impl Refusal {
    /// The refusal in an error, if the service answered at all.
    pub(super) fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Self> {
        let response = error.raw_response()?;
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        Some(Self {
            broke_off: response.body().bytes().is_none(),
            bare: response.headers().iter().next().is_none(),
            status: response.status().as_u16(),
            code: error.code().unwrap_or_default().to_owned(),
            message: error.message().unwrap_or_default().to_owned(),
            region: header("x-amz-bucket-region"),
            retry_after: header("retry-after").and_then(|told| wait_of(&told)),
            date: header("date"),
            body: response.body().bytes().map_or_else(String::new, |bytes| {
                String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned()
            }),
        })
    }

    /// The service's words.
    fn said(&self) -> String {
        match (self.code.as_str(), self.message.as_str()) {
            ("", _) => format!("HTTP status {}", self.status),
            (code, "") => format!("{code}, HTTP status {}", self.status),
            (code, message) => {
                format!("{code}: {}, HTTP status {}", message.trim_end_matches('.'), self.status)
            }
        }
    }

    /// The service does not know what was asked for.
    pub(super) fn is_not_implemented(&self) -> bool {
        self.status == 501
            || matches!(self.code.as_str(), "NotImplemented" | "UnsupportedOperation")
    }

    /// The service may have refused the request for a header that it could do without.
    pub(super) fn may_be_about_a_header(&self) -> bool {
        self.is_not_implemented()
            || self.status == 400
                && matches!(
                    self.code.as_str(),
                    "" | "BadRequest"
                        | "InvalidArgument"
                        | "InvalidRequest"
                        | "NotSupported"
                        | "UnexpectedParameter"
                        | "UnsupportedHeader"
                )
    }

    /// Credentials that were good have run out.
    pub(super) fn is_about_expiry(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired"
        )
    }

    /// Whether its words name a header, or a part of one's name.
    pub(super) fn names(&self, header: &str) -> bool {
        self.message.to_ascii_lowercase().contains(header)
    }
}

/// Why a request failed, if the reason passes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// Nobody answers.
    Away,
    /// The service answers that it cannot now.
    Busy,
    /// What was sent arrived changed, or what came back cannot be understood.
    Garbled,
}

/// Whether the reason of a failure passes.
pub(super) fn passing<E>(error: &SdkError<E, HttpResponse>) -> Option<Passing>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => Some(Passing::Away),
        SdkError::DispatchFailure(cause) => {
            let connector = cause.as_connector_error()?;
            let lasting = connector.is_user()
                || find::<rustls::Error>(connector).is_some()
                || is_about_credentials(connector)
                || text_of(connector).contains("invalid HTTP version");
            (!lasting).then_some(Passing::Away)
        }
        SdkError::ResponseError(_) | SdkError::ServiceError(_) => {
            let refusal = Refusal::of(error)?;
            match (refusal.code.as_str(), refusal.status) {
                (code, _) if is_full(code) => None,
                (
                    "BadDigest"
                    | "XAmzContentSHA256Mismatch"
                    | "XAmzContentChecksumMismatch"
                    | "IncompleteBody",
                    _,
                ) => Some(Passing::Garbled),
                // What broke off is asked for again; what came whole and says nothing is an answer.
                ("", 200..=299) => refusal.broke_off.then_some(Passing::Garbled),
                (
                    "OperationAborted"
                    | "RequestTimeout"
                    | "RequestTimeoutException"
                    | "InternalError"
                    | "ServiceUnavailable"
                    | "SlowDown"
                    | "SlowDownRead"
                    | "SlowDownWrite"
                    | "Throttling"
                    | "ThrottlingException"
                    | "ThrottledException"
                    | "RequestThrottled"
                    | "RequestThrottledException"
                    | "RequestLimitExceeded"
                    | "BandwidthLimitExceeded"
                    | "LimitExceededException"
                    | "TooManyRequests"
                    | "TooManyRequestsException"
                    | "PriorRequestNotComplete"
                    | "TransactionInProgressException"
                    | "Busy"
                    | "ServerBusy",
                    _,
                )
                | (_, 408 | 425 | 429 | 500 | 502..=504 | 520..=524 | 529) => Some(Passing::Busy),
                _ => None,
            }
        }
        _ => None,
    }
}

/// One sentence about a failure that may pass.
pub(super) fn failure_of_connection<E>(place: &Place, error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => {
            failure(Asked { place, action: "", name: "" }, error).to_string()
        }
        _ => {
            let said = Refusal::of(error).map_or_else(|| text_of(error), |refusal| refusal.said());
            format!("the store {} cannot do it now ({said})", place.location())
        }
    }
}

fn is_full(code: &str) -> bool {
    matches!(code, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "XMinioDiskFull")
}

/// What `Retry-After` says: seconds, or a date.
fn wait_of(told: &str) -> Option<Duration> {
    if let Ok(seconds) = told.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = chrono::DateTime::parse_from_rfc2822(told.trim()).ok()?;
    let wait = until.signed_duration_since(SystemClock.now());
    Some(wait.to_std().unwrap_or_default())
}

/// A failed request as a store's error.
pub(super) fn failure<E>(asked: Asked<'_>, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let location = asked.place.location();
    let name = asked.name.to_owned();
    let io = |text: String| StoreError::Io {
        location: location.clone(),
        name: name.clone(),
        source: io::Error::other(text),
    };
    match error {
        SdkError::TimeoutError(_) => StoreError::Connection {
            problem: ConnectionProblem::Silent { host: host(asked.place) },
            location,
        },
        SdkError::DispatchFailure(cause) => match cause.as_connector_error() {
            Some(connector) => dispatch(asked, connector),
            None => io(text_of(error)),
        },
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => match Refusal::of(error) {
            Some(refusal) => refused(asked, refusal, &text_of(error)),
            None => io(text_of(error)),
        },
        _ if is_about_credentials(error) => {
            StoreError::Credentials { location, reason: text_of(error) }
        }
        _ => io(text_of(error)),
    }
}

fn refused(asked: Asked<'_>, refusal: Refusal, text: &str) -> StoreError {
    let location = asked.place.location();
    let name = asked.name.to_owned();
    let said = refusal.said();
    let source = || io::Error::other(said.clone());
    match (refusal.code.as_str(), refusal.status) {
        _ if refusal.is_about_expiry() => StoreError::CredentialsExpired { location, reason: said },
        ("NoSuchBucket", _) => StoreError::NoBucket { location },
        ("NoSuchKey" | "NoSuchVersion" | "NotFound", _) | ("", 404) => {
            StoreError::NotFound { location, name }
        }
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "InvalidClientTokenId"
            | "AuthFailure"
            | "Unauthorized",
            _,
        )
        | ("", 401) => StoreError::Credentials { location, reason: said },
        ("InvalidObjectState", _) => StoreError::Archived { location, name },
        (_, 413) | ("EntityTooLarge" | "MaxMessageLengthExceeded", _) => StoreError::TooLarge {
            location,
            name,
            part_mib: asked.place.settings.part_bytes >> 20,
            source: source(),
        },
        ("RequestTimeTooSkewed", _) => StoreError::ClockSkew { location, said: refusal.date },
        ("PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException", _)
        | ("", 301 | 307) => StoreError::WrongRegion { location, region: refusal.region },
        ("AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError", _)
            if refusal.message.contains("region") || refusal.message.contains("scope") =>
        {
            let named = refusal.message.split("expecting '").nth(1);
            let named = named.and_then(|rest| rest.split('\'').next()).map(str::to_owned);
            StoreError::WrongRegion { location, region: refusal.region.or(named) }
        }
        (code, _) if is_full(code) => StoreError::Full { location, name, source: source() },
        (_, 507) => StoreError::Full { location, name, source: source() },
        (_, 407) => StoreError::Connection {
            problem: ConnectionProblem::Proxy {
                proxy: proxy(asked.place).unwrap_or_else(|| "of the environment".to_owned()),
                host: host(asked.place),
                reason: "it wants to know who asks".to_owned(),
            },
            location,
        },
        (_, 403) => StoreError::Denied { location, name, action: asked.action },
        // Go's server hangs up so soon that its words may be lost on the way.
        (_, 400 | 426)
            if !is_tls(asked.place) && (refusal.bare || speaks_of_tls(&refusal.body)) =>
        {
            StoreError::Connection {
                problem: ConnectionProblem::TlsWanted { host: host(asked.place) },
                location,
            }
        }
        ("", 200..=299) => {
            StoreError::Io { location, name, source: io::Error::other(text.to_owned()) }
        }
        _ => StoreError::Io { location, name, source: source() },
    }
}

/// What Go's, nginx's and Apache's servers say to plain HTTP on a port of TLS.
fn speaks_of_tls(body: &str) -> bool {
    ["HTTP request to an HTTPS server", "HTTP request was sent to HTTPS port", "SSL-enabled server"]
        .iter()
        .any(|said| body.contains(said))
}

fn dispatch(asked: Asked<'_>, error: &aws_sdk_s3::error::ConnectorError) -> StoreError {
    let location = asked.place.location();
    let host = host(asked.place);
    let text = text_of(error);
    if is_about_credentials(error) {
        return StoreError::Credentials { location, reason: text };
    }
    let problem = if let Some(certificate) = find::<rustls::Error>(error) {
        match certificate {
            rustls::Error::InvalidMessage(_) => ConnectionProblem::NoTls { host },
            other => ConnectionProblem::Certificate { host, reason: other.to_string() },
        }
    } else if text.contains("invalid HTTP version") && !is_tls(asked.place) {
        // The answer was a TLS alert.
        ConnectionProblem::TlsWanted { host }
    } else if let Some(proxy) = proxy(asked.place) {
        ConnectionProblem::Proxy { proxy, host, reason: innermost(error) }
    } else if error.is_timeout() {
        ConnectionProblem::Silent { host }
    } else if text.contains("dns error") || text.contains("failed to lookup address") {
        ConnectionProblem::UnknownHost { host }
    } else {
        ConnectionProblem::Refused { host, reason: innermost(error) }
    };
    StoreError::Connection { location, problem }
}

fn is_tls(place: &Place) -> bool {
    place.settings.endpoint.as_ref().is_none_or(|endpoint| endpoint.tls)
}

/// The host that is asked, as far as the URL tells.
fn host(place: &Place) -> String {
    match &place.settings.endpoint {
        Some(endpoint) => {
            let host = endpoint.url.split_once("://").map_or(endpoint.url.as_str(), |(_, at)| at);
            let host = host.split('/').next().unwrap_or_default();
            let bucket = format!("{}.", place.bucket);
            format!("{}{host}", if place.settings.path_style { "" } else { &bucket })
        }
        None => "the service".to_owned(),
    }
}

/// The proxy that the environment names for the service, without its credentials.
fn proxy(place: &Place) -> Option<String> {
    named_proxy(place).map(|(_, proxy)| proxy)
}

/// A proxy of the environment that speaks SOCKS, which nothing here does.
pub(super) fn socks_proxy(place: &Place) -> Option<String> {
    named_proxy(place).filter(|(scheme, _)| scheme.starts_with("socks")).map(|(_, proxy)| proxy)
}

/// The scheme and the address of the proxy that the environment names for the service.
fn named_proxy(place: &Place) -> Option<(String, String)> {
    let aws = || format!("https://{}.s3.amazonaws.com", place.bucket);
    let url = place.settings.endpoint.as_ref().map_or_else(aws, |endpoint| endpoint.url.clone());
    let used = hyper_util::client::proxy::matcher::Matcher::from_env();
    let proxy = used.intercept(&url.parse().ok()?)?;
    let scheme = proxy.uri().scheme_str().unwrap_or_default().to_lowercase();
    let authority = proxy.uri().authority()?.as_str();
    let address = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Some((scheme, address.to_owned()))
}

fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    let text = text_of(error).to_lowercase();
    text.contains("credential") || text.contains("identity")
}

/// All sentences of an error and its causes, each once.
pub(super) fn text_of(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let said = cause.to_string();
        if !said.is_empty() && !text.contains(&said) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{separator}{said}");
        }
    }
    text
}

/// The last cause, which says what happened; those above it say where.
fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    causes(error).into_iter().find_map(|cause| cause.downcast_ref())
}

/// An error and its causes. An [`io::Error`] hides the one that it was made of from `source`.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut all = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        all.push(cause);
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(made_of) => Some(made_of),
            None => cause.source(),
        };
    }
    all
}
