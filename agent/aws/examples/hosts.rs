//! Reads regions, one per line; prints for each its partition and the hosts that we would ask. The judge of the laboratory's
//! double compares them with botocore's.

fn main() -> std::io::Result<()> {
    for region in std::io::read_to_string(std::io::stdin())?.lines() {
        let hosts =
            ["ec2", "elasticloadbalancing", "sts", "ssm", "servicequotas"].map(|s| skykeep_aws::host(s, region));
        println!("{region} {} {}", skykeep_aws::partition(region), hosts.join(" "));
    }
    Ok(())
}
