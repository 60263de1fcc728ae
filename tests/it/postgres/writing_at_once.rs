//! Several connections write one table, in either format of COPY.

use bytes::{Buf, Bytes, BytesMut};
use strongroom::postgres::rows::copy::CopyFormat;
use strongroom::postgres::{PostgresError, Session, describe};

use super::{named, support};

const ROWS: u64 = 1000;
const SIGNATURE_AND_FLAGS_BYTES: usize = 19;

const TABLES: &str = "
    CREATE TABLE public.original (id bigint, at timestamptz, amount numeric, words text, raw bytea);
    CREATE TABLE public.copy (LIKE public.original);
    INSERT INTO public.original SELECT i, to_timestamp(i * 1000), i / 7.0,
        CASE WHEN i % 5 = 0 THEN NULL ELSE E'line\\nbreak ' || i END, decode(md5(i::text), 'hex')
        FROM generate_series(1, 1000) i;";

/// The tuples of a binary COPY, without what stands around them.
async fn tuples(session: &Session) -> Vec<Bytes> {
    let mut stream =
        session.copy_out("COPY public.original TO STDOUT (FORMAT binary)").await.unwrap();
    let mut all = BytesMut::new();
    while let Some(chunk) = stream.next_chunk().await {
        all.extend_from_slice(&chunk.unwrap());
    }
    let mut rest = all.freeze().slice(SIGNATURE_AND_FLAGS_BYTES..);
    let mut tuples = Vec::new();
    loop {
        let mut reader = rest.clone();
        let fields = reader.get_i16();
        if fields == -1 {
            assert!(reader.is_empty());
            return tuples;
        }
        for _ in 0..fields {
            let length = usize::try_from(reader.get_i32()).unwrap_or(0);
            reader.advance(length);
        }
        tuples.push(rest.split_to(rest.len() - reader.len()));
    }
}

#[tokio::test]
async fn binary_tuples_in_pieces_go_through_two_connections_into_one_table() {
    let database = support::database();
    let (one, two) = (database.session().await, database.session().await);
    one.batch("tables", TABLES).await.unwrap();
    let schema = describe(&one).await.unwrap();
    let table = named(&schema, "public.copy");

    let tuples = tuples(&one).await;
    assert_eq!(tuples.len() as u64, ROWS);
    let mut first = one.copy_table_in(table, CopyFormat::Binary).await.unwrap();
    let mut second = two.copy_table_in(table, CopyFormat::Binary).await.unwrap();
    for (number, piece) in tuples.chunks(30).enumerate() {
        let to = if number % 3 == 0 { &mut first } else { &mut second };
        to.send(Bytes::from(piece.concat())).await.unwrap();
    }
    let written = first.finish().await.unwrap() + second.finish().await.unwrap();
    assert_eq!(written, ROWS);
    let differing = "SELECT count(*) FROM (
        (SELECT * FROM public.original EXCEPT ALL SELECT * FROM public.copy) UNION ALL
        (SELECT * FROM public.copy EXCEPT ALL SELECT * FROM public.original)) d";
    let differing = one.query_one(differing, &[]).await.unwrap();
    assert_eq!(differing.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_binary_copy_of_no_rows_is_whole_and_one_that_breaks_off_writes_nothing() {
    let database = support::database();
    let session = database.session().await;
    session.batch("tables", TABLES).await.unwrap();
    let schema = describe(&session).await.unwrap();
    let table = named(&schema, "public.copy");
    let empty = session.copy_table_in(table, CopyFormat::Binary).await.unwrap();
    assert_eq!(empty.finish().await.unwrap(), 0);

    let tuple = tuples(&session).await.swap_remove(0);
    let mut broken = session.copy_table_in(table, CopyFormat::Binary).await.unwrap();
    // What ends a COPY is two bytes long, so more must be missing than that.
    broken.send(tuple.slice(..tuple.len() - 3)).await.unwrap();
    let error = broken.finish().await.unwrap_err();
    assert!(matches!(error, PostgresError::Refused { .. }), "{error}");
    let count = session.query_one("SELECT count(*) FROM public.copy", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 0);
}
