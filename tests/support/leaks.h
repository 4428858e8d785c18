/*
 * What a test must not leave behind in its process: descriptors and children.
 */
#ifndef TESTS_SUPPORT_LEAKS_H
#define TESTS_SUPPORT_LEAKS_H

#include "descriptors.h"
#include "record.h"

#include <stdbool.h>

/* Whether there is any child, alive or not. */
bool has_children(void);

/* As behaviour() and in_main() of record.h; and the test fails if it leaves a
 * child, or other descriptors than there were. */
#define leakless(test)                                                         \
    cmocka_unit_test_setup_teardown(test, leaks_setup, leaks_teardown)
#define leakless_in_main(test)                                                 \
    {                                                                          \
#test, run_in_main, leaks_setup, leaks_teardown, &(task_fn *)          \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

int leaks_setup(void **state);
int leaks_teardown(void **state);

#endif
