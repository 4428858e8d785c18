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
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

enum { NAME = 31, SAID = 256, LINE = 512, PENDING = 64 };

struct line {
    char text[LINE];
};

struct client {
    struct client *next;
    struct task_stream *stream;
    struct task_queue lines; /* to be sent to this one */
    unsigned missed;
    char name[NAME + 1];
};

static struct client *clients;

/* To all but one. */
static void tell(const struct client *but, const struct line *line)
{
    for (struct client *client = clients; client; client = client->next)
        if (client != but && task_queue_try_put(&client->lines, line) < 0)
            client->missed++;
}

static void announce(const struct client *client, const char *what)
{
    struct line line;

    snprintf(line.text, sizeof line.text, "* %s %s\n", client->name, what);
    tell(client, &line);
}

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

static int send_lines(void *arg)
{
    struct client *client = arg;
    struct line line;
    int status;

    while ((status = task_queue_get(&client->lines, &line)) == 0) {
        unsigned missed = client->missed;

        client->missed = 0;
        status = missed ? task_stream_printf(client->stream,
                                             "* you missed %u lines\n", missed)
                        : 0;
        if (!status)
            status =
                task_stream_write(client->stream, line.text, strlen(line.text));
        if (status < 0)
            break;
    }
    return status;
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
            tell(client, &line);
            status = task_yield(); /* to those that send it */
        } else if (n == -EMSGSIZE) {
            status = task_stream_printf(client->stream, "* too long\n");
        } else {
            status = (int)n;
        }
    }
    return status;
}

static void leave(struct client *client)
{
    struct client **at = &clients;

    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
}

static int take_part(struct client *client)
{
    struct task *sender = task_create(send_lines, client);
    int status;

    if (!sender)
        return -ENOMEM;
    client->next = clients;
    clients = client;
    announce(client, "has come");
    status = hear(client);
    leave(client);
    announce(client, "has gone");
    task_cancel_await(sender);
    return status == -ECANCELED ? status : 0;
}

static int welcome(struct task_stream *stream, void *arg)
{
    struct client client = {.stream = stream};
    const char *name;
    ssize_t n;
    int status;

    (void)arg;
    task_stream_set_limit(stream, NAME);
    task_stream_printf(stream, "your name?\n");
    n = task_stream_read_line(stream, &name);
    if (n == -EMSGSIZE)
        task_stream_printf(stream, "* that is too long a name\n");
    if (n <= 0)
        return n == -ECANCELED ? (int)n : 0;
    copy_line(client.name, name, n);
    status = task_queue_init(&client.lines, sizeof(struct line), PENDING);
    if (!status) {
        status = take_part(&client);
        task_queue_destroy(&client.lines);
    }
    return status;
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
