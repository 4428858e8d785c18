/*
 * Starting children: what their options come to.
 */
#include "launch.h"
#include "own_fd.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A child that is being started. */
struct start {
    struct task_process *process;
    struct launch launch;
    int given[3]; /* what was opened for it, and is closed then; -1: nothing */
};

/* Where programs are where no PATH is: what confstr(_CS_PATH) says. */
static const char NO_PATH[] = "/bin:/usr/bin";

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int check_mode(int mode, bool is_stderr)
{
    if (mode < (is_stderr ? TASK_STDOUT : TASK_DEVNULL))
        return -EINVAL;
    return mode > 0 && !is_open(mode) ? -EBADF : 0;
}

/* What is opened for the child might get the number of one that is not open. */
static int check(const struct task_process_options *options)
{
    int error = check_mode(options->stdin_mode, false);

    if (!error)
        error = check_mode(options->stdout_mode, false);
    if (!error)
        error = check_mode(options->stderr_mode, true);
    for (size_t i = 0; i < options->n_pass_fds && !error; i++)
        if (!is_open(options->pass_fds[i]))
            error = -EBADF;
    return error;
}

static const char *path_in(char *const env[])
{
    for (; *env; env++)
        if (!strncmp(*env, "PATH=", 5))
            return *env + 5;
    return NO_PATH;
}

static int open_null(struct start *start, int number)
{
    int fd = own_fd(open("/dev/null", O_RDWR | O_CLOEXEC));

    start->given[number] = fd;
    return fd < 0 ? -errno : 0;
}

/* One end is the child's, the other a stream. */
static int open_pipe(struct start *start, int number)
{
    int ends[2];
    int ours = number ? 0 : 1;
    int error = task__launch_pipe(ends);
    struct task_stream *s;

    if (error)
        return error;
    start->given[number] = ends[!ours];
    s = task__stream_new(start->process->loop, ends[ours], DESCRIPTOR_PIPE);
    if (!s) {
        close(ends[ours]);
        return -ENOMEM;
    }
    stream_set_owner(s, &start->process->streams[number]);
    return 0;
}

/* What is closed on exec may be one of ours that has got the number. */
static bool is_inherited(int fd)
{
    return fcntl(fd, F_GETFD) == 0;
}

/* What standard output is. */
static int copy_output(const int stdio[3])
{
    if (stdio[1] != LAUNCH_AS_IT_IS)
        return stdio[1];
    return is_inherited(1) ? 1 : LAUNCH_CLOSED;
}

/* Open what is wanted as 0, 1 or 2. */
static int place(struct start *start, int number, int mode)
{
    int *stdio = start->launch.stdio;
    int error = 0;

    switch (mode) {
    case TASK_INHERIT:
        stdio[number] = LAUNCH_AS_IT_IS;
        return 0;
    case TASK_STDOUT:
        stdio[number] = copy_output(stdio);
        return 0;
    case TASK_PIPE:
        error = open_pipe(start, number);
        break;
    case TASK_DEVNULL:
        error = open_null(start, number);
        break;
    default:
        stdio[number] = mode;
        return 0;
    }
    stdio[number] = start->given[number];
    return error;
}

static int place_all(struct start *start,
                     const struct task_process_options *options)
{
    int error = place(start, 0, options->stdin_mode);

    if (!error)
        error = place(start, 1, options->stdout_mode);
    if (!error)
        error = place(start, 2, options->stderr_mode);
    return error;
}

static int launch(struct start *start)
{
    struct task_process *process = start->process;
    struct allocator *allocator = &process->loop->allocator;
    struct launch_room *room = memory_get(allocator, sizeof *room);
    struct launched launched;
    int error = room ? task__launch(&start->launch, room, &launched) : -ENOMEM;

    memory_free(allocator, room);
    return error ? error
                 : task__process_begin(process, launched.pid, launched.pidfd);
}

static void set_program(struct launch *launch, const char *const argv[],
                        const struct task_process_options *options)
{
    const char *const *env = options->env;

    launch->file = argv[0];
    launch->argv = (char *const *)(uintptr_t)argv;
    launch->env = env ? (char *const *)(uintptr_t)env : environ;
    launch->path = path_in(launch->env);
    launch->cwd = options->cwd;
    launch->new_session = options->new_session;
    launch->pass_fds = options->pass_fds;
    launch->n_pass_fds = options->n_pass_fds;
}

static int start_process(struct loop *loop, struct task_process **process,
                         const char *const argv[],
                         const struct task_process_options *options)
{
    struct start start = {.given = {-1, -1, -1}};
    int error = check(options);

    if (error)
        return error;
    start.process = task__process_new(loop);
    if (!start.process)
        return -ENOMEM;
    set_program(&start.launch, argv, options);
    error = place_all(&start, options);
    if (!error)
        error = launch(&start);
    for (int i = 0; i < 3; i++)
        if (start.given[i] >= 0)
            close(start.given[i]);
    if (error)
        task__process_destroy(start.process);
    else
        *process = start.process;
    return error;
}

/* The body of the public functions; errno is kept. */
static ALWAYS_INLINE int begin(const char *call, struct task_process **process,
                               const char *const argv[],
                               const struct task_process_options *options,
                               const char *file, int line)
{
    static const struct task_process_options defaults = {0};
    struct loop *loop = loop_current();
    int saved_errno = errno;
    int error;

    if (!loop)
        return misuse(call, -EPERM, "no loop runs in this thread");
    if (!process)
        return misuse(call, -EINVAL, "there is no place for the process");
    if (loop->freed)
        return -ESHUTDOWN;
    error = start_process(loop, process, argv, options ? options : &defaults);
    if (error == -EINVAL)
        misuse(call, error, "an option is none");
    errno = saved_errno;
    if (error)
        return error;
    (*process)->file = file;
    (*process)->line = line;
    return 0;
}

int task_process_exec_at(struct task_process **process,
                         const char *const argv[],
                         const struct task_process_options *options,
                         const char *file, int line)
{
    static const char call[] = "task_process_exec";

    if (!argv || !argv[0])
        return misuse(call, -EINVAL, "there is no program");
    return begin(call, process, argv, options, file, line);
}

int task_process_shell_at(struct task_process **process, const char *command,
                          const struct task_process_options *options,
                          const char *file, int line)
{
    static const char call[] = "task_process_shell";
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};

    if (!command)
        return misuse(call, -EINVAL, "the command is NULL");
    return begin(call, process, argv, options, file, line);
}

int(task_process_exec)(struct task_process **process, const char *const argv[],
                       const struct task_process_options *options)
{
    return task_process_exec_at(process, argv, options, NULL, 0);
}

int(task_process_shell)(struct task_process **process, const char *command,
                        const struct task_process_options *options)
{
    return task_process_shell_at(process, command, options, NULL, 0);
}
