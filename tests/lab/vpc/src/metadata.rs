//! What the metadata service answers. Pure, apart from the clock that ages tokens.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ipnet::Ipv4Net;
use serde_json::json;

use crate::http::{Request, Response};
use crate::spec::{InstanceSpec, Supplier};

const VERSIONS: [&str; 6] = [
    "2009-04-04",
    "2016-09-02",
    "2018-09-24",
    "2020-10-27",
    "2021-03-23",
    "latest",
];
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// One instance, as the metadata service knows it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it was launched with.
    pub spec: InstanceSpec,
    /// Its network's range.
    pub vpc_cidr: Ipv4Net,
    /// Its public address at this moment.
    pub public: Option<Ipv4Addr>,
    /// When it was launched, RFC 3339.
    pub launched: String,
}

/// The tokens given out, each good for one instance until its time is over.
#[derive(Debug, Default)]
pub struct Tokens {
    known: HashMap<String, (String, Instant)>,
}

impl Tokens {
    fn issue(&mut self, instance: &str, lifetime: Duration, fresh: String, now: Instant) {
        self.known.retain(|_, (_, until)| *until > now);
        self.known.insert(fresh, (instance.to_owned(), now + lifetime));
    }

    fn left(&self, token: &str, instance: &str, now: Instant) -> Option<u64> {
        let (owner, until) = self.known.get(token)?;
        (owner == instance && *until > now).then(|| (*until - now).as_secs())
    }
}

/// Answers one request of one instance. `fresh` is a new random token, should one be asked for.
pub fn answer(subject: &Subject, request: &Request, tokens: &mut Tokens, fresh: String, now: Instant) -> Response {
    let path = request.path.split('?').next().unwrap_or_default();
    if subject.spec.supplier == Supplier::Hetzner {
        return hetzner(subject, request.method.as_str(), path);
    }
    match request.method.as_str() {
        "PUT" if path == "/latest/api/token" => issue(subject, request, tokens, fresh, now),
        "GET" | "HEAD" => match request.header(TOKEN) {
            Some(token) => match tokens.left(token, &subject.spec.id, now) {
                Some(left) => {
                    let mut response = get(subject, path);
                    response
                        .headers
                        .push(("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", left.to_string()));
                    response
                }
                None => plain(401, "401 - Unauthorized"),
            },
            None if subject.spec.imds_tokens_required => plain(401, "401 - Unauthorized"),
            None => get(subject, path),
        },
        _ => plain(405, "405 - Method Not Allowed"),
    }
}

/// Hetzner's service: no token, and whoever is in the machine may ask.
fn hetzner(subject: &Subject, method: &str, path: &str) -> Response {
    if !["GET", "HEAD"].contains(&method) {
        return plain(405, "method not allowed");
    }
    let spec = &subject.spec;
    let id = spec.id.trim_start_matches("hz-");
    let public = subject.public.map(|ip| ip.to_string()).unwrap_or_default();
    let text = match path {
        "/hetzner/v1/metadata" => format!(
            "availability-zone: {}-dc1\nhostname: {}\ninstance-id: {id}\npublic-ipv4: {public}\nregion: {}\npublic-keys: []\nvendor_data: \"\"\n\
             network-config:\n  version: 1\n  config:\n  - {{type: physical, name: eth0, mac_address: \"{}\", \
             subnets: [{{type: dhcp, ipv4: true}}]}}\n",
            spec.az, spec.hostname, spec.region, spec.mac
        ),
        "/hetzner/v1/metadata/instance-id" => id.to_owned(),
        "/hetzner/v1/metadata/hostname" => spec.hostname.clone(),
        "/hetzner/v1/metadata/public-ipv4" => public,
        "/hetzner/v1/metadata/region" => spec.region.clone(),
        "/hetzner/v1/metadata/private-networks" => format!(
            "- ip: {}\n  alias_ips: []\n  interface_num: 1\n  mac_address: {}\n  network: {}\n  subnet: {}\n",
            spec.private_ip, spec.mac, subject.vpc_cidr, spec.subnet_cidr
        ),
        "/hetzner/v1/userdata" if !spec.user_data.is_empty() => {
            let mut response = plain(200, "");
            response.body = spec.user_data.clone();
            return response;
        }
        _ => return plain(404, "not found"),
    };
    plain(200, &text)
}

fn issue(subject: &Subject, request: &Request, tokens: &mut Tokens, fresh: String, now: Instant) -> Response {
    // Through a proxy: refused, so that an open proxy on the instance gives nothing away.
    if request.header("x-forwarded-for").is_some() {
        return plain(403, "403 - Forbidden");
    }
    match request.header(TTL).and_then(|ttl| ttl.parse().ok()) {
        Some(ttl) if (1..=21_600).contains(&ttl) => {
            tokens.issue(&subject.spec.id, Duration::from_secs(ttl), fresh.clone(), now);
            let mut response = plain(200, &fresh);
            response
                .headers
                .push(("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl.to_string()));
            response
        }
        _ => plain(400, "400 - Bad Request"),
    }
}

fn get(subject: &Subject, path: &str) -> Response {
    let path = path.trim_start_matches('/').trim_end_matches('/');
    if path.is_empty() {
        return plain(200, &VERSIONS.join("\n"));
    }
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if !VERSIONS.contains(&version) {
        return missing();
    }
    if rest == "user-data" && !subject.spec.user_data.is_empty() {
        let mut response = plain(200, "");
        response.body = subject.spec.user_data.clone();
        return response;
    }
    let leaves = leaves(subject);
    if let Some(value) = leaves.get(rest) {
        return plain(200, value);
    }
    list(&leaves, rest).map_or_else(missing, |text| plain(200, &text))
}

/// The children of a folder, folders with a slash.
fn list(leaves: &BTreeMap<String, String>, folder: &str) -> Option<String> {
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    let mut names: Vec<String> = Vec::new();
    for rest in leaves.keys().filter_map(|path| path.strip_prefix(&prefix)) {
        let name = rest
            .split_once('/')
            .map_or_else(|| rest.to_owned(), |(name, _)| format!("{name}/"));
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    (!names.is_empty()).then(|| names.join("\n"))
}

fn leaves(subject: &Subject) -> BTreeMap<String, String> {
    let Subject {
        spec,
        vpc_cidr,
        public,
        launched,
    } = subject;
    let mut name = spec.hostname.clone();
    if !name.contains('.') {
        let _ = write!(name, ".{}.compute.internal", spec.region);
    }
    let address = spec.private_ip.to_string();
    let mut leaves = BTreeMap::new();
    let mut put = |path: String, value: &str| leaves.insert(path, value.to_owned());
    for (path, value) in [
        ("ami-id", spec.image_id.as_str()),
        ("ami-launch-index", "0"),
        ("ami-manifest-path", "(unknown)"),
        ("hostname", &name),
        ("instance-action", "none"),
        ("instance-id", &spec.id),
        ("instance-life-cycle", "on-demand"),
        ("instance-type", &spec.instance_type),
        ("local-hostname", &name),
        ("local-ipv4", &address),
        ("mac", &spec.mac),
        ("placement/availability-zone", &spec.az),
        ("placement/region", &spec.region),
        ("profile", "default-hvm"),
        ("services/domain", "amazonaws.com"),
        ("services/partition", "aws"),
    ] {
        put(format!("meta-data/{path}"), value);
    }
    let range = vpc_cidr.to_string();
    let subnet = spec.subnet_cidr.trunc().to_string();
    for (path, value) in [
        ("device-number", "0"),
        ("local-hostname", &name),
        ("local-ipv4s", &address),
        ("mac", &spec.mac),
        ("owner-id", &spec.account_id),
        ("subnet-id", &spec.subnet_id),
        ("subnet-ipv4-cidr-block", &subnet),
        ("vpc-id", &spec.vpc_id),
        ("vpc-ipv4-cidr-block", &range),
        ("vpc-ipv4-cidr-blocks", &range),
    ] {
        put(format!("meta-data/network/interfaces/macs/{}/{path}", spec.mac), value);
    }
    if let Some(public) = public.map(|address| address.to_string()) {
        put("meta-data/public-ipv4".into(), &public);
        put(
            format!("meta-data/network/interfaces/macs/{}/public-ipv4s", spec.mac),
            &public,
        );
    }
    let document = json!({
        "accountId": spec.account_id, "architecture": "x86_64", "availabilityZone": spec.az, "billingProducts": null,
        "devpayProductCodes": null, "imageId": spec.image_id, "instanceId": spec.id, "instanceType": spec.instance_type,
        "kernelId": null, "marketplaceProductCodes": null, "pendingTime": launched, "privateIp": address,
        "ramdiskId": null, "region": spec.region, "version": "2017-09-30",
    });
    put("dynamic/instance-identity/document".into(), &format!("{document:#}"));
    leaves
}

fn plain(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

fn missing() -> Response {
    plain(404, "404 - Not Found")
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
