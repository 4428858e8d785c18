#include "room.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PENDING = 64 };

static struct client *clients;

void room_tell(const struct client *but, const struct line *line)
{
    for (struct client *client = clients; client; client = client->next)
        if (client != but && task_queue_try_put(&client->lines, line) < 0)
            client->missed++;
}

static void announce(const struct client *client, const char *what)
{
    struct line line;

    snprintf(line.text, sizeof line.text, "* %s %s\n", client->name, what);
    room_tell(client, &line);
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

int room_enter(struct client *client)
{
    int status = task_queue_init(&client->lines, sizeof(struct line), PENDING);

    if (status)
        return status;
    client->sender = task_create(send_lines, client);
    if (!client->sender) {
        task_queue_destroy(&client->lines);
        return -ENOMEM;
    }
    client->next = clients;
    clients = client;
    announce(client, "has come");
    return 0;
}

void room_leave(struct client *client)
{
    struct client **at = &clients;

    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    announce(client, "has gone");
    task_cancel_await(client->sender);
    task_queue_destroy(&client->lines);
}
