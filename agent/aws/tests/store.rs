//! The S3 client against a real store. Ignored by default; run it with `agent/aws/tests/store.sh`, which starts SeaweedFS.
// The whole file is a test; clippy knows it only of functions marked as such.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use skykeep_aws::{Condition, Credentials, Put, S3};
use skykeep_core::Secret;

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("set {name}"))
}

/// Plain HTTP on loopback, which the product's own client refuses.
fn plain() -> reqwest::Client {
    let tls = skykeep_core::http::Trust::public().tls().unwrap();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .build()
        .unwrap()
}

fn store(secret: &str, bucket: &str) -> S3 {
    let http = plain();
    let credentials = Credentials::new(env("S3_KEY"), Secret::from_string(secret.to_owned()));
    let endpoint = url::Url::parse(&env("S3_URL")).unwrap();
    S3::new(http, Arc::new(credentials), "eu-central-1", Some(endpoint), bucket).unwrap()
}

#[tokio::test]
#[ignore = "needs a store: tests/store.sh"]
async fn objects_conditions_listings_and_presigned_urls_work_on_a_real_store() {
    let s3 = store(&env("S3_SECRET"), "aws-test");
    let key = "some folder/lease+1";
    assert!(s3.get(key).await.unwrap().is_none());
    assert!(s3.head(key).await.unwrap().is_none());
    let Put::Done { etag } = s3.put(key, "one", Condition::Absent).await.unwrap() else {
        panic!("not written")
    };
    assert_eq!(
        s3.put(key, "two", Condition::Absent).await.unwrap(),
        Put::PreconditionFailed
    );
    assert_eq!(
        s3.put(key, "two", Condition::Is("\"00\"")).await.unwrap(),
        Put::PreconditionFailed
    );
    let object = s3.get(key).await.unwrap().unwrap();
    assert_eq!((&object.bytes[..], object.etag.as_str()), (&b"one"[..], etag.as_str()));
    assert_eq!(s3.head(key).await.unwrap().unwrap().size, 3);
    assert!(matches!(
        s3.put(key, "two!", Condition::Is(&etag)).await.unwrap(),
        Put::Done { .. }
    ));
    assert_eq!(&s3.get_range(key, 1, 2).await.unwrap().unwrap().bytes[..], b"wo");

    let url = s3.presign_get(key, SystemTime::now(), Duration::from_secs(60)).unwrap();
    let http = plain();
    assert_eq!(http.get(&url).send().await.unwrap().text().await.unwrap(), "two!");
    let spoilt = url.replace("X-Amz-Expires=60", "X-Amz-Expires=61");
    assert_eq!(http.get(spoilt).send().await.unwrap().status(), 403);

    // Two pages and a bit.
    for i in 0..1003 {
        let Put::Done { .. } = s3.put(&format!("many/{i:04}"), "", Condition::Always).await.unwrap() else {
            panic!()
        };
    }
    let listed = s3.list("many/").await.unwrap();
    assert_eq!(listed.len(), 1003);
    assert_eq!(listed[1002].key, "many/1002");

    assert_eq!(s3.put("none", "x", Condition::Is("\"00\"")).await.unwrap(), {
        // SeaweedFS says 412 where AWS says 404; both mean "not written".
        Put::PreconditionFailed
    });
    s3.delete(key).await.unwrap();
    s3.delete(key).await.unwrap();
    assert!(s3.get(key).await.unwrap().is_none());

    let error = store("wrong", "aws-test").get(key).await.unwrap_err();
    assert_eq!(error.code(), Some("SignatureDoesNotMatch"), "{error}");
    let error = store(&env("S3_SECRET"), "no-such-bucket").get(key).await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"), "{error}");
}
