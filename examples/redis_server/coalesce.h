/* Letting what many clients send come together. */
#ifndef COALESCE_H
#define COALESCE_H

/* From now on, in the loop that runs and has not waited yet: the timer slack of
 * its thread is set. 0, or a negative status. */
int coalesce_begin(void);

/* A client was heard. `look` is its own, 0 at first. */
void coalesce_note(unsigned long *look);

#endif
