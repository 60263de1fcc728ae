//! An S3 store's URL: `s3://bucket/prefix?parameter=value&…`, checked once and completely.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::url::{percent_decoded, without_credentials};
use super::super::{ObjectName, RetentionMode, StoreError};

crate::words! {
    /// The parameters of a URL.
    Parameter, "parameter of an S3 store",
    /// `http://` or `https://`, host and port.
    Endpoint = "endpoint",
    /// The region that requests are signed for.
    Region = "region",
    /// The profile of the AWS configuration files, before all other places of credentials.
    Profile = "profile",
    /// A credentials file in AWS's form, instead of the usual one and before all other places.
    Credentials = "credentials",
    /// The bucket in the path instead of the host's name.
    PathStyle = "path_style",
    /// A PEM file of certificates to trust besides the system's.
    Ca = "ca",
    /// The storage class of what is written.
    StorageClass = "storage_class",
    /// Encryption by the service.
    Sse = "sse",
    /// The key of the service's key management.
    SseKmsKey = "sse_kms_key",
    /// Both directions together, in MiB per second.
    BandwidthMib = "bandwidth_mib",
    /// The mode of the retention of what is written.
    Lock = "lock",
    /// The length of that retention, in days.
    LockDays = "lock_days",
    /// A legal hold on what is written.
    LegalHold = "legal_hold",
    /// The length of a part, in MiB.
    PartMib = "part_mib",
    /// How many parts are under way at once.
    Parallel = "parallel",
    /// How often a request is tried at most, besides [`Self::PatienceSeconds`].
    Attempts = "attempts",
    /// How long a request is tried again that fails for a reason that passes, in seconds.
    PatienceSeconds = "patience_seconds",
    /// How long an answer may take, in seconds.
    TimeoutSeconds = "timeout_seconds",
    /// How old an unfinished upload of another process is before it counts as left behind.
    LeftoverHours = "leftover_hours",
}

/// The longest prefix, in bytes: with a `/` and the longest object name it is S3's longest key.
const PREFIX_BYTES_MAX: usize = 1024 - ObjectName::BYTES_MAX - 1;

/// How long a request is tried again that fails for a reason that passes, in seconds.
const PATIENCE_SECONDS: u32 = 300;

/// Where objects lie, and how they are written and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: String,
    /// Before every key; empty, or ends with `/`.
    pub(super) prefix: String,
    pub(super) settings: Settings,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) credentials: Option<PathBuf>,
    pub(super) path_style: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) storage_class: Option<String>,
    pub(super) sse: Option<String>,
    pub(super) sse_kms_key: Option<String>,
    pub(super) bandwidth_bytes_per_second: Option<u64>,
    pub(super) retention: Option<(RetentionMode, u32)>,
    pub(super) legal_hold: bool,
    pub(super) part_bytes: usize,
    pub(super) parallel: usize,
    pub(super) attempts: Option<u32>,
    pub(super) patience: Duration,
    pub(super) timeout: Duration,
    pub(super) leftover_age: Duration,
}

/// The service's address: scheme, host, port, and a path where the service has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) tls: bool,
}

impl Place {
    /// The store as a person names it.
    pub(super) fn location(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }

    /// An object's key.
    pub(super) fn key(&self, name: &ObjectName) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The name of the object with that key, if it can be one.
    pub(super) fn name(&self, key: &str) -> Option<ObjectName> {
        key.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// Reads what stands after `s3://`.
    pub(super) fn parse(url: &str, rest: &str) -> Result<Self, StoreError> {
        let parsed = || {
            let (path, query) =
                rest.split_once('?').map_or((rest, ""), |(path, query)| (path, query));
            if rest.contains('#') {
                return Err("a `#` must be written as %23".to_owned());
            }
            if path.contains('@') {
                return Err("credentials do not belong into a URL; name a profile instead".into());
            }
            let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
            Ok(Self {
                bucket: checked_bucket(bucket)?,
                prefix: checked_prefix(prefix)?,
                settings: Settings::parse(query)?,
            })
        };
        parsed().map_err(|reason: String| StoreError::Unsupported {
            location: without_credentials(url),
            reason,
        })
    }
}

fn checked_bucket(bucket: &str) -> Result<String, String> {
    let fitting = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() {
        return Err("it names no bucket, as in s3://bucket/prefix".to_owned());
    }
    if bucket.len() > 255 || !bucket.chars().all(fitting) {
        return Err(format!("`{}` cannot name a bucket", bucket.escape_debug()));
    }
    Ok(bucket.to_owned())
}

fn checked_prefix(prefix: &str) -> Result<String, String> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        return Ok(String::new());
    }
    let prefix = percent_decoded(prefix).ok_or("the percent-encoding of its prefix is wrong")?;
    let name: ObjectName =
        prefix.parse().map_err(|error| format!("its prefix is wrong: {error}"))?;
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err(format!("its prefix is longer than {PREFIX_BYTES_MAX} bytes"));
    }
    Ok(format!("{name}/"))
}

/// The parameters that were given, by name.
struct Given(BTreeMap<Parameter, String>);

impl Given {
    fn parse(query: &str) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("its parameter `{}` has no value", pair.escape_debug()))?;
            let parameter = name.parse().map_err(|_| unknown(name))?;
            let value = percent_decoded(value).ok_or_else(|| {
                format!("the percent-encoding of its parameter `{name}` is wrong")
            })?;
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(format!(
                    "its parameter `{name}` is empty or holds a control character"
                ));
            }
            if given.insert(parameter, value).is_some() {
                return Err(format!("its parameter `{name}` is given twice"));
            }
        }
        Ok(Self(given))
    }

    fn text(&mut self, parameter: Parameter) -> Option<String> {
        self.0.remove(&parameter)
    }

    fn flag(&mut self, parameter: Parameter, otherwise: bool) -> Result<bool, String> {
        match self.text(parameter).as_deref() {
            None => Ok(otherwise),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(format!("its parameter `{parameter}` must be `true` or `false`")),
        }
    }

    fn number(
        &mut self,
        parameter: Parameter,
        allowed: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, String> {
        let Some(text) = self.text(parameter) else { return Ok(None) };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => Err(format!(
                "its parameter `{parameter}` must be a number from {} to {}",
                allowed.start(),
                allowed.end()
            )),
        }
    }
}

fn unknown(name: &str) -> String {
    let distance = |known: &&Parameter| strsim::damerau_levenshtein(name, known.as_str());
    let nearest = Parameter::ALL.iter().min_by_key(distance).map_or("", |known| known.as_str());
    format!("there is no parameter `{}`; the nearest is `{nearest}`", name.escape_debug())
}

impl Settings {
    fn parse(query: &str) -> Result<Self, String> {
        let mut given = Given::parse(query)?;
        let endpoint =
            given.text(Parameter::Endpoint).map(|url| Endpoint::parse(&url)).transpose()?;
        let path_style = given.flag(Parameter::PathStyle, endpoint.is_some())?;
        let storage_class = given.text(Parameter::StorageClass);
        if let Some(class @ ("GLACIER" | "DEEP_ARCHIVE")) = storage_class.as_deref() {
            return Err(format!("objects of the storage class {class} cannot be read at once"));
        }
        let (sse, sse_kms_key) = encryption(&mut given)?;
        let lock = given.text(Parameter::Lock);
        let days = given.number(Parameter::LockDays, 1..=36_500)?;
        let retention = match (lock, days) {
            (None, None) => None,
            (Some(mode), Some(days)) => Some((
                mode.parse()
                    .map_err(|_| "its parameter `lock` must be `governance` or `compliance`")?,
                days,
            )),
            _ => return Err("its parameters `lock` and `lock_days` need one another".to_owned()),
        };
        let mib = |mib: u32| u64::from(mib) << 20;
        let part_mib = given.number(Parameter::PartMib, 5..=512)?.unwrap_or(8);
        Ok(Self {
            path_style,
            endpoint,
            region: given.text(Parameter::Region),
            profile: given.text(Parameter::Profile),
            credentials: given.text(Parameter::Credentials).map(PathBuf::from),
            ca: given.text(Parameter::Ca).map(PathBuf::from),
            storage_class,
            sse,
            sse_kms_key,
            bandwidth_bytes_per_second: given
                .number(Parameter::BandwidthMib, 1..=100_000)?
                .map(mib),
            retention,
            legal_hold: given.flag(Parameter::LegalHold, false)?,
            part_bytes: (part_mib as usize) << 20,
            parallel: given.number(Parameter::Parallel, 1..=64)?.unwrap_or(4) as usize,
            attempts: given.number(Parameter::Attempts, 1..=1000)?,
            patience: Duration::from_secs(
                given
                    .number(Parameter::PatienceSeconds, 0..=86_400)?
                    .unwrap_or(PATIENCE_SECONDS)
                    .into(),
            ),
            timeout: Duration::from_secs(
                given.number(Parameter::TimeoutSeconds, 1..=3600)?.unwrap_or(120).into(),
            ),
            leftover_age: Duration::from_hours(
                given.number(Parameter::LeftoverHours, 0..=8760)?.unwrap_or(0).into(),
            ),
        })
    }
}

fn encryption(given: &mut Given) -> Result<(Option<String>, Option<String>), String> {
    let key = given.text(Parameter::SseKmsKey);
    let sse = given.text(Parameter::Sse).or_else(|| key.as_ref().map(|_| "aws:kms".to_owned()));
    match sse.as_deref() {
        None | Some("aws:kms" | "aws:kms:dsse") => Ok((sse, key)),
        Some("AES256") if key.is_none() => Ok((sse, key)),
        Some("AES256") => Err("its parameter `sse_kms_key` does not go with sse=AES256".to_owned()),
        Some(_) => {
            Err("its parameter `sse` must be `AES256`, `aws:kms` or `aws:kms:dsse`".to_owned())
        }
    }
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self, String> {
        let wrong = || {
            "its parameter `endpoint` must be http:// or https:// with a host, and a port if any"
                .to_owned()
        };
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).ok_or_else(wrong)?;
        if authority.contains('@') || uri.query().is_some() {
            return Err(wrong());
        }
        let scheme = if tls { "https" } else { "http" };
        let path = uri.path().trim_end_matches('/');
        Ok(Self { url: format!("{scheme}://{authority}{path}"), tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Place, StoreError> {
        Place::parse(url, url.strip_prefix("s3://").unwrap())
    }

    fn refusal(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_read_with_its_defaults() {
        let place = parse("s3://bucket/a%20b/c/?region=eu-central-1").unwrap();
        assert_eq!(place.location(), "s3://bucket/a b/c");
        assert_eq!(place.key(&"packs/1".parse().unwrap()), "a b/c/packs/1");
        assert_eq!(place.name("a b/c/packs/1").unwrap().as_str(), "packs/1");
        assert_eq!(place.name("other/packs/1"), None);
        assert!(!place.settings.path_style);
        assert_eq!(place.settings.part_bytes, 8 << 20);
        let endpoint = parse("s3://b?endpoint=https://x.example/storage/v1/s3/").unwrap();
        assert_eq!(endpoint.settings.endpoint.unwrap().url, "https://x.example/storage/v1/s3");
        let place = parse("s3://bucket?endpoint=https%3A%2F%2Fminio%3A9000").unwrap();
        assert_eq!(place.location(), "s3://bucket");
        assert_eq!(place.key(&"x".parse().unwrap()), "x");
        assert!(place.settings.path_style && place.settings.endpoint.unwrap().tls);
        let locked = parse("s3://b?lock=compliance&lock_days=30&sse_kms_key=k").unwrap().settings;
        assert_eq!(locked.retention, Some((RetentionMode::Compliance, 30)));
        assert_eq!(locked.sse.as_deref(), Some("aws:kms"));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_name() {
        for (url, says) in [
            ("s3://", "names no bucket"),
            ("s3:///prefix", "names no bucket"),
            ("s3://key:secret@bucket", "credentials do not belong"),
            ("s3://b/../c", "prefix is wrong"),
            ("s3://b/a#c", "%23"),
            ("s3://b?endpont=http://x", "no parameter `endpont`; the nearest is `endpoint`"),
            ("s3://b?endpoint=ftp://x", "http:// or https://"),
            ("s3://b?endpoint=http://u:p@x", "http:// or https://"),
            ("s3://b?endpoint=http://x/path%3Fquery", "http:// or https://"),
            ("s3://b?patience_seconds=86401", "from 0 to 86400"),
            ("s3://b?path_style=yes", "`true` or `false`"),
            ("s3://b?parallel=0", "from 1 to 64"),
            ("s3://b?lock=compliance", "need one another"),
            ("s3://b?lock=forever&lock_days=1", "`governance` or `compliance`"),
            ("s3://b?storage_class=DEEP_ARCHIVE", "cannot be read at once"),
            ("s3://b?sse=AES256&sse_kms_key=k", "does not go with"),
            ("s3://b?region", "has no value"),
            ("s3://b?region=a&region=b", "given twice"),
        ] {
            let said = refusal(url);
            assert!(said.contains(says), "{url}: {said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let long = format!("s3://b/{}", "x".repeat(124));
        assert!(refusal(&long).contains("longer than 123 bytes"), "{}", refusal(&long));
    }
}
