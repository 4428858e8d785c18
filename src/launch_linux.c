/*
 * Starting a program by clone, in this process's memory, as vfork does, but on
 * a stack of its own; and closing descriptors all at once.
 */
#include "launch.h"
#include "own_fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

/* The thread that calls clone sleeps until the child has a program or ends. */
enum { SHARED = CLONE_VM | CLONE_VFORK };

/* What the child works with: our memory. */
struct birth {
    const struct launch *launch;
    struct launch_room *room;
    int error; /* why there is no program */
};

static int note(void *arg)
{
    *(int *)arg = 1;
    return 0;
}

static pid_t clone_on(struct launch_room *room, int (*fn)(void *arg), int flags,
                      void *arg, int *pidfd)
{
    return clone(fn, room->stack + sizeof room->stack, flags, arg, pidfd);
}

enum { UNKNOWN, SHARES, FORKS };

/*
 * Emulators make of this a fork, and its child's words are not heard: find out
 * by a child that only leaves a note, and whose end is no signal for anybody.
 * Valgrind does the same, and takes that child for one that leaks; and
 * ThreadSanitizer would take what the child does for what this thread does.
 */
static int find_out(struct launch_room *room)
{
    int noted = 0;
    pid_t pid;

    if (HAVE_TSAN || RUNNING_ON_VALGRIND)
        return FORKS;
    pid = clone_on(room, note, SHARED, &noted, NULL);
    if (pid < 0)
        return UNKNOWN;
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
    return noted ? SHARES : FORKS;
}

/* Whether the memory is shared. Several threads may find out at once. */
static bool shares_memory(struct launch_room *room)
{
    static int found;
    int known = __atomic_load_n(&found, __ATOMIC_RELAXED);

    if (known == UNKNOWN) {
        known = find_out(room);
        __atomic_store_n(&found, known, __ATOMIC_RELAXED);
    }
    return known == SHARES;
}

static int be_born(void *arg)
{
    struct birth *birth = arg;

    birth->error = task__launch_become(birth->launch, birth->room);
    return 127;
}

/* What a filter, or a kernel that only looks like Linux, says of a flag. */
static bool is_refused(int error)
{
    return error == EINVAL || error == EPERM || error == ENOSYS;
}

/* Without a pidfd where none is to be had so: whoever watches the child goes on
 * from its number. That is found out once. */
static pid_t clone_with_pidfd(struct birth *birth, int *pidfd)
{
    static int flag = CLONE_PIDFD;
    int known = __atomic_load_n(&flag, __ATOMIC_RELAXED);
    int flags = SHARED | SIGCHLD;
    pid_t pid = clone_on(birth->room, be_born, flags | known, birth, pidfd);

    if (pid >= 0 || !known || !is_refused(errno))
        return pid;
    pid = clone_on(birth->room, be_born, flags, birth, pidfd);
    if (pid >= 0)
        __atomic_store_n(&flag, 0, __ATOMIC_RELAXED);
    return pid;
}

static int clone_child(const struct launch *launch, struct launch_room *room,
                       struct launched *launched)
{
    struct birth birth = {launch, room, 0};
    int pidfd = -1;
    pid_t pid = clone_with_pidfd(&birth, &pidfd);

    if (pid < 0)
        return -errno;
    if (birth.error) {
        task__launch_bury(pid);
        if (pidfd >= 0)
            close(pidfd);
        return -birth.error;
    }
    *launched = (struct launched){pid, own_fd(pidfd)};
    return 0;
}

int task__launch_by_clone(const struct launch *launch, struct launch_room *room,
                          struct launched *launched)
{
    return shares_memory(room) ? clone_child(launch, room, launched)
                               : task__launch_by_fork(launch, room, launched);
}

/* As it stands in /proc; not one: ".", "..". */
static int descriptor_of(const char *name)
{
    int fd = 0;

    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return -1;
        fd = 10 * fd + (*name - '0');
    }
    return fd;
}

static void seal_listed(const char entries[], size_t size)
{
    const struct dirent64 *entry;
    int fd;

    for (size_t at = 0; at < size; at += entry->d_reclen) {
        entry = (const void *)(entries + at);
        fd = descriptor_of(entry->d_name);
        if (fd >= 3)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

/* Those that there are, whose number may be up to a million. By hand, as
 * readdir() allocates. */
static bool seal_open(void)
{
    _Alignas(struct dirent64) char entries[1024];
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long n;

    if (list < 0)
        return false;
    while ((n = syscall(SYS_getdents64, list, entries, sizeof entries)) > 0)
        seal_listed(entries, (size_t)n);
    close(list);
    return n == 0;
}

void task__launch_seal_all(void)
{
    if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) && !seal_open())
        task__launch_seal_each();
}
