//! The database that is backed up: people with a ledger, which compresses, and with documents, which
//! do not.

use strongroom::postgres::temporary::TemporaryCluster;
use strongroom::postgres::{ConnectionSettings, Session};

/// The flags that say whose each row is.
pub const MAP: [&str; 2] = ["--root", "public.users"];

/// Of each megabyte: 20 people, with 250 entries of about 100 bytes and 3 documents of 8 KiB each.
const SQL: &str = "
    CREATE TABLE public.users (id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL);
    CREATE TABLE public.entries (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, booked date NOT NULL,
        amount numeric(12, 2) NOT NULL, payee text NOT NULL, memo text);
    CREATE TABLE public.documents (id bigint PRIMARY KEY,
        user_id bigint NOT NULL REFERENCES public.users, body bytea NOT NULL);
    ALTER TABLE public.documents ALTER COLUMN body SET STORAGE EXTERNAL;
    INSERT INTO public.users
        SELECT n, 'Customer ' || n, 'customer.' || n || '@example.org'
        FROM generate_series(1, :mb * 20) n;
    INSERT INTO public.entries
        SELECT n, 1 + n % (:mb * 20), date '2020-01-01' + (n % 2000)::int,
            (n * 7919 % 1000000)::numeric / 100, 'payee ' || n * 31 % 5000,
            'order ' || md5(n::text)
        FROM generate_series(1, :mb * 5000::bigint) n;
    INSERT INTO public.documents
        SELECT n, 1 + n % (:mb * 20),
            (SELECT string_agg(sha512((n || '-' || k)::bytea), '') FROM generate_series(1, 128) k)
        FROM generate_series(1, :mb * 60::bigint) n;
    ANALYZE;";

/// Fills a new database of so many megabytes; its URL.
pub fn make(cluster: &TemporaryCluster, mb: u64) -> String {
    cluster.create_database("source").unwrap();
    let url = cluster.url("source");
    let sql = SQL.replace(":mb", &mb.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = ConnectionSettings::parse_with(&url, &|_| None).unwrap();
        let session = Session::connect(&settings).await.unwrap();
        session.batch("the database", &sql).await.unwrap();
    });
    url
}
