#!/bin/sh
# Runs the S3 client's test against SeaweedFS on loopback. Needs SEAWEEDFS (path of `weed`).
set -eu
weed=${SEAWEEDFS:-weed}
dir=$(mktemp -d)
export S3_KEY=AKIATESTTESTTESTTEST S3_SECRET=secretsecretsecretsecretsecretsecretsecr S3_URL=http://127.0.0.1:18333
cat >"$dir/s3.json" <<EOF
{"identities":[{"name":"t","credentials":[{"accessKey":"$S3_KEY","secretKey":"$S3_SECRET"}],"actions":["Admin"]}]}
EOF
mkdir "$dir/data" "$dir/log"
"$weed" -logdir "$dir/log" server -dir "$dir/data" -ip 127.0.0.1 -ip.bind 127.0.0.1 -master.port 19333 -volume.port 18080 \
    -filer.port 18888 -s3 -s3.port 18333 -s3.port.iceberg 0 -s3.config "$dir/s3.json" -volume.max 20 -master.volumeSizeLimitMB 64 >"$dir/out" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true; rm -rf "$dir"' EXIT
for _ in $(seq 60); do
    if printf 's3.bucket.create -name aws-test\n' | "$weed" shell -master 127.0.0.1:19333 -filer 127.0.0.1:18888 >/dev/null 2>&1 \
        && [ "$(curl -s -o /dev/null -w '%{http_code}' "$S3_URL/aws-test")" = 403 ]; then break; fi
    sleep 1
done
cargo test -p skykeep-aws --test store -- --ignored "$@"
