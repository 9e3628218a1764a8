# shellcheck shell=bash
# shellcheck disable=SC2154 # slice.sh, which sources this file, sets the variables
# A slice that Compute Engine makes of a managed instance group (TPU7x): the functions that slice.sh needs. Several hosts are
# one slice if a workload policy gives the topology and the group is created in bulk: all of its machines, or none.
#
# https://cloud.google.com/compute/docs/tpus/create-tpu-mig-multi-host-slice

region=${zone%-*}
anywhere=()
[[ -z $project ]] || anywhere=("--project=$project")
[[ $hosts -eq 1 || -n $project ]] || fail "--project must be given for $topology, whose workload policy is named by it"

request() { # joined by &&: inside a condition, as watch calls it, a failure would not end a function otherwise
    local tier=() policy=()
    "$spot" && tier=(--provisioning-model=SPOT --instance-termination-action=STOP)
    [[ $hosts -eq 1 ]] || policy=("--workload-policy=projects/$project/regions/$region/resourcePolicies/$name")
    if [[ $hosts -gt 1 ]]; then
        run gcloud compute resource-policies create workload-policy "$name" --type=HIGH_THROUGHPUT \
            "--accelerator-topology=$chip_topology" "--region=$region" "${anywhere[@]}" || return
    fi
    run gcloud compute instance-templates create "$name" "--machine-type=$machine_type" \
        "--image-family=$runtime_version" --image-project=ubuntu-os-accelerator-images \
        --boot-disk-type=hyperdisk-balanced --boot-disk-size=200GB --maintenance-policy=TERMINATE \
        --scopes=cloud-platform "${tier[@]}" "${anywhere[@]}" \
        && run gcloud compute instance-groups managed create "$name" "--template=$name" "--size=$hosts" \
            --target-size-policy-mode=bulk --default-action-on-vm-failure=do-nothing "${policy[@]}" "${place[@]}"
}

instances() { # FIELDS STAND_IN: the fields of each machine, on a line; for a dry run the stand-in
    ask "$2" gcloud compute instance-groups managed list-instances "$name" "--format=value($1)" "${place[@]}"
}

names_of_hosts() {
    local invented=() index
    for ((index = 0; index < hosts; index++)); do invented+=("$name-$index"); done
    instances name "$(printf '%s\n' "${invented[@]}")"
}

state() { # as a queued resource tells it: ACTIVE, SUSPENDED, PROVISIONING, GONE; UNKNOWN where gcloud does not answer
    local answer
    if ! answer=$(instances instanceStatus "$(lines RUNNING "$hosts")" 2>&1); then
        if [[ $answer == *'was not found'* ]]; then
            echo GONE
        else
            echo "$answer" >&2
            echo UNKNOWN
        fi
    elif grep -qE '^(STOPPING|STOPPED|TERMINATED|SUSPENDING|SUSPENDED)$' <<< "$answer"; then
        echo SUSPENDED
    elif [[ $(grep -cx RUNNING <<< "$answer") -eq $hosts ]]; then
        echo ACTIVE
    else
        echo PROVISIONING
    fi
}

await_hosts() { # machines run for a while before they answer
    local tries
    for ((tries = 0; tries < 30; tries++)); do
        if on_hosts all true; then return; fi
        sleep "$interval"
    done
    echo "the hosts of $name run, but do not answer" >&2
    exit 3
}

delete() { # what is missing already must not keep the rest
    local failed=0
    run gcloud compute instance-groups managed delete "$name" --quiet "${place[@]}" || failed=1
    run gcloud compute instance-templates delete "$name" --quiet "${anywhere[@]}" || failed=1
    if [[ $hosts -gt 1 ]]; then
        run gcloud compute resource-policies delete "$name" --quiet "--region=$region" "${anywhere[@]}" || failed=1
    fi
    return "$failed"
}

delete_rest() { # STATE: a group that is gone leaves its template and its policy
    delete || [[ $1 == GONE ]]
}

each_host() { # FUNCTION ARGUMENTS...: of all hosts at once, with a host's name before the arguments; fails if one fails
    local names host jobs=() job failed=0
    names=$(names_of_hosts) || return
    for host in $names; do
        "$1" "$host" "${@:2}" &
        jobs+=($!)
        if "$dry_run"; then wait "$!"; fi # in order
    done
    for job in "${jobs[@]}"; do wait "$job" || failed=1; done
    return "$failed"
}

ssh_to() { # HOST COMMAND
    run gcloud compute ssh "$1" "--command=$2" "${place[@]}"
}

scp_to() { # HOST FILE TARGET
    run gcloud compute scp "$2" "$1:$3" "${place[@]}"
}

ask_host() { # HOST COMMAND STAND_IN
    ask "$3" gcloud compute ssh "$1" "--command=$2" "${place[@]}"
}

on_hosts() { # WORKERS COMMAND: of all, because a JAX job runs on every host
    each_host ssh_to "$2"
}

copy_to_hosts() { # FILE TARGET
    each_host scp_to "$1" "$2"
}

output_of_hosts() { # WORKERS COMMAND STAND_IN: what they print; nothing for a host that does not answer
    each_host ask_host "$2" "${3%%$'\n'*}" 2> /dev/null || true
}
