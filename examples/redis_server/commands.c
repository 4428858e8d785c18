#include "commands.h"

#include <errno.h>
#include <limits.h>
#include <strings.h>

static void put(struct request *request, const char *data, size_t n)
{
    memcpy(buffer_reserve(&request->replies, n), data, n);
    buffer_extend(&request->replies, n);
}

void reply(struct request *request, const char *line)
{
    put(request, line, strlen(line));
    put(request, "\r\n", 2);
}

/* By hand, as most replies have one. */
static void reply_number(struct request *request, char kind, long long number)
{
    char text[24];
    char *at = text + sizeof text;
    unsigned long long rest = (unsigned long long)number;

    rest = number < 0 ? 0 - rest : rest;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        *--at = '-';
    *--at = kind;
    put(request, at, (size_t)(text + sizeof text - at));
}

static void reply_text(struct request *request, const char *data, size_t size)
{
    reply_number(request, '$', (long long)size);
    put(request, data, size);
    put(request, "\r\n", 2);
}

/* Whether the text of a number is the only one, as Redis wants it: no blanks,
 * no plus, no zeros before it, no -0. */
static bool is_plain(const char *data, size_t size)
{
    const char *digit = data + (*data == '-');

    return (*digit >= '1' && *digit <= '9') || (size == 1 && *digit == '0');
}

/* False: it is none that can be counted with, and that was replied. */
static bool parse(struct request *request, const char *data, size_t size,
                  long long *number)
{
    char *end;

    errno = 0;
    *number = strtoll(data, &end, 10);
    if (is_plain(data, size) && end == data + size && !errno)
        return true;
    reply(request, "-ERR value is not an integer or out of range");
    return false;
}

static bool parse_argument(struct request *request, int i, long long *number)
{
    struct word word = request->arguments[i];

    return parse(request, word.data, word.size, number);
}

static struct entry *provide(struct request *request, struct entry **at)
{
    return store_provide(at, request->arguments[1]);
}

/* The commands: `at` is where the first argument is, or would be, as a key. */

static void do_ping(struct request *request, struct entry **at)
{
    (void)at;
    reply(request, "+PONG");
}

static void do_echo(struct request *request, struct entry **at)
{
    struct word word = request->arguments[1];

    (void)at;
    reply_text(request, word.data, word.size);
}

static void set(struct entry *entry, struct word word)
{
    entry_clear(entry);
    entry_push(entry, word);
}

static void do_set(struct request *request, struct entry **at)
{
    struct entry *entry = provide(request, at);

    set(entry, request->arguments[2]);
    entry->is_list = false;
    entry_expire(entry, TASK_FOREVER);
    reply(request, "+OK");
}

static void do_get(struct request *request, struct entry **at)
{
    if (*at)
        reply_text(request, (*at)->first->data, (*at)->first->size);
    else
        reply(request, "$-1");
}

static void do_del(struct request *request, struct entry **at)
{
    int n = 0;

    for (int i = 1; i < request->n; i++) {
        at = store_find(request->arguments[i]);
        if (*at) {
            store_drop(at);
            n++;
        }
    }
    reply_number(request, ':', n);
}

static void do_incr(struct request *request, struct entry **at)
{
    long long number = 0;
    char text[24];

    if (*at && !parse(request, (*at)->first->data, (*at)->first->size, &number))
        return;
    if (number == LLONG_MAX) {
        reply(request, "-ERR increment or decrement would overflow");
        return;
    }
    snprintf(text, sizeof text, "%lld", ++number);
    set(provide(request, at), (struct word){text, strlen(text)});
    reply_number(request, ':', number);
}

static void do_expire(struct request *request, struct entry **at)
{
    const long long most = TASK_FOREVER / 2 / TASK_SECOND; /* so that it adds */
    long long seconds;

    if (!parse_argument(request, 2, &seconds))
        return;
    if (seconds > most || seconds < -most) {
        reply(request, "-ERR invalid expire time in 'expire' command");
        return;
    }
    reply_number(request, ':', *at != NULL);
    if (*at && seconds > 0)
        entry_expire(*at, loop_time() + seconds * TASK_SECOND);
    else if (*at)
        store_drop(at);
}

static void do_lpush(struct request *request, struct entry **at)
{
    struct entry *entry = provide(request, at);

    entry->is_list = true;
    for (int i = 2; i < request->n; i++)
        entry_push(entry, request->arguments[i]);
    reply_number(request, ':', entry->n);
}

/* Negative ones count from the end. */
static void do_lrange(struct request *request, struct entry **at)
{
    const struct text *text = *at ? (*at)->first : NULL;
    long long n = *at ? (*at)->n : 0;
    long long first;
    long long last;

    if (!parse_argument(request, 2, &first) ||
        !parse_argument(request, 3, &last))
        return;
    first += first < 0 ? n : 0;
    last += last < 0 ? n : 0;
    first = first < 0 ? 0 : first;
    last = last < n ? last : n - 1;
    reply_number(request, '*', first > last ? 0 : last - first + 1);
    for (long long i = 0; i <= last; i++, text = text->next)
        if (i >= first)
            reply_text(request, text->data, text->size);
}

enum kind { ANY, STRING, LIST };

static const struct command {
    const char *name;
    int least; /* arguments, with the name */
    int most;
    enum kind kind; /* of the entry, if there is one */
    void (*run)(struct request *request, struct entry **at);
} commands[] = {
    {"GET", 2, 2, STRING, do_get},     {"SET", 3, 3, ANY, do_set},
    {"INCR", 2, 2, STRING, do_incr},   {"LPUSH", 3, ARGUMENTS, LIST, do_lpush},
    {"LRANGE", 4, 4, LIST, do_lrange}, {"DEL", 2, ARGUMENTS, ANY, do_del},
    {"EXPIRE", 3, 3, ANY, do_expire},  {"ECHO", 2, 2, ANY, do_echo},
    {"PING", 1, 1, ANY, do_ping},      {NULL, 0, 0, ANY, NULL},
};

static bool is_called(const struct command *command, struct word name)
{
    return strlen(command->name) == name.size &&
           !strncasecmp(command->name, name.data, name.size);
}

void run_command(struct request *request)
{
    const struct command *command = commands;
    struct entry **at =
        request->n > 1 ? store_find(request->arguments[1]) : NULL;

    while (command->name && !is_called(command, request->arguments[0]))
        command++;
    if (!command->name)
        reply(request, "-ERR unknown command");
    else if (request->n < command->least || request->n > command->most)
        reply(request, "-ERR wrong number of arguments");
    else if (at && *at && command->kind != ANY &&
             (*at)->is_list != (command->kind == LIST))
        reply(request, "-WRONGTYPE Operation against a key holding the wrong "
                       "kind of value");
    else
        command->run(request, at);
}
