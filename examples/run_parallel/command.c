/* A command in a process group of its own. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <task.h>

static int pass_on(struct task_stream *from, unsigned number, say_fn *say,
                   void *arg)
{
    const char *line;
    ssize_t n;

    task_stream_set_limit(from, LONGEST);
    while ((n = task_stream_read_line(from, &line)) > 0 || n == -EMSGSIZE) {
        int status = n > 0 ? say(number, line, (size_t)n, arg) : 0;

        if (status < 0)
            return status;
    }
    return (int)n;
}

/* The shell leads a process group, which may outlive it. (Should it have ended,
 * and all of its group, the number might be another's by now: a matter of
 * days.) */
static void stop(pid_t group)
{
    int status = 0;

    kill(-group, SIGTERM);
    for (int i = 0; i < 50 && !status && kill(-group, 0) == 0; i++)
        status = task_sleep(TASK_SECOND / 50);
    kill(-group, SIGKILL);
}

int run_command(const char *command, unsigned number, say_fn *say, void *arg)
{
    const struct task_process_options options = {.stdin_mode = TASK_DEVNULL,
                                                 .stdout_mode = TASK_PIPE,
                                                 .stderr_mode = TASK_STDOUT,
                                                 .new_session = true};
    struct task_process *process;
    int status = task_process_shell(&process, command, &options);

    if (status < 0) {
        fprintf(stderr, "[%u] %s\n", number, task_strerror(status));
        return 126;
    }
    status = pass_on(task_process_stdout(process), number, say, arg);
    if (!status)
        status = task_process_wait(process);
    if (status < 0)
        stop(task_process_pid(process));
    task_process_free(process);
    if (status >= 0 && WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return status < 0 ? status : WEXITSTATUS(status);
}
