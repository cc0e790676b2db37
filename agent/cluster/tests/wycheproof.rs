//! The curve that the cluster's authorities sign with, judged by Wycheproof's vectors.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use wycheproof::{TestResult, ecdsa};

#[test]
fn ecdsa_on_p256_with_sha256() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut ran = 0;
    for group in &set.test_groups {
        let key = VerifyingKey::from_sec1_bytes(&group.key.key).unwrap();
        for test in &group.tests {
            let good = Signature::from_der(&test.sig).is_ok_and(|signature| key.verify(&test.msg, &signature).is_ok());
            assert_eq!(good, test.result != TestResult::Invalid, "{}", test.tc_id);
            ran += 1;
        }
    }
    assert!(ran > 300, "only {ran} vectors were there");
}
