# shellcheck shell=bash
# Shared by the image scripts: one clock for all files, and cpio archives that are the same on every machine.
export SOURCE_DATE_EPOCH=1760000000
export LC_ALL=C
export TZ=UTC

# What the kernel is told. edd=off: else its own setup code reads every BIOS disk. lockdown: nobody, not even root, reads kernel memory.
# init_on_free: a page given back holds nothing. secretmem: pages that not even the kernel maps (memfd_secret). The last console= is where the agent talks; a machine without a serial port
# has no ttyS0, so there it is the screen.
kernel_options="quiet loglevel=3 lockdown=confidentiality edd=off init_on_alloc=1 init_on_free=1 page_alloc.shuffle=1 slab_nomerge vsyscall=none secretmem.enable=1 random.trust_cpu=off nohibernate panic=30"
kernel_command_line="console=tty0 console=ttyS0,115200 $kernel_options"
screen_command_line="console=tty0 $kernel_options"

# pack_cpio DIR OUT [PATH...]: newc archive of DIR (or of PATHs in DIR, in that order), root-owned, dated, uncompressed.
pack_cpio() {
    local dir=$1 out=$2
    shift 2
    find "$dir" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (
        cd "$dir"
        if [[ $# -gt 0 ]]; then printf '%s\n' "$@"; else find . -mindepth 1 -printf '%P\n' | sort; fi |
            cpio --quiet --reproducible -o -H newc -R 0:0
    ) >"$out"
}

# pad4 FILE: zero bytes up to a multiple of four, so that another archive may follow.
pad4() {
    truncate -s %4 "$1"
}

# Room for the owner's part on every medium, in bytes.
personal_slot=$((1024 * 1024))
