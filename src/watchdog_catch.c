/*
 * What is noted in the handler is told of later, when anything may be gone.
 */
#include "watchdog_catch.h"

#include "holder.h"
#include "loop.h"
#include "report.h"
#include "say_task.h"

#include <string.h>

static void note_task(struct caught_step *caught, const struct task *task)
{
    struct sentence name;

    sentence_clear(&name);
    task__say_name(&name, task);
    caught->task = task;
    caught->id = task->id;
    memcpy(caught->name, name.chars, name.length + 1);
    caught->file = task->file;
    caught->line = (int)task->line;
}

void task__watchdog_catch(const struct loop *loop, task_time held,
                          const void *context, struct caught_step *caught)
{
    const struct task *task = loop_task_at_work(loop);
    struct sentence sentence;

    sentence_clear(&sentence);
    task__say(&sentence, "libtask: ");
    if (task)
        task__say_task(&sentence, task);
    else
        task__say(&sentence, "a callback");
    task__say(&sentence, " has held the loop for ");
    task__say_number(&sentence, (uint64_t)(held / TASK_MILLISECOND));
    task__say(&sentence, " ms:\n");
    task__say_out(&sentence);
    task__holder_tell_frames(&sentence, context);
    *caught = (struct caught_step){.held = held};
    if (task)
        note_task(caught, task);
}

/* The task, if it has not been freed meanwhile. */
static struct task *find_task(const struct loop *loop,
                              const struct caught_step *caught)
{
    struct task *task = NULL;

    if (caught->task)
        while ((task = task__pool_next(&loop->task_pool, task)))
            if (task == caught->task && task->id == caught->id)
                return task;
    return NULL;
}

void task__watchdog_report(struct loop *loop, const struct caught_step *caught)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_STALL,
                               .message = sentence.chars,
                               .task = find_task(loop, caught),
                               .task_id = caught->id,
                               .task_name = caught->id ? caught->name : NULL,
                               .file = caught->file,
                               .line = caught->line};

    sentence_clear(&sentence);
    if (caught->id) {
        task__say(&sentence, "task ");
        task__say_number(&sentence, caught->id);
        task__say(&sentence, " \"");
        task__say(&sentence, caught->name);
        task__say(&sentence, "\"");
        task__say_place(&sentence, caught->file, caught->line);
    } else {
        task__say(&sentence, "a callback");
    }
    task__say(&sentence, " held the loop for more than ");
    task__say_number(&sentence, (uint64_t)(caught->held / TASK_MILLISECOND));
    task__say(&sentence, " ms");
    task__report(loop, &error);
}
