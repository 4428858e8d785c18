/*
 * Who holds a loop, told by a signal handler in the midst of it.
 */
#include "holder.h"

#include "loop.h"
#include "say_task.h"
#include "symbols.h"

#include <signal.h>
#include <ucontext.h>

enum { FRAMES = 64 };

static void tell_task(struct sentence *sentence, const struct loop *loop)
{
    const struct task *task = loop_task_at_work(loop);

    if (!task) {
        task__say(sentence, "a callback, or itself");
        return;
    }
    task__say_task(sentence, task);
    task__say(sentence, " whose function is ");
    task__symbols_say(sentence, (uintptr_t)task->fn);
}

/* Frames from the one that the signal came upon; all, if it is not there. */
void task__holder_tell_frames(struct sentence *sentence, const void *context)
{
    uintptr_t pc = SIGNAL_PC(context);
    uintptr_t frames[FRAMES];
    size_t n = task__symbols_backtrace(frames, FRAMES);
    size_t first = 0;

    while (first < n && frames[first] != pc)
        first++;
    if (first == n)
        first = 0;
    for (size_t i = first; i < n; i++) {
        task__say(sentence, "    at ");
        task__symbols_say(sentence, frames[i]);
        task__say(sentence, "\n");
        task__say_out(sentence);
    }
}

void task__holder_tell(const struct loop *loop, const void *context)
{
    struct sentence sentence;

    sentence_clear(&sentence);
    task__say(&sentence, "libtask: loop ");
    task__say_address(&sentence, (uintptr_t)loop);
    task__say(&sentence, " is held by ");
    tell_task(&sentence, loop);
    task__say(&sentence, "\n");
    task__say_out(&sentence);
    task__holder_tell_frames(&sentence, context);
}
