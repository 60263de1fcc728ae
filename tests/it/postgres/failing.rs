//! How the postgres layer fails: clearly, at once, and without a row's value.

use super::*;

#[tokio::test]
async fn the_login_and_the_database_are_told_apart_when_they_fail() {
    let database = support::database();
    let url = &database.url;
    let connect =
        async |url: String| Session::connect(&settings(&url)).await.map(drop).unwrap_err();

    let wrong = url.replace("only%20for%20tests", "hunter2");
    let error = connect(wrong).await;
    assert!(matches!(error, PostgresError::LoginRefused { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"));
    let error = connect(url.replace(&database.name, "nowhere")).await;
    assert!(matches!(error, PostgresError::MissingDatabase { .. }), "{error}");
    let error = connect(url.replace("127.0.0.1", "no-such-host.invalid")).await;
    assert!(matches!(error, PostgresError::UnknownHost { .. }), "{error}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = connect(format!("postgres://u:p@127.0.0.1:{free}/d")).await;
    assert!(matches!(error, PostgresError::Unreachable { .. }), "{error}");
    // A server that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = connect(format!("postgres://u:p@127.0.0.1:{port}/d?connect_timeout=1")).await;
    assert!(matches!(error, PostgresError::Unreachable { .. }), "{error}");
    // Without a password at hand.
    let error = connect(url.replace(":only%20for%20tests@", "@")).await;
    assert!(matches!(error, PostgresError::LoginRefused { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_row_is_not_repeated_in_the_error_and_an_unfinished_copy_writes_nothing() {
    let database = support::database();
    let session = database.session().await;
    session.batch("a table", "CREATE TABLE public.t (i int UNIQUE)").await.unwrap();
    let statement = "COPY public.t FROM STDIN";
    let mut rows = session.copy_in(statement).await.unwrap();
    rows.send(Bytes::from_static(b"1\nsecret\n")).await.unwrap();
    let error = rows.finish().await.unwrap_err().to_string();
    assert!(!error.contains("secret") && error.contains("22P02"), "{error}");
    let mut rows = session.copy_in(statement).await.unwrap();
    rows.send(Bytes::from_static(b"771177\n771177\n")).await.unwrap();
    let error = rows.finish().await.unwrap_err().to_string();
    assert!(!error.contains("771177") && error.contains("23505"), "{error}");
    let mut rows = session.copy_in(statement).await.unwrap();
    rows.send(Bytes::from_static(b"1\n")).await.unwrap();
    drop(rows);
    let count = session.query_one("SELECT count(*) FROM public.t", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_server_that_stops_while_rows_are_read_is_an_error_at_once() {
    let cluster = TemporaryCluster::start(&support::server("p")).unwrap();
    let session = Session::connect(&settings(&cluster.url("postgres"))).await.unwrap();
    let endless = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000000)) TO STDOUT";
    let mut rows = session.copy_out(endless).await.unwrap();
    for _ in 0..100 {
        rows.next_chunk().await.unwrap().unwrap();
    }
    let begun = Instant::now();
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
    let error = loop {
        match rows.next_chunk().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the rows ended as if all of them had come"),
        }
    };
    assert!(matches!(error, PostgresError::Lost { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
