#include "gate.h"

#include <stdlib.h>
#include <task.h>

void gate_pass(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->n_waiting++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->is_open)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    gate->n_waiting--;
    gate->n_passed++;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->is_open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_await(struct gate *gate, unsigned n)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->n_waiting < n)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

void gate_await_passed(struct gate *gate, unsigned n)
{
    pthread_mutex_lock(&gate->mutex);
    while (gate->n_passed < n)
        pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

unsigned gate_waiting(struct gate *gate)
{
    unsigned n;

    pthread_mutex_lock(&gate->mutex);
    n = gate->n_waiting;
    pthread_mutex_unlock(&gate->mutex);
    return n;
}

int passes(void *arg)
{
    gate_pass(arg);
    return 7;
}

int passes_in_a_thread(void *arg)
{
    return task_to_thread(passes, arg);
}

pthread_t thread_start(void *(*fn)(void *arg), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, fn, arg))
        abort();
    return thread;
}

void thread_join(pthread_t thread)
{
    if (pthread_join(thread, NULL))
        abort();
}
