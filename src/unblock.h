/*
 * Having an open file be non-blocking for the time of a call that knows no flag
 * for that. Others that share it may see it.
 */
#ifndef TASK_SRC_UNBLOCK_H
#define TASK_SRC_UNBLOCK_H

/* What its flags were, for block_again; or a negative errno. Until that this
 * thread is not cancelled, and calls nothing of the user's. */
int task__unblock(int fd);
void task__block_again(int fd, int flags);

/* While the process forks. */
void task__unblock_lock(void);
void task__unblock_unlock(void);

#endif
