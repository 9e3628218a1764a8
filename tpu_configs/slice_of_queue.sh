# shellcheck shell=bash
# shellcheck disable=SC2154 # slice.sh, which sources this file, sets the variables
# A slice that Cloud TPU makes of a queued resource (up to v6e): the functions that slice.sh needs.

tpus() { # gcloud's arguments for GROUP COMMAND ...: the place is always told
    run gcloud compute tpus "$@" "${place[@]}"
}

request() {
    local tier=()
    "$spot" && tier=(--spot)
    tpus queued-resources create "$name" "--node-id=$name" "--accelerator-type=$accelerator_type" \
        "--runtime-version=$runtime_version" "${tier[@]}"
}

state() { # what gcloud says of the queued resource, GONE where there is none, UNKNOWN where gcloud does not answer
    local answer
    if answer=$(ask ACTIVE gcloud compute tpus queued-resources describe "$name" "${place[@]}" \
        '--format=value(state.state)' 2>&1); then
        echo "${answer##*$'\n'}"
    elif [[ $answer == *NOT_FOUND* ]]; then
        echo GONE
    else
        echo "$answer" >&2
        echo UNKNOWN
    fi
}

await_hosts() { # an active slice answers
    :
}

delete() {
    tpus queued-resources delete "$name" --force --quiet
}

delete_rest() { # STATE: of a slice that is in this state
    [[ $1 == GONE ]] || delete
}

on_hosts() { # WORKERS COMMAND: 0 or all
    tpus tpu-vm ssh "$name" "--worker=$1" "--command=$2"
}

copy_to_hosts() { # FILE TARGET
    tpus tpu-vm scp "$1" "$name:$2" --worker=all
}

output_of_hosts() { # WORKERS COMMAND STAND_IN: what they print; nothing for a host that does not answer
    ask "$3" gcloud compute tpus tpu-vm ssh "$name" "--worker=$1" "--command=$2" "${place[@]}" 2> /dev/null || true
}
