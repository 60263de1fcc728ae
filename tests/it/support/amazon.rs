//! Amazon's rules for the headers of requests, from its public API reference, held before a server that
//! is more lenient: what breaks one is answered as Amazon answers it, everything else goes on.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use strongroom::base::digest::sha256;

use super::proxy::{Between, Request, Response, Turn, Way, start};

/// The algorithms of `x-amz-checksum-…`.
const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];
/// The shortest part that is not the last, in bytes.
const PART_BYTES_MIN: usize = 5 << 20;

/// What Amazon would know.
#[derive(Default)]
pub struct Amazon {
    uploads: Mutex<BTreeMap<String, Upload>>,
}

/// An upload in parts.
#[derive(Default)]
struct Upload {
    /// The algorithm that it was begun with.
    algorithm: Option<String>,
    locked: bool,
    /// Lengths and checksums of its parts, by number.
    parts: BTreeMap<u32, (usize, String)>,
}

/// Starts it before a server of that endpoint, and tells its own endpoint.
pub fn before(endpoint: &str) -> String {
    let port = endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
    format!("http://127.0.0.1:{}", start(port, Arc::new(Amazon::default())))
}

type Refused = Result<(), Response>;

fn invalid(message: &str) -> Refused {
    Err(Response::error("400 Bad Request", "InvalidRequest", message))
}

fn refuse(code: &str, message: &str) -> Refused {
    Err(Response::error("400 Bad Request", code, message))
}

impl Between for Amazon {
    fn asked(&self, request: &mut Request) -> Turn {
        match self.check(request) {
            Ok(()) => Turn::Forward,
            Err(response) => Turn::Answer(response),
        }
    }

    fn answered(&self, request: &Request, response: &mut Response) -> Way {
        let begun = request.method == "POST" && request.parameter("uploads").is_some();
        if begun && response.status.starts_with("200") {
            let text = String::from_utf8_lossy(&response.body).into_owned();
            let id = between(&text, "<UploadId>", "</UploadId>").unwrap().to_owned();
            let algorithm = request.header("x-amz-checksum-algorithm").map(str::to_lowercase);
            let upload = Upload { algorithm, locked: is_locked(request), parts: BTreeMap::new() };
            self.uploads.lock().unwrap().insert(id, upload);
        }
        Way::Whole
    }
}

impl Amazon {
    fn check(&self, request: &Request) -> Refused {
        if request.header("authorization").is_none() {
            let denied = Response::error("403 Forbidden", "AccessDenied", "Access Denied");
            return Err(denied);
        }
        content(request)?;
        match (request.method.as_str(), upload_of(request)) {
            ("PUT", Some(id)) => self.part(request, &id),
            ("PUT", None) if is_about_a_lock(request) => with_integrity(request, "this request"),
            ("PUT", None) if has_key(request) => object(request),
            ("POST", Some(id)) => self.complete(request, &id),
            ("POST", None) if request.parameter("uploads").is_some() => begin(request),
            ("POST", None) if request.parameter("delete").is_some() => {
                with_integrity(request, "this request")
            }
            _ => Ok(()),
        }
    }

    fn part(&self, request: &Request, id: &str) -> Refused {
        let sent = checksum(request)?;
        let mut uploads = self.uploads.lock().unwrap();
        let Some(upload) = uploads.get_mut(id) else { return Ok(()) };
        let kind = |kind: Option<&str>| kind.unwrap_or("null").to_owned();
        let (expected, actual) =
            (kind(upload.algorithm.as_deref()), kind(sent.as_ref().map(|(name, _)| name.as_str())));
        if expected != actual {
            return invalid(&format!(
                "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual \
                 checksum Type: {actual}"
            ));
        }
        if upload.locked && sent.is_none() && request.header("content-md5").is_none() {
            return invalid(
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with \
                 Object Lock parameters",
            );
        }
        let number = request.parameter("partNumber").unwrap().parse().unwrap();
        let value = sent.map(|(_, value)| value).unwrap_or_default();
        upload.parts.insert(number, (request.body.len(), value));
        Ok(())
    }

    fn complete(&self, request: &Request, id: &str) -> Refused {
        condition(request)?;
        let uploads = self.uploads.lock().unwrap();
        let Some(upload) = uploads.get(id) else { return Ok(()) };
        let text = String::from_utf8_lossy(&request.body);
        let mut before = 0;
        let listed: Vec<&str> = text.split("<Part>").skip(1).collect();
        for (place, part) in listed.iter().enumerate() {
            let number: u32 = between(part, "<PartNumber>", "<").unwrap().parse().unwrap();
            if number <= before {
                return refuse("InvalidPartOrder", "The list of parts was not in ascending order");
            }
            before = number;
            let Some((bytes, sum)) = upload.parts.get(&number) else {
                return refuse(
                    "InvalidPart",
                    "One or more of the specified parts could not be found",
                );
            };
            if *bytes < PART_BYTES_MIN && place + 1 < listed.len() {
                return refuse("EntityTooSmall", "Your proposed upload is too small");
            }
            let Some(algorithm) = &upload.algorithm else { continue };
            let tag = format!("<Checksum{}>", algorithm.to_uppercase());
            match between(part, &tag, "<") {
                Some(told) if told == sum => {}
                Some(_) => {
                    return refuse("InvalidPart", "The part's checksum may not have matched");
                }
                None => {
                    return invalid(&format!(
                        "The upload was created using a {algorithm} checksum. The complete request \
                         must include the checksum for each part. It was missing for part {number} \
                         in the request."
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Rules of `PutObject`.
fn object(request: &Request) -> Refused {
    condition(request)?;
    let sent = checksum(request)?;
    if is_locked(request) {
        lock(request)?;
        if sent.is_none() && request.header("content-md5").is_none() {
            return invalid(
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests \
                 with Object Lock parameters",
            );
        }
    }
    Ok(())
}

/// Rules of `CreateMultipartUpload`.
fn begin(request: &Request) -> Refused {
    if let Some(algorithm) = request.header("x-amz-checksum-algorithm")
        && !ALGORITHMS.contains(&algorithm.to_lowercase().as_str())
    {
        return invalid("Checksum algorithm provided is unsupported.");
    }
    if is_locked(request) { lock(request) } else { Ok(()) }
}

/// The body is what was signed.
fn content(request: &Request) -> Refused {
    let Some(signed) = request.header("x-amz-content-sha256") else {
        return invalid("Missing required header for this request: x-amz-content-sha256");
    };
    let is_sum = signed.len() == 64 && signed.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_sum && signed != hex::encode(sha256(&request.body).0) {
        let message =
            "The provided 'x-amz-content-sha256' header does not match what was computed.";
        return refuse("XAmzContentSHA256Mismatch", message);
    }
    Ok(())
}

/// The one checksum that goes with a body, by its algorithm: well-formed, and right.
fn checksum(request: &Request) -> Result<Option<(String, String)>, Response> {
    let sums: Vec<(String, String)> = request
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.to_lowercase().strip_prefix("x-amz-checksum-")?.to_owned();
            ALGORITHMS.contains(&name.as_str()).then(|| (name, value.clone()))
        })
        .collect();
    let refused = |outcome: Refused| outcome.map(|()| None);
    if sums.len() > 1 {
        return refused(invalid(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ));
    }
    let trailer = request.header("x-amz-trailer").is_some();
    if let Some(named) = request.header("x-amz-sdk-checksum-algorithm") {
        let named = named.to_lowercase();
        if sums.is_empty() && !trailer {
            return refused(invalid(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
                 x-amz-trailer headers were found.",
            ));
        }
        if sums.iter().any(|(algorithm, _)| *algorithm != named) {
            return refused(invalid("Value for x-amz-sdk-checksum-algorithm header is invalid."));
        }
    }
    let Some((algorithm, value)) = sums.into_iter().next() else { return Ok(None) };
    if algorithm == "sha256" {
        match aws_smithy_types::base64::decode(&value) {
            Ok(sum) if sum.len() == 32 => {
                if sum != sha256(&request.body).0 {
                    let message = "The SHA256 you specified did not match the calculated checksum.";
                    return refused(refuse("BadDigest", message));
                }
            }
            _ => {
                return refused(invalid("Value for x-amz-checksum-sha256 header is invalid."));
            }
        }
    }
    Ok(Some((algorithm, value)))
}

/// Requests on locks, and those that delete many, carry a sum of their body.
fn with_integrity(request: &Request, what: &str) -> Refused {
    if checksum(request)?.is_none() && request.header("content-md5").is_none() {
        return invalid(&format!(
            "Missing required header for {what}: Content-MD5 OR x-amz-checksum-*"
        ));
    }
    Ok(())
}

fn condition(request: &Request) -> Refused {
    match request.header("if-none-match") {
        None | Some("*") => Ok(()),
        Some(_) => Err(Response::error(
            "501 Not Implemented",
            "NotImplemented",
            "A header you provided implies functionality that is not implemented",
        )),
    }
}

fn lock(request: &Request) -> Refused {
    let mode = request.header("x-amz-object-lock-mode");
    let date = request.header("x-amz-object-lock-retain-until-date");
    if mode.is_some() != date.is_some() {
        let message = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be \
                       supplied";
        return refuse("InvalidArgument", message);
    }
    if mode.is_some_and(|mode| !["GOVERNANCE", "COMPLIANCE"].contains(&mode)) {
        return refuse("InvalidArgument", "Unknown wormMode directive.");
    }
    let passed = date.is_some_and(|date| {
        chrono::DateTime::parse_from_rfc3339(date).is_ok_and(|date| date < chrono::Utc::now())
    });
    if passed {
        return refuse("InvalidArgument", "The retain until date must be in the future!");
    }
    Ok(())
}

fn is_locked(request: &Request) -> bool {
    request.headers.iter().any(|(name, _)| name.to_lowercase().starts_with("x-amz-object-lock-"))
}

fn is_about_a_lock(request: &Request) -> bool {
    ["retention", "legal-hold", "object-lock"].iter().any(|name| request.parameter(name).is_some())
}

fn has_key(request: &Request) -> bool {
    let path = request.target.split('?').next().unwrap_or_default();
    path.trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty())
}

fn upload_of(request: &Request) -> Option<String> {
    request.parameter("uploadId").map(str::to_owned)
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let rest = &text[text.find(begin)? + begin.len()..];
    rest.find(end).map(|at| &rest[..at])
}
