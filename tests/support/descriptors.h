/*
 * descriptors.h: how many descriptors are open, for tests of what leaks them.
 */
#ifndef TASK_TESTS_DESCRIPTORS_H
#define TASK_TESTS_DESCRIPTORS_H

#include <stddef.h>

/* Those that this process has open now. */
size_t descriptors_open(void);

#endif
