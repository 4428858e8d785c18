/*
 * redis_server: a small Redis, kept in memory (RESP2).
 *
 * PING ECHO SET GET DEL INCR EXPIRE LPUSH LRANGE. Commands are read in place.
 * All that have come are run before the replies are sent, by one write, and
 * more is read: so many at once cost hardly more than one.
 *
 * usage: redis_server <port>
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#include "redis_server/coalesce.h"
#include "redis_server/protocol.h"

#include <errno.h>

/* What is read at once; replies that are sent although there are more
 * commands. */
enum { CHUNK = 1 << 14, MUCH = 1 << 16 };

struct client {
    struct task_stream *stream;
    struct buffer in;
    struct request request;
    unsigned long look; /* coalesce.h's */
};

/* Run commands until there are no more, or many replies: what the parser said
 * last. */
static long run_commands(struct client *client)
{
    struct request *request = &client->request;
    struct buffer *in = &client->in;
    long n;

    do {
        n = parse_command(request, in->data + in->begin, in->data + in->end);
        if (n < 0)
            break;
        if (request->n)
            run_command(request);
        in->begin += (size_t)n;
    } while (request->replies.end < MUCH);
    return n;
}

static int send_replies(struct client *client)
{
    struct buffer *replies = &client->request.replies;
    int status = task_stream_write(client->stream, replies->data, replies->end);

    buffer_clear(replies);
    return status;
}

static ssize_t read_more(struct client *client)
{
    struct buffer *in = &client->in;
    char *room;
    ssize_t n;

    if (in->begin == in->end)
        buffer_clear(in);
    room = buffer_reserve(in, CHUNK);
    n = task_stream_read(client->stream, room, in->capacity - in->end - 1);
    if (n > 0) {
        buffer_extend(in, (size_t)n);
        coalesce_note(&client->look);
    }
    return n;
}

static int converse(struct client *client)
{
    ssize_t status = read_more(client);

    while (status > 0) {
        long n = run_commands(client);

        status = send_replies(client);
        if (status || n == WRONG)
            break;
        status = n == INCOMPLETE ? read_more(client) : 1;
    }
    return (int)status;
}

static int serve_client(struct task_stream *stream, void *arg)
{
    struct client client; /* too large to be cleared as a whole */
    int status;

    (void)arg;
    client.stream = stream;
    client.look = 0;
    client.in = client.request.replies = (struct buffer){0};
    status = converse(&client);
    free(client.in.data);
    free(client.request.replies.data);
    return status == -ECANCELED ? -ECANCELED : 0;
}

static int serve(void *arg)
{
    struct task_server *server;
    int status = coalesce_begin();

    if (!status)
        status = task_start_server(&server, NULL, arg, serve_client, NULL);
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
