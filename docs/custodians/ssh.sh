#!/bin/sh
# A strongroom custodian on another machine, over ssh: shares are files in a folder there.
#
#     ssh.sh HOST FOLDER get|put|destroy VAULT EPOCH
#     ssh.sh HOST FOLDER epochs VAULT
#
# In strongroom.toml:
#
#     [[custodian]]
#     name = "far"
#     kind = "command"
#     program = ["/usr/local/bin/ssh.sh", "strongroom@far.example", "/srv/strongroom"]
#     env = ["SSH_AUTH_SOCK"]     # where an agent has the key
#
# The folder must be there; its machine needs a POSIX shell and GNU coreutils (shred, sync). HOST is
# anything that ssh takes; the key that logs in must not ask for a passphrase. A share goes through
# standard input and output only, and is never in an argument, here or there.
set -eu

# What runs there: $0 is "strongroom", the arguments are FOLDER VERB VAULT EPOCH BYTES. It holds no
# single quote. A folder that is missing is a failure (1), never "holds no such share" (10).
there='
set -eu
umask 077
cd -- "$1"
file=$3.$4
half=.$file.half
case $2 in
get)
    [ -e "$file" ] || exit 10
    cat -- "$file"
    ;;
put)
    if [ -e "$half" ]; then shred -u -- "$half"; fi
    if [ -e "$file" ]; then exit 11; fi
    cat >"$half"
    if [ "$(wc -c <"$half")" -ne "$5" ]; then
        shred -u -- "$half"
        echo "the share came cut short" >&2
        exit 1
    fi
    sync -- "$half"
    if ! ln -- "$half" "$file"; then
        if [ -e "$file" ]; then exit 11; else exit 1; fi
    fi
    rm -- "$half"
    sync -- .
    ;;
destroy)
    if [ -e "$half" ]; then shred -u -- "$half"; fi
    if [ ! -e "$file" ]; then exit 10; fi
    shred -u -- "$file"
    sync -- .
    ;;
epochs)
    for file in "$3".*; do
        if [ -e "$file" ]; then printf "%s\n" "${file##*.}"; fi
    done
    ;;
esac
'

host=$1 folder=$2 verb=$3 vault=$4 epoch=${5:-0}
case $folder in *\'*) echo "the folder's name has a quote in it" >&2; exit 2 ;; esac
case $vault in *[!0-9a-f]* | '') echo "VAULT is no vault id" >&2; exit 2 ;; esac
case $epoch in *[!0-9]*) echo "EPOCH is no number" >&2; exit 2 ;; esac
case $verb in
get | put | destroy | epochs) ;;
*) echo "no verb $verb" >&2; exit 2 ;;
esac

call() {
    ssh -o BatchMode=yes -o ConnectTimeout=10 -- "$host" \
        "sh -c '$there' strongroom '$folder' $verb $vault $epoch $1"
}

if [ "$verb" = put ]; then
    # The length goes along, so that a connection that breaks leaves no half of a share.
    share=$(cat; echo .)
    share=${share%.}
    printf %s "$share" | call ${#share}
else
    call 0 </dev/null
fi
