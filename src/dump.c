/*
 * The lines about tasks, for task_dump and for the report of a deadlock.
 */
#include "dump.h"

#include "text.h"
#include "tree.h"

#include <stdio.h>

enum { LINE = 1024, DEEPEST = 30, NAMES = 8, PLACE = 200, VISITS = 1000000 };

struct dump {
    struct loop *loop;
    task_time now;
    bool stacks;     /* whether their use is told */
    size_t n_visits; /* of who waits for whom, for lists of awaiters */
    void (*put)(const struct text *line, void *to);
    void *to;
};

/* What it waits for. */

struct names {
    struct text *text;
    const struct task *only;
    size_t n;
};

static void count_awaited(struct task *task, void *arg)
{
    struct names *names = arg;

    names->only = task;
    names->n++;
}

static void add_awaited(struct text *text, const struct task *task)
{
    struct names names = {.n = 0};

    each_awaited(task, count_awaited, &names);
    task__text_add(text, " ");
    if (names.n == 1)
        task__text_add_task(text, names.only);
    else
        task__text_add(text, "%zu tasks", names.n);
}

static void add_wait(const struct dump *dump, struct text *text,
                     const struct task *task)
{
    const struct waiter *waiter = task->waiter;
    const struct wait_kind *kind = waiter->kind;
    bool is_timed = waiter->timer;
    task_time left = is_timed ? waiter->timer->when - dump->now : 0;

    task__text_add(text, " ");
    task__text_add_time(text, dump->now - waiter->since);
    task__text_add(text, ": %s", kind->verb);
    if (kind->describe) {
        task__text_add(text, " ");
        kind->describe(waiter, text);
    } else if (kind->each_awaited) {
        add_awaited(text, task);
    } else if (is_timed) {
        task__text_add(text, " ");
        task__text_add_time(text, left);
        task__text_add(text, " more");
        is_timed = false;
    }
    if (is_timed) {
        task__text_add(text, "; time-out in ");
        task__text_add_time(text, left);
    }
}

/* What there is besides. */

static void add_scopes(const struct dump *dump, struct text *text,
                       const struct task *task)
{
    task_time deadline = TASK_FOREVER;
    size_t n = 0;

    for (const struct task_scope *scope = task->scope; scope;
         scope = scope->outer) {
        if (scope->deadline < deadline)
            deadline = scope->deadline;
        n++;
    }
    if (n)
        task__text_add(text, "; in %zu scope%s", n, n == 1 ? "" : "s");
    if (deadline == TASK_FOREVER)
        return;
    task__text_add(text, ", time-out ");
    if (deadline > dump->now) {
        task__text_add(text, "in ");
        task__text_add_time(text, deadline - dump->now);
    } else {
        task__text_add_time(text, dump->now - (deadline > 0 ? deadline : 0));
        task__text_add(text, " ago");
    }
}

/* Whether one is among those that another waits for. */
struct look {
    const struct task *task;
    size_t *n_visits;
    bool is_there;
};

static void look_for(struct task *task, void *arg)
{
    struct look *look = arg;

    ++*look->n_visits;
    look->is_there |= task == look->task;
}

static bool waits(const struct task *task, void *arg)
{
    struct look *look = arg;

    ++*look->n_visits;
    look->is_there = false;
    each_awaited(task, look_for, look);
    return look->is_there;
}

/* All of them, where the place in the tree names one. */
static void add_awaiters(struct dump *dump, struct text *text,
                         const struct task *task)
{
    struct look look = {.task = task, .n_visits = &dump->n_visits};
    struct task *named[NAMES];
    size_t n;

    if (!task->is_shared || dump->n_visits > VISITS)
        return;
    n = task__pick_live(dump->loop, named, NAMES, waits, &look);
    task__text_add(text, "; awaited by tasks");
    for (size_t i = 0; i < n && i < NAMES; i++)
        task__text_add(text, "%s %llu", i ? "," : "",
                       (unsigned long long)named[i]->id);
    if (n > NAMES)
        task__text_add(text, " and %zu more", n - NAMES);
}

static void add_size(struct text *text, size_t bytes)
{
    task__text_add(text, "%zu", bytes / 1024);
    if (bytes < 100 * 1024 && bytes % 1024 >= 103)
        task__text_add(text, ".%zu", bytes % 1024 * 10 / 1024);
}

static void add_stack(struct text *text, const struct task *task)
{
    size_t size = task_stack_size(task);

    if (!size)
        return;
    task__text_add(text, "; stack ");
    if (!context_is_new(&task->context)) {
        add_size(text, task_stack_used(task));
        task__text_add(text, " ");
    }
    task__text_add(text, "of ");
    add_size(text, size);
    task__text_add(text, " KiB");
}

static void add_details(struct dump *dump, struct text *text,
                        const struct task *task)
{
    if (task->cancelling)
        task__text_add(text, "; cancelling %u%s", task->cancelling,
                       task->undelivered && !task->done ? ", not delivered"
                                                        : "");
    if (!task->done)
        add_scopes(dump, text, task);
    add_awaiters(dump, text, task);
    if (task->file)
        task__text_add(text, "; created at %.*s:%d", PLACE, task->file,
                       task->line);
    if (dump->stacks && !dump->loop->freed)
        add_stack(text, task);
}

/* What it is at. A loop that is being freed has nothing left to wait in. */
static const char *state_of(const struct loop *loop, const struct task *task)
{
    if (loop->freed)
        return "dropped";
    if (task == loop->scheduler.current || task == loop->beneath)
        return "running";
    return context_is_new(&task->context) ? "new" : "ready";
}

static void add_state(const struct dump *dump, struct text *text,
                      const struct task *task)
{
    if (task->daemon)
        task__text_add(text, ", daemon");
    if (task->done) {
        task__text_add(text, ", done: %d", task->status);
    } else if (task->waiter) {
        task__text_add(text, ", parked");
        add_wait(dump, text, task);
    } else {
        task__text_add(text, ", %s",
                       task->future ? "not done" : state_of(dump->loop, task));
    }
}

/* Lines. */

/* Its number among those below each other, the last one's being 0. */
static const struct tree_line *above(const struct tree_line *line, unsigned n)
{
    while (n--)
        line = line->parent;
    return line;
}

/* The way back to it, from the line that it is below of. */
static void add_cycle(struct text *text, const struct tree_line *line)
{
    const struct tree_line *top = line->parent;
    unsigned n = 1;

    while (top->task != line->task) {
        top = top->parent;
        n++;
    }
    task__text_add(text, ", a cycle of %u:", n);
    for (unsigned i = n; i && i + NAMES > n; i--)
        task__text_add(text, " %llu ->",
                       (unsigned long long)above(line, i)->task->id);
    task__text_add(text, "%s %llu", n > NAMES ? " ... ->" : "",
                   (unsigned long long)line->task->id);
}

static void indent(struct text *text, unsigned depth)
{
    unsigned n = depth < DEEPEST ? depth : DEEPEST;

    task__text_add(text, "%*s", 2 * (int)n + 2, "");
    if (depth > n)
        task__text_add(text, "[%u] ", depth);
}

static void show(const struct tree_line *line, void *arg)
{
    char chars[LINE];
    struct text text = TEXT_IN(chars);
    struct dump *dump = arg;

    indent(&text, line->depth);
    if (line->task)
        task__text_add_task(&text, line->task);
    switch (line->kind) {
    case TREE_TASK:
        add_state(dump, &text, line->task);
        add_details(dump, &text, line->task);
        break;
    case TREE_AGAIN:
        task__text_add(&text, ", see above");
        break;
    case TREE_CYCLE:
        add_cycle(&text, line);
        break;
    case TREE_MORE:
        task__text_add(&text, "... and %zu more", line->n_more);
    }
    dump->put(&text, dump->to);
}

/* Show them all, or say how many are missing. */
static void show_tasks(struct dump *dump, bool daemons)
{
    struct loop *loop = dump->loop;
    struct tree tree = {loop, daemons, show, dump};
    size_t n = daemons ? loop->n_tasks : loop->n_tasks - loop->n_daemons;
    size_t n_shown;
    char chars[LINE];
    struct text text = TEXT_IN(chars);

    loop->in_tree = true;
    dump->now = task__clock_now(&loop->clock);
    n_shown = task__tree_show(&tree);
    loop->in_tree = false;
    if (n_shown >= n)
        return;
    task__text_add(&text, "  ... and %zu tasks more", n - n_shown);
    dump->put(&text, dump->to);
}

static void put_in_text(const struct text *line, void *text)
{
    task__text_add(text, "\n%s", line->chars);
}

void task__dump_blocked(struct loop *loop, struct text *text)
{
    struct dump dump = {.loop = loop, .put = put_in_text, .to = text};

    if (!loop->in_tree)
        show_tasks(&dump, false);
}

/* At once, also where there is no buffer. */
static void put_in_file(const struct text *line, void *out)
{
    line->chars[line->length] = '\n';
    fwrite(line->chars, 1, line->length + 1, out);
}

static void add_count(struct text *text, size_t n, const char *name)
{
    if (n)
        task__text_add(text, ", %zu %s", n, name);
}

static void add_summary(struct text *text, struct loop *loop)
{
    struct loop_stats stats;

    loop_get_stats(loop, &stats);
    task__text_add(text, "loop %p: %zu task%s", (void *)loop, stats.tasks,
                   stats.tasks == 1 ? "" : "s");
    add_count(text, stats.running, "running");
    add_count(text,
              stats.tasks - stats.parked - stats.running - stats.new_tasks,
              "ready");
    add_count(text, stats.new_tasks, "new");
    add_count(text, stats.parked, "parked");
    add_count(text, stats.timers, stats.timers == 1 ? "timer" : "timers");
}

static void dump_loop(struct loop *loop, struct text *text, FILE *out)
{
    struct dump dump = {
        .loop = loop, .stacks = true, .put = put_in_file, .to = out};
    struct aside before = aside_begin(loop);

    add_summary(text, loop);
    if (loop->in_tree)
        task__text_add(text, " (a dump is under way)");
    put_in_file(text, out);
    if (!loop->in_tree)
        show_tasks(&dump, true);
    aside_end(loop, before);
}

void task_dump(FILE *out)
{
    struct loop *loop = loop_current();
    char chars[LINE];
    struct text text = TEXT_IN(chars);

    flockfile(out);
    if (loop) {
        dump_loop(loop, &text, out);
    } else {
        task__text_add(&text, "no loop runs in this thread");
        put_in_file(&text, out);
    }
    funlockfile(out);
}

void task__dump_asked(struct loop *loop)
{
    char chars[LINE];
    struct text text = TEXT_IN(chars);

    task__ask_seen(loop->ask);
    flockfile(stderr);
    dump_loop(loop, &text, stderr);
    funlockfile(stderr);
}
