/*
 * What only debug mode reports.
 */
#include "loop.h"
#include "symbols.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say_time(struct sentence *sentence, task_time time)
{
    task__say_number(sentence, (uint64_t)(time / TASK_MILLISECOND));
    task__say(sentence, ".");
    task__say_number(sentence,
                     (uint64_t)(time / (100 * TASK_MICROSECOND) % 10));
    task__say(sentence, " ms");
}

void task__report_slow(struct loop *loop, const struct timed_step *step)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_SLOW_STEP,
                               .message = sentence.chars,
                               .task = step->task};

    sentence_clear(&sentence);
    if (step->task) {
        task__say_task(&sentence, step->task);
    } else {
        task__say(&sentence, "callback ");
        task__symbols_say(&sentence, step->function);
    }
    task__say(&sentence, " held the loop for ");
    say_time(&sentence, step->time);
    task__say(&sentence, " (");
    say_time(&sentence, step->cpu);
    task__say(&sentence, " on the processor)");
    task__report(loop, &error);
}

void task__report_ignored(struct task *task)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_IGNORED_CANCEL,
                               .message = sentence.chars,
                               .task = task};

    sentence_clear(&sentence);
    task__say_task(&sentence, task);
    task__say(&sentence, " was cancelled, and has been suspended ");
    task__say_number(&sentence, task->parks);
    task__say(&sentence, " times since");
    task__report(loop_of_task(task), &error);
}

void task__report_handle(struct task *task)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_LEAK,
                               .message = sentence.chars,
                               .status = task->done ? task->status : 0,
                               .task = task};

    if (!loop_of_task(task)->debug)
        return;
    sentence_clear(&sentence);
    task__say_task(&sentence, task);
    task__say(&sentence, " was neither awaited nor detached");
    task__report(loop_of_task(task), &error);
}

void task__report_leak(struct loop *loop, const char *what, const char *file,
                       int line)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_LEAK,
                               .message = sentence.chars,
                               .file = file,
                               .line = line};

    if (!loop->debug)
        return;
    sentence_clear(&sentence);
    task__say(&sentence, what);
    task__say_place(&sentence, file, line);
    task__say(&sentence, " was not closed");
    task__report(loop, &error);
}

bool task__debug_is_asked_for(void)
{
    const char *value = getenv("TASK_DEBUG");

    return value && !strcmp(value, "1");
}

/* What was told of; when there is too much of it the earliest is forgotten. */
enum { MISUSES = 64 };

struct misuses {
    unsigned n;
    struct misuse {
        const char *why;
        uintptr_t frames[2]; /* the latter is 0: the place itself */
    } known[MISUSES];
};

/* Whether it is the first time; without memory it always is. */
static bool note_misuse(struct loop *loop, struct misuses **misuses,
                        const struct misuse *new)
{
    if (!*misuses) {
        *misuses = memory_get(&loop->allocator, sizeof **misuses);
        if (!*misuses)
            return true;
        (*misuses)->n = 0;
    }
    for (unsigned i = 0; i < (*misuses)->n && i < MISUSES; i++) {
        const struct misuse *known = &(*misuses)->known[i];

        if (known->why == new->why && known->frames[0] == new->frames[0] &&
            known->frames[1] == new->frames[1])
            return false;
    }
    (*misuses)->known[(*misuses)->n++ % MISUSES] = *new;
    return true;
}

/* Whether an address is in this function of the library's. */
static bool is_in(uintptr_t address, const char *call)
{
    struct sentence name;
    uintptr_t offset;

    sentence_clear(&name);
    return task__symbols_find(&name, address, &offset) &&
           !strncmp(name.chars, call, strlen(call));
}

enum { FRAMES = 12 };

/* Return addresses from the one by which this file was entered, and how many. */
static size_t frames_from(uintptr_t from, uintptr_t frames[FRAMES])
{
    size_t n = task__symbols_backtrace(frames, FRAMES);
    size_t i = 0;

    while (i < n && frames[i] != from)
        i++;
    if (i == n) { /* there are no backtraces here */
        frames[0] = from;
        return 1;
    }
    memmove(frames, frames + i, (n - i) * sizeof *frames);
    return n - i;
}

/*
 * Where the public function was called: one frame beyond its own. Unless a jump
 * has replaced its return: then it has none, and the first is the place.
 */
static uintptr_t find_place(const uintptr_t frames[], size_t n,
                            const char *call)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (is_in(frames[i] - 1, call))
            return frames[i + 1];
    return frames[0];
}

/* Whether it is told of there the first time; to find out by name takes long, and
 * is done once for each pair of frames. */
static bool is_news(struct loop *loop, struct misuses **misuses,
                    const char *call, const char *why, uintptr_t from,
                    uintptr_t *place)
{
    uintptr_t frames[FRAMES] = {0};
    size_t n = frames_from(from, frames);

    if (!note_misuse(loop, misuses,
                     &(struct misuse){why, {from, n > 1 ? frames[1] : 0}}))
        return false;
    *place = find_place(frames, n, call);
    return n == 1 ||
           note_misuse(loop, misuses, &(struct misuse){why, {*place, 0}});
}

static const char *name_of_misuse(int status)
{
    switch (status) {
    case -EPERM:
        return "EPERM";
    case -EINVAL:
        return "EINVAL";
    case -EDEADLK:
        return "EDEADLK";
    case -EBUSY:
        return "EBUSY";
    case -EALREADY:
        return "EALREADY";
    default:
        return NULL;
    }
}

/* task_lock_release: the caller does not own the lock (-EPERM); called by task 2
 * "worker" in work+0x2c */
static void say_misuse(struct sentence *sentence, const char *call,
                       uintptr_t place, int status, const char *why)
{
    const struct task *self = scheduler_self();

    sentence_clear(sentence);
    task__say(sentence, call);
    task__say(sentence, ": ");
    task__say(sentence, why);
    task__say(sentence, " (-");
    task__say(sentence, name_of_misuse(status));
    task__say(sentence, self ? "); called by " : "); called in ");
    if (self) {
        task__say_task(sentence, self);
        task__say(sentence, " in ");
    }
    task__symbols_say(sentence, place - 1);
}

static void tell_without_loop(const char *call, uintptr_t from, int status,
                              const char *why)
{
    uintptr_t frames[FRAMES];
    size_t n;
    struct sentence sentence;

    if (!task__debug_is_asked_for())
        return;
    n = frames_from(from, frames);
    say_misuse(&sentence, call, find_place(frames, n, call), status, why);
    fprintf(stderr, "libtask: %s\n", sentence.chars);
}

static void tell(struct loop *loop, const char *call, uintptr_t from,
                 int status, const char *why)
{
    uintptr_t place;
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_MISUSE,
                               .message = sentence.chars,
                               .status = status,
                               .task = loop->scheduler.current};

    if (!is_news(loop, &loop->misuses, call, why, from, &place))
        return;
    say_misuse(&sentence, call, place, status, why);
    task__report(loop, &error);
}

#define HERE ((uintptr_t)__builtin_return_address(0))

int task__misuse(const char *call, int status, const char *why)
{
    struct loop *loop = loop_current();

    if (!name_of_misuse(status))
        return status;
    if (!loop)
        tell_without_loop(call, HERE, status, why);
    else if (loop->debug)
        tell(loop, call, HERE, status, why);
    return status;
}

/*
 * Another thread touches a loop that runs: the hook is called in that thread,
 * since only there can a debugger show who does it. Nothing else of the loop is
 * looked at.
 */
static void tell_of_foreign(struct loop *loop, const char *call, uintptr_t from,
                            const char *why)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    uintptr_t place;
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_MISUSE,
                               .message = sentence.chars,
                               .status = -EPERM,
                               .fd = -1,
                               .loop = loop};
    bool told;

    if (!loop->debug)
        return;
    pthread_mutex_lock(&mutex);
    told = !is_news(loop, &loop->foreign, call, why, from, &place);
    pthread_mutex_unlock(&mutex);
    if (told)
        return;
    say_misuse(&sentence, call, place, -EPERM, why);
    if (loop->options.on_error)
        loop->options.on_error(&error, loop->options.on_error_arg);
    else
        task__report_print(&error);
}

void task__report_foreign_wake(struct loop *loop)
{
    tell_of_foreign(loop, "a call from another thread", HERE,
                    "it woke a task of a loop that runs");
}

bool task__loop_refuses(struct loop *loop, const char *call)
{
    static const char INHERITED[] = "the loop was inherited over fork";

    if (loop_is_inherited(loop)) {
        if (!loop_current())
            tell_without_loop(call, HERE, -EPERM, INHERITED);
        else if (loop_current()->debug)
            tell(loop_current(), call, HERE, -EPERM, INHERITED);
        return true;
    }
    if (!loop_runs(loop))
        return false;
    tell_of_foreign(loop, call, HERE, "the loop runs in another thread");
    return true;
}

void task__misplaced(struct task *task, const char *call)
{
    struct loop *loop = task ? loop_of_task(task) : NULL;

    if (loop && !loop_is_inherited(loop) && loop_runs(loop) &&
        loop != loop_current())
        tell_of_foreign(loop, call, HERE, "the loop runs in another thread");
    else if (!loop_current())
        tell_without_loop(call, HERE, -EPERM, OUTSIDE_A_TASK);
    else if (loop_current()->debug)
        tell(loop_current(), call, HERE, -EPERM, OUTSIDE_A_TASK);
}

void task__misuses_destroy(struct loop *loop)
{
    memory_free(&loop->allocator, loop->misuses);
    memory_free(&loop->allocator, loop->foreign);
}
