/*
 * Who sends to a thread that sleeps has to wake it, and on a virtual machine
 * that takes the sender longer than a command takes here. So when many clients
 * have been answered, and nothing is ready to run, the thread sleeps until a
 * time that it has set itself: nobody has to wake it, and by then many have
 * sent.
 *
 * It is what the drivers of network cards do (ethtool(8), --coalesce). Each
 * client makes a pause longer by a quarter of what it takes to answer one, or
 * less; and of fewer than MANY nobody waits for it.
 */
#include "coalesce.h"

#include <task.h>
#include <time.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#define FOR_EACH TASK_MICROSECOND
#define LONGEST (50 * TASK_MICROSECOND)
enum { MANY = 8 };

/* At descriptors: the one that is to come, and who was heard since the last
 * one. */
static unsigned long next_look = 1;
static int n_heard;

void coalesce_note(unsigned long *look)
{
    n_heard += *look != next_look;
    *look = next_look;
}

static int pause_for_many(struct loop *loop, void *arg)
{
    task_time pause = n_heard >= MANY ? n_heard * FOR_EACH : 0;

    (void)arg;
    next_look++;
    n_heard = 0;
    if (pause > LONGEST)
        pause = LONGEST;
    if (pause && loop_next_timeout(loop) > pause)
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    return 0;
}

int coalesce_begin(void)
{
    static struct loop_hooks hooks = {.poll_begins = pause_for_many};

#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1UL); /* in ns: short sleeps end in time */
#endif
    return loop_add_hooks(loop_current(), &hooks);
}
