/*
 * dining: philosophers who share their forks, and what a deadlock looks like.
 *
 * usage: dining [deadlock]
 *
 * Each needs the forks on both sides. They take the one with the lower number
 * first, so that someone can always eat. With `deadlock` each takes the left
 * one first: all hold one fork and wait for the other, and the loop says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <task.h>

enum { PHILOSOPHERS = 5, MEALS = 3 };

static struct task_lock forks[PHILOSOPHERS];

struct philosopher {
    struct task_lock *first; /* the fork to take first */
    struct task_lock *second;
    int meals;
};

static int eat(struct philosopher *philosopher)
{
    int status = task_lock_acquire(philosopher->first);

    if (status < 0)
        return status;
    task_sleep(0); /* look for the other fork */
    status = task_lock_acquire(philosopher->second);
    if (status == 0) {
        status = task_sleep(TASK_MILLISECOND);
        philosopher->meals++;
        task_lock_release(philosopher->second);
    }
    task_lock_release(philosopher->first);
    return status;
}

static int dine(void *arg)
{
    int status = 0;

    for (int i = 0; i < MEALS && status == 0; i++)
        status = eat(arg);
    return status;
}

static void seat(struct philosopher *philosopher, int i, bool deadlock)
{
    int left = i;
    int right = (i + 1) % PHILOSOPHERS;
    bool left_first = deadlock || left < right;

    philosopher->first = &forks[left_first ? left : right];
    philosopher->second = &forks[left_first ? right : left];
    philosopher->meals = 0;
}

static int run(void *arg)
{
    static const char *const names[PHILOSOPHERS] = {"Plato", "Hypatia", "Kant",
                                                    "Arendt", "Hume"};
    const bool *deadlock = arg;
    struct philosopher philosophers[PHILOSOPHERS];
    struct task *tasks[PHILOSOPHERS];
    int status;

    for (int i = 0; i < PHILOSOPHERS; i++) {
        seat(&philosophers[i], i, *deadlock);
        tasks[i] = task_create_with(dine, &philosophers[i],
                                    &(struct task_options){.name = names[i]});
    }
    status = task_gather(tasks, PHILOSOPHERS, NULL);
    for (int i = 0; i < PHILOSOPHERS; i++)
        printf("%s has eaten %d times\n", names[i], philosophers[i].meals);
    return status;
}

int main(int argc, char *argv[])
{
    bool deadlock = argc == 2 && strcmp(argv[1], "deadlock") == 0;
    int status;

    if (argc > 2 || (argc == 2 && !deadlock)) {
        fprintf(stderr, "usage: %s [deadlock]\n", argv[0]);
        return 2;
    }
    status = loop_run(run, &deadlock);
    if (status < 0)
        fprintf(stderr, "%s: %s\n", argv[0], task_strerror(status));
    if (fflush(stdout) != 0) {
        perror(argv[0]);
        return EXIT_FAILURE;
    }
    return status < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
