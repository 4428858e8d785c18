/*
 * run_parallel: run commands side by side, as xargs -P does.
 *
 * Each line of the input is a command of the shell; N of them run at a time, at
 * the most. What they say is passed on line by line, with the command's number;
 * on a terminal the last line tells how far they are. Ctrl-C ends all of them.
 * Exits with the worst status, which is 128 + n after signal n.
 *
 * usage: run_parallel N <commands
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

struct batch {
    long n_workers;
    struct task_stream *input;
    struct task_lock reading; /* one worker at a time */
    unsigned begun, ended;
    int worst; /* status */
    bool on_terminal;
};

static void show_progress(const struct batch *batch)
{
    if (batch->on_terminal)
        fprintf(stderr, "\r%u of %u have ended, the worst with %d\033[K",
                batch->ended, batch->begun, batch->worst);
}

/* The progress makes room for a line, and comes again below it. */
static void say(const struct batch *batch, unsigned number, const char *line,
                size_t n)
{
    if (batch->on_terminal)
        fputs("\r\033[K", stderr);
    printf("[%u] ", number);
    fwrite(line, 1, n, stdout);
    if (line[n - 1] != '\n')
        putchar('\n');
    fflush(stdout);
    show_progress(batch);
}

/* The shell leads a process group, whose number is its own while it lives. */
static void stop(struct task_process *process)
{
    struct task_timeout grace;

    if (task_process_send_signal(process, 0) < 0)
        return;
    kill(-task_process_pid(process), SIGTERM);
    task_timeout_begin(&grace, TASK_SECOND);
    if (task_timeout_end(&grace, task_process_wait(process)) < 0)
        kill(-task_process_pid(process), SIGKILL);
}

/* Its status as the shell puts it, or a negative errno. */
static int run_command(struct batch *batch, const char *command)
{
    const struct task_process_options options = {.stdin_mode = TASK_DEVNULL,
                                                 .stdout_mode = TASK_PIPE,
                                                 .stderr_mode = TASK_STDOUT,
                                                 .new_session = true};
    unsigned number = ++batch->begun;
    struct task_process *process;
    int status = task_process_shell(&process, command, &options);
    const char *line;
    ssize_t n;

    if (status < 0)
        return status;
    task_stream_set_limit(task_process_stdout(process), 1 << 30);
    while ((n = task_stream_read_line(task_process_stdout(process), &line)) > 0)
        say(batch, number, line, (size_t)n);
    status = n < 0 ? (int)n : task_process_wait(process);
    if (status < 0)
        stop(process);
    task_process_free(process);
    if (status >= 0 && WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return status < 0 ? status : WEXITSTATUS(status);
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
        status = run_command(batch, command);
        free(command);
        batch->ended++;
        batch->worst = status > batch->worst ? status : batch->worst;
        show_progress(batch);
    }
    return status;
}

static int run(void *arg)
{
    struct batch *batch = arg;
    struct task_group workers;
    int status = 0;

    batch->input = task_stream_open(STDIN_FILENO);
    task_group_begin(&workers);
    for (long i = 0; i < batch->n_workers && !status; i++)
        status = task_group_start(&workers, work, batch);
    status = task_group_end(&workers, status);
    task_stream_abort(batch->input);
    return status < 0 || !ferror(stdout) ? status : -EIO;
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
    struct loop *loop = loop_new(&(struct loop_options){.handle_sigint = true});
    int status = loop ? loop_run_main(loop, run, &batch) : -ENOMEM;

    loop_free(loop);
    if (batch.on_terminal)
        fputc('\n', stderr);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status == -EINTR ? 130 : status < 0 ? EXIT_FAILURE : batch.worst;
}
