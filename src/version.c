/*
 * Which version this is, and what its statuses mean.
 */
#include "base.h"

#include <errno.h>
#include <string.h>
#include <task.h>

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *task_version(void)
{
    return VERSION(TASK_VERSION_MAJOR, TASK_VERSION_MINOR, TASK_VERSION_PATCH);
}

/* What the library means by a code, where that is not what the system says. */
static const char *meaning(int error)
{
    switch (error) {
    case ECANCELED:
        return "cancelled";
    case ETIMEDOUT:
        return "timed out";
    case EDEADLK:
        return "would wait for ever";
    case EINPROGRESS:
        return "not done yet";
    case EPERM:
        return "not allowed here";
    default:
        return NULL;
    }
}

const char *task_strerror(int status)
{
    const char *text = NULL;

    if (status >= 0)
        return "success";
    if (status > INT32_MIN) {
        text = meaning(-status);
        if (!text)
            text = ERRNO_TEXT(-status);
    }
    return text ? text : "unknown error";
}
