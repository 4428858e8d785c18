/*
 * Texts about tasks, without what is different in each run.
 */
#ifndef TESTS_SUPPORT_MASK_H
#define TESTS_SUPPORT_MASK_H

/*
 * Put "0x" for addresses, and leave out where things were created and how much
 * of their stacks they use. In place.
 */
void mask(char *text);

#endif
