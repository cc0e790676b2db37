//! The old castle's keys: switched off before the names move, kept in the state bucket as they were, and given back by an undo.

use serde::{Deserialize, Serialize};
use skykeep_aws::{Condition, Iam, Put};
use skykeep_core::{Explained, Generation, Progress, Trouble, castle::TakeAway};
use skykeep_dns::Tokens;

use crate::{
    estate::{Estate, credentials},
    records, sealed,
};

/// How the keys stood when the generation's first run met them.
const BEFORE: &str = "keys-undo";

/// Where a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Supplier {
    Cloudflare,
    Aws,
}

/// A key of the old castle, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OldKey {
    supplier: Supplier,
    id: String,
    active: bool,
}

/// What is kept of them.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Format version; 1.
    v: u32,
    keys: Vec<OldKey>,
}

impl OldKey {
    /// For a person.
    pub(crate) fn name(&self) -> String {
        name(self.supplier, &self.id)
    }
}

fn name(supplier: Supplier, id: &str) -> String {
    match supplier {
        Supplier::Cloudflare => format!("API token {id} at Cloudflare"),
        Supplier::Aws => format!("access key {id} at AWS"),
    }
}

/// What the castle file wants taken away, a name each.
pub(crate) fn names(away: &TakeAway) -> Vec<String> {
    let tokens = away.cloudflare.iter().flat_map(|c| &c.tokens);
    let keys = away.aws.iter().flat_map(|a| &a.keys);
    let tokens = tokens.map(|id| name(Supplier::Cloudflare, id));
    tokens.chain(keys.map(|id| name(Supplier::Aws, id))).collect()
}

/// Who can switch them.
pub(crate) struct Switch<'a> {
    away: &'a TakeAway,
    tokens: Option<Tokens>,
    iam: Option<Iam>,
}

impl<'a> Switch<'a> {
    /// The clients; nothing is asked yet. `None` when the castle file takes nothing away.
    pub(crate) fn of(estate: &'a Estate) -> Result<Option<Self>, Trouble> {
        let Some(away) = &estate.castle.old_castle.take_away else {
            return Ok(None);
        };
        let http = || estate.http.clone();
        let tokens = match &away.cloudflare {
            Some(c) => {
                let with = estate.secrets.get(&c.with)?;
                Some(Tokens::new(http(), with, c.account.as_deref()))
            }
            None => None,
        };
        let iam = match &away.aws {
            Some(a) => {
                let credentials = credentials(&estate.secrets, &a.access_key_id, &a.secret_access_key)?;
                Some(Iam::new(http(), credentials, &a.region))
            }
            None => None,
        };
        Ok(Some(Switch { away, tokens, iam }))
    }

    /// How every key stands. One that is not there is an error.
    pub(crate) async fn look(&self) -> Result<Vec<OldKey>, Trouble> {
        let mut seen = Vec::new();
        if let (Some(wanted), Some(tokens)) = (&self.away.cloudflare, &self.tokens) {
            for id in &wanted.tokens {
                let active = tokens.look(id).await?.is_active();
                let (supplier, id) = (Supplier::Cloudflare, id.clone());
                seen.push(OldKey { supplier, id, active });
            }
        }
        if let (Some(wanted), Some(iam)) = (&self.away.aws, &self.iam) {
            let there = iam.keys(&wanted.user).await?;
            for id in &wanted.keys {
                let key = there.iter().find(|key| key.id == *id);
                let key = key.ok_or_else(|| absent(id, &wanted.user))?;
                let (supplier, id, active) = (Supplier::Aws, id.clone(), key.is_active());
                seen.push(OldKey { supplier, id, active });
            }
        }
        Ok(seen)
    }

    /// Switches one on or off.
    async fn set(&self, key: &OldKey, active: bool) -> Result<(), Trouble> {
        match (key.supplier, &self.tokens, &self.iam, &self.away.aws) {
            (Supplier::Cloudflare, Some(tokens), ..) => tokens.set(&key.id, active).await?,
            (Supplier::Aws, _, Some(iam), Some(wanted)) => iam.set(&wanted.user, &key.id, active).await?,
            _ => return Err(nobody(key).into()),
        }
        Ok(())
    }

    /// Refuses keys that the reborn castle or this run needs: they would be taken from both.
    pub(crate) async fn spare_our_own(&self, estate: &Estate) -> Result<(), Trouble> {
        for reference in estate.castle.secret_refs() {
            let value = estate.secrets.get(&reference)?.expose_str().unwrap_or_default().trim();
            let mut ids = self.away.aws.iter().flat_map(|a| &a.keys);
            if let Some(id) = ids.find(|id| *id == value) {
                return Err(ours(&name(Supplier::Aws, id), &format!("it is `{reference}` of castle.yaml")).into());
            }
        }
        let (Some(wanted), Some(tokens)) = (&self.away.cloudflare, &self.tokens) else {
            return Ok(());
        };
        let mut own = vec![(tokens.own().await?, "it is the one that switches the others")];
        let dns = estate.castle.dns.as_ref().and_then(|dns| dns.cloudflare.as_ref());
        if let Some(dns) = dns {
            let id = tokens.id_of(estate.secrets.get(&dns.token)?).await?;
            own.extend(id.map(|id| (id, "it is `dns.cloudflare.token`, which moves the names")));
        }
        match own.into_iter().find(|(id, _)| wanted.tokens.contains(id)) {
            Some((id, why)) => Err(ours(&name(Supplier::Cloudflare, &id), why).into()),
            None => Ok(()),
        }
    }
}

/// Takes every key away that is still switched on, and keeps first how they stood.
pub(crate) async fn take(estate: &Estate, progress: &Progress) -> Result<usize, Trouble> {
    let Some(switch) = Switch::of(estate)? else {
        return Ok(0);
    };
    let keys = switch.look().await?;
    let generation = estate.generation.get()?;
    let (name, kept) = (
        object(estate, generation),
        Kept {
            v: 1,
            keys: keys.clone(),
        },
    );
    // The first one stays: what an earlier run of this generation switched off was on before it.
    match records::write(estate, &name, &kept, Condition::Absent).await? {
        Put::Done { .. } => progress.note("how the old castle's keys stood is kept"),
        _ => {
            let there = records::read::<Kept>(estate, &name).await?;
            there.ok_or_else(|| sealed::problem(&name, "it vanished while it was being kept"))?;
        }
    }
    let mut taken = 0;
    for key in keys.iter().filter(|key| key.active) {
        let lease = estate.lease.get()?;
        lease
            .write("switching a key of the old castle off", switch.set(key, false))
            .await?;
        progress.note(format!("taken from the old castle: {}", key.name()));
        taken += 1;
    }
    Ok(taken)
}

/// The keys that a generation took and that are not known to be switched on again: what an undo gives back. Changes nothing. A
/// supplier that can't be asked does not keep the names from coming back: then its keys are among them.
pub(crate) async fn taken(estate: &Estate, generation: &Generation) -> Result<Vec<OldKey>, Trouble> {
    let Some(kept) = records::read::<Kept>(estate, &object(estate, generation)).await? else {
        return Ok(Vec::new());
    };
    let now = match Switch::of(estate) {
        Ok(Some(switch)) => switch.look().await.unwrap_or_default(),
        _ => Vec::new(),
    };
    let on = |key: &OldKey| now.iter().any(|n| n.id == key.id && n.active);
    Ok(kept.keys.into_iter().filter(|key| key.active && !on(key)).collect())
}

/// Gives keys back.
pub(crate) async fn give_back(estate: &Estate, keys: &[OldKey]) -> Result<(), Trouble> {
    let Some(first) = keys.first() else { return Ok(()) };
    let switch = Switch::of(estate)?.ok_or_else(|| nobody(first))?;
    for key in keys {
        switch.set(key, true).await?;
    }
    Ok(())
}

fn object(estate: &Estate, generation: &Generation) -> String {
    format!("{}/{BEFORE}/{generation}", estate.castle.name)
}

fn absent(id: &str, user: &str) -> Explained {
    Explained {
        what: format!("The access key {id} can't be switched at AWS"),
        why: format!("the user {user} has no such key"),
        remedy: "Mend `oldCastle.takeAway.aws` in castle.yaml, or take the key out when it was deleted.".into(),
    }
}

fn ours(name: &str, why: &str) -> Explained {
    Explained {
        what: format!("The {name} can't be taken from the old castle"),
        why: why.to_owned(),
        remedy: "Give the old castle keys of its own, and name those in `oldCastle.takeAway`.".into(),
    }
}

fn nobody(key: &OldKey) -> Explained {
    Explained {
        what: format!("The {} can't be given back", key.name()),
        why: "castle.yaml no longer says in `oldCastle.takeAway` who may switch it".into(),
        remedy: "Put the lines back, or switch it on by hand at the supplier.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_holds_ids_only() {
        let key = OldKey {
            supplier: Supplier::Aws,
            id: "AKIA1".into(),
            active: true,
        };
        let text = serde_json::to_string(&Kept {
            v: 1,
            keys: vec![key.clone()],
        })
        .unwrap();
        assert_eq!(
            text,
            r#"{"v":1,"keys":[{"supplier":"aws","id":"AKIA1","active":true}]}"#
        );
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap().keys, [key]);
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let key = OldKey {
            supplier: Supplier::Cloudflare,
            id: "41ac".into(),
            active: true,
        };
        let texts = [absent("AKIA1", "home"), ours(&key.name(), "it is ours"), nobody(&key)];
        insta::assert_snapshot!(texts.map(|e| e.to_string()).join("\n"));
    }
}
