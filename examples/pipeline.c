/*
 * pipeline: run commands, each with its output as the input of the next one,
 * within a time limit.
 *
 * When the time is up, after Ctrl-C, or if one of them cannot be started, all
 * are asked to end, by SIGTERM; what has not ended after a second is killed.
 *
 * usage: pipeline seconds command [argument...] ['|' command...]...
 *
 * Exits with the status of the last command, or 128 + n after signal n; with
 * 124 when the time was up, 127 if a command or the loop cannot be started, 130
 * after Ctrl-C.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <task.h>
#include <unistd.h>

enum { MOST = 100 };

struct pipeline {
    char **commands[MOST]; /* their words */
    struct task_process *processes[MOST];
    size_t n;
    task_time limit;
    const char *failed; /* the command that cannot be started */
};

static void forget(int fd)
{
    if (fd != TASK_INHERIT)
        close(fd);
}

/* Start a command whose input is `*in`; then that is the input of the next. */
static int start(struct pipeline *line, size_t i, bool is_last, int *in)
{
    const char *const *words = (const char *const *)line->commands[i];
    struct task_process_options options = {.stdin_mode = *in};
    int ends[2] = {TASK_INHERIT, TASK_INHERIT};
    int status = is_last || pipe(ends) == 0 ? 0 : -errno;

    options.stdout_mode = ends[1];
    if (!status)
        status = task_process_exec(&line->processes[i], words, &options);
    if (status < 0)
        line->failed = *words;
    forget(*in);
    forget(ends[1]);
    *in = ends[0];
    return status;
}

/* All, or those before the one that cannot be started. */
static int start_all(struct pipeline *line)
{
    size_t n = line->n;
    int in = TASK_INHERIT;
    int status = 0;

    for (line->n = 0; line->n < n && !status;) {
        status = start(line, line->n, line->n + 1 == n, &in);
        line->n += status == 0;
    }
    forget(in);
    return status;
}

/* The status of the last one, as of waitpid(). */
static int wait_for_all(struct pipeline *line)
{
    int status = 0;

    for (size_t i = 0; i < line->n && status >= 0; i++)
        status = task_process_wait(line->processes[i]);
    return status;
}

static void stop_all(struct pipeline *line)
{
    struct task_timeout grace;

    for (size_t i = 0; i < line->n; i++)
        task_process_terminate(line->processes[i]);
    task_timeout_begin(&grace, TASK_SECOND);
    task_timeout_end(&grace, wait_for_all(line));
}

static int run(void *arg)
{
    struct pipeline *line = arg;
    struct task_timeout timeout;
    int status;

    task_timeout_begin(&timeout, line->limit);
    status = start_all(line);
    if (!status)
        status = wait_for_all(line);
    status = task_timeout_end(&timeout, status);
    if (status < 0)
        stop_all(line);
    while (line->n > 0) /* what still runs is killed */
        task_process_free(line->processes[--line->n]);
    return status;
}

/* A '|' ends a command. False if there is none, an empty one, or too many. */
static bool parse(struct pipeline *line, char **words)
{
    bool begins = true;

    for (; *words && line->n < MOST; words++) {
        bool is_end = !strcmp(*words, "|");

        if (begins && !is_end)
            line->commands[line->n++] = words;
        else if (begins)
            return false;
        if (is_end)
            *words = NULL;
        begins = is_end;
    }
    return !begins && !*words;
}

static int exit_code(int status, const char *who)
{
    if (status >= 0)
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                   : WEXITSTATUS(status);
    if (status == -ETIMEDOUT || status == -EINTR)
        return status == -ETIMEDOUT ? 124 : 130;
    fprintf(stderr, "%s: %s\n", who, task_strerror(status));
    return 127;
}

int main(int argc, char *argv[])
{
    struct pipeline line = {.failed = argv[0]};
    char *end = NULL;
    double seconds = argc > 2 ? strtod(argv[1], &end) : 0;

    if (!(seconds > 0 && seconds <= 86400) || *end || !parse(&line, argv + 2)) {
        fprintf(stderr, "usage: %s seconds command... ['|' command...]...\n",
                argv[0]);
        return 2;
    }
    line.limit = (task_time)(seconds * TASK_SECOND);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would cost all statuses */
    struct loop *loop = loop_new(&(struct loop_options){.handle_sigint = true});
    int status = loop ? loop_run_main(loop, run, &line) : -ENOMEM;
    loop_free(loop);
    return exit_code(status, line.failed);
}
