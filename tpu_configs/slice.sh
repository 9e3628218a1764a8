#!/usr/bin/env bash
# Runs a program of this project on a slice of Cloud TPU that Google may take away again.
#
#   tpu_configs/slice.sh COMMAND --topology v5e-8 --name bert --zone us-west4-a [options] [-- MODULE FLAGS...]
#
#   create    ask for the slice as a queued resource and wait until it stands
#   install   copy the committed tree to every host, and install the pinned environment there
#   launch    start `python -m MODULE FLAGS... --tpu ... --topology ...`; a pod runs it on its first host alone
#   watch     until the program ends; a slice that was preempted is made again, and the program started again
#   recreate  delete what is left of the slice, and create it again
#   delete    give the slice back
#   all       create, install, launch, watch
#
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
readonly REMOTE_PYTHON=python3.11     # the oldest that the project runs on; Ubuntu 22.04 has it beside its own
readonly STOPPED_BY_SIGTERM=143       # the program left a checkpoint and wants to be started again

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$folder")
topology='' name='' zone='' project='' spot=false interval=60 attempts=100 dry_run=false
program=()

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

tpus() { # gcloud's arguments for GROUP COMMAND ...: the place is always told
    local arguments=(gcloud compute tpus "$@" "--zone=$zone")
    [[ -z $project ]] || arguments+=("--project=$project")
    run "${arguments[@]}"
}

state() { # of the queued resource: what gcloud says, GONE where there is none, UNKNOWN where gcloud does not answer
    local arguments=(gcloud compute tpus queued-resources describe "$name" "--zone=$zone" '--format=value(state.state)')
    [[ -z $project ]] || arguments+=("--project=$project")
    if "$dry_run"; then
        show "${arguments[@]}" >&2
        echo ACTIVE
        return
    fi
    local answer
    if answer=$("${arguments[@]}" 2>&1); then
        echo "${answer##*$'\n'}"
    elif [[ $answer == *NOT_FOUND* ]]; then
        echo GONE
    else
        echo "$answer" >&2
        echo UNKNOWN
    fi
}

on_hosts() { # WORKERS COMMAND
    tpus tpu-vm ssh "$name" "--worker=$1" "--command=$2"
}

request() {
    local tier=()
    "$spot" && tier=(--spot)
    tpus queued-resources create "$name" "--node-id=$name" "--accelerator-type=$accelerator_type" \
        "--runtime-version=$runtime_version" "${tier[@]}"
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
}

delete() {
    tpus queued-resources delete "$name" --force --quiet
}

recreate() {
    delete || true # there may be nothing left of it
    create
}

install() { # joined by &&: inside a condition, as watch calls it, a failure would not end a function otherwise
    local archive=${TMPDIR:-/tmp}/$name-$$.tar.gz
    run git -C "$repository" archive --output="$archive" HEAD \
        && tpus tpu-vm scp "$archive" "$name:$REMOTE_FOLDER.tar.gz" --worker=all \
        && run rm -f "$archive" \
        && on_hosts all "rm -rf $REMOTE_FOLDER && mkdir $REMOTE_FOLDER && tar -xzf $REMOTE_FOLDER.tar.gz -C $REMOTE_FOLDER" \
        && on_hosts all "sudo apt-get -qq update && sudo apt-get -qq install --yes $REMOTE_PYTHON $REMOTE_PYTHON-venv" \
        && on_hosts all "$REMOTE_PYTHON -m venv .venv && PYTHON=\$HOME/.venv/bin/python $REMOTE_FOLDER/tpu_configs/install.sh"
}

launch() {
    [[ ${#program[@]} -gt 0 ]] || fail "launch needs a program behind --, such as: -- experiments.pretrain --model_dir gs://..."
    local environment='' tpu=local command
    if [[ $hosts -gt 1 ]]; then
        # TensorFlow drives a pod from one host, over the network to all of them: it must not take that host's chips itself.
        environment='TPU_LOAD_LIBRARY=0 '
        tpu=$name
    fi
    command="${environment}\$HOME/.venv/bin/python -m$(printf ' %q' "${program[@]}" "--tpu=$tpu" "--topology=$topology")"
    on_hosts 0 "cd $REMOTE_FOLDER && rm -f ../exit_code && { nohup bash -c $(printf '%q' \
        "$command > ../output.log 2>&1; echo \$? > ../exit_code") > /dev/null 2>&1 & }"
}

exit_code() { # of the program; empty while it runs, or where the host does not answer
    local arguments=(gcloud compute tpus tpu-vm ssh "$name" "--zone=$zone" --worker=0 '--command=cat exit_code')
    [[ -z $project ]] || arguments+=("--project=$project")
    if "$dry_run"; then
        show "${arguments[@]}" >&2
        echo 0
    else
        "${arguments[@]}" 2> /dev/null || true
    fi
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
                    [[ $code == 0 ]] || on_hosts 0 'tail -n 20 output.log' || true
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
                if [[ $now == GONE ]] || delete; then request || true; fi
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

fields=$(cd "$repository" && "${PYTHON:-python3}" -m tpu_configs.show --topology "$topology" \
    --fields accelerator_type,runtime_version,hosts) || exit 2
read -r accelerator_type runtime_version hosts <<< "$fields"

if [[ $command == all ]]; then
    create
    install
    launch
    watch
else
    "$command"
fi
