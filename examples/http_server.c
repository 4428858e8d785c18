/*
 * http_server: the files of a folder by HTTP/1.1 (RFC 9110, RFC 9112).
 *
 * GET and HEAD, connections that are kept alive, ranges of bytes; a folder is
 * its index.html. Names that lead out of the folder are refused, and so is what
 * is no regular file. A client that takes too long to ask is sent away. Where
 * it is not clear what a request means, it is refused.
 *
 * usage: http_server <port> [folder]
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#define _GNU_SOURCE
#include "http_server/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>
#include <unistd.h>

#define PATIENCE (20 * TASK_SECOND) /* with a client, for a request */

/* Of a request; of a file that goes with the head of a reply. */
enum { LONGEST = 8192, SMALL = 16384 };

/* The text of a request, in time; 0 or a negative errno. */
static int read_request(struct task_stream *client, char text[LONGEST])
{
    struct task_timeout timeout;
    const char *data;
    ssize_t n;
    int status;

    task_timeout_begin(&timeout, PATIENCE);
    n = task_stream_read_until(client, "\r\n\r\n", 4, &data);
    status = task_timeout_end(&timeout, n < 0 ? (int)n : 0);
    if (status < 0)
        return status;
    memcpy(text, data, (size_t)n);
    text[n] = '\0';
    if (memchr(data, '\0', (size_t)n))
        *text = '\0'; /* it is none */
    return 0;
}

/* The head, and in one piece with it what is wrong, or a file that is small. */
static int answer(struct task_stream *client, const struct request *request,
                  const struct reply *reply)
{
    char text[HEAD_SIZE + SMALL];
    size_t n = (size_t)write_head(request, reply, text);
    size_t length = (size_t)(reply->end - reply->first);
    bool has_file = !is_error(reply) && request->method == GET;
    int status;

    if (is_error(reply) && request->method != HEAD)
        n += (size_t)snprintf(text + n, HEAD_SIZE - n, "%s\n", reply->status);
    if (has_file && length <= SMALL) {
        ssize_t got = task_pread(reply->file, text + n, length, reply->first);

        if (got != (ssize_t)length)
            return got < 0 ? (int)got : -EIO;
        n += length;
    }
    status = task_stream_write(client, text, n);
    if (!status && has_file && length > SMALL)
        status = send_file(client, reply);
    return status;
}

/* After a request that was not understood nobody knows where the next begins.
 * Our end comes first, since who sends on would be reset, and not read it. */
static int leave(struct task_stream *client)
{
    struct task_timeout timeout;
    char rest[4096];
    ssize_t n;

    task_stream_write_eof(client);
    task_timeout_begin(&timeout, PATIENCE);
    while ((n = task_stream_read(client, rest, sizeof rest)) > 0)
        continue;
    return task_timeout_end(&timeout, (int)n);
}

static int serve_client(struct task_stream *client, void *arg)
{
    struct request request;
    char text[LONGEST];
    int status;

    (void)arg;
    task_stream_set_limit(client, LONGEST - sizeof "\r\n\r\n");
    do {
        struct reply reply = {.file = -1};

        request = (struct request){.path = ""};
        status = read_request(client, text);
        if (status && status != -EMSGSIZE)
            break;
        reply.status = status ? TOO_LONG : parse_request(&request, text);
        if (reply.status)
            request.keeps_alive = false;
        else
            reply.status = find_file(&request, &reply);
        status = answer(client, &request, &reply);
        if (reply.file >= 0)
            close(reply.file);
    } while (!status && request.keeps_alive);
    if (!status)
        status = leave(client);
    return status == -ECANCELED ? status : 0;
}

static int serve(void *arg)
{
    struct task_server *server;
    int status = task_start_server(&server, NULL, arg, serve_client, NULL);

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
    const char *folder = argc > 2 ? argv[2] : ".";
    int status;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s <port> [folder]\n", argv[0]);
        return 2;
    }
    if (!open_folder(folder)) {
        perror(folder);
        return EXIT_FAILURE;
    }
    status = loop_run(serve, argv[1]);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
