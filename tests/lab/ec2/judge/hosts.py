"""Holds our table of partitions against botocore's: argument 1 is the program that prints our hosts for regions."""

import subprocess
import sys

import botocore.session

SERVICES = ["ec2", "elasticloadbalancing", "sts", "ssm", "servicequotas"]
session = botocore.session.get_session()
resolver = session.get_component("endpoint_resolver")

wanted = []
for partition in session.get_available_partitions():
    for region in session.get_available_regions("ec2", partition):
        hosts = [(resolver.construct_endpoint(service, region, partition) or {}).get("hostname", "") for service in SERVICES]
        wanted.append((region, partition, hosts))
assert len(wanted) > 30, wanted
ours = subprocess.run([sys.argv[1]], input="\n".join(r for r, *_ in wanted), capture_output=True, text=True, check=True)
faults = []
for line, (region, partition, hosts) in zip(ours.stdout.splitlines(), wanted, strict=True):
    name, part, *mine = line.split()
    assert name == region
    if part != partition:
        faults.append(f"{region} is of {partition}, we say {part}")
    # Where botocore has no regional name (sts.amazonaws.com is global), the regional one exists all the same.
    faults += [f"{region}: {h} instead of {m}" for m, h in zip(mine, hosts) if h and region in h and m != h]
print(f"{len(wanted)} regions of {len({p for _, p, _ in wanted})} partitions, {len(faults)} faults")
print("\n".join(faults))
sys.exit(1 if faults else 0)
