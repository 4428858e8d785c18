/*
 * What a child does before it has a program; and starting one by fork.
 */
#include "launch.h"

#include "cancelling.h"
#include "own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

launch_fn *task__launch_way = LAUNCH_BEST;

/* Handlers would go by themselves; what is ignored would stay so. */
static void reset_signals(void)
{
    const struct sigaction normal = {.sa_handler = SIG_DFL};

    for (int signo = 1; signo < NSIG; signo++)
        sigaction(signo, &normal, NULL);
}

/* Now the signals that have come meanwhile have their effects. */
static void unblock_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int keep_on_exec(int fd)
{
    return fcntl(fd, F_SETFD, 0) < 0 ? errno : 0;
}

/* Those that are below 3 themselves go out of the way first. */
static int place_stdio(const int stdio[3])
{
    int from[3];

    for (int i = 0; i < 3; i++) {
        from[i] = stdio[i];
        if (from[i] < 0 || from[i] > 2 || from[i] == i)
            continue;
        from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
        if (from[i] < 0)
            return errno;
    }
    for (int i = 0; i < 3; i++) {
        int error = 0;

        if (from[i] == i)
            error = keep_on_exec(i);
        else if (from[i] >= 0 && dup2(from[i], i) < 0)
            error = errno;
        else if (from[i] == LAUNCH_CLOSED)
            close(i);
        if (error)
            return error;
    }
    return 0;
}

void task__launch_seal_each(void)
{
    long end = sysconf(_SC_OPEN_MAX);

    if (end < 0 || end > 1 << 20)
        end = 1 << 20;
    for (int fd = 3; fd < end; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int place_descriptors(const struct launch *launch)
{
    int error = place_stdio(launch->stdio);

    LAUNCH_SEAL();
    for (size_t i = 0; i < launch->n_pass_fds && !error; i++)
        error = keep_on_exec(launch->pass_fds[i]);
    return error;
}

/* "entry/file", in the folder it stands in if the entry is empty. */
static bool compose(char out[], size_t size, const char *entry, size_t n,
                    const char *file)
{
    size_t m = strlen(file) + 1;

    if (n + 1 + m > size)
        return false;
    memcpy(out, entry, n);
    if (n)
        out[n++] = '/';
    memcpy(out + n, file, m);
    return true;
}

/* Whether that errno of execve() means that the program may be elsewhere. */
static bool is_passed_over(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES ||
           error == ENAMETOOLONG || error == ELOOP || error == ESTALE ||
           error == ENODEV || error == ETIMEDOUT;
}

static int search(const struct launch *launch, struct launch_room *room)
{
    int error = ENOENT;

    for (const char *entry = launch->path;; entry++) {
        size_t n = strcspn(entry, ":");

        if (compose(room->path, sizeof room->path, entry, n, launch->file)) {
            execve(room->path, launch->argv, launch->env);
            if (!is_passed_over(errno))
                return errno;
            if (errno == EACCES)
                error = EACCES;
        }
        entry += n;
        if (!*entry)
            return error;
    }
}

int task__launch_become(const struct launch *launch, struct launch_room *room)
{
    int error;

    reset_signals();
    if (launch->new_session && setsid() < 0)
        return errno;
    error = place_descriptors(launch);
    if (error)
        return error;
    if (launch->cwd && chdir(launch->cwd) < 0)
        return errno;
    unblock_signals();
    if (!*launch->file)
        return ENOENT;
    if (!strchr(launch->file, '/'))
        return search(launch, room);
    execve(launch->file, launch->argv, launch->env);
    return errno;
}

void task__launch_bury(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

int task__launch_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    for (int i = 0; i < 2; i++)
        ends[i] = own_fd(ends[i]);
    if (ends[0] > 2 && ends[1] > 2)
        return 0;
    close(ends[0]);
    close(ends[1]);
    return -EMFILE;
}

/* Neither a handler nor a cancel of this thread comes between. */
int task__launch(const struct launch *launch, struct launch_room *room,
                 struct launched *launched)
{
    int saved_errno = errno;
    sigset_t all;
    sigset_t former;
    struct cancelling own = cancelling_stop();
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    result = task__launch_way(launch, room, launched);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    cancelling_restore(own);
    errno = saved_errno;
    return result;
}

/* What the child has to say, which is nothing if it has a program. */
static int hear(int fd)
{
    int error = 0;
    ssize_t n;

    do
        n = read(fd, &error, sizeof error);
    while (n < 0 && errno == EINTR);
    return n == sizeof error ? error : 0;
}

static void say(int fd, int error)
{
    while (write(fd, &error, sizeof error) < 0 && errno == EINTR)
        continue;
}

int task__launch_by_fork(const struct launch *launch, struct launch_room *room,
                         struct launched *launched)
{
    int ends[2];
    int error = task__launch_pipe(ends);
    pid_t pid;

    if (error)
        return error;
    pid = fork();
    if (!pid) {
        say(ends[1], task__launch_become(launch, room));
        _exit(127);
    }
    error = pid < 0 ? errno : 0;
    close(ends[1]);
    if (pid > 0) {
        error = hear(ends[0]);
        if (error)
            task__launch_bury(pid);
    }
    close(ends[0]);
    *launched = (struct launched){pid, -1};
    return -error;
}
