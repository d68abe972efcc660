"""All system calls by name, for profiles of people's own.

Those that the default profile allows are in `builder.sandbox.runtime.allowed`; this adds the rest. Source of the
numbers, and of what x32 has: libseccomp, src/syscalls.csv, for Linux 7.1.
"""

from __future__ import annotations

from builder.sandbox.runtime import allowed as syscalls

_OTHERS = """
acct:163,51,89,51 add_key:248,286,217,309 afs_syscall:183,137,, bdflush:,134,,134 bpf:321,357,280,386 break:,17,,
clock_settime64:,404,,404 clock_settime:227,264,112,262 create_module:174,127,, delete_module:176,129,106,129
fanotify_init:300,338,262,367 file_getattr:468,468,468,468 file_setattr:469,469,469,469 finit_module:313,350,273,379
fsconfig:431,431,431,431 fsmount:432,432,432,432 fsopen:430,430,430,430 fspick:433,433,433,433 ftime:,35,,
get_kernel_syms:177,130,, get_mempolicy:239,275,236,320 get_tls:,,,983046 getpmsg:181,188,, gtty:,32,, idle:,112,,
init_module:175,128,105,128 io_uring_enter:426,426,426,426 io_uring_register:427,427,427,427
io_uring_setup:425,425,425,425 ioperm:173,101,, iopl:172,110,, kcmp:312,349,272,378 kexec_file_load:320,,294,401
kexec_load:246,283,104,347 keyctl:250,288,219,311 listns:470,470,470,470 lock:,53,, lookup_dcookie:212,253,18,249
lsm_get_self_attr:459,459,459,459 lsm_list_modules:461,461,461,461 lsm_set_self_attr:460,460,460,460
mbind:237,274,235,319 migrate_pages:256,294,238,400 mount:165,21,40,21 mount_setattr:442,442,442,442
move_mount:429,429,429,429 move_pages:279,317,239,344 mpx:,56,, nfsservctl:180,169,42,169 nice:,34,,34 oldfstat:,28,,
oldlstat:,84,, oldolduname:,59,, oldstat:,18,, olduname:,109,, open_by_handle_at:304,342,265,371
open_tree:428,428,428,428 open_tree_attr:467,467,467,467 pciconfig_iobase:,,,271 pciconfig_read:,,,272
pciconfig_write:,,,273 perf_event_open:298,336,241,364 pidfd_getfd:438,438,438,438 pivot_root:155,217,41,218
process_madvise:440,440,440,440 prof:,44,, profil:,98,, putpmsg:182,189,, query_module:178,167,,
quotactl:179,131,60,131 quotactl_fd:443,443,443,443 readdir:,89,, reboot:169,88,142,88 request_key:249,287,218,310
rseq_slice_yield:471,471,471,471 security:185,,, set_mempolicy:238,276,237,321 set_mempolicy_home_node:450,450,450,450
setdomainname:171,121,162,121 sethostname:170,74,161,74 setns:308,346,268,375 settimeofday:164,79,170,79
sgetmask:,68,, sigaction:,67,,67 signal:,48,, sigpending:,73,,73 sigsuspend:,72,,72 ssetmask:,69,, stime:,25,,
stty:,31,, swapoff:168,115,225,115 swapon:167,87,224,87 _sysctl:156,149,,149 sysfs:139,135,,135 syslog:103,103,116,103
tuxcall:184,,, ulimit:,58,, umount2:166,52,39,52 umount:,22,, unshare:272,310,97,337 uprobe:336,,, uselib:134,86,,86
userfaultfd:323,374,282,388 usr26:,,,983043 usr32:,,,983044 ustat:136,62,,62 vhangup:153,111,58,111 vm86:,166,,
vm86old:,113,, vserver:236,273,,313
"""
"""As in `syscalls.NUMBERS`."""

_X32 = """
execve:520 execveat:545 get_robust_list:531 getsockopt:542 ioctl:514 io_setup:543 io_submit:544 kexec_load:528
move_pages:533 mq_notify:527 preadv:534 preadv2:546 process_vm_readv:539 process_vm_writev:540 ptrace:521 pwritev:535
pwritev2:547 readv:515 recvfrom:517 recvmmsg:537 recvmsg:519 rt_sigaction:512 rt_sigpending:522 rt_sigqueueinfo:524
rt_sigreturn:513 rt_sigtimedwait:523 rt_tgsigqueueinfo:536 sendmmsg:538 sendmsg:518 set_robust_list:530 setsockopt:541
sigaltstack:525 timer_create:526 vmsplice:532 waitid:529 writev:516
"""
"""Calls that x32 has under another number than x86_64."""

_NOT_X32 = """
create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area nfsservctl query_module set_thread_area
_sysctl uselib vserver
"""

_SOCKET_CALLS = (
    "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
    "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
    "sendmmsg",
)
"""What socketcall(2) of i386 does when its first argument is 1, 2, ..."""

_IPC_CALLS = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
    "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}
"""The same for ipc(2)."""

MULTIPLEXED = {**{name: ("socketcall", number) for number, name in enumerate(_SOCKET_CALLS, 1)},
               **{name: ("ipc", number) for name, number in _IPC_CALLS.items()}}
"""Other ways to make a call on i386: a call's name and its first argument."""


def numbers(machine: str) -> dict[str, int]:
    """Names and numbers of the calls that `machine` has, one of `syscalls.MACHINES` or `x32`.

    Those of x32 are without the bit that tells them from x86_64's.
    """
    if machine == "x32":
        own = dict(word.split(":") for word in _X32.split())
        absent = _NOT_X32.split()
        return {name: int(own.get(name, number))
                for name, number in numbers("x86_64").items() if name not in absent}
    return syscalls.numbers(machine) | syscalls.column(_OTHERS, machine)
