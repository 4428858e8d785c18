/*
 * Misuse: where a wrong call was made.
 */
#include "misuse.h"

#include "loop.h"
#include "misuse_known.h"
#include "report.h"
#include "say_task.h"
#include "symbols.h"

#include <errno.h>
#include <pthread.h>

/* So many callers are told of where a wake came from another thread: the first
 * of them are the library's own. */
enum { OUTER = 8 };

/* A call, and what is wrong with it. */
struct wrong_call {
    struct call_site site;
    int status;
    const char *why;
    int fd;           /* that it was for, or -1 */
    const char *file; /* where that was opened; NULL: not known */
    int line;
    uintptr_t outer[OUTER]; /* return addresses; the last ones may be 0 */
};

/* Whether it is told of there the first time. */
static bool is_news(struct loop *loop, struct misuses **misuses,
                    const struct wrong_call *wrong)
{
    struct known_misuse misuse = {wrong->why, wrong->site.from};

    for (unsigned i = 0; i < OUTER && wrong->outer[i]; i++)
        misuse.key = 31 * misuse.key + wrong->outer[i];
    return task__misuse_note(loop, misuses, &misuse);
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

/* task_lock_release: the caller does not own the lock (-EPERM); called by task
 * 2 "worker" in work+0x2c */
static void say_misuse(struct sentence *sentence,
                       const struct wrong_call *wrong)
{
    const struct task *self = scheduler_self();

    sentence_clear(sentence);
    task__say(sentence, wrong->site.call);
    task__say(sentence, ": ");
    task__say(sentence, wrong->why);
    task__say(sentence, " (-");
    task__say(sentence, name_of_misuse(wrong->status));
    task__say(sentence, "); ");
    if (wrong->fd >= 0) {
        task__say(sentence, "fd ");
        task__say_number(sentence, (unsigned)wrong->fd);
        task__say(sentence, "; ");
    }
    if (wrong->file) {
        task__say_opened(sentence, wrong->file, wrong->line);
        task__say(sentence, "; ");
    }
    task__say(sentence, self ? "called by " : "called in ");
    if (self) {
        task__say_task(sentence, self);
        task__say(sentence, " in ");
    }
    task__symbols_say(sentence, wrong->site.from - 1);
    for (unsigned i = 0; i < OUTER && wrong->outer[i]; i++) {
        task__say(sentence, " from ");
        task__symbols_say(sentence, wrong->outer[i] - 1);
    }
}

static void tell_without_loop(const struct wrong_call *wrong)
{
    struct sentence sentence;

    if (!task__debug_is_asked_for())
        return;
    say_misuse(&sentence, wrong);
    task__say_line(sentence.chars);
}

/* By the hook of the loop that runs in this thread; where none does, of the one
 * that it is about (NULL: of none). */
static void tell(const struct wrong_call *wrong, struct loop *about)
{
    struct loop *loop = loop_current();
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_MISUSE,
                               .message = sentence.chars,
                               .status = wrong->status,
                               .file = wrong->file,
                               .line = wrong->line};

    if (!name_of_misuse(wrong->status))
        return;
    if (!loop && about && !loop_is_inherited(about) && !loop_runs(about))
        loop = about;
    if (!loop) {
        tell_without_loop(wrong);
        return;
    }
    if (!loop->debug || !is_news(loop, &loop->misuses, wrong))
        return;
    error.task = loop->scheduler.current;
    say_misuse(&sentence, wrong);
    task__report_fd(loop, &error, wrong->fd);
}

int task__misuse(struct call_site site, int status, const char *why)
{
    tell(&(struct wrong_call){site, status, why, .fd = -1}, NULL);
    return status;
}

int task__misuse_about(struct loop *loop, struct call_site site, int status,
                       const char *why)
{
    tell(&(struct wrong_call){site, status, why, .fd = -1}, loop);
    return status;
}

int task__misuse_of(struct loop *loop, struct call_site site, int status,
                    const char *why, int fd, const char *file, int line)
{
    tell(&(struct wrong_call){.site = site,
                              .status = status,
                              .why = why,
                              .fd = fd,
                              .file = file,
                              .line = line},
         loop);
    return status;
}

/* The hook is called in this thread for a loop that runs in another. */
static THREAD_LOCAL bool is_telling;

static void tell_by_hook_of(struct loop *loop, const struct loop_error *error)
{
    if (!loop->options.on_error || is_telling) {
        task__report_print(error);
        return;
    }
    is_telling = true;
    loop->options.on_error(error, loop->options.on_error_arg);
    is_telling = false;
}

/* Guards what every loop knows of those. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void task__misuse_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void task__misuse_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

/*
 * Another thread touches a loop that runs: the hook is called in that thread,
 * since only there can a debugger show who does it. Nothing else of the loop is
 * looked at.
 */
static void tell_of_foreign(struct loop *loop, const struct wrong_call *wrong)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_MISUSE,
                               .message = sentence.chars,
                               .status = wrong->status,
                               .fd = -1,
                               .loop = loop};
    bool is_new;

    if (!loop->debug)
        return;
    task__misuse_lock();
    is_new = is_news(loop, &loop->foreign, wrong);
    task__misuse_unlock();
    if (!is_new)
        return;
    say_misuse(&sentence, wrong);
    tell_by_hook_of(loop, &error);
}

/* What is waited for knows no loop, and so not who may touch it; its calls are
 * not asked, either, who called them. */
void task__report_foreign_wake(struct loop *loop)
{
    struct wrong_call wrong = {site_here("a call from another thread"), -EPERM,
                               "it woke a task of a loop that runs", .fd = -1};
    uintptr_t frames[2 * OUTER] = {0};
    size_t n = loop->debug ? task__symbols_backtrace(frames, 2 * OUTER) : 0;
    size_t at = 0;

    while (at < n && frames[at] != wrong.site.from)
        at++;
    for (size_t i = 0; i < OUTER && at + 1 + i < n; i++)
        wrong.outer[i] = frames[at + 1 + i];
    tell_of_foreign(loop, &wrong);
}

static const char IN_ANOTHER[] = "the loop runs in another thread";

int task__loop_refusal(struct loop *loop, struct call_site site, int status)
{
    static const char INHERITED[] = "the loop was inherited over fork";

    if (loop_is_inherited(loop)) {
        tell(&(struct wrong_call){site, -EPERM, INHERITED, .fd = -1}, NULL);
        return -EPERM;
    }
    if (!loop_runs(loop))
        return 0;
    tell_of_foreign(loop,
                    &(struct wrong_call){site, status, IN_ANOTHER, .fd = -1});
    return status;
}

bool task__loop_refuses(struct loop *loop, struct call_site site)
{
    return task__loop_refusal(loop, site, -EPERM);
}

void task__misplaced(struct loop *loop, struct call_site site)
{
    struct wrong_call wrong = {site, -EPERM, OUTSIDE_A_TASK, .fd = -1};

    if (loop && !loop_is_inherited(loop) && loop_runs(loop) &&
        loop != loop_current()) {
        wrong.why = IN_ANOTHER;
        tell_of_foreign(loop, &wrong);
    } else {
        tell(&wrong, loop);
    }
}
