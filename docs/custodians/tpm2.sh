#!/bin/sh
# A strongroom custodian in this machine's TPM 2.0: each share is an NV index, which the TPM's owner
# may read and write, and which is undefined to destroy it.
#
#     tpm2.sh BASE get|put|destroy VAULT EPOCH
#     tpm2.sh BASE epochs VAULT
#
# In strongroom.toml:
#
#     [[custodian]]
#     name = "tpm"
#     kind = "command"
#     program = ["/usr/local/bin/tpm2.sh", "0x1500000"]
#     env = ["TPM_OWNER_AUTH"]
#
# BASE is the first of 64 NV indices that nothing else uses; EPOCH 0 (the mark) and the last digits
# of an epoch choose one. Needs tpm2-tools, and access to the TPM (/dev/tpmrm0, group tss; or
# TPM2TOOLS_TCTI). Where the owner hierarchy has a password, TPM_OWNER_AUTH says where tpm2-tools
# finds it, such as file:/etc/strongroom/owner.
#
# A share here dies with this machine's TPM: have other custodians too.
set -eu
umask 077

base=$1 verb=$2 vault=$3 epoch=${4:-0}
case $vault in *[!0-9a-f]* | '') echo "VAULT is no vault id" >&2; exit 2 ;; esac
case $epoch in *[!0-9]*) echo "EPOCH is no number" >&2; exit 2 ;; esac

owner() {
    tool=$1
    shift
    if [ -n "${TPM_OWNER_AUTH:-}" ]; then
        "$tool" -C o -P "$TPM_OWNER_AUTH" "$@"
    else
        "$tool" -C o "$@"
    fi
}

# tpm2-tools complains in many lines, of which strongroom would show the first.
quietly() {
    "$@" 2>/dev/null || { echo "$* failed" >&2; return 1; }
}

# A TPM that does not answer is a failure (1), never "holds no such share" (10): so every call that
# asks it something ends the program itself where it fails.
defined=$(quietly tpm2_getcap handles-nv-index) || exit 1

# Whether an index is defined, and written: a crash may have come between.
is_defined() {
    printf '%s\n' "$defined" | grep -qix -- "- 0x0*${1#0x}"
}
is_written() {
    public=$(quietly tpm2_nvreadpublic "$1") || exit 1
    case $public in *'|written'* | *'written|'*) return 0 ;; *) return 1 ;; esac
}

# The text in an index, into $text; what it names, into $its_vault and $its_epoch (the mark: 0).
read_index() {
    text=$(quietly owner tpm2_nvread "$1") || exit 1
    its_vault=$(printf '%s\n' "$text" | sed -n 's/^vault \([0-9a-f]*\)$/\1/p')
    its_epoch=$(printf '%s\n' "$text" | sed -n 's/^epoch \([0-9]*\)$/\1/p')
    [ -n "$its_epoch" ] || its_epoch=0
}

slot() {
    printf '0x%x' $((base + ($1 == 0 ? 0 : 1 + $1 % 63)))
}
index=$(slot "$epoch")

# Whether something is in the epoch's index that is not clearly of another epoch. Damaged text is
# handed out as it is, so that strongroom sees it.
holds() {
    is_defined "$index" || return 1
    is_written "$index" || return 1
    read_index "$index"
    [ "$its_vault" != "$vault" ] || [ "$its_epoch" = "$epoch" ]
}

case $verb in
get)
    holds || exit 10
    printf '%s\n' "$text"
    ;;
put)
    if is_defined "$index"; then
        if is_written "$index"; then exit 11; fi
        quietly owner tpm2_nvundefine "$index" >/dev/null
    fi
    share=$(cat; echo .)
    share=${share%.}
    quietly owner tpm2_nvdefine "$index" -s ${#share} -a 'ownerread|ownerwrite' >/dev/null
    printf %s "$share" | quietly owner tpm2_nvwrite "$index" -i - >/dev/null
    ;;
destroy)
    is_defined "$index" || exit 10
    if is_written "$index"; then
        holds || exit 10
        case $its_vault in
        "$vault" | '') ;;
        *) echo "index $index is of another vault" >&2; exit 1 ;;
        esac
    fi
    quietly owner tpm2_nvundefine "$index" >/dev/null
    ;;
epochs)
    for handle in $(printf '%s\n' "$defined" | sed -n 's/^- //p'); do
        number=$((handle - base))
        if [ $number -lt 0 ] || [ $number -gt 63 ]; then continue; fi
        if is_written "$handle"; then
            read_index "$handle"
            if [ "$its_vault" = "$vault" ]; then printf '%s\n' "$its_epoch"; fi
            if [ -z "$its_vault" ]; then echo "index $handle is damaged" >&2; exit 1; fi
        fi
    done
    ;;
*)
    echo "no verb $verb" >&2
    exit 2
    ;;
esac
