//! Each `sslmode` against servers with and without TLS.

use super::*;
use std::path::Path;
use std::process::Command;

fn openssl(folder: &Path, line: &str) {
    let status = Command::new(support::tools::program("openssl"))
        .args(line.split(' '))
        .current_dir(folder)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "openssl {line}");
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

/// A self-signed certificate for `localhost` and 127.0.0.1, as `openssl req -x509` makes it.
fn self_signed(folder: &Path, name: &str, host: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 {NEW_KEY} -keyout {name}.key -out {name}.crt -subj /CN={host} -addext subjectAltName=DNS:{host}"
        ),
    );
}

fn server(folder: &Path, name: &str) -> TemporaryCluster {
    let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}"))).unwrap();
    let tls = Some((read("crt"), read("key")));
    TemporaryCluster::start(&TemporaryOptions { tls, ..support::server("p") }).unwrap()
}

/// Whether a connection with these parameters is encrypted, or why there is none.
async fn encrypted(
    cluster: &TemporaryCluster,
    host: &str,
    parameters: &str,
) -> Result<bool, PostgresError> {
    let url = cluster.url("postgres").replace("127.0.0.1", host) + "?" + parameters;
    let session = Session::connect(&settings(&url)).await?;
    let statement = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(session.query_one(statement, &[]).await?.get(0))
}

#[tokio::test]
async fn each_sslmode_does_what_libpq_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    self_signed(folder.path(), "self", "localhost");
    self_signed(folder.path(), "stranger", "localhost");
    let cluster = server(folder.path(), "self");
    for (parameters, expected) in [
        ("sslmode=disable", false),
        ("sslmode=allow", false),
        ("sslmode=prefer", true),
        ("application_name=default", true),
        ("sslmode=require", true),
        (&format!("sslmode=verify-ca&sslrootcert={}", file("self.crt")), true),
        (&format!("sslmode=verify-full&sslrootcert={}", file("self.crt")), true),
    ] {
        let found = encrypted(&cluster, "localhost", parameters).await;
        assert_eq!(found.unwrap(), expected, "{parameters}");
    }
    let verify = |mode: &str, root: &str| format!("sslmode={mode}&sslrootcert={}", file(root));
    // The address is not in the certificate; only verify-full looks.
    encrypted(&cluster, "127.0.0.1", &verify("verify-ca", "self.crt")).await.unwrap();
    for (host, parameters) in [
        ("127.0.0.1", verify("verify-full", "self.crt")),
        ("localhost", verify("verify-full", "stranger.crt")),
        ("localhost", verify("verify-ca", "stranger.crt")),
        ("localhost", verify("require", "stranger.crt")),
        ("localhost", "sslrootcert=system".to_owned()),
    ] {
        let error = encrypted(&cluster, host, &parameters).await.unwrap_err();
        assert!(matches!(error, PostgresError::Tls { .. }), "{parameters}: {error}");
    }
    let error = encrypted(&cluster, "localhost", &verify("verify-ca", "missing.crt")).await;
    assert!(matches!(error, Err(PostgresError::CertificateFile { .. })));
}

#[tokio::test]
async fn a_certificate_of_an_authority_is_verified_to_its_root() {
    let folder = tempfile::tempdir().unwrap();
    self_signed(folder.path(), "root", "authority");
    openssl(folder.path(), &format!("req {NEW_KEY} -keyout leaf.key -out leaf.csr -subj /CN=db"));
    std::fs::write(folder.path().join("names"), "subjectAltName=DNS:other.example,IP:127.0.0.1")
        .unwrap();
    openssl(
        folder.path(),
        "x509 -req -in leaf.csr -CA root.crt -CAkey root.key -CAcreateserial -days 2 -extfile names -out leaf.crt",
    );
    let cluster = server(folder.path(), "leaf");
    let root = folder.path().join("root.crt").display().to_string();
    let full = format!("sslmode=verify-full&sslrootcert={root}");
    assert!(encrypted(&cluster, "127.0.0.1", &full).await.unwrap());
    let error = encrypted(&cluster, "localhost", &full).await.unwrap_err();
    assert!(matches!(error, PostgresError::Tls { .. }), "{error}");
    let chain = format!("sslmode=verify-ca&sslrootcert={root}");
    assert!(encrypted(&cluster, "localhost", &chain).await.unwrap());
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let cluster = support::cluster();
    assert!(!encrypted(cluster, "127.0.0.1", "sslmode=prefer").await.unwrap());
    let error = encrypted(cluster, "127.0.0.1", "sslmode=require").await.unwrap_err();
    assert!(matches!(error, PostgresError::Tls { .. }), "{error}");
}
