//! AWS's published test vectors, and every way to be refused.

use std::time::Duration;

use super::*;

const SCOPE: &str = "20150830/us-east-1/service/aws4_request";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn headers(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let base = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
    base.iter()
        .chain(more)
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn vector(method: &str, path: &str, query: &str, more: &[(&str, &str)], body: &str) -> String {
    let headers = headers(more);
    let mut names: Vec<&str> = headers.iter().map(|(k, _)| k.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let r = Request {
        method,
        path,
        query,
        headers: &headers,
        body: body.as_bytes(),
    };
    sign(
        SECRET,
        "20150830T123600Z",
        SCOPE,
        &canonical_request(&r, &names).unwrap(),
    )
}

const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

#[test]
fn the_published_vector_get_vanilla_is_reproduced() {
    assert_eq!(vector("GET", "/", "", &[], ""), VANILLA);
}

#[test]
fn the_published_vector_with_unordered_query_is_reproduced() {
    let s = vector("GET", "/", "Param2=value2&Param1=value1", &[], "");
    assert_eq!(s, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

#[test]
fn the_published_vector_post_form_is_reproduced() {
    let s = vector(
        "POST",
        "/",
        "",
        &[("content-type", "application/x-www-form-urlencoded")],
        "Param1=value1",
    );
    assert_eq!(s, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

#[test]
fn the_published_vectors_of_normalized_paths_equal_get_vanilla() {
    for path in ["//", "/./", "/example/..", "/example1/example2/../.."] {
        assert_eq!(vector("GET", path, "", &[], ""), VANILLA, "{path}");
    }
}

fn who() -> Vec<Credential> {
    vec![Credential::user("1", "u", "AKIDEXAMPLE", SECRET)]
}

fn request(auth: &str, more: &[(&str, &str)], credentials: &[Credential], now: &str) -> Result<String, Refusal> {
    let mut headers = headers(more);
    headers.push(("authorization".to_owned(), auth.to_owned()));
    let r = Request {
        method: "GET",
        path: "/",
        query: "",
        headers: &headers,
        body: b"",
    };
    let now = parse_date(now).unwrap();
    verify(&r, "service", "us-east-1", credentials, now, Duration::from_secs(300)).map(|c| c.arn.clone())
}

fn auth() -> String {
    format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders=host;x-amz-date, Signature={VANILLA}")
}

#[test]
fn a_right_signature_tells_whose_it_is() {
    assert_eq!(
        request(&auth(), &[], &who(), "20150830T124059Z").unwrap(),
        "arn:aws:iam::1:user/u"
    );
}

#[test]
fn one_changed_digit_is_a_mismatch() {
    let wrong = auth().replace("5fa00", "5fa01");
    assert_eq!(request(&wrong, &[], &who(), "20150830T123600Z"), Err(Refusal::Mismatch));
}

#[test]
fn six_minutes_of_skew_are_too_much_in_both_directions() {
    assert!(matches!(
        request(&auth(), &[], &who(), "20150830T124200Z"),
        Err(Refusal::Old(_))
    ));
    assert!(matches!(
        request(&auth(), &[], &who(), "20150830T123000Z"),
        Err(Refusal::Early(_))
    ));
}

#[test]
fn another_region_service_or_day_in_the_scope_is_refused() {
    for (a, b) in [
        ("us-east-1", "eu-central-1"),
        ("service/", "ec2/"),
        ("20150830/", "20150831/"),
    ] {
        let wrong = auth().replace(a, b);
        assert!(
            matches!(request(&wrong, &[], &who(), "20150830T123600Z"), Err(Refusal::Scope(_))),
            "{b}"
        );
    }
}

#[test]
fn an_unsigned_amz_header_or_host_is_refused() {
    let extra = request(&auth(), &[("x-amz-foo", "1")], &who(), "20150830T123600Z");
    assert!(matches!(extra, Err(Refusal::Incomplete(_))));
    let no_host = auth().replace("host;", "");
    assert!(matches!(
        request(&no_host, &[], &who(), "20150830T123600Z"),
        Err(Refusal::Incomplete(_))
    ));
}

#[test]
fn a_token_must_be_the_credentials_own() {
    let mut c = who();
    c[0].session_token = Some("token".to_owned());
    assert_eq!(request(&auth(), &[], &c, "20150830T123600Z"), Err(Refusal::UnknownKey));
}

#[test]
fn each_service_has_its_own_words_for_an_old_request() {
    let old = || Refusal::Old("Signature expired: x".to_owned());
    assert_eq!(old().error(Service::Ec2).code, "RequestExpired");
    assert_eq!(old().error(Service::Sts).code, "SignatureDoesNotMatch");
    assert_eq!(Refusal::UnknownKey.error(Service::Ec2).code, "AuthFailure");
    assert_eq!(Refusal::UnknownKey.error(Service::Elb).code, "InvalidClientTokenId");
}
