/* What a step can see and do of its confinement, one fact a line; `probe.sh` asks what a shell can. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void say(const char *kind, const char *name, long result) {
    printf("%s %s: %s\n", kind, name, result < 0 ? strerrorname_np(errno) : "ok");
}

/* Each call in a process of its own: some change their caller, or end it. */
#define CALL(name, expression) do { \
    fflush(stdout); \
    pid_t child = fork(); \
    if (!child) { errno = 0; say("call", name, (long)(expression)); fflush(stdout); _exit(0); } \
    int status; \
    waitpid(child, &status, 0); \
    if (WIFSIGNALED(status)) printf("call %s: signal %d\n", name, WTERMSIG(status)); \
} while (0)

static void calls(void) {
    char buffer[4096] = {0};
    CALL("unshare user", unshare(CLONE_NEWUSER));
    CALL("unshare mnt", unshare(CLONE_NEWNS));
    CALL("unshare pid", unshare(CLONE_NEWPID));
    CALL("unshare net", unshare(CLONE_NEWNET));
    CALL("unshare cgroup", unshare(CLONE_NEWCGROUP));
    CALL("unshare time", unshare(0x80));
    CALL("setns", setns(open("/proc/self/ns/net", O_RDONLY), 0));
    CALL("clone newuser", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    CALL("clone3", syscall(SYS_clone3, buffer, 64));
    CALL("mount", mount("none", "/tmp", "tmpfs", 0, ""));
    CALL("remount", mount("none", "/proc/sys", "", MS_REMOUNT | MS_BIND, ""));
    CALL("umount2", umount2("/proc/sys", MNT_DETACH));
    CALL("pivot_root", syscall(SYS_pivot_root, "/", "/"));
    CALL("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    CALL("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    CALL("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/", AT_FDCWD, "/", 0));
    CALL("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, buffer, 32));
    CALL("chroot", chroot("/"));
    CALL("add_key", syscall(SYS_add_key, "user", "probe", "x", 1, -2));
    CALL("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    CALL("request_key", syscall(SYS_request_key, "user", "probe", 0, 0));
    CALL("bpf", syscall(SYS_bpf, 0, buffer, 72));
    CALL("perf_event_open", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
    CALL("io_uring_setup", syscall(SYS_io_uring_setup, 1, buffer));
    CALL("userfaultfd", syscall(SYS_userfaultfd, 0));
    CALL("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
    CALL("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), 0, 0, 0, 0, 0));
    CALL("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, buffer, 0));
    CALL("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", buffer, buffer + 512, 0));
    CALL("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
    CALL("init_module", syscall(SYS_init_module, buffer, 0, ""));
    CALL("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
    CALL("swapon", syscall(SYS_swapon, "/nothing", 0));
    CALL("acct", syscall(SYS_acct, "/nothing"));
    CALL("syslog", syscall(SYS_syslog, 10, 0, 0));
    CALL("settimeofday", syscall(SYS_settimeofday, 0, buffer));
    CALL("sethostname", sethostname("probe", 5));
    CALL("iopl", syscall(SYS_iopl, 3));
    CALL("quotactl", syscall(SYS_quotactl, 0, 0, 0, 0));
    CALL("fanotify_init", syscall(SYS_fanotify_init, 0, 0));
    CALL("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    CALL("mbind", syscall(SYS_mbind, 0, 0, 0, 0, 0, 0));
    CALL("nfsservctl", syscall(180, 0, 0, 0));
    CALL("personality", personality(ADDR_NO_RANDOMIZE));
    CALL("vhangup", syscall(SYS_vhangup));
    CALL("landlock", syscall(444, 0, 0, 1));
    CALL("seccomp", syscall(SYS_seccomp, 2, 0, (char *)"\x01\x64"));
    CALL("unknown", syscall(999));
    CALL("raise a limit", ({ struct rlimit limit; getrlimit(RLIMIT_NOFILE, &limit); limit.rlim_max += 1;
                            setrlimit(RLIMIT_NOFILE, &limit); }));
    CALL("negative nice", setpriority(PRIO_PROCESS, 0, -5));
    CALL("lower oom_score_adj", ({ int fd = open("/proc/self/oom_score_adj", O_WRONLY); write(fd, "-999", 4); }));
    CALL("type into a terminal", ioctl(0, TIOCSTI, "x"));
    CALL("signal to everybody else", kill(-1, 0));
    CALL("socket vsock", socket(40, SOCK_STREAM, 0));
    CALL("socket alg", socket(38, SOCK_SEQPACKET, 0));
    CALL("socket packet", socket(AF_PACKET, SOCK_RAW, 0));
    CALL("socket raw", socket(AF_INET, SOCK_RAW, 1));
    CALL("socket netlink audit", socket(AF_NETLINK, SOCK_RAW, 9));
}

static void device(char kind, int major_number, int minor_number) {
    char name[64];
    snprintf(name, sizeof name, "%c %d:%d", kind, major_number, minor_number);
    int made = mknod("/tmp/node", (kind == 'c' ? S_IFCHR : S_IFBLK) | 0600, makedev(major_number, minor_number));
    int result = made ? made : open("/tmp/node", O_RDONLY | O_NONBLOCK | O_NOCTTY);
    /* Which devices the machine has is not the question, but whether they may be opened. */
    printf("device %s: %s\n", name,
           made ? "cannot be made" : result < 0 && (errno == EPERM || errno == EACCES) ? "refused" : "allowed");
    if (result >= 0) close(result);
    unlink("/tmp/node");
}

static void devices(void) {
    for (int minor_number = 1; minor_number < 12; minor_number++) device('c', 1, minor_number);
    for (int minor_number = 0; minor_number < 4; minor_number++) device('c', 5, minor_number);
    device('c', 4, 0); device('c', 4, 64); device('c', 10, 200); device('c', 10, 229); device('c', 10, 232);
    device('c', 10, 237); device('c', 13, 0); device('c', 29, 0); device('c', 136, 0); device('c', 226, 0);
    device('c', 511, 0);
    device('b', 1, 0); device('b', 7, 0); device('b', 8, 0); device('b', 254, 0); device('b', 259, 0);
}

static void descriptors(void) {
    struct stat found;
    for (int fd = 0; fd < 1024; fd++)
        if (!fstat(fd, &found))
            printf("open %d: %s of %s\n", fd,
                   S_ISFIFO(found.st_mode) ? "pipe" : S_ISCHR(found.st_mode) ? "device" : "other",
                   found.st_uid ? "another" : "root");
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    descriptors();
    calls();
    devices();
    return 0;
}
