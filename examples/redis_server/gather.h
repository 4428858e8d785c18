/*
 * Letting requests gather, where there are many clients.
 */
#ifndef GATHER_H
#define GATHER_H

/* From now on, in the loop that runs. */
void gather_begin(void);

/* A client was heard. */
void gather_note(void);

#endif
