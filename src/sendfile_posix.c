/*
 * Where files are sent by copying.
 */
#include "sendfile.h"

#include <errno.h>

ssize_t task__sendfile_now(int out, int in, off_t offset, size_t n)
{
    (void)out;
    (void)in;
    (void)offset;
    (void)n;
    return -ENOTSUP;
}
