#!/bin/sh
# A provisioner that writes down each run, and keeps what it made of each tenant in a file.
#
# It appends to runs.log: seconds since the start of the machine, the server that runs it, the
# operation, its own process, and what happens. The order of the lines is the order of the events.
# worlds/<tenant> is the target: each line is a fence, and what a run under it has made. A run that
# finds a higher fence there than its own leaves the target alone. CHAOS_SEED decides which runs
# fail, and which take long; one whose server is killed takes long in any case, and so does one that
# follows a run whose server is stopped.
read -r request || exit 1
op=${request#*'"operation_id":"'}
op=${op%%'"'*}
kind=${request#*'"operation":"'}
kind=${kind%%'"'*}
number=${request#*'"name":"t'}
number=${number%%'"'*}
plan=${request#*'"plan":"'}
plan=${plan%%'"'*}
running=${request#*'"running":'}
running=${running%%,*}
known=0
case $request in *'"observed":{"fence":'*)
    known=${request#*'"observed":{"fence":'}
    known=${known%%,*}
    ;;
esac
tenant=${op%%/*}
fence=${request#*'"fence":'}
fence=${fence%%,*}
generation=${request#*'"generation":'}
generation=${generation%%,*}
world=worlds/$tenant

note() {
    read -r up idle </proc/uptime
    echo "$up $PPID $op $$ $*" >>runs.log
}

# Says how it ended, and ends.
answer() {
    note end "$1"
    printf '{"contract":"tenure.provisioner/v1","operation_id":"%s",%s}\n' "$op" "$2"
    exit
}

# Locks the target, and ends if it has seen a higher fence; what it is goes to `made`.
enter() {
    exec 9>>"$world"
    flock 9
    highest=0 made=nothing by=0 before=0
    while read -r line_fence line_plan line_running; do
        [ "$line_fence" -gt "$highest" ] && highest=$line_fence
        case $line_plan in
        begins) before=$line_running ;;
        *) by=$line_fence made=$line_plan ;;
        esac
    done <"$world"
    if [ "$highest" -gt "$fence" ]; then
        exec 9>&-
        answer stale '"result":"failed","reason":"StaleFence","message":"under fence '"$fence"'"'
    fi
}

leave() { exec 9>&-; }

# Lasts for so many tenths of a second.
linger() {
    ticks=$1
    while [ "$ticks" -gt 0 ]; do
        sleep 0.1
        note works
        ticks=$((ticks - 1))
    done
}

# What a process is doing: T if it is stopped, `gone` if there is none.
state_of() {
    state=gone
    { read -r id name state rest <"/proc/$1/stat"; } 2>>/dev/null
}

fail() { answer failed '"result":"failed","reason":"Unlucky","message":"under fence '"$fence"'"'; }

note begin "$kind" "$known"
enter
echo "$fence begins $PPID" >&9
leave
state_of "$before"
[ "$state" != T ] || linger 15 # until after its predecessor's worker goes on

mixed=$(((CHAOS_SEED % 1000003 * 31 + number * 7919 + generation * 104729 + fence * 15485863) * 6364136223846793005))
dice=$(((mixed >> 33) & 1023))
case $((dice % 128)) in
0) linger 25 ;; # longer than a lease
1 | 2 | 3 | 4) linger 5 ;;
*) linger 1 ;; # so that there are some whenever a server is stopped
esac
state_of $PPID
case $state$((dice % 2)) in
gone* | T0) linger 35 ;; # until after its successor has begun
esac
luck=$((dice / 128 + dice % 8 * 8))
[ "$luck" -eq 9 ] && fail

case $kind in
apply | destroy)
    [ "$kind" = apply ] || plan=gone
    enter
    echo "$fence $plan $running" >&9
    leave
    by=$fence made=$plan
    ;;
observe)
    enter
    leave
    ;;
esac
[ "$luck" -eq 17 ] && fail
case $made in
nothing | gone) observed='{}' ;;
*) observed='{"fence":'$by',"plan":"'$made'"}' ;;
esac
answer "done" '"result":"done","observed":'"$observed"',"message":"under fence '"$fence"'"'
