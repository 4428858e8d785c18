/*
 * What the error hook is told, and in which words.
 */
#include "report.h"

#include "aside.h"
#include "cycles.h"
#include "dump.h"
#include "local.h"
#include "loop.h"
#include "say_task.h"
#include "text.h"
#include "trace.h"

#include <stdlib.h>

void task__report_print(const struct loop_error *error)
{
    task__say_line(error->message);
}

void task__report(struct loop *loop, struct loop_error *error)
{
    task__report_fd(loop, error, -1);
}

/* A report that the hook itself causes goes to stderr. Of what the child of a
 * fork has inherited the parent tells. */
void task__report_fd(struct loop *loop, struct loop_error *error, int fd)
{
    loop_error_fn *hook = loop->options.on_error;

    if (loop_is_inherited(loop))
        return;
    error->loop = loop;
    error->fd = fd;
    if (error->task) {
        error->task_id = task_id(error->task);
        error->task_name = task_name(error->task);
    }
    if (error->task && !error->file) {
        error->file = error->task->file;
        error->line = (int)error->task->line;
    }
    if (!hook || loop->in_report) {
        task__report_print(error);
        return;
    }
    struct aside before = aside_begin(loop);
    struct loan former = task__locals_lend(error->task);

    loop->in_report = true;
    hook(error, loop->options.on_error_arg);
    loop->in_report = false;
    task__locals_return(former);
    aside_end(loop, before);
}

/* no such file (-2) */
static void say_status(struct sentence *sentence, int status)
{
    task__say(sentence, task_strerror(status));
    task__say(sentence, " (-");
    task__say_number(sentence, (uint64_t) - (int64_t)status);
    task__say(sentence, ")");
}

void task__report_task(const struct task *task, enum loop_error_kind kind,
                       int status, const struct sentence *sentence)
{
    struct loop_error error = {.kind = kind,
                               .message = sentence->chars,
                               .status = status,
                               .task = task};

    task__report(loop_of_task(task), &error);
}

void task__report_unread(struct task *task)
{
    struct sentence sentence;

    if (task->was_read || !is_failure(task->status))
        return;
    task->was_read = true;
    task->references += TASK_PIN;
    sentence_about(&sentence, task);
    task__say(&sentence, " failed and nobody awaited it: ");
    say_status(&sentence, task->status);
    task__report_task(task, LOOP_ERROR_UNAWAITED, task->status, &sentence);
    task->references -= TASK_PIN;
}

void task__abort(const struct task *task, const char *what)
{
    struct sentence sentence;

    if (task)
        sentence_about(&sentence, task);
    else
        sentence_clear(&sentence);
    task__say(&sentence, task ? " " : "code outside of any task ");
    task__say(&sentence, what);
    task__say_line(sentence.chars);
    if (loop_current())
        task__trace_die(loop_current());
    abort();
}

void task__report_dropped(struct task *task)
{
    struct sentence sentence;

    sentence_about(&sentence, task);
    task__say(&sentence, " was dropped: it had not ended when its loop did");
    task__report_task(task, LOOP_ERROR_SHUTDOWN, -ETIMEDOUT, &sentence);
}

void task__report_handler(const struct task *task, int status)
{
    struct sentence sentence;

    sentence_clear(&sentence);
    task__say(&sentence, "the handler of ");
    task__say_task(&sentence, task);
    task__say(&sentence, " failed: ");
    say_status(&sentence, status);
    task__report_task(task, LOOP_ERROR_HANDLER, status, &sentence);
}

void task__report_accept(struct loop *loop, int fd, int status)
{
    struct sentence sentence;
    struct loop_error error = {
        .kind = LOOP_ERROR_ACCEPT, .message = sentence.chars, .status = status};

    sentence_clear(&sentence);
    task__say(&sentence, "a server pauses, as it cannot accept a connection: ");
    say_status(&sentence, status);
    task__report_fd(loop, &error, fd);
}

/* Cycles. */

/* All tasks, and which cycle each is in; NULL when there is no memory. */
static struct suspect *find_cycles(struct loop *loop)
{
    size_t n = loop->n_tasks;
    struct suspect *suspects =
        memory_get(&loop->allocator, (n + 1) * sizeof *suspects);
    struct task **tasks =
        suspects ? memory_get(&loop->allocator, (n + 1) * sizeof *tasks) : NULL;

    if (!tasks) {
        memory_free(&loop->allocator, suspects);
        return NULL;
    }
    task__pick_live(loop, tasks, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        suspects[i] = (struct suspect){.task = tasks[i]};
    memory_free(&loop->allocator, tasks);
    task__cycles_find(suspects, n);
    return suspects;
}

enum { CYCLES = 20, NAMES = 16 };

/* One round of a cycle. */
static void add_cycle(struct text *text, struct suspect suspects[], size_t n,
                      struct suspect *leader)
{
    const struct suspect *first = task__cycle_begin(suspects, n, leader);
    const struct suspect *at = first;
    size_t n_named = 0;

    task__text_add(text, "\n  a cycle: ");
    do {
        if (n_named++ < NAMES) {
            task__text_add_task(text, at->task);
            task__text_add(text, " -> ");
        }
        at = task__cycle_next(suspects, n, at);
    } while (at != first);
    if (n_named > NAMES)
        task__text_add(text, "%zu more -> ", n_named - NAMES);
    task__text_add_task(text, first->task);
}

static void add_cycles(struct text *text, struct loop *loop)
{
    struct suspect *suspects = find_cycles(loop);
    size_t n = suspects ? loop->n_tasks : 0;
    size_t n_cycles = 0;

    for (size_t i = 0; i < n; i++)
        if (suspects[i].leader == &suspects[i] && n_cycles++ < CYCLES)
            add_cycle(text, suspects, n, &suspects[i]);
    if (n_cycles > CYCLES)
        task__text_add(text, "\n  ... and %zu cycles more", n_cycles - CYCLES);
    memory_free(&loop->allocator, suspects);
}

/* Once for as long as it lasts; a run tells it anew. */
void task__report_deadlock(struct loop *loop)
{
    struct text text = {.allocator = &loop->allocator};
    struct loop_error error = {.kind = LOOP_ERROR_DEADLOCK, .status = -EDEADLK};
    size_t n = loop->n_tasks - loop->n_daemons;

    if (loop->is_deadlocked)
        return;
    loop->is_deadlocked = true;
    task__trace_fail(loop);
    task__text_add(&text, "deadlock: %zu task%s can never be woken%s", n,
                   n == 1 ? "" : "s", n ? ":" : "");
    add_cycles(&text, loop);
    task__dump_blocked(loop, &text);
    error.message = text.chars ? text.chars : "deadlock (no memory for more)";
    task__report(loop, &error);
    memory_free(&loop->allocator, text.chars);
}
