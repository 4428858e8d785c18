/*
 * chat: what one client says, all others hear.
 *
 * The first line of a client is its name. Control characters become spaces, so
 * that nobody writes anything but lines on the terminals of others. Each client
 * has a queue of lines that it is to be sent, and a task that sends them: so
 * one that does not read holds up nobody. When its queue is full it misses
 * lines, and is told how many.
 *
 * usage: chat <port>
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#include "chat/room.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAID = 256 };

/* Also those that Unicode has from U+0080 to U+009F. */
static bool is_control(const char *line, ssize_t i)
{
    return iscntrl((unsigned char)line[i]) ||
           (i > 0 && line[i - 1] == '\xc2' && (unsigned char)line[i] < 0xa0);
}

/* Without its newline, into room for what the stream's limit lets through. */
static void copy_line(char *to, const char *line, ssize_t n)
{
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    for (ssize_t i = 0; i < n; i++)
        to[i] = is_control(line, i) ? ' ' : line[i];
    to[n] = '\0';
}

static int hear(struct client *client)
{
    struct line line;
    const char *text;
    char said[SAID + 1];
    ssize_t n;
    int status = 0;

    task_stream_set_limit(client->stream, SAID);
    while (!status && (n = task_stream_read_line(client->stream, &text)) != 0) {
        if (n > 0) {
            copy_line(said, text, n);
            snprintf(line.text, LINE, "%s: %s\n", client->name, said);
            room_tell(client, &line);
            status = task_yield(); /* to those that send it */
        } else if (n == -EMSGSIZE) {
            status = task_stream_printf(client->stream, "* too long\n");
        } else {
            status = (int)n;
        }
    }
    return status;
}

/* The first line; 0, or why there is none: 1, or a negative errno. */
static int ask_name(struct client *client)
{
    const char *name;
    int status = task_stream_printf(client->stream, "your name?\n");
    ssize_t n;

    if (status)
        return status;
    task_stream_set_limit(client->stream, NAME);
    n = task_stream_read_line(client->stream, &name);
    if (n == -EMSGSIZE)
        task_stream_printf(client->stream, "* that is too long a name\n");
    if (n > 0)
        copy_line(client->name, name, n);
    return n > 0 ? 0 : n < 0 ? (int)n : 1;
}

/* That a client is gone is no failure. */
static int welcome(struct task_stream *stream, void *arg)
{
    struct client client = {.stream = stream};
    int status = ask_name(&client);

    (void)arg;
    if (status)
        return status == -ECANCELED ? status : 0;
    status = room_enter(&client);
    if (status)
        return status;
    status = hear(&client);
    room_leave(&client);
    return status == -ECANCELED ? status : 0;
}

static int serve(void *arg)
{
    struct task_server *server;
    int status = task_start_server(&server, NULL, arg, welcome, NULL);

    if (status < 0)
        return status;
    printf("listening on port %d\n", task_server_port(server));
    fflush(stdout);
    status = task_server_serve_forever(server);
    task_server_free(server);
    return status;
}

int main(int argc, char *argv[])
{
    int status;

    if (argc != 2) {
        fprintf(stderr, "usage: %s <port>\n", argv[0]);
        return 2;
    }
    status = loop_run(serve, argv[1]);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
