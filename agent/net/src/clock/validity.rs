//! From when to when a certificate is valid. rustls checks it but does not tell it, so the few bytes are read here.
//!
//! Nothing is decided by this alone: it only chooses the time at which the whole chain is then verified.

use rustls_pki_types::UnixTime;
use std::time::Duration;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// First and last second of a certificate (DER).
pub(super) fn validity(certificate: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let (tag, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = (tag == SEQUENCE).then(|| element(certificate))??;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // serial number, signature algorithm, issuer
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (tag, from, rest) = element(validity)?;
    let from = time(tag, from)?;
    let (tag, until, _) = element(rest)?;
    Some((from, time(tag, until)?))
}

/// Tag, value and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*tag, value, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &[u8]) -> Option<UnixTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (digits, rest) = text.split_at_checked(2)?;
            let short: u64 = digits.parse().ok()?;
            (if short < 50 { 2000 + short } else { 1900 + short }, rest)
        }
        GENERALIZED_TIME => {
            let (digits, rest) = text.split_at_checked(4)?;
            (digits.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let number = |from: usize| rest.get(from..from + 2).and_then(|two| two.parse::<u64>().ok());
    let (month, day) = (number(0)?, number(2)?);
    let of_day = number(4)? * 3600 + number(6)? * 60 + number(8)?;
    let days = days_since_1970(year, month, day)?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(days * 86_400 + of_day)))
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March: the leap day is then the last day.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_validity_of_a_real_certificate_is_read() {
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::new(vec!["a.example".into()]).expect("params");
        params.not_before = rcgen::date_time_ymd(2026, 2, 28);
        params.not_after = rcgen::date_time_ymd(2056, 3, 1); // after 2049: the long form
        let certificate = params.self_signed(&key).expect("certificate");
        let (from, until) = validity(certificate.der()).expect("validity");
        assert_eq!(from.as_secs(), 1_772_236_800);
        assert_eq!(until.as_secs(), 2_719_094_400);
        for length in 0..certificate.der().len() {
            let _ = validity(&certificate.der()[..length]);
        }
    }

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        assert_eq!(days_since_1970(1970, 1, 1), Some(0));
        assert_eq!(days_since_1970(2000, 2, 29), Some(11_016));
        assert_eq!(days_since_1970(2026, 11, 23), Some(20_780));
        assert_eq!(days_since_1970(1969, 12, 31), None);
    }

    #[test]
    fn twisted_times_are_none() {
        for text in ["", "Z", "2611230000", "261123000000", "26112300000xZ", "261323000000Z"] {
            assert_eq!(time(UTC_TIME, text.as_bytes()), None, "{text}");
        }
    }
}
