//! A temporary server ends with the process that started it, however that ends.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Set by the test below for the process that it starts, and kills.
const CHILD: &str = "STRONGROOM_TEST_CHILD";

/// Does something only in that process.
#[test]
fn a_process_with_a_server() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let cluster = TemporaryCluster::start(&support::server("p")).unwrap();
    let told = format!("\nserver {} {}\n", cluster.port(), cluster.folder().display());
    std::io::Write::write_all(&mut std::io::stdout(), told.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn a_killed_process_leaves_no_server_and_no_folder() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--exact"])
        .env(CHILD, "1")
        .arg("postgres::leaving_nothing_behind::a_process_with_a_server")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server ").map(str::to_owned))
        .unwrap();
    let (port, folder) = told.split_once(' ').unwrap();
    assert!(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::path::Path::new(folder).exists() {
        assert!(Instant::now() < deadline, "{folder} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err());
}
