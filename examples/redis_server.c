/*
 * redis_server: a small Redis, kept in memory (RESP2).
 *
 * PING ECHO SET GET DEL INCR EXPIRE LPUSH LRANGE. A stream is read by stdio, which
 * calls us when its buffer is empty: then all replies so far are sent, before we
 * wait for more. So many commands that came at once are answered by one write.
 *
 * usage: redis_server <port>
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

/* Of a command: how many arguments, and bytes in them. */
enum { ARGUMENTS = 1024, LONGEST = 1 << 24 };

/* An argument, which may become a key, a value, or an element of a list. */
struct text {
    struct text *next;
    size_t size;
    char data[]; /* and a 0 byte */
};

struct entry {
    struct entry *next;
    struct text *key;
    struct text *first; /* the value, or the elements of a list */
    long long n;        /* of these */
    bool is_list;
    task_time expires; /* TASK_FOREVER: never */
};

struct client {
    struct task_stream *stream;
    ssize_t status; /* of the stream; once it is negative that is left alone */
    FILE *in;       /* reads the stream */
    FILE *out;      /* the replies, in memory: no command suspends */
    char *replies;
    size_t size; /* of these */
    int n;
    struct text *arguments[ARGUMENTS]; /* NULL: it was taken */
};

enum { TABLE = 1 << 16, MUCH = 1 << 16 };

static struct entry *table[TABLE];

/* Without memory we do not go on, as Redis does not. */
static void *allocate(size_t n)
{
    void *memory = calloc(1, n);

    if (!memory) {
        perror("redis_server");
        exit(EXIT_FAILURE);
    }
    return memory;
}

static struct text *make_text(size_t size)
{
    struct text *text = allocate(sizeof *text + size + sizeof "\r\n");

    text->size = size;
    return text;
}

static void clear(struct entry *entry)
{
    struct text *text;

    while ((text = entry->first)) {
        entry->first = text->next;
        free(text);
    }
    entry->n = 0;
}

static void drop(struct entry **at)
{
    struct entry *entry = *at;

    *at = entry->next;
    clear(entry);
    free(entry->key);
    free(entry);
}

/* Where a key is, or would be. One that has expired is dropped. */
static struct entry **find(const struct text *key)
{
    size_t hash = 5381;
    struct entry **at;

    for (size_t i = 0; i < key->size; i++)
        hash = 33 * hash + (unsigned char)key->data[i];
    at = &table[hash % TABLE];
    while (*at && ((*at)->key->size != key->size ||
                   memcmp((*at)->key->data, key->data, key->size) != 0))
        at = &(*at)->next;
    if (*at && (*at)->expires <= loop_time()) {
        drop(at);
        return find(key);
    }
    return at;
}

static struct text *take(struct client *client, int i)
{
    struct text *text = client->arguments[i];

    client->arguments[i] = NULL;
    return text;
}

/* The entry of the first argument, which is made if there is none. */
static struct entry *get_or_make(struct client *client, struct entry **at)
{
    if (!*at) {
        *at = allocate(sizeof **at);
        (*at)->key = take(client, 1);
        (*at)->expires = TASK_FOREVER;
    }
    return *at;
}

static void push(struct entry *entry, struct text *text)
{
    text->next = entry->first;
    entry->first = text;
    entry->n++;
}

static void reply_text(struct client *client, const struct text *text)
{
    fprintf(client->out, "$%zu\r\n", text->size);
    fwrite(text->data, 1, text->size, client->out);
    fputs("\r\n", client->out);
}

static void reply_number(struct client *client, long long number)
{
    fprintf(client->out, ":%lld\r\n", number);
}

/* False: it is none that can be counted with, and that was replied. */
static bool parse(struct client *client, const struct text *text,
                  long long *number)
{
    char *end;

    *number = strtoll(text->data, &end, 10);
    if (text->size && end == text->data + text->size && *number != LLONG_MAX &&
        *number != LLONG_MIN)
        return true;
    fputs("-ERR value is not an integer or out of range\r\n", client->out);
    return false;
}

/* The commands: `at` is where the first argument is, or would be, as a key. */

static void do_ping(struct client *client, struct entry **at)
{
    (void)at;
    fputs("+PONG\r\n", client->out);
}

static void do_echo(struct client *client, struct entry **at)
{
    (void)at;
    reply_text(client, client->arguments[1]);
}

static void do_set(struct client *client, struct entry **at)
{
    struct entry *entry = get_or_make(client, at);

    clear(entry);
    push(entry, take(client, 2));
    entry->is_list = false;
    entry->expires = TASK_FOREVER;
    fputs("+OK\r\n", client->out);
}

static void do_get(struct client *client, struct entry **at)
{
    if (*at)
        reply_text(client, (*at)->first);
    else
        fputs("$-1\r\n", client->out);
}

static void do_del(struct client *client, struct entry **at)
{
    int n = 0;

    for (int i = 1; i < client->n; i++) {
        at = find(client->arguments[i]);
        if (*at) {
            drop(at);
            n++;
        }
    }
    reply_number(client, n);
}

static void do_incr(struct client *client, struct entry **at)
{
    long long number = 0;
    struct text *text;

    if (*at && !parse(client, (*at)->first, &number))
        return;
    text = make_text(20);
    text->size = (size_t)snprintf(text->data, 20 + 1, "%lld", ++number);
    clear(get_or_make(client, at));
    push(*at, text);
    reply_number(client, number);
}

static void do_expire(struct client *client, struct entry **at)
{
    long long seconds;

    if (!parse(client, client->arguments[2], &seconds))
        return;
    reply_number(client, *at != NULL);
    if (seconds > INT_MAX)
        seconds = INT_MAX;
    if (*at)
        (*at)->expires = seconds > 0 ? loop_time() + seconds * TASK_SECOND : 0;
}

static void do_lpush(struct client *client, struct entry **at)
{
    struct entry *entry = get_or_make(client, at);

    entry->is_list = true;
    for (int i = 2; i < client->n; i++)
        push(entry, take(client, i));
    reply_number(client, entry->n);
}

/* Negative ones count from the end. */
static void do_lrange(struct client *client, struct entry **at)
{
    const struct text *text = *at ? (*at)->first : NULL;
    long long n = *at ? (*at)->n : 0;
    long long first;
    long long last;

    if (!parse(client, client->arguments[2], &first) ||
        !parse(client, client->arguments[3], &last))
        return;
    first += first < 0 ? n : 0;
    last += last < 0 ? n : 0;
    first = first < 0 ? 0 : first;
    last = last < n ? last : n - 1;
    fprintf(client->out, "*%lld\r\n", first > last ? 0 : last - first + 1);
    for (long long i = 0; i <= last; i++, text = text->next)
        if (i >= first)
            reply_text(client, text);
}

enum kind { ANY, STRING, LIST };

static const struct command {
    const char *name;
    int least; /* arguments, with the name */
    int most;
    enum kind kind; /* of the entry, if there is one */
    void (*run)(struct client *client, struct entry **at);
} commands[] = {
    {"GET", 2, 2, STRING, do_get},     {"SET", 3, 3, ANY, do_set},
    {"INCR", 2, 2, STRING, do_incr},   {"LPUSH", 3, ARGUMENTS, LIST, do_lpush},
    {"LRANGE", 4, 4, LIST, do_lrange}, {"DEL", 2, ARGUMENTS, ANY, do_del},
    {"EXPIRE", 3, 3, ANY, do_expire},  {"ECHO", 2, 2, ANY, do_echo},
    {"PING", 1, 1, ANY, do_ping},      {NULL, 0, 0, ANY, NULL},
};

static void run(struct client *client)
{
    const struct command *command = commands;
    struct entry **at = client->n > 1 ? find(client->arguments[1]) : NULL;

    while (command->name &&
           strcasecmp(command->name, client->arguments[0]->data) != 0)
        command++;
    if (!command->name)
        fputs("-ERR unknown command\r\n", client->out);
    else if (client->n < command->least || client->n > command->most)
        fputs("-ERR wrong number of arguments\r\n", client->out);
    else if (at && *at && command->kind != ANY &&
             (*at)->is_list != (command->kind == LIST))
        fputs("-WRONGTYPE Operation against a key holding the wrong kind of "
              "value\r\n",
              client->out);
    else
        command->run(client, at);
}

/* "<kind><number>\r\n"; -1: that is not what comes. */
static long long read_number(struct client *client, char kind)
{
    char line[32];
    char *end;
    long long number;

    if (!fgets(line, sizeof line, client->in) || *line != kind)
        return -1;
    number = strtoll(line + 1, &end, 10);
    return end > line + 1 && !strcmp(end, "\r\n") ? number : -1;
}

/* False: the end, or what is no command. */
static bool read_command(struct client *client)
{
    long long n = read_number(client, '*');
    long long room = LONGEST;

    if (n < 0 || n > ARGUMENTS)
        return false;
    while (client->n < n) {
        long long size = read_number(client, '$');
        struct text *text;

        if (size < 0 || size > room)
            return false;
        room -= size;
        text = make_text((size_t)size);
        client->arguments[client->n++] = text;
        if (!fread(text->data, text->size + 2, 1, client->in) ||
            memcmp(text->data + size, "\r\n", 2) != 0)
            return false;
        text->data[size] = '\0';
    }
    return true;
}

static void forget_command(struct client *client)
{
    while (client->n)
        free(client->arguments[--client->n]);
}

static void send_replies(struct client *client)
{
    fflush(client->out);
    if (client->status >= 0 && client->size)
        client->status =
            task_stream_write(client->stream, client->replies, client->size);
    rewind(client->out);
}

/* What stdio calls when there is nothing more in its buffer. */
static ssize_t read_more(void *cookie, char *buf, size_t n)
{
    struct client *client = cookie;

    send_replies(client);
    if (client->status >= 0)
        client->status = task_stream_read(client->stream, buf, n);
    return client->status;
}

static void converse(struct client *client)
{
    while (read_command(client)) {
        if (client->n)
            run(client);
        forget_command(client);
        if (ftell(client->out) > MUCH)
            send_replies(client);
    }
    forget_command(client);
    if (!feof(client->in))
        fputs("-ERR Protocol error\r\n", client->out);
    send_replies(client);
}

static int serve_client(struct task_stream *stream, void *arg)
{
    struct client client = {.stream = stream};

    (void)arg;
    client.in =
        fopencookie(&client, "r", (cookie_io_functions_t){.read = read_more});
    client.out = open_memstream(&client.replies, &client.size);
    if (client.in && client.out)
        converse(&client);
    if (client.in)
        fclose(client.in);
    if (client.out)
        fclose(client.out);
    free(client.replies);
    return client.status == -ECANCELED ? -ECANCELED : 0;
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
