/*
 * For a test that wraps task__spin_while() or task__spin_note_sleep(): what is
 * called in its place.
 */
#ifndef TASK_TESTS_SPINS_H
#define TASK_TESTS_SPINS_H

#include "spin.h"

bool __real_task__spin_while(struct spin *spin, const uintptr_t *word,
                             uintptr_t former);
bool __wrap_task__spin_while(struct spin *spin, const uintptr_t *word,
                             uintptr_t former);

void __real_task__spin_note_sleep(struct spin *spin, task_time took);
void __wrap_task__spin_note_sleep(struct spin *spin, task_time took);

#endif
