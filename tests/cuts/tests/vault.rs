//! A newer vault: looked for in a bucket and at an address by the product's own client, over TLS on loopback.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Response, StatusCode};
use lab_cuts::{
    front::{serve, tls},
    s3::Bucket,
    world::castle_text,
};
use skykeep_core::{Secret, Trouble, castle::Castle, http::Trust, lock::Lock, owner::OwnersPart};
use skykeep_rebirth::vaults::{self, Pushed};
use skykeep_vault::{KdfParams, Vault};

const SMALL: KdfParams = KdfParams {
    m_kib: 64 * 1024,
    t: 3,
    p: 4,
};

fn secret(text: &str) -> Secret {
    Secret::from_string(text.to_owned())
}

fn new_vault() -> Vault {
    let mut vault = Vault::create(&secret("seven lanterns over the quiet harbour"), SMALL).unwrap();
    for path in ["keep/id", "keep/key"] {
        vault.put(path, secret("AKIATESTTESTTESTTEST"), "", None).unwrap();
    }
    vault
}

/// What the address answers.
type Page = Arc<Mutex<(u16, Vec<u8>)>>;

struct Stage {
    page: Page,
    part: OwnersPart,
    port: u16,
}

impl Stage {
    async fn new(places: &str) -> Self {
        let (config, ca) = tls(&["localhost"]).unwrap();
        let bucket = Arc::new(Bucket::default());
        let page: Page = Arc::new(Mutex::new((404, Vec::new())));
        let (objects, shown) = (bucket, page.clone());
        let address = serve(
            config,
            Arc::new(move |_, request| {
                let (objects, shown) = (objects.clone(), shown.clone());
                Box::pin(async move {
                    if request.uri().path() != "/keep/vault.skv" {
                        return objects.serve(request).await;
                    }
                    let (status, body) = shown.lock().unwrap().clone();
                    let mut answer = Response::new(Body::from(body));
                    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                    answer
                })
            }),
        )
        .await
        .unwrap();
        let port = address.port();
        let text = castle_text().unwrap() + &places.replace("PORT", &port.to_string());
        let part = OwnersPart {
            castle: Castle::parse(&text).unwrap(),
            lock: Lock::parse(r#"{"version": 1, "kubernetes": "v1.36.3", "artifacts": [], "images": []}"#).unwrap(),
            vault: Vec::new(),
            trust: Trust::with_extra_pem(ca.as_bytes()).unwrap(),
        };
        Stage { page, part, port }
    }

    fn shows(&self, status: u16, body: impl Into<Vec<u8>>) {
        *self.page.lock().unwrap() = (status, body.into());
    }

    /// Looks for a newer one than a copy of this vault; what was said, and the version that is used.
    async fn look(&self, vault: &Vault, sealed: &[u8]) -> (u64, String) {
        let newest = vaults::newest(&self.part, vault.open_copy(sealed).unwrap()).await;
        let text = newest.said.join("\n").replace(&self.port.to_string(), "PORT");
        assert_eq!(
            newest.newer.is_some(),
            newest.vault.counter() > vault.open_copy(sealed).unwrap().counter()
        );
        (newest.vault.counter(), text)
    }

    async fn push(&mut self, vault: &Vault, sealed: &[u8], replace: bool) -> Result<Pushed, Trouble> {
        self.part.vault = sealed.to_vec();
        vaults::push(&self.part, &vault.open_copy(sealed).unwrap(), replace).await
    }
}

const IN_BUCKET: &str = "vault:\n  s3: {bucket: keep, key: rossi/vault.skv, region: eu-central-1, endpoint: \"https://localhost:PORT\", \
                         accessKeyId: \"vault:keep/id\", secretAccessKey: \"vault:keep/key\"}\n";
const AT_ADDRESS: &str = "vault:\n  url: https://localhost:PORT/keep/vault.skv?signature=s3cr3t\n";

#[tokio::test]
async fn a_vault_that_was_pushed_is_what_every_stick_takes() {
    let mut stage = Stage::new(IN_BUCKET).await;
    let mut vault = new_vault();
    let stick = vault.seal().unwrap();
    let mut told = stage.look(&vault, &stick).await.1;
    assert_eq!(
        stage.push(&vault, &stick, false).await.unwrap(),
        Pushed::Written { instead_of: None }
    );
    assert_eq!(stage.push(&vault, &stick, false).await.unwrap(), Pushed::AlreadyThere);
    told += &format!("\n{}", stage.look(&vault, &stick).await.1);
    vault.put("new", secret("value"), "", None).unwrap();
    vault
        .change_slot("passphrase", &secret("nine umbrellas beside a sleepy volcano"), SMALL)
        .unwrap();
    let newer = vault.seal().unwrap();
    assert_eq!(
        stage.push(&vault, &newer, false).await.unwrap(),
        Pushed::Written { instead_of: Some(1) }
    );
    // The old stick, with the old passphrase: the key inside is the same.
    let (used, text) = stage.look(&vault, &stick).await;
    assert_eq!(used, 2);
    told += &format!("\n{text}");
    let refused = stage.push(&vault, &stick, true).await.unwrap_err();
    told += &format!("\n\n{refused}");
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_vault_that_does_not_prove_itself_is_neither_used_nor_overwritten() {
    let mut stage = Stage::new(IN_BUCKET).await;
    let (mut ours, mut foreign) = (new_vault(), new_vault());
    let (sealed, other) = (ours.seal().unwrap(), foreign.seal().unwrap());
    assert!(stage.push(&foreign, &other, false).await.is_ok());
    let (used, text) = stage.look(&ours, &sealed).await;
    assert_eq!(used, 1);
    let refused = stage.push(&ours, &sealed, false).await.unwrap_err();
    insta::assert_snapshot!(format!("{text}\n\n{refused}"));
    assert!(stage.push(&ours, &sealed, true).await.is_ok(), "when its owner says so");
    // Two people changed it: the same version, another content.
    let mut twin = ours.open_copy(&sealed).unwrap();
    ours.put("mine", secret("1"), "", None).unwrap();
    twin.put("theirs", secret("2"), "", None).unwrap();
    let (mine, theirs) = (ours.seal().unwrap(), twin.seal().unwrap());
    assert!(stage.push(&ours, &mine, false).await.is_ok());
    let refused = stage.push(&twin, &theirs, true).await.unwrap_err();
    assert!(refused.to_string().contains("both were changed"), "{refused}");
}

#[tokio::test]
async fn an_address_is_asked_and_whatever_it_answers_the_vault_at_hand_stays_good() {
    let stage = Stage::new(AT_ADDRESS).await;
    let mut vault = new_vault();
    let first = vault.seal().unwrap();
    let second = vault.seal().unwrap();
    let mut told = Vec::new();
    for (status, body) in [
        (404, Vec::new()),
        (503, Vec::new()),
        (200, b"<html>Welcome to the hotel</html>".to_vec()),
        (200, vec![0; 5 * 1024 * 1024]),
        (200, second.clone()),
    ] {
        stage.shows(status, body);
        told.push(stage.look(&vault, &first).await.1);
    }
    // A rollback: the address holds the version before.
    stage.shows(200, first);
    let (used, text) = stage.look(&vault, &second).await;
    assert_eq!(used, 2);
    told.push(text);
    let mut damaged = second.clone();
    damaged[200] ^= 1;
    stage.shows(200, damaged);
    told.push(stage.look(&vault, &second).await.1);
    let told = told.join("\n");
    assert!(
        !told.contains("s3cr3t"),
        "the address's signature is nobody's business: {told}"
    );
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_place_that_nobody_answers_at_is_said_and_the_vault_at_hand_is_used() {
    let mut stage = Stage::new(AT_ADDRESS).await;
    // Nobody listens there.
    stage.part.castle.vault.url = Some("https://localhost:1/keep/vault.skv".parse().unwrap());
    let mut vault = new_vault();
    let sealed = vault.seal().unwrap();
    let (used, text) = stage.look(&vault, &sealed).await;
    assert_eq!(used, 1);
    assert!(
        text.contains("could be looked for") && text.contains("version 1, at hand, is used"),
        "{text}"
    );
    let push = vaults::push(&stage.part, &vault, false).await.unwrap_err();
    insta::assert_snapshot!(push);
}
