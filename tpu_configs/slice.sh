#!/usr/bin/env bash
# Runs a program of this project on a slice of Cloud TPU that Google may take away again.
#
#   tpu_configs/slice.sh COMMAND --topology v5e-8 --name bert --zone us-west4-a [options] [-- MODULE FLAGS...]
#
#   create    ask for the slice and wait until it exists: a queued resource, or for TPU7x a group of Compute Engine
#   install   copy the committed tree to every host, and install the pinned environment there
#   launch    start `python -m MODULE FLAGS...` with the flags of the slice: for JAX on every host, for TensorFlow on the first
#   watch     until the program ends; a slice that was preempted is made again, and the program started again
#   recreate  delete what is left of the slice, and create it again
#   delete    give the slice back
#   all       create, install, launch, watch
#
#   --engine E       tensorflow (default) or jax
#   --project P      Google Cloud project; gcloud's own by default
#   --spot           cheaper, and may be preempted
#   --interval S     seconds between two looks at the slice (default 60)
#   --attempts N     how often the slice is made again before watch gives up (default 100)
#   --dry_run        print the commands, run none of them
#
# The program must keep its folder on gs:// and go on where it stood, as experiments.pretrain and finetune do. Exit codes:
# that of the program (watch), 2 for wrong arguments, 3 when the slice cannot be had.
set -euo pipefail

readonly REMOTE_FOLDER=bert_tf        # in the home folder of each host
readonly STOPPED_BY_SIGTERM=143       # the program left a checkpoint and wants to be started again

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$folder")
topology='' name='' zone='' project='' engine=tensorflow spot=false interval=60 attempts=100 dry_run=false
program=()

exec 3>&2 # where a dry run shows its questions, wherever their errors go

fail() {
    echo "error: $*" >&2
    exit 2
}

show() {
    printf '+'
    printf ' %q' "$@"
    printf '\n'
}

run() {
    show "$@"
    "$dry_run" || "$@"
}

value_of() { # FLAG and what follows it
    [[ $# -ge 2 && -n $2 ]] || fail "$1 needs a value"
    echo "$2"
}

ask() { # STAND_IN COMMAND...: what a command prints that changes nothing; of a dry run, the stand-in
    if "$dry_run"; then
        show "${@:2}" >&3
        echo "$1"
    else
        "${@:2}"
    fi
}

lines() { # LINE COUNT
    local index
    for ((index = 0; index < $2; index++)); do echo "$1"; done
}

create() {
    request
    local now
    while now=$(state) && [[ $now != ACTIVE ]]; do
        if [[ $now =~ ^(FAILED|SUSPENDING|SUSPENDED|GONE)$ ]]; then
            echo "the slice $name is $now before it stood" >&2
            exit 3
        fi
        echo "the slice $name is $now"
        sleep "$interval"
    done
    await_hosts
}

recreate() {
    delete || true # there may be nothing left of it
    create
}

install() { # joined by &&: inside a condition, as watch calls it, a failure would not end a function otherwise
    local archive=${TMPDIR:-/tmp}/$name-$$.tar.gz
    run git -C "$repository" archive --output="$archive" HEAD \
        && copy_to_hosts "$archive" "$REMOTE_FOLDER.tar.gz" \
        && run rm -f "$archive" \
        && on_hosts all "rm -rf $REMOTE_FOLDER && mkdir $REMOTE_FOLDER && tar -xzf $REMOTE_FOLDER.tar.gz -C $REMOTE_FOLDER" \
        && on_hosts all "sudo apt-get -qq update && sudo apt-get -qq install --yes $remote_python $remote_python-venv" \
        && on_hosts all "$remote_python -m venv .venv && PYTHON=\$HOME/.venv/bin/python $REMOTE_FOLDER/tpu_configs/install.sh --engine $engine"
}

launch() {
    [[ ${#program[@]} -gt 0 ]] || fail "launch needs a program behind --, such as: -- experiments.pretrain --model_dir gs://..."
    local environment='' tpu=local command
    if [[ $engine == tensorflow && $hosts -gt 1 ]]; then
        # TensorFlow drives a pod from one host, over the network to all of them: it must not take that host's chips itself.
        environment='TPU_LOAD_LIBRARY=0 '
        tpu=$name
    fi
    local flags=("--tpu=$tpu" "--topology=$topology")
    [[ $engine == tensorflow ]] || flags+=("--engine=$engine")
    command="${environment}\$HOME/.venv/bin/python -m$(printf ' %q' "${program[@]}" "${flags[@]}")"
    on_hosts "$workers" "cd $REMOTE_FOLDER && rm -f ../exit_code && { nohup bash -c $(printf '%q' \
        "$command > ../output.log 2>&1; echo \$? > ../exit_code") > /dev/null 2>&1 & echo \$! > ../pid; }"
}

exit_code() { # of the job, once the program has ended on every host that runs it; nothing before
    local codes code asked
    # A program that is gone without a code went down with its host, which is up again.
    asked="cat exit_code 2> /dev/null || kill -0 \$(cat pid) || echo $STOPPED_BY_SIGTERM"
    mapfile -t codes < <(output_of_hosts "$workers" "$asked" "$(lines 0 "$programs")" | grep -xE '[0-9]+')
    [[ ${#codes[@]} -eq $programs ]] || return 0
    # A stop on one host ends the program on the others with an error, because they have lost a process. Bad input comes first.
    for code in 2 "$STOPPED_BY_SIGTERM" "${codes[@]}"; do
        if [[ $code != 0 && " ${codes[*]} " == *" $code "* ]]; then
            echo "$code"
            return
        fi
    done
    echo 0
}

watch() {
    local lost=0 running=true now code
    while true; do
        now=$(state)
        case $now in
            ACTIVE)
                if ! "$running"; then
                    if install && launch; then running=true; fi
                elif code=$(exit_code) && "$dry_run"; then
                    echo "and so on every $interval s until the program ends; a slice that is lost is made again"
                    return
                elif [[ $code == "$STOPPED_BY_SIGTERM" ]]; then
                    echo 'the program was stopped: it is started again'
                    running=false
                    if launch; then running=true; fi
                elif [[ -n $code ]]; then
                    echo "the program ended with exit code $code"
                    [[ $code == 0 ]] || on_hosts "$workers" 'tail -n 20 output.log' || true
                    exit "$code"
                fi
                ;;
            FAILED | SUSPENDING | SUSPENDED | GONE)
                lost=$((lost + 1))
                if [[ $lost -gt $attempts ]]; then
                    echo "the slice $name was lost $lost times; given up (--attempts)" >&2
                    exit 3
                fi
                echo "the slice $name is $now: it is made again (time $lost)"
                running=false
                if delete_rest "$now"; then request || true; fi
                ;;
            *) echo "the slice $name is $now" ;;
        esac
        sleep "$interval"
    done
}

command=${1:-}
[[ $command =~ ^(create|install|launch|watch|recreate|delete|all)$ ]] \
    || fail "the commands are create, install, launch, watch, recreate, delete and all. Received: '$command'"
shift
while [[ $# -gt 0 ]]; do
    case $1 in # no && behind value_of: its failure must end the script
        --topology) topology=$(value_of "$@"); shift 2 ;;
        --name) name=$(value_of "$@"); shift 2 ;;
        --zone) zone=$(value_of "$@"); shift 2 ;;
        --project) project=$(value_of "$@"); shift 2 ;;
        --engine) engine=$(value_of "$@"); shift 2 ;;
        --interval) interval=$(value_of "$@"); shift 2 ;;
        --attempts) attempts=$(value_of "$@"); shift 2 ;;
        --spot) spot=true; shift ;;
        --dry_run) dry_run=true; shift ;;
        --) shift && program=("$@") && break ;;
        *) fail "the flags are told at the top of $0. Received: '$1'" ;;
    esac
done
for flag in topology name zone; do
    [[ -n ${!flag} ]] || fail "--$flag must be given"
done
[[ $interval =~ ^[0-9]+$ && $attempts =~ ^[0-9]+$ ]] || fail "--interval and --attempts must be whole numbers"

[[ $engine == tensorflow || $engine == jax ]] || fail "--engine must be tensorflow or jax. Received: '$engine'"

version=runtime_version
[[ $engine == tensorflow ]] || version=jax_runtime_version
fields=$(cd "$repository" && "${PYTHON:-python3}" -m tpu_configs.show --topology "$topology" --engine "$engine" \
    --fields "accelerator_type,$version,hosts,chip_topology,machine_type") || exit 2
read -r accelerator_type runtime_version hosts chip_topology machine_type <<< "$fields"
place=("--zone=$zone")
[[ -z $project ]] || place+=("--project=$project")
workers=0 programs=1
if [[ $engine == jax ]]; then
    workers=all programs=$hosts
fi
if [[ $machine_type == None ]]; then
    remote_python=python3.11 # the oldest that the project runs on; Ubuntu 22.04 has it beside its own
    # shellcheck source-path=SCRIPTDIR source=slice_of_queue.sh
    . "$folder/slice_of_queue.sh"
else
    remote_python=python3.12 # Ubuntu 24.04's own
    # shellcheck source-path=SCRIPTDIR source=slice_of_group.sh
    . "$folder/slice_of_group.sh"
fi

if [[ $command == all ]]; then
    create
    install
    launch
    watch
else
    "$command"
fi
