/*
 * A thread that ends in the midst of a loop's run, by pthread_exit() or since
 * it was cancelled. Nobody can go on with the loop: so that is told of, and
 * nobody waits for it, or sends signals to the thread, any more.
 */
#include "aside.h"
#include "ending.h"
#include "loop.h"
#include "loop_above.h"
#include "report.h"
#include "say_task.h"

static void tell(struct loop *loop)
{
    struct sentence sentence;
    struct loop_error error = {.kind = LOOP_ERROR_LOST,
                               .message = sentence.chars,
                               .task = loop_task_at_work(loop)};

    sentence_clear(&sentence);
    task__say(&sentence, "a loop is lost, with ");
    task__say_number(&sentence, loop->n_tasks);
    task__say(&sentence, loop->n_tasks == 1 ? " task" : " tasks");
    task__say(&sentence, ": the thread that runs it has ended");
    if (error.task) {
        task__say(&sentence, ", in ");
        task__say_task(&sentence, error.task);
    }
    task__report(loop, &error);
}

/* What was posted is taken, and never run; but those who wait are told. */
static void refuse_others(struct loop *loop)
{
    struct aside before = aside_begin(loop);

    task__inbox_close(loop->inbox);
    task__remotes_refuse(loop);
    aside_end(loop, before);
}

/* A thread ends. */
static void lose(void)
{
    struct loop *loop = loop_current();

    if (!loop)
        return;
    if (loop->watchdog) /* which may tell of the step that it ends in */
        task__watchdog_leave(loop->watchdog);
    tell(loop);
    if (loop_is_inherited(loop)) /* by the child of a fork in what was called */
        return;
    task__watchdog_stop(loop);
    if (loop->inbox)
        refuse_others(loop);
    task__ask_leave(loop->ask);
    task__scheduler_current = NULL;
}

void task__loop_know_thread(void)
{
    static uintptr_t n_threads;

    if (likely(task__scheduler_thread))
        return;
    task__scheduler_thread =
        __atomic_add_fetch(&n_threads, 1, __ATOMIC_RELAXED);
    task__ending_set(ENDING_LOOP, lose);
}
