#!/bin/sh
# Prints what a step can see of its confinement, one fact a line, for comparison: builder's with a recorded one and with
# BuildKit's. Needs a busybox in /bin; `probe.c`, if it is there as /probe, asks what takes system calls.
PATH=/bin

fact() { echo "$1: $2"; }

for key in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters Umask SigBlk SigIgn SigCgt Groups; do
    fact "status $key" "$(sed -n "s/^$key:[[:space:]]*//p" /proc/1/status | sed 's/ *$//')"
done
for kind in uid gid; do fact "${kind}_map" "$(tr -s ' ' < /proc/self/${kind}_map)"; done
for name in cgroup ipc mnt net pid time user uts; do fact "namespace $name" "$(readlink /proc/self/ns/$name)"; done
fact "pid" $$
fact "processes" "$(ls /proc | grep -c '^[0-9]*$' | sed 's/[2-9]/few/')"
fact "session" "$(cut -d' ' -f5-8 /proc/1/stat)"
cut -d: -f2- /proc/self/cgroup | while IFS= read -r line; do fact cgroup "$line"; done
# /dev/shm and what the network or names need differ by options that a build sets.
cut -d' ' -f4- /proc/self/mountinfo | while read -r root target options rest; do
    case $rest in *" - "*) rest=${rest#*- } ;; *) rest=${rest#- } ;; esac
    set -- $rest
    case $1 in overlay) rest=overlay ;; *) rest="$1 $3" ;; esac
    case $root in */*/*) root=inside ;; esac
    fact "mount $target" "$options; $rest; $root"
done | sort
for path in /proc/acpi /proc/asound /proc/bus /proc/fs /proc/irq /proc/kcore /proc/keys /proc/latency_stats \
    /proc/scsi /proc/sysrq-trigger /proc/timer_list /proc/timer_stats /proc/sched_debug /sys/firmware /proc/kmsg \
    /sys/devices/virtual/powercap /sys/kernel/debug /sys/kernel/security /sys/kernel/tracing /proc/interrupts; do
    if [ -d $path ]; then seen="directory of $(ls -A $path | wc -l)"
    elif [ -e $path ]; then seen="file of $(timeout 1 head -c 64 $path 2>/dev/null | wc -c)"
    else seen=missing; fi
    fact "path $path" "$seen"
done
for path in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/overcommit_memory /proc/sysrq-trigger \
    /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/hostname /proc/sys/fs/binfmt_misc/register /sys/kernel/uevent_helper \
    /sys/kernel/mm/transparent_hugepage/enabled /sys/fs/cgroup/release_agent /sys/fs/cgroup/pids/release_agent \
    /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids/cgroup.procs /proc/irq/default_smp_affinity /proc/self/attr/current \
    /proc/self/uid_map /proc/1/oom_score_adj /dev/kmsg /dev/mem /dev/console; do
    if [ ! -e $path ]; then seen=missing; elif (: >> $path) 2>/dev/null; then seen=yes; else seen=no; fi
    fact "writable $path" $seen
done
for name in c d f l m n p r s t u v; do fact "ulimit -$name" "$(ulimit -$name 2>&1); $(ulimit -H -$name 2>&1)"; done
for name in kernel/hostname kernel/domainname kernel/pid_max kernel/shmmax kernel/msgmax fs/mqueue/msg_max \
    net/ipv4/ping_group_range net/ipv4/ip_unprivileged_port_start net/ipv4/ip_forward net/core/somaxconn; do
    fact "sysctl $name" "$(cat /proc/sys/$name 2>/dev/null | tr '\t' ' ')"
done
for name in oom_score_adj oom_adj coredump_filter personality sessionid loginuid timerslack_ns; do
    fact "proc $name" "$(cat /proc/1/$name 2>/dev/null)"
done
env | sort | while IFS= read -r line; do fact env "$line"; done
fact "working directory" "$(pwd)"
find /dev | sort | while IFS= read -r path; do fact "dev" "$(stat -c '%n %F %a %u:%g %t,%T' "$path")"; done
for path in / /proc /sys /dev /dev/shm /tmp /etc/hosts /etc/resolv.conf; do fact "stat" "$(stat -c '%n %F %a %u:%g' $path)"; done
fact "abstract sockets" "$(grep -c '@' /proc/net/unix)"
fact "interfaces" "$(ls /sys/class/net | tr '\n' ' ')"
for pid in 1 2; do fact "exe of $pid" "$(readlink /proc/$pid/exe)"; done
fact "root of 1" "$(readlink /proc/1/root)"
[ ! -x /probe ] || /probe < /dev/null
