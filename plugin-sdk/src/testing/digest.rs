//! The digests that the host makes for a plugin.

use crate::failure::{Failure, Result};
use hmac::{Hmac, Mac, digest::KeyInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// The digest of bytes by the algorithm's name in the contract.
pub(super) fn digest(algorithm: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(match algorithm {
        "sha256" => Sha256::digest(bytes).to_vec(),
        "sha512" => Sha512::digest(bytes).to_vec(),
        "sha1" => Sha1::digest(bytes).to_vec(),
        "md5" => Md5::digest(bytes).to_vec(),
        "crc32c" => crc32c(bytes).to_be_bytes().to_vec(),
        other => return Err(unknown(other)),
    })
}

/// The HMAC of a message by the algorithm's name in the contract.
pub(super) fn hmac(algorithm: &str, key: &[u8], message: &[u8]) -> Result<Vec<u8>> {
    fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("a key may have any length");
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }
    Ok(match algorithm {
        "sha256" => mac::<Hmac<Sha256>>(key, message),
        "sha512" => mac::<Hmac<Sha512>>(key, message),
        "sha1" => mac::<Hmac<Sha1>>(key, message),
        other => return Err(unknown(other)),
    })
}

fn unknown(algorithm: &str) -> Failure {
    Failure::invalid(
        "algorithm",
        format_args!("there is no algorithm `{algorithm}`"),
    )
}

/// CRC-32 with Castagnoli's polynomial, a bit at a time: tests have little to sum up.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= 0x82f6_3b78;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("crc32c", "e3069283")]
    #[test_case("md5", "25f9e794323b453885f5181f1b624d0b")]
    #[test_case("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441")]
    fn digests_are_the_published_ones(algorithm: &str, expected: &str) {
        let digest = digest(algorithm, b"123456789").unwrap();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
