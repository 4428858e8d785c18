/*
 * run_parallel: run commands side by side, as xargs -P does.
 *
 * Each line of the input is a command of the shell; N of them run at a time, at
 * the most. What they say is passed on line by line, with the command's number;
 * of a line of more than a megabyte only its end, or nothing. On a terminal the
 * last line tells how far they are. Exits with the worst status: 128 + n after
 * signal n, 126 if a command could not be started.
 *
 * Ctrl-C, SIGTERM or SIGHUP end all of them, and run_parallel with 130: their
 * process groups get SIGTERM, and SIGKILL a second later, or with the next of
 * these signals. What has left its group, as by setsid, goes on.
 *
 * usage: run_parallel N <commands
 */
#define _POSIX_C_SOURCE 200809L
#include "run_parallel/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>
#include <unistd.h>

struct batch {
    long n_workers;
    struct task *main;
    struct task_stream *input, *output;
    struct task_lock reading; /* one worker at a time */
    unsigned begun, ended;
    int worst;     /* status */
    bool is_asked; /* by a signal, to end */
    bool on_terminal;
};

static void show_progress(const struct batch *batch)
{
    if (batch->on_terminal)
        fprintf(stderr, "\r%u of %u have ended, the worst with %d\033[K",
                batch->ended, batch->begun, batch->worst);
}

/* By one write, so that lines of several commands do not mix. The progress
 * makes room for it, and comes again below it. */
static int say(unsigned number, const char *line, size_t n, void *arg)
{
    const struct batch *batch = arg;
    char *text = malloc(n + 16);
    size_t end;
    int status;

    if (!text)
        return -ENOMEM;
    end = (size_t)snprintf(text, 16, "[%u] ", number);
    memcpy(text + end, line, n);
    end += n;
    if (text[end - 1] != '\n')
        text[end++] = '\n';
    if (batch->on_terminal)
        fputs("\r\033[K", stderr);
    status = task_stream_write(batch->output, text, end);
    free(text);
    show_progress(batch);
    return status;
}

/* One of N, all of which take their commands from the same input. */
static int work(void *arg)
{
    struct batch *batch = arg;
    int status = 0;

    while (status >= 0 && !(status = task_lock_acquire(&batch->reading))) {
        const char *line;
        ssize_t n = task_stream_read_line(batch->input, &line);
        char *command = n > 0 ? strndup(line, (size_t)n) : NULL;

        task_lock_release(&batch->reading);
        if (!command)
            return n > 0 ? -ENOMEM : (int)n;
        status = run_command(command, ++batch->begun, say, batch);
        free(command);
        batch->ended++;
        batch->worst = status > batch->worst ? status : batch->worst;
        show_progress(batch);
    }
    return status;
}

/* The workers pass each request on to what they run. */
static void end_all(void *arg)
{
    struct batch *batch = arg;

    batch->is_asked = true;
    task_cancel(batch->main);
}

/* What is ignored, as by nohup, stays so. */
static int handle_signals(struct batch *batch)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before;
    int status = 0;

    for (int i = 0; i < 3 && !status; i++)
        if (!sigaction(signals[i], NULL, &before) &&
            before.sa_handler != SIG_IGN)
            status = loop_add_signal_handler(signals[i], end_all, batch);
    return status;
}

static int run(void *arg)
{
    struct batch *batch = arg;
    struct task_group workers;
    int status;

    batch->main = task_current();
    batch->input = task_stream_open(STDIN_FILENO);
    batch->output = task_stream_open(STDOUT_FILENO);
    if (!batch->input || !batch->output)
        return -EBADF;
    task_stream_set_limit(batch->input, LONGEST);
    status = handle_signals(batch);
    task_group_begin(&workers);
    for (long i = 0; i < batch->n_workers && !status; i++)
        status = task_group_start(&workers, work, batch);
    status = task_group_end(&workers, status);
    if (!status)
        status = task_stream_flush(batch->output);
    task_stream_abort(batch->output);
    task_stream_abort(batch->input);
    return status;
}

int main(int argc, char *argv[])
{
    struct batch batch = {.on_terminal = isatty(STDERR_FILENO)};
    char rest;

    if (argc != 2 || sscanf(argv[1], "%3ld%c", &batch.n_workers, &rest) != 1 ||
        batch.n_workers < 1) {
        fprintf(stderr, "usage: %s N <commands\n", argv[0]);
        return 2;
    }
    signal(SIGCHLD, SIG_DFL); /* ignored, it would cost all statuses */
    int status = loop_run(run, &batch);

    if (batch.on_terminal)
        fputc('\n', stderr);
    if (batch.is_asked)
        return 130;
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 ? EXIT_FAILURE : batch.worst;
}
