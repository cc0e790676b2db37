#!/bin/sh
# The restore job against the laboratory's internet: restic makes a repository on S3 (HTTPS, SeaweedFS behind it), our
# job brings it back, and diff, find and getxattr compare with the original. Root; no cluster.
#   cargo build -p skykeep-restore --example restore-job
#   tests/lab/world/alone agent/restore/tests/world.sh PATH-OF/restore-job PATH-OF/world
set -eu
job=$1 world=$2
dir=$(mktemp -d)
cleanup() {
    [ -z "${pid:-}" ] || { kill "$pid"; wait "$pid" || :; }
    umount "$dir/small" 2>/dev/null || :
    rm -rf "$dir" "/srv/treasure-$$"
}
trap cleanup EXIT
"$world" --work-dir "$dir/world" --aws 127.0.0.1:8470 >"$dir/ready" 2>"$dir/world.log" &
pid=$!
i=0
: >"$dir/ready"
until grep -q ready "$dir/ready"; do
    i=$((i + 1)); [ $i -lt 120 ] || { tail "$dir/world.log"; exit 1; }
    kill -0 "$pid"; sleep 1
done
ca=$dir/world/ca.pem
key() { jq -r ".$1" "$dir/world/credentials.json"; }
AWS_ACCESS_KEY_ID=$(key aws_access_key_id) AWS_SECRET_ACCESS_KEY=$(key aws_secret_access_key) RESTIC_PASSWORD=$(key restic_password)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY RESTIC_PASSWORD RESTIC_CACHE_DIR=$dir/cache
inside() { ip netns exec sk-host "$@"; }

src=/srv/treasure-$$
mkdir -p "$src/sub/deep" "$src/empty"
head -c 30000000 /dev/urandom >"$src/big"
head -c 8000000 /dev/zero >"$src/zeros"
i=0; while [ $i -lt 300 ]; do echo "number $i" >"$src/sub/file-$i"; i=$((i + 1)); done
ln "$src/big" "$src/sub/big-too"; ln -s ../big "$src/sub/link"; ln -s nowhere "$src/dangling"; mkfifo "$src/pipe"
chown -R 1000:1001 "$src/sub"; chown -h 33:33 "$src/dangling"; chmod 2750 "$src/sub/deep"; chmod 1777 "$src/empty"
touch -d '2020-02-03 04:05:06.7' "$src/sub/file-7" "$src/sub" "$src"; chown 65534 "$src"
python3 -c 'import os,sys; os.setxattr(sys.argv[1], "user.note", b"hello")' "$src/sub/file-3"
repo=s3:https://s3.eu-central-1.amazonaws.com/rossi-backups/treasure
inside restic --cacert "$ca" -q -r $repo init
inside restic --cacert "$ca" -q -r $repo backup "$src"
# The first snapshot ever must stay the latest of that path.
inside restic --cacert "$ca" -q -r $repo backup "$dir/ready"
objects() { inside restic --cacert "$ca" -q -r $repo list "$1" --no-lock | sort; }
for kind in locks keys snapshots index packs; do objects $kind; done >"$dir/before"

mkdir -p "$dir/spec" "$dir/keys" "$dir/target"
cp "$ca" "$dir/spec/ca.pem"
printf %s "$AWS_ACCESS_KEY_ID" >"$dir/keys/access-key-id"
printf %s "$AWS_SECRET_ACCESS_KEY" >"$dir/keys/secret-access-key"
printf %s "$RESTIC_PASSWORD" >"$dir/keys/password"
spec() { jq -n --arg path "$1" --arg prefix "$2" '{bucket: "rossi-backups", prefix: $prefix, region: "eu-central-1", snapshot: "latest", path: $path}' >"$dir/spec/spec.json"; }
restore() { inside env -i "$job" "$dir/spec/spec.json" "$dir/keys" "$1"; }
fails() { # TARGET TEXT: fails with 1, in three parts, and says TEXT
    if restore "$1" >"$dir/out" 2>"$dir/err"; then echo "it should have failed: $2"; exit 1; fi
    cat "$dir/err"
    [ "$(wc -l <"$dir/err")" -eq 3 ]
    grep -q "$2" "$dir/err"
    none outcome "$dir/out"
}
none() { if grep "$1" "$2"; then echo "$2 should have no $1"; exit 1; fi; }
look() { (cd "$1" && find . ! -name lost+found -printf '%p %y %#m %U:%G %n %l %T@ %s\n' | sed -E '/ d /s/ [0-9]+$//' | sort); }
same() {
    # diff does not look into pipes; find compares them.
    diff -r --no-dereference -x pipe "$src" "$1"
    look "$src" >"$dir/a"; look "$1" >"$dir/b"; diff "$dir/a" "$dir/b"
    [ "$(stat -c %i "$1/big")" = "$(stat -c %i "$1/sub/big-too")" ]
    python3 -c 'import os,sys; assert os.getxattr(sys.argv[1], "user.note") == b"hello"' "$1/sub/file-3"
}

echo "== inspect"
spec "$src" treasure
inside env -i "$job" inspect "$dir/spec/spec.json" "$dir/keys"
echo "== restore"
restore "$dir/target"
same "$dir/target"
echo "== again, half restored"
rm "$dir/target/sub/file-9"; : >"$dir/target/zeros"; printf x | dd of="$dir/target/big" conv=notrunc bs=1 seek=12345678 status=none
restore "$dir/target"; same "$dir/target"
echo "== killed in the middle, started again"
rm -rf "$dir/target"; mkdir "$dir/target"
ip netns exec sk-host env -i "$job" "$dir/spec/spec.json" "$dir/keys" "$dir/target" >"$dir/out" 2>&1 & running=$!
while [ ! -e "$dir/target/big" ]; do kill -0 $running; sleep 0.02; done
kill -9 $running; wait $running || :
none outcome "$dir/out"
restore "$dir/target"; same "$dir/target"
echo "== a volume that is too small"
mkdir "$dir/small"; mount -t tmpfs -o size=20m none "$dir/small"
fails "$dir/small" "room for"
echo "== a volume that gets full on the way"
umount "$dir/small"; mount -t tmpfs -o size=100m,nr_inodes=50 none "$dir/small"
fails "$dir/small" "full"
umount "$dir/small"
echo "== wrong password, no repository, no path"
printf wrong >"$dir/keys/password"; fails "$dir/small" password; printf %s "$RESTIC_PASSWORD" >"$dir/keys/password"
spec "$src" nothing; fails "$dir/small" "no repository"
spec "$src/nothing" treasure; fails "$dir/small" "no path"
echo "== wrong secret key"
spec "$src" treasure; printf wrong >"$dir/keys/secret-access-key"; fails "$dir/small" "key"
for kind in locks keys snapshots index packs; do objects $kind; done >"$dir/after"
diff "$dir/before" "$dir/after"
echo "all is well; nothing was written to the repository"
