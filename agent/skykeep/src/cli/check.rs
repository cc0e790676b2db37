//! `skykeep check`: the owner's part without a passphrase. Is it whole, and what in it expires soon?

use std::process::ExitCode;

use jiff::{Timestamp, fmt::strtime};
use skykeep_core::{Trouble, castle::Castle, lock::Lock};

use super::{
    Owner,
    expiry::{certificates, date},
};
use crate::console::lines::Output;

/// The exit code when something expires soon.
const EXPIRES: u8 = 4;
const DAY: u64 = 86_400;

/// Something that ends one day.
#[derive(serde::Serialize)]
struct End {
    /// Where it is named.
    place: String,
    /// What it is.
    thing: String,
    /// Seconds since 1970.
    when: u64,
}

/// Checks the folder; `within` is in days.
pub async fn run(owner: &Owner, within: u64) -> Result<ExitCode, Trouble> {
    let part = owner.part().await?;
    if part.castle.cluster.kubernetes != part.lock.kubernetes {
        let (castle, lock) = (part.castle.cluster.kubernetes, part.lock.kubernetes);
        return Err(skykeep_rebirth::RebirthError::LockMismatch { castle, lock }.into());
    }
    let vault = skykeep_vault::outside(&part.vault)?;
    let mut ends = of_castle(&part.castle);
    ends.extend(of_lock(&part.lock));
    ends.extend(in_pem("ca.pem", part.trust.extra_pem().as_bytes()));
    ends.extend(vault.expiries.into_iter().map(|(path, when)| End {
        place: "vault.skv".into(),
        thing: format!("vault:{path}"),
        when,
    }));
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    ends.retain(|end| end.when < now.saturating_add(within.saturating_mul(DAY)));
    ends.sort_by(|a, b| (a.when, &a.thing).cmp(&(b.when, &b.thing)));
    if owner.output == Output::Json {
        println!(
            "{}",
            serde_json::json!({"v": 1, "castle": part.castle.name, "vaultVersion": vault.counter, "expires": ends})
        );
    } else {
        println!(
            "{}: castle.yaml, castle.lock and vault.skv are whole ({} artifacts, {} images, {} treasures, vault version {}).",
            part.castle.name,
            part.lock.artifacts.len(),
            part.lock.images.len(),
            part.castle.treasures.len(),
            vault.counter
        );
        for end in &ends {
            let verb = if end.when < now { "expired" } else { "expires" };
            println!("  {verb} {}: {} ({})", date(end.when), end.thing, end.place);
        }
        if ends.is_empty() {
            println!("Nothing that states a date expires within {within} days.");
        }
    }
    Ok(if ends.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(EXPIRES)
    })
}

fn of_castle(castle: &Castle) -> Vec<End> {
    let maps = castle.before_flux.config_maps.iter();
    maps.flat_map(|map| {
        map.data
            .iter()
            .map(move |(key, text)| (format!("{}/{} {key}", map.namespace, map.name), text))
    })
    .flat_map(|(place, text)| in_pem(&format!("castle.yaml, ConfigMap {place}"), text.as_bytes()))
    .collect()
}

fn in_pem(place: &str, text: &[u8]) -> Vec<End> {
    let end = |c: super::expiry::Certificate| End {
        place: place.to_owned(),
        thing: format!("certificate {}", c.subject),
        when: c.ends,
    };
    certificates(text).into_iter().map(end).collect()
}

fn of_lock(lock: &Lock) -> Vec<End> {
    let end = |name: &str, url: &str| {
        Some(End {
            place: "castle.lock".into(),
            thing: format!("signed address of {name}"),
            when: signed_until(url)?,
        })
    };
    lock.artifacts.iter().filter_map(|a| end(&a.name, &a.url)).collect()
}

/// When a presigned URL ends (AWS and Google sign with date and seconds, Azure names the end).
fn signed_until(url: &str) -> Option<u64> {
    let url: reqwest::Url = url.parse().ok()?;
    let of = |name: &str| {
        url.query_pairs()
            .find(|(k, _)| k.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.into_owned())
    };
    let seconds = |t: Timestamp| u64::try_from(t.as_second()).ok();
    for vendor in ["X-Amz", "X-Goog"] {
        if let (Some(begin), Some(lives)) = (of(&format!("{vendor}-Date")), of(&format!("{vendor}-Expires"))) {
            let begin = strtime::parse("%Y%m%dT%H%M%SZ", begin).ok()?.to_datetime().ok()?;
            let begin = begin.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
            return Some(seconds(begin)?.saturating_add(lives.parse().ok()?));
        }
    }
    let _signed = of("sig")?;
    seconds(of("se")?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_address_tells_its_end() {
        let aws = "https://b.s3.amazonaws.com/k?X-Amz-Date=20261124T000000Z&X-Amz-Expires=3600&X-Amz-Signature=x";
        assert_eq!(signed_until(aws), Some(1_795_478_400 + 3600));
        let azure = "https://a.blob.core.windows.net/c/k?se=2026-11-24T01%3A00%3A00Z&sp=r&sig=x";
        assert_eq!(signed_until(azure), Some(1_795_478_400 + 3600));
        assert_eq!(
            signed_until("https://dl.k8s.io/v1.36.3/bin/linux/amd64/kubelet?se=2026-11-24"),
            None
        );
    }
}
