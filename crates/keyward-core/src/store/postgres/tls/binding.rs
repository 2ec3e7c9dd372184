//! The hash of a server's certificate that a sign-in is bound to: `tls-server-end-point` of RFC 5929. A relay that
//! passes a sign-in on to the real server has another certificate, and the server notices.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// `SEQUENCE` and `OBJECT IDENTIFIER` in DER.
const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
/// The prefixes of the object identifiers of signatures: pkcs-1, and ansi-X9-62 signatures.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4];

/// The hash that a signature uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash of this certificate. `None` if its signature names no hash, as with Ed25519: then there is nothing to bind
/// to.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match hash(signature_algorithm(certificate)?)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// The hash that goes with an algorithm. MD5 and SHA-1 are replaced by SHA-256, as the RFC requires.
fn hash(algorithm: &[u8]) -> Option<Hash> {
    if let Some(&[with]) = algorithm.strip_prefix(&RSA) {
        return match with {
            // MD5, SHA-1, SHA-256.
            4 | 5 | 11 => Some(Hash::Sha256),
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            _ => None,
        };
    }
    match algorithm.strip_prefix(&ECDSA)? {
        // SHA-1, SHA-256.
        [1] | [3, 2] => Some(Hash::Sha256),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// The object identifier of the signature algorithm: the beginning of the certificate's second part.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (parts, _) = element(certificate, SEQUENCE)?;
    let (_, behind) = element(parts, SEQUENCE)?;
    let (algorithm, _) = element(behind, SEQUENCE)?;
    element(algorithm, OBJECT_ID).map(|(id, _)| id)
}

/// The content of the element at the start of the bytes, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The parts of a certificate that are read, with this algorithm, padded so that lengths need several bytes.
    fn certificate(algorithm: &[u8], padding: usize) -> Vec<u8> {
        let element = |tag: u8, body: &[u8]| {
            let length = body.len() as u16;
            [&[tag, 0x82], &length.to_be_bytes()[..], body].concat()
        };
        let parts = [
            element(SEQUENCE, &vec![7; padding]),
            element(SEQUENCE, &[element(OBJECT_ID, algorithm), vec![5, 0]].concat()),
            vec![3, 1, 0],
        ];
        element(SEQUENCE, &parts.concat())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let rsa = |last| [&RSA[..], &[last]].concat();
        for (last, length) in [(4, 32), (5, 32), (11, 32), (12, 48), (13, 64)] {
            assert_eq!(end_point(&certificate(&rsa(last), 300)).unwrap().len(), length, "{last}");
        }
        for (last, length) in [(&[1][..], 32), (&[3, 2], 32), (&[3, 3], 48), (&[3, 4], 64)] {
            assert_eq!(end_point(&certificate(&[&ECDSA, last].concat(), 300)).unwrap().len(), length, "{last:?}");
        }
        // RSASSA-PSS names its hash elsewhere, and Ed25519 names none.
        assert!(end_point(&certificate(&rsa(10), 3)).is_none());
        assert!(end_point(&certificate(&[0x2b, 0x65, 0x70], 3)).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = end_point(&bytes);
        }

        #[test]
        fn a_certificate_that_ends_early_has_no_hash(length in 0_usize..30) {
            let whole = certificate(&[&ECDSA[..], &[3, 2]].concat(), 3);
            prop_assert!(end_point(&whole[..length]).is_none());
        }
    }
}
