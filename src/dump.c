/*
 * The trees of tasks, for task_dump and for the report of a deadlock.
 */
#include "dump.h"

#include "aside.h"
#include "dump_line.h"
#include "text.h"
#include "tree.h"

#include <stdio.h>

enum { LINE = 1024, DEEPEST = 30, NAMES = 8 };

typedef void put_fn(const struct text *line, void *to);

struct dump {
    struct dump_view view;
    put_fn *put;
    void *to;
};

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
        task__dump_line(&dump->view, &text, line->task);
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
    struct loop *loop = dump->view.loop;
    struct tree tree = {loop, daemons, show, dump};
    size_t n = daemons ? loop->n_tasks : loop->n_tasks - loop->n_daemons;
    size_t n_shown;
    char chars[LINE];
    struct text text = TEXT_IN(chars);

    loop->in_tree = true;
    dump->view.now = task__clock_now(&loop->clock);
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
    struct dump dump = {.view.loop = loop, .put = put_in_text, .to = text};

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

/* Without stdio: its reader may have gone. */
static void put_on_stderr(const struct text *line, void *arg)
{
    (void)arg;
    line->chars[line->length] = '\n';
    task__say_bytes(line->chars, line->length + 1);
}

static void dump_loop(struct loop *loop, struct text *text, put_fn *put,
                      FILE *out)
{
    struct dump dump = {
        .view = {.loop = loop, .stacks = true}, .put = put, .to = out};
    struct aside before = aside_begin(loop);

    add_summary(text, loop);
    if (loop->in_tree)
        task__text_add(text, " (a dump is under way)");
    put(text, out);
    if (!loop->in_tree)
        show_tasks(&dump, true);
    aside_end(loop, before);
}

void task_dump(FILE *out)
{
    struct loop *loop = loop_current();
    char chars[LINE];
    struct text text = TEXT_IN(chars);

    if (!out)
        return;
    flockfile(out);
    if (loop) {
        dump_loop(loop, &text, put_in_file, out);
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
    dump_loop(loop, &text, put_on_stderr, stderr);
    funlockfile(stderr);
}
