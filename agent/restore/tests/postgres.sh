#!/bin/sh
# Databases against the laboratory's internet: the real PostgreSQL and pgBackRest make backups on S3 (HTTPS, SeaweedFS behind it),
# our job brings them back along their lineage, and the database is asked. Root; no cluster.
#   cargo build -p skykeep-rebirth --example database; cargo build -p lab-world --example world
#   tests/lab/world/alone agent/restore/tests/postgres.sh PATH-OF/database PATH-OF/world     # minutes; SHORT=1: the lineage alone
set -eu
job=$1 world=$2
here=$(cd "$(dirname "$0")/../../.." && pwd)
bin=/usr/lib/postgresql/15/bin
dir=$(mktemp -d)
chmod 755 "$dir"
cleanup() {
    # Only what was started here: everything of ours lives in one of these.
    for one in ${inner:-}; do kill -9 "$one" 2>/dev/null || :; done
    [ -z "${pid:-}" ] || { kill "$pid"; wait "$pid" || :; }
    [ -n "${KEEP:-}" ] || rm -rf "$dir"
}
trap cleanup EXIT
cp "$job" "$dir/job"
chmod 755 "$dir/job"
job=$dir/job
"$world" --work-dir "$dir/world" --aws 127.0.0.1:8470 >"$dir/ready" 2>"$dir/world.log" &
pid=$!
i=0
: >"$dir/ready"
until grep -q ready "$dir/ready"; do
    i=$((i + 1)); [ $i -lt 120 ] || { tail "$dir/world.log"; exit 1; }
    kill -0 "$pid"; sleep 1
done
key() { jq -r ".$1" "$dir/world/credentials.json"; }
own=$dir/own
mkdir "$own" "$own/keys"
cp "$dir/world/ca.pem" "$own/ca.pem"
printf %s "$(key aws_access_key_id)" >"$own/keys/AWS_ACCESS_KEY_ID"
printf %s "$(key aws_secret_access_key)" >"$own/keys/AWS_SECRET_ACCESS_KEY"
echo "the repository's passphrase" >"$own/keys/CIPHER"
printf %s "it's \\ a: new \"password\"" >"$own/keys/SHOP_DATABASE_PASSWORD"
cp "$here/tests/castle/database/make" "$own/make"
chown -R postgres: "$own"
# As the database's user, in a process namespace of its own: what is killed takes all of its children along.
as() { ip netns exec sk-host setpriv --reuid=postgres --regid=postgres --clear-groups env -i PATH=/usr/bin:/bin HOME=/nonexistent "$@"; }

# The repository's configuration, as the owner of the old castle wrote it: PATH [more lines]
repository() {
    as mkdir -p "$own/$1.d"
    {
        printf '[global]\nrepo1-type=s3\nrepo1-path=/%s\nrepo1-s3-bucket=rossi-backups\nrepo1-s3-region=eu-central-1\n' "$1"
        printf 'repo1-s3-endpoint=s3.eu-central-1.amazonaws.com\nrepo1-s3-uri-style=path\nrepo1-storage-ca-file=%s/ca.pem\n' "$own"
        printf 'repo1-s3-key=%s\nrepo1-s3-key-secret=%s\n' "$(key aws_access_key_id)" "$(key aws_secret_access_key)"
        [ $# -lt 2 ] || printf '%s\n' "$2"
    } | as tee "$own/$1.d/repo.conf" >/dev/null
}
objects() { # everything in the repository of PATH but the generations below it
    as pgbackrest --config=/dev/null --config-include-path="$own/$1.d" --log-level-file=off --output=json --recurse repo-ls "$2" </dev/null
}
castle() { # PREFIX [sed expression]: the castle file, never updated
    sed -e "s|prefix: pgbackrest|prefix: $1|; ${2:-}" "$here/tests/castle/castle.yaml" >"$own/$1.yaml"
}
# PREFIX GENERATION CLAIM [again]: one rebirth's restore.
reborn() {
    name=$1 generation=$2 claim=$3; shift 3
    as mkdir -p "$own/$claim" "$own/$claim.run"
    ip netns exec sk-host unshare --pid --fork --kill-child --mount-proc setpriv --reuid=postgres --regid=postgres --clear-groups \
        env -i PATH=/usr/bin:/bin "$job" "$own/$name.yaml" db "$own/keys" "$own/$name.json" "$generation" "$own/$claim" "$own/$claim.run" "$own/ca.pem" "$@"
}
fails() { # TEXT, then as reborn: fails in three parts and says TEXT
    text=$1; shift
    if reborn "$@" >"$dir/out" 2>"$dir/err"; then echo "it should have failed: $text"; exit 1; fi
    sed -n '/^what: /,$p' "$dir/err"
    [ "$(sed -n '/^what: /,$p' "$dir/err" | wc -l)" -eq 3 ]
    grep -q "$text" "$dir/err" || { cat "$dir/err"; exit 1; }
    if grep outcome "$dir/out"; then exit 1; fi
}
# CLAIM SQL...: runs the database as its StatefulSet would (archiving to where the Secret says), asks, stops it.
ask() {
    claim=$1; shift
    as mkdir -p "$own/$claim.sock"
    conf="pgbackrest --config=/dev/null --config-include-path=$own/$claim.run/archive --stanza=main --pg1-path=$own/$claim/pgdata --log-level-file=off --lock-path=$own/$claim.sock archive-push %p"
    as sh -ec 'bin=$1 data=$2 sock=$3 conf=$4; shift 4
        "$bin/pg_ctl" -D "$data" -w -t 60 -l "$sock/log" -o "-c listen_addresses= -c unix_socket_directories=$sock -c archive_command='"'"'$conf'"'"'" start >/dev/null
        trap "\"$bin/pg_ctl\" -D \"$data\" -w -m fast stop >/dev/null" EXIT
        for sql; do "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$sock" -U postgres -d shop -c "$sql"; done
        failed=$("$bin/psql" -X -A -t -h "$sock" -U postgres -d shop -c "select failed_count from pg_stat_archiver")
        [ "$failed" = 0 ] || { cat "$sock/log"; exit 1; }' \
        sh "$bin" "$own/$claim/pgdata" "$own/$claim.sock" "$conf" "$@"
}
SUM="select count(*) || ' ' || md5(string_agg(id || ' ' || customer || ' ' || cents, ',' order by id)) from orders"
more() { echo "insert into orders (customer, cents) select '$1', g from generate_series(1, 250) g"; }

echo "== the old castle's database: a base backup, and rows that are only in its WAL"
repository pgbackrest
as mkdir "$own/old"
castle pgbackrest
seeded=$(as "$own/make" "$own/old" "$own/pgbackrest.d")
echo "$seeded"
for part in archive backup; do objects pgbackrest $part; done >"$dir/before"

echo "== three rebirths from one castle file that nobody ever updates"
expected=$seeded
for generation in A B C; do
    begin=$(date +%s%N)
    reborn pgbackrest $generation claim-$generation
    echo "took $((($(date +%s%N) - begin) / 1000000)) ms"
    found=$(ask claim-$generation "$SUM")
    [ "$found" = "$expected" ] || { echo "$generation: $found instead of $expected"; exit 1; }
    # The reborn castle lives on: rows that are in no backup, only in the WAL of the path it was told.
    ask claim-$generation "$(more $generation)" "select pg_switch_wal()" >/dev/null
    expected=$(ask claim-$generation "$SUM")
done
echo "$expected"
[ "${expected%% *}" = 7250 ]
jq -r '.links[].path' "$own/pgbackrest.json"
for part in archive backup; do objects pgbackrest $part; done >"$dir/after"
cmp "$dir/before" "$dir/after"
echo "the old path got no new object"
echo "== the newest base backup is damaged: an older one and all of the WAL give the same database"
repository spoiled
castle spoiled
as mkdir "$own/spoiled-old" "$own/spoiled-old.run"
as "$own/make" "$own/spoiled-old" "$own/spoiled.d" >/dev/null 2>&1
as ln -s data "$own/spoiled-old/pgdata"
as ln -s "$own/spoiled.d" "$own/spoiled-old.run/archive"
backup="pgbackrest --config=/dev/null --config-include-path=$own/spoiled.d --stanza=main --pg1-path=$own/spoiled-old/pgdata --pg1-socket-path=$own/spoiled-old.sock --pg1-user=postgres --log-level-file=off --lock-path=$own/spoiled-old.sock --start-fast --type=full backup"
seeded=$(ask spoiled-old "$(more a)" "copy (select 1) to program '$backup'" "$(more b)" "select pg_switch_wal()" "$SUM" | tail -n 1)
newest=$(objects spoiled backup/main | jq -r 'keys[]' | grep -oE '^[0-9]{8}-[0-9]{6}F/' | sort -u | tail -n 1)
piece=$(objects spoiled "backup/main/$newest" | jq -r 'to_entries[] | select(.value.type == "file" and (.key | startswith("pg_data/base"))) | .key' | tail -n 1)
head -c 1000 /dev/urandom | as pgbackrest --config=/dev/null --config-include-path="$own/spoiled.d" --log-level-file=off repo-put "backup/main/$newest$piece"
reborn spoiled A claim-spoiled >"$dir/out"
[ "$(ask claim-spoiled "$SUM")" = "$seeded" ]
grep -o '"damaged":"[^"]*"' "$dir/out" | grep -q "${newest%/}"
if [ -n "${SHORT:-}" ]; then exit 0; fi

echo "== killed again and again, then left alone"
rounds=0
for delay in 0.5 1.5 2.5 3.5 5 6.5 8 9.5; do
    reborn pgbackrest D claim-D >"$dir/out" 2>&1 &
    inner=$!
    sleep "$delay"
    if kill -9 "$inner" 2>/dev/null; then rounds=$((rounds + 1)); fi
    wait "$inner" || :
    inner=
    sleep 0.5
done
echo "killed $rounds times"
[ "$rounds" -ge 3 ]
[ -n "$(jq -r '.links[] | select(.generation == "D")' "$own/pgbackrest.json")" ] || reborn pgbackrest D claim-D
[ "$(ask claim-D "$SUM")" = "$expected" ]

echo "== a cluster that somebody made in the claim; and the same wanted by name"
as mkdir "$own/claim-E"
as "$bin/initdb" -D "$own/claim-E/pgdata" -A trust >/dev/null
fails "did not write" pgbackrest E claim-E
reborn pgbackrest E claim-E again >/dev/null
[ "$(ask claim-E "$SUM")" = "$expected" ]

echo "== another database's archive on the new path"
castle taken
repository taken
as cp "$own/pgbackrest.json" "$own/taken.json"
repository taken/X
as mkdir "$own/other"
as "$own/make" "$own/other" "$own/taken/X.d" >/dev/null 2>&1
fails "begin the archive" taken X claim-X

echo "== a point in time, and one before every backup"
middle=$(ask claim-E "$(more middle)" "select pg_switch_wal()" "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')" | tail -n 1)
until_middle=$(ask claim-E "$SUM")
sleep 2
ask claim-E "delete from orders where id < 3000" "select pg_switch_wal()" >/dev/null
# The stop itself is a record as well; the point lies behind the insert by at most a second.
point=$(date -u -d "$middle + 1 second" +%FT%TZ)
as cp "$own/pgbackrest.json" "$own/point.json"
castle point "s|dataPath: pgdata|dataPath: pgdata\n      target: $point|; s|prefix: point|prefix: pgbackrest|"
reborn point F claim-F
[ "$(ask claim-F "$SUM")" = "$until_middle" ]
as cp "$own/pgbackrest.json" "$own/early.json"
castle early "s|dataPath: pgdata|dataPath: pgdata\n      target: 2020-01-01T00:00:00Z|; s|prefix: early|prefix: pgbackrest|"
fails "oldest backup" early G claim-G

echo "== an encrypted repository"
repository sealed "repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=$(cat "$own/keys/CIPHER")"
as mkdir "$own/sealed-old"
castle sealed "s|stanza: main|stanza: main\n      cipherPass: infisical:CIPHER|"
seeded=$(as "$own/make" "$own/sealed-old" "$own/sealed.d" 2>/dev/null)
reborn sealed A claim-S
[ "$(ask claim-S "$SUM")" = "$seeded" ]

echo "== what can't be used"
castle nothing
fails "no object" nothing A claim-N
castle version "s|postgres:15|postgres:16|; s|prefix: version|prefix: pgbackrest|"
fails "does not fit" version A claim-N
castle role "s|        shop: infisical|        nobody: infisical|; s|prefix: role|prefix: pgbackrest|"
fails "no such role" role A claim-R
castle answer "s|expected: t|expected: f|; s|prefix: answer|prefix: pgbackrest|"
fails "instead of" answer A claim-R2
echo "== a segment of WAL is missing: seen from outside, and, where the repository is encrypted, by the job"
torn() { # NAME [line of configuration] [sed expression] [TEXT]
    castle "$1" "$3"
    repository "$1" "$2"
    as mkdir "$own/$1-old" "$own/$1-old.run"
    as "$own/make" "$own/$1-old" "$own/$1.d" >/dev/null 2>&1
    as ln -s data "$own/$1-old/pgdata"
    as ln -s "$own/$1.d" "$own/$1-old.run/archive"
    ask "$1-old" "$(more a)" "select pg_switch_wal()" "$(more b)" "select pg_switch_wal()" "$(more c)" "select pg_switch_wal()" >/dev/null
    segment=$(objects "$1" archive/main/15-1 | jq -r 'keys[]' | grep -E '/[0-9A-F]{24}-' | sort | tail -n 2 | head -n 1)
    as pgbackrest --config=/dev/null --config-include-path="$own/$1.d" --log-level-file=off repo-rm "archive/main/15-1/$segment"
    fails "$4" "$1" A "claim-$1"
}
torn torn "" "" "WAL is missing"
torn torn-sealed "repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=$(cat "$own/keys/CIPHER")" "s|stanza: main|stanza: main\n      cipherPass: infisical:CIPHER|" "did not come back to the end"
echo "all is well"
