/*
 * redis_server: a small Redis, kept in memory (RESP2, and lines by hand).
 *
 * PING ECHO SET (EX, PX) GET DEL EXISTS INCR EXPIRE TTL LPUSH LRANGE FLUSHALL.
 * All that a client has sent is answered by one write, so that those who send
 * many commands at once get what that is for.
 *
 * usage: redis_server <port>
 *
 * Port 0 takes a free one; the first line of output names it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <task.h>

enum { ARGUMENTS = 1024, BULK = 512 * 1024 * 1024, CHUNK = 16384 };
enum { TABLE = 1 << 16 };

/* Bytes that grow. `failed` once there was no memory for some. */
struct bytes {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
};

struct slice {
    const char *data;
    size_t size;
};

/* A list is its elements, from the last to the first. */
struct entry {
    struct entry *next;
    struct slice key;
    struct slice *elements; /* of a string: its value */
    size_t n;
    bool is_list;
    task_time expires; /* TASK_FOREVER: never */
};

struct client {
    struct task_stream *stream;
    struct bytes in;
    struct bytes out;
    struct slice arguments[ARGUMENTS];
    size_t n;
};

static struct entry *table[TABLE];

static bool reserve(struct bytes *bytes, size_t n)
{
    size_t capacity = bytes->capacity ? bytes->capacity : CHUNK;
    char *data;

    while (capacity - bytes->size < n)
        capacity *= 2;
    if (capacity == bytes->capacity)
        return true;
    data = realloc(bytes->data, capacity);
    bytes->failed = bytes->failed || !data;
    if (!data)
        return false;
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

static void put(struct bytes *bytes, const void *data, size_t n)
{
    if (!reserve(bytes, n))
        return;
    memcpy(bytes->data + bytes->size, data, n);
    bytes->size += n;
}

static void put_text(struct client *client, const char *text)
{
    put(&client->out, text, strlen(text));
}

static void put_number(struct client *client, char kind, long long number)
{
    char text[32];

    put(&client->out, text,
        (size_t)snprintf(text, sizeof text, "%c%lld\r\n", kind, number));
}

static void put_bulk(struct client *client, struct slice bulk)
{
    put_number(client, '$', (long long)bulk.size);
    put(&client->out, bulk.data, bulk.size);
    put(&client->out, "\r\n", 2);
}

static bool equal(struct slice a, struct slice b)
{
    return a.size == b.size && !memcmp(a.data, b.data, a.size);
}

static bool says(struct slice a, const char *word)
{
    return a.size == strlen(word) && !strncasecmp(a.data, word, a.size);
}

static bool copy(struct slice *to, struct slice from)
{
    char *data = malloc(from.size + 1);

    if (!data)
        return false;
    memcpy(data, from.data, from.size);
    *to = (struct slice){data, from.size};
    return true;
}

static void release(struct slice slice)
{
    free((void *)(uintptr_t)slice.data);
}

/* FNV-1a */
static size_t hash(struct slice key)
{
    uint64_t sum = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < key.size; i++)
        sum = (sum ^ (unsigned char)key.data[i]) * UINT64_C(1099511628211);
    return (size_t)(sum ^ sum >> 32) % TABLE;
}

static void clear(struct entry *entry)
{
    for (size_t i = 0; i < entry->n; i++)
        release(entry->elements[i]);
    free(entry->elements);
    entry->elements = NULL;
    entry->n = 0;
}

static void drop(struct entry **at)
{
    struct entry *entry = *at;

    *at = entry->next;
    clear(entry);
    release(entry->key);
    free(entry);
}

/* Where a key is, or would be; what has expired is dropped on the way. */
static struct entry **find(struct slice key)
{
    struct entry **at = &table[hash(key)];

    while (*at && !equal((*at)->key, key))
        at = &(*at)->next;
    if (*at && (*at)->expires != TASK_FOREVER && (*at)->expires <= loop_time())
        drop(at);
    return *at && !equal((*at)->key, key) ? find(key) : at;
}

/* The entry of a key, a new one if it has none; NULL: no memory. */
static struct entry *get_or_make(struct slice key, bool is_list)
{
    struct entry **at = find(key);
    struct entry *entry = *at;

    if (entry)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (!entry || !copy(&entry->key, key)) {
        free(entry);
        return NULL;
    }
    entry->is_list = is_list;
    entry->expires = TASK_FOREVER;
    entry->next = *at;
    *at = entry;
    return entry;
}

/* One more element, at the end: that of a list is the first. */
static bool push(struct entry *entry, struct slice element)
{
    struct slice *elements = entry->elements;

    if ((entry->n & (entry->n - 1)) == 0) { /* 0, 1, 2, 4, 8 ... */
        elements =
            realloc(elements, (entry->n ? 2 * entry->n : 1) * sizeof *elements);
        if (!elements)
            return false;
        entry->elements = elements;
    }
    if (!copy(&entry->elements[entry->n], element))
        return false;
    entry->n++;
    return true;
}

static bool parse_number(struct slice text, long long *number)
{
    char digits[24];
    char *end;

    if (text.size == 0 || text.size >= sizeof digits)
        return false;
    memcpy(digits, text.data, text.size);
    digits[text.size] = '\0';
    errno = 0;
    *number = strtoll(digits, &end, 10);
    return !*end && !errno && digits[0] != ' ';
}

#define NO_MEMORY "-ERR out of memory\r\n"
#define NO_NUMBER "-ERR value is not an integer or out of range\r\n"
#define NO_SYNTAX "-ERR syntax error\r\n"
#define NO_TYPE                                                                \
    "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

/* The value of a string, replaced. */
static bool set(struct slice key, struct slice value)
{
    struct slice copied = {NULL, 0};
    struct entry *entry = copy(&copied, value) ? get_or_make(key, false) : NULL;
    struct slice *elements = entry ? malloc(sizeof *elements) : NULL;

    if (!elements) {
        release(copied);
        return false;
    }
    clear(entry);
    *elements = copied;
    entry->elements = elements;
    entry->n = 1;
    entry->is_list = false;
    entry->expires = TASK_FOREVER;
    return true;
}

static void do_ping(struct client *client, struct slice *arguments)
{
    if (client->n > 1)
        put_bulk(client, arguments[1]);
    else
        put_text(client, "+PONG\r\n");
}

static void do_echo(struct client *client, struct slice *arguments)
{
    put_bulk(client, arguments[1]);
}

static void do_set(struct client *client, struct slice *arguments)
{
    long long time = 0;
    bool in_seconds = client->n > 3 && says(arguments[3], "EX");

    if (client->n != 3 &&
        (client->n != 5 || (!in_seconds && !says(arguments[3], "PX")))) {
        put_text(client, NO_SYNTAX);
    } else if (client->n == 5 && (!parse_number(arguments[4], &time) ||
                                  time <= 0 || time > INT32_MAX)) {
        put_text(client, NO_NUMBER);
    } else if (!set(arguments[1], arguments[2])) {
        put_text(client, NO_MEMORY);
    } else {
        if (time)
            (*find(arguments[1]))->expires =
                loop_time() +
                time * (in_seconds ? TASK_SECOND : TASK_MILLISECOND);
        put_text(client, "+OK\r\n");
    }
}

static void do_get(struct client *client, struct slice *arguments)
{
    const struct entry *entry = *find(arguments[1]);

    if (!entry)
        put_text(client, "$-1\r\n");
    else if (entry->is_list)
        put_text(client, NO_TYPE);
    else
        put_bulk(client, entry->elements[0]);
}

static void do_del(struct client *client, struct slice *arguments)
{
    int n = 0;

    for (size_t i = 1; i < client->n; i++) {
        struct entry **at = find(arguments[i]);

        if (!*at)
            continue;
        drop(at);
        n++;
    }
    put_number(client, ':', n);
}

static void do_exists(struct client *client, struct slice *arguments)
{
    int n = 0;

    for (size_t i = 1; i < client->n; i++)
        n += *find(arguments[i]) != NULL;
    put_number(client, ':', n);
}

static void do_incr(struct client *client, struct slice *arguments)
{
    const struct entry *entry = *find(arguments[1]);
    task_time expires = entry ? entry->expires : TASK_FOREVER;
    long long number = 0;
    char text[24];

    if (entry && entry->is_list) {
        put_text(client, NO_TYPE);
        return;
    }
    if ((entry && !parse_number(entry->elements[0], &number)) ||
        number == INT64_MAX) {
        put_text(client, NO_NUMBER);
        return;
    }
    number++;
    if (!set(arguments[1],
             (struct slice){
                 text, (size_t)snprintf(text, sizeof text, "%lld", number)})) {
        put_text(client, NO_MEMORY);
        return;
    }
    (*find(arguments[1]))->expires = expires;
    put_number(client, ':', number);
}

static void do_expire(struct client *client, struct slice *arguments)
{
    struct entry **at = find(arguments[1]);
    long long seconds;

    if (!parse_number(arguments[2], &seconds) || seconds > INT32_MAX) {
        put_text(client, NO_NUMBER);
        return;
    }
    put_number(client, ':', *at != NULL);
    if (*at && seconds <= 0)
        drop(at);
    else if (*at)
        (*at)->expires = loop_time() + seconds * TASK_SECOND;
}

static void do_ttl(struct client *client, struct slice *arguments)
{
    const struct entry *entry = *find(arguments[1]);

    if (!entry || entry->expires == TASK_FOREVER)
        put_number(client, ':', entry ? -1 : -2);
    else
        put_number(client, ':',
                   (entry->expires - loop_time() + TASK_SECOND - 1) /
                       TASK_SECOND);
}

static void do_lpush(struct client *client, struct slice *arguments)
{
    struct entry *entry = get_or_make(arguments[1], true);

    if (!entry || !entry->is_list) {
        put_text(client, entry ? NO_TYPE : NO_MEMORY);
        return;
    }
    for (size_t i = 2; i < client->n; i++)
        if (!push(entry, arguments[i])) {
            put_text(client, NO_MEMORY);
            return;
        }
    put_number(client, ':', (long long)entry->n);
}

/* From the front, where negative ones count from the back, as Redis has it. */
static void do_lrange(struct client *client, struct slice *arguments)
{
    const struct entry *entry = *find(arguments[1]);
    long long n = entry ? (long long)entry->n : 0;
    long long first;
    long long last;

    if (!parse_number(arguments[2], &first) ||
        !parse_number(arguments[3], &last)) {
        put_text(client, NO_NUMBER);
        return;
    }
    if (entry && !entry->is_list) {
        put_text(client, NO_TYPE);
        return;
    }
    first = first < 0 ? first + n : first;
    first = first < 0 ? 0 : first;
    last = last < 0 ? last + n : last;
    last = last >= n ? n - 1 : last;
    put_number(client, '*', first > last ? 0 : last - first + 1);
    for (long long i = first; i <= last; i++)
        put_bulk(client, entry->elements[n - 1 - i]);
}

static void do_flushall(struct client *client, struct slice *arguments)
{
    (void)arguments;
    for (size_t i = 0; i < TABLE; i++)
        while (table[i])
            drop(&table[i]);
    put_text(client, "+OK\r\n");
}

static const struct command {
    const char *name;
    size_t least; /* arguments, with the name */
    size_t most;
    void (*run)(struct client *client, struct slice *arguments);
} commands[] = {
    {"GET", 2, 2, do_get},
    {"SET", 3, 5, do_set},
    {"INCR", 2, 2, do_incr},
    {"PING", 1, 2, do_ping},
    {"ECHO", 2, 2, do_echo},
    {"DEL", 2, ARGUMENTS, do_del},
    {"EXISTS", 2, ARGUMENTS, do_exists},
    {"EXPIRE", 3, 3, do_expire},
    {"TTL", 2, 2, do_ttl},
    {"LPUSH", 3, ARGUMENTS, do_lpush},
    {"LRANGE", 4, 4, do_lrange},
    {"FLUSHALL", 1, 2, do_flushall},
};

static void run(struct client *client)
{
    const struct command *end = commands + sizeof commands / sizeof *commands;
    const struct command *command = commands;

    while (command < end && !says(client->arguments[0], command->name))
        command++;
    if (command == end)
        put_text(client, "-ERR unknown command\r\n");
    else if (client->n < command->least || client->n > command->most)
        put_text(client, "-ERR wrong number of arguments\r\n");
    else
        command->run(client, client->arguments);
}

/* "<kind><number>\r\n": how long it is; 0: not all there; -1: it is none. */
static int parse_head(struct slice in, char kind, long long *number)
{
    const char *end = memchr(in.data, '\n', in.size < 32 ? in.size : 32);

    if (!end)
        return in.size < 32 ? 0 : -1;
    if (*in.data != kind || end - in.data < 3 || end[-1] != '\r' ||
        !parse_number((struct slice){in.data + 1, (size_t)(end - in.data) - 2},
                      number))
        return -1;
    return (int)(end - in.data) + 1;
}

/* Words in a line, as people type them. */
static long parse_line(struct client *client, struct slice in)
{
    const char *end = memchr(in.data, '\n', in.size);
    const char *at = in.data;

    if (!end)
        return in.size < CHUNK ? 0 : -1;
    while (client->n < ARGUMENTS) {
        const char *word;

        while (at < end && (*at == ' ' || *at == '\r'))
            at++;
        if (at == end)
            break;
        word = at;
        while (at < end && *at != ' ' && *at != '\r')
            at++;
        client->arguments[client->n++] =
            (struct slice){word, (size_t)(at - word)};
    }
    return end - in.data + 1;
}

/* The arguments of the next command: how long it is; 0: not all of it is there;
 * -1: it is none. */
static long parse(struct client *client, struct slice in)
{
    const char *begin = in.data;
    long long n;
    int head;

    client->n = 0;
    if (*in.data != '*')
        return parse_line(client, in);
    head = parse_head(in, '*', &n);
    if (head > 0 && n > ARGUMENTS)
        head = -1;
    while (head > 0) {
        long long size = 0;

        in.data += head;
        in.size -= (size_t)head;
        if ((long long)client->n >= n)
            return in.data - begin;
        head = in.size ? parse_head(in, '$', &size) : 0;
        if (head <= 0)
            break;
        if (size < 0 || size > BULK)
            return -1;
        if (in.size < (size_t)(head + size + 2))
            return 0;
        client->arguments[client->n++] =
            (struct slice){in.data + head, (size_t)size};
        head += (int)size + 2;
    }
    return head;
}

/* Run all commands that are there whole; false: what came is none. */
static bool run_all(struct client *client)
{
    struct slice in = {client->in.data, client->in.size};
    long length = 0;

    while (in.size && (length = parse(client, in)) > 0) {
        if (client->n)
            run(client);
        in.data += length;
        in.size -= (size_t)length;
    }
    memmove(client->in.data, in.data, in.size);
    client->in.size = in.size;
    if (length < 0)
        put_text(client, "-ERR Protocol error\r\n");
    return length >= 0 && !client->out.failed;
}

static int converse(struct client *client)
{
    bool goes_on = true;
    int status = 0;
    ssize_t n;

    while (goes_on && !status) {
        if (!reserve(&client->in, CHUNK))
            return -ENOMEM;
        n = task_stream_read(client->stream, client->in.data + client->in.size,
                             client->in.capacity - client->in.size);
        if (n <= 0)
            return (int)n;
        client->in.size += (size_t)n;
        goes_on = run_all(client);
        status = task_stream_write(client->stream, client->out.data,
                                   client->out.size);
        client->out.size = 0;
    }
    return status;
}

static int serve_client(struct task_stream *stream, void *arg)
{
    struct client *client = calloc(1, sizeof *client);
    int status;

    (void)arg;
    if (!client)
        return -ENOMEM;
    client->stream = stream;
    status = converse(client);
    free(client->in.data);
    free(client->out.data);
    free(client);
    return status == -ECANCELED || status == -ENOMEM ? status : 0;
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
