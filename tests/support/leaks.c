#include "leaks.h"

#include "descriptors.h"

#include <errno.h>
#include <sys/wait.h>

static size_t before;

bool has_children(void)
{
    siginfo_t info;

    return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) ||
           errno != ECHILD;
}

int leaks_setup(void **state)
{
    before = descriptors_open();
    return record_setup(state);
}

int leaks_teardown(void **state)
{
    assert_false(has_children());
    assert_int_equal(descriptors_open(), before);
    return record_teardown(state);
}
