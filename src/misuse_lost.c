/*
 * Misuse: a number was closed that others were in the midst of using.
 */
#include "loop.h"
#include "misuse_known.h"
#include "report.h"
#include "say_task.h"

#include <errno.h>

/* Of a descriptor; of a task, the loop, or a stream what follows. */
static const char LOST[] = " was closed, and not by task_close(), while ";

/* A number that somebody waits for was closed: `key` is who, to be told
 * once. */
static void tell_lost(struct loop *loop, struct loop_error *error, int fd,
                      uintptr_t key)
{
    const struct known_misuse lost = {LOST, key};

    error->kind = LOOP_ERROR_MISUSE;
    error->status = -EBADF;
    if (loop->debug && task__misuse_note(loop, &loop->misuses, &lost))
        task__report_later(loop, error, fd);
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
    struct loop_error error = {.message = sentence.chars, .task = task};

    if (!loop)
        return;
    say_lost(&sentence, fd);
    if (task)
        task__say_task(&sentence, task);
    else
        task__say(&sentence, "the loop");
    task__say(&sentence, " waited for it (-EBADF)");
    tell_lost(loop, &error, fd, task ? (uintptr_t)task->fn : (uintptr_t)fd);
}

void task__report_lost_stream(struct loop *loop, int fd, const char *file,
                              int line)
{
    struct sentence sentence;
    struct loop_error error = {
        .message = sentence.chars, .file = file, .line = line};

    say_lost(&sentence, fd);
    task__say(&sentence, "a stream had it (-EBADF)");
    if (file) {
        task__say(&sentence, "; ");
        task__say_opened(&sentence, file, line);
    }
    tell_lost(loop, &error, fd, (uintptr_t)file + (uintptr_t)line);
}
