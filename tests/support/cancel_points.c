#include "cancel_points.h"

#include "loop.h"
#include "record.h"

enum moment { AT_ONCE, AFTER_THE_TURN };

/*
 * The loop is driven turn by turn. A task that is ready when a turn begins runs
 * once in it, and then has suspended or is done. To look at it right then, a
 * callback is put into the ready queue behind it.
 */
struct probe {
    struct ready ready; /* that callback */
    struct task *task;
    unsigned point; /* cancel it then; 0: before it begins */
    enum moment moment;
    unsigned n_suspensions;
};

static void cancel(struct probe *probe, enum moment moment)
{
    if (probe->n_suspensions == probe->point && probe->moment == moment)
        task_cancel(probe->task);
}

static void look(struct ready *ready)
{
    struct probe *probe = container_of(ready, struct probe, ready);

    if (task_done(probe->task))
        return;
    probe->n_suspensions++;
    cancel(probe, AT_ONCE);
}

/* Between turns a task that is neither parked nor done is in the queue. */
static void look_behind(struct probe *probe)
{
    struct ready *before = &probe->task->ready;
    struct ready_queue *queue = &probe->task->scheduler->ready;

    probe->ready.run = look;
    probe->ready.next = before->next;
    before->next = &probe->ready;
    if (!probe->ready.next)
        queue->end = &probe->ready.next;
}

/* One turn; as loop_run_turn. */
static int turn(struct loop *loop, struct probe *probe)
{
    unsigned before = probe->n_suspensions;
    int status;

    if (!task_done(probe->task) && !probe->task->waiter)
        look_behind(probe);
    status = loop_run_turn(loop, 0);
    if (probe->n_suspensions > before)
        cancel(probe, AFTER_THE_TURN);
    return status;
}

/* Until nothing is alive. When nothing is ready, time passes in turns of their
 * own. */
static int run_to_the_end(struct loop *loop, struct probe *probe)
{
    int status;

    cancel(probe, AT_ONCE);
    do {
        status = turn(loop, probe);
        if (status > 0 && loop_next_timeout(loop))
            status = loop_run_turn(loop, TASK_FOREVER);
    } while (status > 0);
    return status;
}

/* One run; how often the body suspended in it. */
static unsigned run(struct probe probe, task_fn *body, void (*check)(void *arg),
                    void *arg)
{
    struct memory_count count = {0};
    struct loop_options options = test_options(&count);
    struct loop *loop;
    int status;

    options.debug = true;
    options.slow_step = TASK_HOUR; /* the machine may be busy */
    loop = loop_new(&options);
    assert_non_null(loop);
    probe.task = loop_create_task(loop, body, arg);
    assert_non_null(probe.task);
    status = run_to_the_end(loop, &probe);
    if (check)
        check(arg);
    (void)task_status(probe.task); /* has been read */
    task_detach(probe.task);
    if (status || checks_failed())
        print_error("cancelled at suspension %u%s: %d\n", probe.point,
                    probe.moment == AT_ONCE ? "" : ", after the turn", status);
    assert_int_equal(status, 0);
    test_loop_free(loop, &count);
    return probe.n_suspensions;
}

unsigned cancel_at_every_point(task_fn *body, void (*check)(void *arg),
                               void *arg)
{
    unsigned n = 0;

    for (int moment = AT_ONCE; moment <= AFTER_THE_TURN; moment++) {
        struct probe probe = {.moment = (enum moment)moment};

        do
            n = run(probe, body, check, arg);
        while (n >= probe.point++);
    }
    return n;
}
