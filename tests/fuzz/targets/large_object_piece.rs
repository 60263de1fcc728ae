//! Lines of large objects' pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom::postgres::rows::large_objects::Piece;

fuzz_target!(|line: &[u8]| {
    if let Some(piece) = Piece::parse(line) {
        let text = std::str::from_utf8(line).unwrap();
        let number = text.split_once('\t').unwrap().0;
        assert_eq!(number.parse(), Ok(piece.oid()));
    }
});
