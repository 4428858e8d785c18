/*
 * What the error hook is told, and in which words.
 */
#include "cycles.h"
#include "loop.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows; when memory is short it ends early. */
struct text {
    const struct allocator *allocator;
    char *chars;
    size_t length;
    size_t capacity;
    bool is_over; /* memory was short */
};

static bool make_room(struct text *text, size_t n)
{
    size_t capacity = 2 * (text->length + n + 1);
    char *chars;

    if (text->length + n < text->capacity)
        return true;
    chars = memory_resize(text->allocator, text->chars, capacity);
    text->is_over = !chars;
    if (!chars)
        return false;
    text->chars = chars;
    text->capacity = capacity;
    return true;
}

PRINTF_LIKE(2, 3)
static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0 || text->is_over || !make_room(text, (size_t)n))
        return;
    va_start(arguments, format);
    vsnprintf(text->chars + text->length, text->capacity - text->length, format,
              arguments);
    va_end(arguments);
    text->length += (size_t)n;
}

static void print(const struct loop_error *error)
{
    fprintf(stderr, "libtask: %s\n", error->message);
}

/* A report that the hook itself causes goes to stderr. */
void task__report(struct loop *loop, struct loop_error *error)
{
    loop_error_fn *hook = loop->options.on_error;

    error->loop = loop;
    error->fd = -1;
    if (error->task) {
        error->task_id = task_id(error->task);
        error->task_name = task_name(error->task);
        error->file = error->task->file;
        error->line = error->task->line;
    }
    if (!hook || loop->in_report) {
        print(error);
        return;
    }
    struct aside before = aside_begin(loop);

    loop->in_report = true;
    hook(error, loop->options.on_error_arg);
    loop->in_report = false;
    aside_end(loop, before);
}

/* task 7 "name", created at file.c:12, */
static void describe(char *out, size_t size, const struct task *task)
{
    int n = snprintf(out, size, "%s %llu \"%.64s\"",
                     task->future ? "future" : "task",
                     (unsigned long long)task->id, task_name(task));

    if (task->file && n >= 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, ", created at %s:%d,", task->file,
                 task->line);
}

enum { LINE = 400 };

void task__report_unread(struct task *task)
{
    char who[LINE];
    char message[2 * LINE];
    struct loop_error error = {.kind = LOOP_ERROR_UNAWAITED,
                               .message = message,
                               .status = task->status,
                               .task = task};

    if (task->was_read || !is_failure(task->status))
        return;
    task->was_read = true;
    task->references += TASK_PIN;
    describe(who, sizeof who, task);
    snprintf(message, sizeof message,
             "%s failed and nobody awaited it: %s (%d)", who,
             task_strerror(task->status), task->status);
    task__report(loop_of_task(task), &error);
    task->references -= TASK_PIN;
}

void task__abort(const struct task *task, const char *what)
{
    char who[LINE] = "code outside of any task";

    if (task)
        describe(who, sizeof who, task);
    fprintf(stderr, "libtask: %s %s\n", who, what);
    abort();
}

void task__report_dropped(struct task *task)
{
    char who[LINE];
    char message[2 * LINE];
    struct loop_error error = {.kind = LOOP_ERROR_SHUTDOWN,
                               .message = message,
                               .status = -ETIMEDOUT,
                               .task = task};

    describe(who, sizeof who, task);
    snprintf(message, sizeof message,
             "%s was dropped: it had not ended when its loop did", who);
    task__report(loop_of_task(task), &error);
}

void task__report_held(struct task *task)
{
    char who[LINE];
    char message[2 * LINE];
    struct loop_error error = {
        .kind = LOOP_ERROR_LEAK, .message = message, .task = task};

    if (!loop_of_task(task)->debug)
        return;
    describe(who, sizeof who, task);
    snprintf(message, sizeof message, "%s ended while it owned a lock", who);
    task__report(loop_of_task(task), &error);
}

/* Name the tasks that one waits for, up to a few. */
struct awaited_names {
    struct text *text;
    size_t n;
};

enum { NAMES = 8 };

static void add_awaited(struct task *task, void *arg)
{
    struct awaited_names *names = arg;

    if (names->n++ < NAMES)
        add(names->text, "%s %s %llu \"%.64s\"", names->n > 1 ? "," : "",
            task->future ? "future" : "task", (unsigned long long)task->id,
            task_name(task));
}

static void add_suspect(struct text *text, const struct suspect *suspect)
{
    const struct task *task = suspect->task;
    const struct waiter *waiter = task->waiter;
    struct awaited_names names = {.text = text};
    char who[LINE];

    describe(who, sizeof who, task);
    add(text, "\n  %s %s", who, waiter ? waiter->kind->verb : "ready");
    if (waiter && waiter->kind->each_awaited)
        waiter->kind->each_awaited(waiter, add_awaited, &names);
    if (names.n > NAMES)
        add(text, " and %zu more", names.n - NAMES);
    if (suspect->is_in_cycle)
        add(text, " (in a cycle)");
}

/* All tasks, and whether they are in a cycle; NULL when there is no memory. */
static struct suspect *find_cycles(struct loop *loop)
{
    size_t n = loop->n_tasks;
    struct suspect *suspects =
        memory_get(&loop->allocator, (n + 1) * sizeof *suspects);
    struct task **tasks = suspects ? task__all_live(loop) : NULL;

    if (!tasks) {
        memory_free(&loop->allocator, suspects);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        suspects[i] = (struct suspect){.task = tasks[i]};
    memory_free(&loop->allocator, tasks);
    task__cycles_find(suspects, n);
    return suspects;
}

/* Once for as long as it lasts. */
void task__report_deadlock(struct loop *loop)
{
    struct text text = {.allocator = &loop->allocator};
    struct loop_error error = {.kind = LOOP_ERROR_DEADLOCK, .status = -EDEADLK};
    size_t n = loop->n_tasks - loop->n_daemons;
    struct suspect *suspects;

    if (loop->is_deadlocked)
        return;
    loop->is_deadlocked = true;
    add(&text, "deadlock: %zu task%s can never be woken%s", n,
        n == 1 ? "" : "s", n ? ":" : "");
    suspects = find_cycles(loop);
    for (size_t i = 0; suspects && i < loop->n_tasks; i++)
        if (!suspects[i].task->daemon)
            add_suspect(&text, &suspects[i]);
    memory_free(&loop->allocator, suspects);
    error.message = text.chars ? text.chars : "deadlock (no memory for more)";
    task__report(loop, &error);
    memory_free(&loop->allocator, text.chars);
}
