use super::*;

fn subject(tokens_required: bool) -> Subject {
    Subject {
        spec: InstanceSpec {
            supplier: Supplier::Ec2,
            id: "i-1".into(),
            vpc_id: "vpc-1".into(),
            subnet_id: "subnet-1".into(),
            private_ip: Ipv4Addr::new(10, 42, 1, 10),
            subnet_cidr: "10.42.1.0/24".parse().unwrap(),
            hostname: "ip-10-42-1-10".into(),
            image_id: "ami-1".into(),
            instance_type: "t3.large".into(),
            az: "eu-central-1a".into(),
            region: "eu-central-1".into(),
            account_id: "123456789012".into(),
            user_data: b"#cloud-config\n\xff".to_vec(),
            mac: "02:00:0a:2a:01:0a".into(),
            imds_hop_limit: 1,
            imds_tokens_required: tokens_required,
        },
        vpc_cidr: "10.42.0.0/16".parse().unwrap(),
        public: None,
        launched: "2026-11-23T21:00:00Z".into(),
    }
}

fn ask(subject: &Subject, tokens: &mut Tokens, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let request = Request {
        method: method.into(),
        path: path.into(),
        headers,
    };
    answer(subject, &request, tokens, "fresh".into(), Instant::now())
}

fn body(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

#[test]
fn without_a_token_an_instance_that_requires_one_gets_nothing() {
    let mut tokens = Tokens::default();
    for headers in [&[][..], &[(TOKEN, "fresh")]] {
        let response = ask(
            &subject(true),
            &mut tokens,
            "GET",
            "/latest/meta-data/instance-id",
            headers,
        );
        assert_eq!(response.status, 401);
        assert!(!body(&response).contains("i-1"));
    }
}

#[test]
fn a_token_opens_the_metadata_of_its_own_instance_only() {
    let mut tokens = Tokens::default();
    let first = subject(true);
    assert_eq!(
        ask(&first, &mut tokens, "PUT", "/latest/api/token", &[(TTL, "60")]).status,
        200
    );
    let path = "/latest/meta-data/instance-id";
    assert_eq!(body(&ask(&first, &mut tokens, "GET", path, &[(TOKEN, "fresh")])), "i-1");
    let mut second = subject(true);
    second.spec.id = "i-2".into();
    assert_eq!(ask(&second, &mut tokens, "GET", path, &[(TOKEN, "fresh")]).status, 401);
}

#[test]
fn a_token_ends_with_its_lifetime() {
    let (mut tokens, now) = (Tokens::default(), Instant::now());
    tokens.issue("i-1", Duration::from_secs(5), "t".into(), now);
    assert!(tokens.left("t", "i-1", now + Duration::from_secs(4)).is_some());
    assert!(tokens.left("t", "i-1", now + Duration::from_secs(5)).is_none());
}

#[test]
fn a_token_request_needs_a_sane_lifetime_and_no_proxy() {
    let (mut tokens, subject) = (Tokens::default(), subject(true));
    let token = "/latest/api/token";
    assert_eq!(ask(&subject, &mut tokens, "PUT", token, &[]).status, 400);
    assert_eq!(ask(&subject, &mut tokens, "PUT", token, &[(TTL, "0")]).status, 400);
    assert_eq!(ask(&subject, &mut tokens, "PUT", token, &[(TTL, "21601")]).status, 400);
    assert_eq!(
        ask(
            &subject,
            &mut tokens,
            "PUT",
            token,
            &[(TTL, "60"), ("x-forwarded-for", "1.2.3.4")]
        )
        .status,
        403
    );
}

#[test]
fn user_data_comes_back_byte_for_byte() {
    let response = ask(
        &subject(false),
        &mut Tokens::default(),
        "GET",
        "/2021-03-23/user-data",
        &[],
    );
    assert_eq!(response.body, b"#cloud-config\n\xff");
    let mut none = subject(false);
    none.spec.user_data.clear();
    assert_eq!(
        ask(&none, &mut Tokens::default(), "GET", "/latest/user-data", &[]).status,
        404
    );
}

#[test]
fn folders_list_their_children_as_cloud_init_crawls_them() {
    let mut tokens = Tokens::default();
    let subject = subject(false);
    let mut get = |path: &str| ask(&subject, &mut tokens, "GET", path, &[]);
    assert!(
        body(&get("/2009-04-04/meta-data/"))
            .lines()
            .any(|line| line == "placement/")
    );
    assert_eq!(body(&get("/latest/meta-data/placement/")), "availability-zone\nregion");
    assert_eq!(
        body(&get("/latest/meta-data/network/interfaces/macs/")),
        "02:00:0a:2a:01:0a/"
    );
    assert_eq!(get("/latest/meta-data/iam/").status, 404);
    assert_eq!(get("/1970-01-01/meta-data/").status, 404);
}

#[test]
fn the_public_address_is_there_only_while_there_is_one() {
    let mut subject = subject(false);
    let path = "/latest/meta-data/public-ipv4";
    assert_eq!(ask(&subject, &mut Tokens::default(), "GET", path, &[]).status, 404);
    subject.public = Some(Ipv4Addr::new(203, 0, 113, 160));
    assert_eq!(
        body(&ask(&subject, &mut Tokens::default(), "GET", path, &[])),
        "203.0.113.160"
    );
}

#[test]
fn a_machine_of_hetzner_finds_hetzners_service_without_a_token_and_no_other() {
    let mut subject = subject(true);
    subject.spec.supplier = Supplier::Hetzner;
    subject.spec.id = "hz-4711".into();
    let get = |path: &str| ask(&subject, &mut Tokens::default(), "GET", path, &[]);
    let metadata = body(&get("/hetzner/v1/metadata"));
    assert!(metadata.contains("instance-id: 4711\n"), "{metadata}");
    // cloud-init ends without it, whatever else is set.
    assert!(metadata.contains("\nnetwork-config:\n  version: 1\n"), "{metadata}");
    assert_eq!(body(&get("/hetzner/v1/metadata/instance-id")), "4711");
    assert_eq!(get("/hetzner/v1/userdata").body, subject.spec.user_data);
    assert_eq!(get("/latest/meta-data/instance-id").status, 404);
}
