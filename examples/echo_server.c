/*
 * echo_server: send back what each client sends, one task a connection.
 *
 * A client that is silent, or does not read, for too long is sent away. SIGINT
 * or SIGTERM shut the server down: no new connections; those that are there
 * have a while to end, are then told to, and at last cut off; a second signal
 * ends it at once.
 *
 * usage: echo_server <port> [idle seconds [grace seconds]]
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

struct settings {
    const char *port;
    task_time idle;
    task_time grace;
};

struct piece {
    char bytes[4096];
    ssize_t n;
};

/* Send a piece back and read the next one, both within the idle time: what ends
 * a write that waits comes as the status of the read. */
static int exchange(struct task_stream *client, struct piece *piece,
                    task_time idle)
{
    struct task_timeout timeout;
    int status;

    task_timeout_begin(&timeout, idle);
    status = task_stream_write(client, piece->bytes, (size_t)piece->n);
    if (!status) {
        piece->n = task_stream_read(client, piece->bytes, sizeof piece->bytes);
        status = piece->n < 0 ? (int)piece->n : 0;
    }
    return task_timeout_end(&timeout, status);
}

/* That a client has gone, or been sent away, is no failure of ours. */
static int echo(struct task_stream *client, void *arg)
{
    const struct settings *settings = arg;
    struct task_timeout timeout;
    struct piece piece = {.n = 0};
    int status;

    do
        status = exchange(client, &piece, settings->idle);
    while (!status && piece.n > 0);
    if (status == -ECANCELED)
        return status;
    task_timeout_begin(&timeout, settings->idle);
    if (status == -ETIMEDOUT)
        task_stream_printf(client, "silent for too long\n");
    task_timeout_end(&timeout, task_stream_close(client));
    return 0;
}

static int serve_until_signal(void *arg)
{
    struct settings *settings = arg;
    struct task_server *server;
    sigset_t signals;
    int status;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* until they are waited for */
    status = task_start_server(&server, NULL, settings->port, echo, settings);
    if (status < 0)
        return status;
    printf("listening on port %d\n", task_server_port(server));
    fflush(stdout);
    status = task_signal_wait(&signals, NULL);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    if (status > 0) {
        printf("shutting down\n");
        status = task_server_shutdown(server, settings->grace);
    }
    if (status >= 0)
        printf("connections that had to be cut off: %d\n", status);
    task_server_free(server);
    return status;
}

/* Seconds, up to a day; negative if the text is no such number. */
static task_time parse_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds >= 0 && seconds <= 86400))
        return -1;
    return (task_time)(seconds * TASK_SECOND);
}

int main(int argc, char *argv[])
{
    struct settings settings = {.idle = TASK_MINUTE, .grace = 5 * TASK_SECOND};
    int status;

    if (argc > 2)
        settings.idle = parse_seconds(argv[2]);
    if (argc > 3)
        settings.grace = parse_seconds(argv[3]);
    if (argc < 2 || argc > 4 || settings.idle < 0 || settings.grace < 0) {
        fprintf(stderr, "usage: %s <port> [idle seconds [grace seconds]]\n",
                argv[0]);
        return 2;
    }
    settings.port = argv[1];
    status = loop_run(serve_until_signal, &settings);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
