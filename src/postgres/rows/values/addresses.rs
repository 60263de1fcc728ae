//! `inet`, `cidr` and hardware addresses (`network.c`, `inet_net_ntop.c`, `mac.c`).

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Malformed, fixed, hex_digits};

/// PostgreSQL's own numbers of the families.
const FAMILY_4: u8 = 2;
const FAMILY_6: u8 = 3;

/// Family, bits of the network, whether it is a `cidr`, length of the address; then the address.
pub(super) fn network(value: &[u8], is_cidr: bool, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let ([family, bits, flag, length], address) = value.split_first_chunk().ok_or(Malformed)?;
    if usize::from(*length) != address.len() || *flag != u8::from(is_cidr) {
        return Err(Malformed);
    }
    let bits_max = match *family {
        FAMILY_4 => {
            let _ = write!(out, "{}", Ipv4Addr::from(fixed::<4>(address)?));
            32
        }
        FAMILY_6 => {
            address_6(fixed(address)?, out);
            128
        }
        _ => return Err(Malformed),
    };
    if *bits > bits_max {
        return Err(Malformed);
    }
    if is_cidr || *bits < bits_max {
        let _ = write!(out, "/{bits}");
    }
    Ok(())
}

/// As Rust prints it, and an IPv4 address inside of `::/96` in its own form, too.
fn address_6(address: [u8; 16], out: &mut Vec<u8>) {
    let [zeros @ .., third, fourth, fifth, sixth] = address;
    let _ = if zeros == [0; 12] && (third, fourth) != (0, 0) {
        write!(out, "::{}", Ipv4Addr::from([third, fourth, fifth, sixth]))
    } else {
        write!(out, "{}", Ipv6Addr::from(address))
    };
}

/// Bytes with colons between.
pub(super) fn hardware(bytes: &[u8], out: &mut Vec<u8>) {
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        out.extend_from_slice(&hex_digits(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: &str, bits: u8, is_cidr: bool) -> String {
        let address: Ipv6Addr = address.parse().unwrap();
        let mut value = vec![FAMILY_6, bits, u8::from(is_cidr), 16];
        value.extend(address.octets());
        let mut out = Vec::new();
        network(&value, is_cidr, &mut out).ok().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_are_compressed_as_the_server_does() {
        assert_eq!(text("::", 128, false), "::");
        assert_eq!(text("::1", 128, false), "::1");
        assert_eq!(text("::102:304", 120, false), "::1.2.3.4/120");
        assert_eq!(text("::ffff:1.2.3.4", 128, true), "::ffff:1.2.3.4/128");
        assert_eq!(text("1:0:0:2:0:0:0:3", 64, false), "1:0:0:2::3/64");
        assert_eq!(text("1:0:2:3:4:5:6:7", 128, false), "1:0:2:3:4:5:6:7");
    }
}
