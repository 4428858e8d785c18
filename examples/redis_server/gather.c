/*
 * Who sends to a thread that sleeps has to wake it, and on a virtual machine that
 * takes the sender longer than a command takes here. So when many clients have been
 * answered, and none has sent anything since, the thread sleeps until a time that
 * it has set itself: nobody has to wake it, and by then many have sent.
 *
 * It is what the drivers of network cards do (ethtool(8), --coalesce). A moment lasts about
 * a quarter of what it took to answer; who is alone never waits for it.
 */
#include "gather.h"

#include <task.h>
#include <time.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#define FOR_EACH TASK_MICROSECOND
#define LONGEST (50 * TASK_MICROSECOND)
enum { MANY = 8 };

static int n_heard; /* since the last look at descriptors */

void gather_note(void)
{
    n_heard++;
}

static int pause_for_many(struct loop *loop, void *arg)
{
    task_time moment = n_heard >= MANY ? n_heard * FOR_EACH : 0;

    (void)arg;
    n_heard = 0;
    if (moment > LONGEST)
        moment = LONGEST;
    if (moment && loop_next_timeout(loop) > moment)
        nanosleep(&(struct timespec){.tv_nsec = moment}, NULL);
    return 0;
}

void gather_begin(void)
{
    static struct loop_hooks hooks = {.poll_begins = pause_for_many};

#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1UL); /* in ns: short sleeps end in time */
#endif
    loop_add_hooks(loop_current(), &hooks);
}
