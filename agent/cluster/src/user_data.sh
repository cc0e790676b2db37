#!/bin/sh
# Skykeep: {id}
set -eu
umask 077
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Nobody logs in: suppliers' images listen for SSH, one of them with a password that was sent by mail.
systemctl -q mask --now ssh.service ssh.socket 2>/dev/null || :
passwd -q -l root 2>/dev/null || :
[ ! -e /var/lib/skykeep/joined ] || exit 0
mkdir -p /var/lib/skykeep /run/skykeep /usr/local/bin

# cloud-init runs this once; a power cut before the end must not leave the machine idle.
if [ "${1:-}" != again ]; then
    cp "$0" /var/lib/skykeep/join
    cat > /etc/systemd/system/skykeep-join.service <<'END'
[Unit]
Description=Skykeep: this machine joins its castle
Wants=network-online.target
After=network-online.target
ConditionPathExists=!/var/lib/skykeep/joined
[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/skykeep/join again
TimeoutStartSec=1800
StandardOutput=journal+console
[Install]
WantedBy=multi-user.target
END
    chmod 0644 /etc/systemd/system/skykeep-join.service
    systemctl -q enable skykeep-join.service
fi

# Who watches the console can now tell a slow machine from a dead one.
echo 'skykeep: this machine is up and gets its agent'
agent=/usr/local/bin/skykeep
right() { echo "{sha256}  $1" | sha256sum -c --status 2>/dev/null; }
tries=0
until right $agent; do
    tries=$((tries + 1))
    for from in '{url}'{copy}; do
        if curl -fsSL --proto '=https' --connect-timeout 10 --max-time 300 -o $agent.part "$from"; then
            if right $agent.part; then
                chmod 0755 $agent.part
                mv $agent.part $agent
                break 2
            fi
            why="what it gave has not the SHA-256 of castle.lock" lasting=true
        else
            why="the download failed, curl says $?" lasting=false
        fi
        rm -f $agent.part
    done
    if [ $((tries % 5)) = 0 ]; then
        printf 'skykeep: FAILED {"what":"it can not get the agent","why":"{url}: %s (%s tries)","remedy":"Check that URL and the hash in castle.lock. When the URL gives the right file again, this machine goes on by itself.","lasting":%s,"tries":%s}\n' "$why" $tries $lasting $tries
    fi
    [ $tries -lt 300 ] || exit 1
    sleep 5
done

cat > /run/skykeep/node.json <<'END'
{config}
END
exec $agent node --config /run/skykeep/node.json
