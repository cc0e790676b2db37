//! Partitions: AWS's separate clouds. A region's name tells its partition, the partition its domain and its ARNs.

/// Beginning of a region's name, partition, domain. From botocore's `partitions.json`, against which the judge of the
/// laboratory's double holds it (`tests/lab/ec2/judge/run`). All other regions are of the partition `aws`.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
];

fn of(region: &str) -> (&'static str, &'static str) {
    let found = PARTITIONS.iter().find(|(start, ..)| region.starts_with(start));
    found.map_or(("aws", "amazonaws.com"), |(_, partition, domain)| (partition, domain))
}

/// The partition of a region, as ARNs begin: `aws`, `aws-cn`...
pub fn partition(region: &str) -> &'static str {
    of(region).0
}

/// In which region requests to a partition's IAM are signed: there is one IAM for all of its regions. From botocore's `endpoints.json`.
pub(crate) fn of_iam(region: &str) -> &str {
    match partition(region) {
        "aws" => "us-east-1",
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        _ => region,
    }
}

/// The host name of a service (`ec2`, `elasticloadbalancing`, `sts`, `ssm`, `s3`...) in a region.
pub fn host(service: &str, region: &str) -> String {
    match (service, partition(region)) {
        ("iam", "aws") => return "iam.amazonaws.com".into(),
        ("iam", "aws-us-gov") => return "iam.us-gov.amazonaws.com".into(),
        _ => {}
    }
    format!("{service}.{region}.{}", of(region).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regions_name_tells_domain_and_partition() {
        assert_eq!(host("ec2", "eu-central-1"), "ec2.eu-central-1.amazonaws.com");
        assert_eq!(host("s3", "cn-north-1"), "s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(host("iam", of_iam("eu-central-1")), "iam.amazonaws.com");
        assert_eq!(host("iam", of_iam("cn-northwest-1")), "iam.cn-north-1.amazonaws.com.cn");
        assert_eq!(
            (partition("us-gov-west-1"), partition("us-east-1")),
            ("aws-us-gov", "aws")
        );
    }
}
