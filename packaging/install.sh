#!/bin/sh
# Installs keyward, its man pages and its completions for bash, zsh and fish, and removes them again. It is in the
# archive of a release. In a clone, it uses what `cargo build --release` made.
set -eu

usage() {
    cat <<'END'
Usage: ./install.sh [--prefix DIR] [--uninstall]

Installs keyward into DIR/bin, its man pages and completions into DIR/share.

  --prefix DIR   default: /usr/local for root, ~/.local for others
  --uninstall    removes what was installed there; your keys stay
END
}

fail() {
    echo "install.sh: $1" >&2
    exit "${2:-1}"
}

prefix=
uninstall=no
while [ $# -gt 0 ]; do
    case "$1" in
    --prefix)
        [ $# -gt 1 ] || fail "--prefix needs a folder" 2
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#--prefix=} ;;
    --uninstall) uninstall=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "unknown argument: $1" 2
        ;;
    esac
    shift
done
if [ -z "$prefix" ]; then
    if [ "$(id -u)" -eq 0 ]; then prefix=/usr/local; else prefix=${HOME:?}/.local; fi
fi
case "$prefix" in
/*) ;;
*) prefix=$PWD/$prefix ;;
esac

# The installed files, one per line, relative to the prefix.
list=$prefix/share/keyward/installed

if [ "$uninstall" = yes ]; then
    [ -f "$list" ] || fail "keyward is not installed in $prefix (there is no $list)"
    while IFS= read -r file; do
        rm -f "$prefix/$file"
    done <"$list"
    rm -f "$list"
    rmdir "$prefix/share/keyward" 2>/dev/null || true
    echo "removed keyward from $prefix; your keys were kept"
    exit 0
fi

here=$(cd "$(dirname "$0")" && pwd)
if [ -e "$here/keyward" ]; then
    root=$here
    binary=$here/keyward
else
    root=$(dirname "$here")
    binary=${CARGO_TARGET_DIR:-$root/target}/release/keyward
    [ -x "$binary" ] || fail "there is no $binary; build it first: cargo build --release --locked"
fi
"$binary" --version >/dev/null || fail "$binary does not run on this machine"

mkdir -p "$prefix/share/keyward"
: >"$list.new"

# Copied under another name first: a running program cannot be overwritten, and no half-written file is ever visible.
put() {
    mode=$1 from=$2 to=$3
    echo "$to" >>"$list.new"
    mkdir -p "$(dirname "$prefix/$to")"
    cp "$from" "$prefix/$to.new"
    chmod "$mode" "$prefix/$to.new"
    mv -f "$prefix/$to.new" "$prefix/$to"
}
put 755 "$binary" bin/keyward
for page in "$root"/man/*.[157]; do
    put 644 "$page" "share/man/man${page##*.}/${page##*/}"
done
put 644 "$root/completions/keyward.bash" share/bash-completion/completions/keyward
put 644 "$root/completions/_keyward" share/zsh/site-functions/_keyward
put 644 "$root/completions/keyward.fish" share/fish/vendor_completions.d/keyward.fish

# Remove files of an earlier version that this one no longer has.
if [ -f "$list" ]; then
    while IFS= read -r file; do
        grep -qxF "$file" "$list.new" || rm -f "$prefix/$file"
    done <"$list"
fi
mv -f "$list.new" "$list"

echo "installed keyward, its man pages and completions in $prefix"
case ":${PATH:-}:" in
*":$prefix/bin:"*) ;;
*) echo "note: $prefix/bin is not in your PATH" ;;
esac
if [ "$prefix" != /usr/local ] && [ "$prefix" != /usr ]; then
    echo "note: for completion in zsh, put this into ~/.zshrc, before compinit: fpath=($prefix/share/zsh/site-functions \$fpath)"
fi
echo "next: keyward create first-key"
