#!/bin/sh
# Builds and destroys a castle at moto_server (PyPI moto[server]) on loopback. Needs MOTO (path of moto_server).
set -eu
port=18555
"${MOTO:-moto_server}" -H 127.0.0.1 -p $port >/dev/null 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true' EXIT
for _ in $(seq 50); do curl -sf "http://127.0.0.1:$port/moto-api/data.json" >/dev/null && break; sleep 0.3; done
export MOTO_URL="http://127.0.0.1:$port/"
# Any image moto knows for x86_64.
MOTO_IMAGE=$(curl -s -H 'Host: ec2.eu-central-1.amazonaws.com' \
    -H 'Authorization: AWS4-HMAC-SHA256 Credential=k/20260101/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0' \
    -d 'Action=DescribeImages&Version=2016-11-15&Filter.1.Name=architecture&Filter.1.Value.1=x86_64&Filter.2.Name=virtualization-type&Filter.2.Value.1=hvm' \
    "$MOTO_URL" | grep -o 'ami-[0-9a-f]*' | head -1)
export MOTO_IMAGE
cargo test -p skykeep-cloud --test moto -- --ignored "$@"
