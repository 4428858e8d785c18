/*
 * Reports of what is found out in the midst of something: the hook, which may do
 * anything, is called when that is over.
 */
#include "report.h"

#include "loop.h"

/* In the ready queue, and in the loop's `late`. */
struct late_report {
    struct ready ready;
    struct late_report *next;
    struct loop *loop;
    struct loop_error error; /* its task is pinned */
    int fd;
    struct sentence sentence;
};

static struct task *task_of_late(const struct late_report *late)
{
    return (struct task *)(uintptr_t)late->error.task;
}

static void tell_late(struct ready *ready)
{
    struct late_report *late = container_of(ready, struct late_report, ready);
    struct loop *loop = late->loop;
    struct late_report **link = &loop->late;

    while (*link != late)
        link = &(*link)->next;
    *link = late->next;
    loop->n_queued--;
    task__report_fd(loop, &late->error, late->fd);
    if (task_of_late(late))
        task__unpin(task_of_late(late));
    memory_free(&loop->allocator, late);
}

void task__report_later(struct loop *loop, const struct loop_error *error,
                        int fd)
{
    struct late_report *late = memory_get(&loop->allocator, sizeof *late);

    if (!late) {
        task__report_print(error);
        return;
    }
    *late = (struct late_report){.ready = {.run = tell_late},
                                 .next = loop->late,
                                 .loop = loop,
                                 .error = *error,
                                 .fd = fd};
    task__say(&late->sentence, error->message);
    late->error.message = late->sentence.chars;
    if (task_of_late(late))
        task_of_late(late)->references += TASK_PIN;
    loop->late = late;
    loop_queue(loop, &late->ready);
}

void task__reports_destroy(struct loop *loop)
{
    while (loop->late) {
        struct late_report *late = loop->late;

        loop->late = late->next;
        memory_free(&loop->allocator, late);
    }
}
