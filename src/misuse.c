/*
 * Misuse: where a wrong call was made, and whether that was told of before.
 */
#include "misuse.h"

#include "loop.h"
#include "symbols.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* What was told of; when there is too much of it the earliest is forgotten. */
enum { MISUSES = 64 };

struct misuses {
    unsigned n;
    struct misuse {
        const char *why;
        uintptr_t frames[2]; /* the latter is 0: the place itself */
    } known[MISUSES];
};

/* Other threads leave the loop's allocator alone. */
static const struct allocator for_others = {.alloc = task__memory_libc};

static const struct allocator *allocator_of(struct loop *loop,
                                            struct misuses **misuses)
{
    return misuses == &loop->foreign ? &for_others : &loop->allocator;
}

/* Whether it is the first time; without memory it always is. */
static bool note_misuse(struct loop *loop, struct misuses **misuses,
                        const struct misuse *new)
{
    if (!*misuses) {
        *misuses = memory_get(allocator_of(loop, misuses), sizeof **misuses);
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

/* A call, and what is wrong with it. */
struct wrong_call {
    const char *call;
    uintptr_t from; /* where this file was entered from */
    int status;
    const char *why;
    const char *file; /* where what it was for was opened; NULL: not known */
    int line;
};

/* Whether it is told of there the first time; to find out by name takes long, and
 * is done once for each pair of frames. */
static bool is_news(struct loop *loop, struct misuses **misuses,
                    const struct wrong_call *wrong, uintptr_t *place)
{
    uintptr_t frames[FRAMES] = {0};
    size_t n = frames_from(wrong->from, frames);
    struct misuse misuse = {wrong->why, {wrong->from, n > 1 ? frames[1] : 0}};

    if (!note_misuse(loop, misuses, &misuse))
        return false;
    *place = find_place(frames, n, wrong->call);
    misuse = (struct misuse){wrong->why, {*place, 0}};
    return n == 1 || note_misuse(loop, misuses, &misuse);
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
    case -EBADF:
        return "EBADF";
    case -EPIPE:
        return "EPIPE";
    default:
        return NULL;
    }
}

static void say_opened(struct sentence *sentence, const char *file, int line)
{
    task__say(sentence, "it was opened at ");
    task__say_part(sentence, file, 500);
    task__say(sentence, ":");
    task__say_number(sentence, (unsigned)line);
}

/* task_lock_release: the caller does not own the lock (-EPERM); called by task 2
 * "worker" in work+0x2c */
static void say_misuse(struct sentence *sentence,
                       const struct wrong_call *wrong, uintptr_t place)
{
    const struct task *self = scheduler_self();

    sentence_clear(sentence);
    task__say(sentence, wrong->call);
    task__say(sentence, ": ");
    task__say(sentence, wrong->why);
    task__say(sentence, " (-");
    task__say(sentence, name_of_misuse(wrong->status));
    task__say(sentence, "); ");
    if (wrong->file) {
        say_opened(sentence, wrong->file, wrong->line);
        task__say(sentence, "; ");
    }
    task__say(sentence, self ? "called by " : "called in ");
    if (self) {
        task__say_task(sentence, self);
        task__say(sentence, " in ");
    }
    task__symbols_say(sentence, place - 1);
}

static void tell_without_loop(const struct wrong_call *wrong)
{
    uintptr_t frames[FRAMES];
    size_t n;
    struct sentence sentence;

    if (!task__debug_is_asked_for())
        return;
    n = frames_from(wrong->from, frames);
    say_misuse(&sentence, wrong, find_place(frames, n, wrong->call));
    fprintf(stderr, "libtask: %s\n", sentence.chars);
}

/* By the hook of the loop that runs in this thread. */
static void tell(const struct wrong_call *wrong)
{
    struct loop *loop = loop_current();
    uintptr_t place;
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_MISUSE,
                               .message = sentence.chars,
                               .status = wrong->status,
                               .file = wrong->file,
                               .line = wrong->line};

    if (!loop) {
        tell_without_loop(wrong);
        return;
    }
    if (!loop->debug || !is_news(loop, &loop->misuses, wrong, &place))
        return;
    error.task = loop->scheduler.current;
    say_misuse(&sentence, wrong, place);
    task__report(loop, &error);
}

/* Of a descriptor; of a task, the loop, or a stream what follows. */
static const char LOST[] = " was closed, and not by task_close(), while ";

#define HERE ((uintptr_t)__builtin_return_address(0))

int task__misuse(const char *call, int status, const char *why)
{
    if (name_of_misuse(status))
        tell(&(struct wrong_call){call, HERE, status, why, NULL, 0});
    return status;
}

int task__misuse_of(const char *call, int status, const char *why,
                    const char *file, int line)
{
    if (name_of_misuse(status))
        tell(&(struct wrong_call){call, HERE, status, why, file, line});
    return status;
}

/* A number that somebody waits for was closed: `key` is who, to be told once. */
static void tell_lost(struct loop *loop, struct loop_error *error,
                      uintptr_t key)
{
    const struct misuse lost = {LOST, {key, 0}};

    error->kind = LOOP_ERROR_MISUSE;
    error->status = -EBADF;
    if (loop->debug && note_misuse(loop, &loop->misuses, &lost))
        task__report(loop, error);
}

static void say_lost(struct sentence *sentence, int fd)
{
    sentence_clear(sentence);
    task__say(sentence, "fd ");
    task__say_number(sentence, (unsigned)fd);
    task__say(sentence, LOST);
}

void task__report_lost(int fd, const struct task *task)
{
    struct loop *loop = loop_current();
    struct sentence sentence;
    struct loop_error error = {
        .message = sentence.chars, .fd = fd, .task = task};

    if (!loop)
        return;
    say_lost(&sentence, fd);
    if (task)
        task__say_task(&sentence, task);
    else
        task__say(&sentence, "the loop");
    task__say(&sentence, " waited for it (-EBADF)");
    tell_lost(loop, &error, task ? (uintptr_t)task->fn : (uintptr_t)fd);
}

void task__report_lost_stream(struct loop *loop, int fd, const char *file,
                              int line)
{
    struct sentence sentence;
    struct loop_error error = {
        .message = sentence.chars, .fd = fd, .file = file, .line = line};

    say_lost(&sentence, fd);
    task__say(&sentence, "a stream had it (-EBADF)");
    if (file) {
        task__say(&sentence, "; ");
        say_opened(&sentence, file, line);
    }
    tell_lost(loop, &error, (uintptr_t)file + (uintptr_t)line);
}

/*
 * Another thread touches a loop that runs: the hook is called in that thread,
 * since only there can a debugger show who does it. Nothing else of the loop is
 * looked at.
 */
static void tell_of_foreign(struct loop *loop, const char *call, uintptr_t from,
                            const char *why)
{
    const struct wrong_call wrong = {call, from, -EPERM, why, NULL, 0};
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
    told = !is_news(loop, &loop->foreign, &wrong, &place);
    pthread_mutex_unlock(&mutex);
    if (told)
        return;
    say_misuse(&sentence, &wrong, place);
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
        tell(&(struct wrong_call){call, HERE, -EPERM, INHERITED, NULL, 0});
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
    else
        tell(&(struct wrong_call){call, HERE, -EPERM, OUTSIDE_A_TASK, NULL, 0});
}

void task__misuses_destroy(struct loop *loop)
{
    memory_free(&loop->allocator, loop->misuses);
    memory_free(&for_others, loop->foreign);
}
