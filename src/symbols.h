/*
 * What stands at an address in the program's code, and who called whom. Signal
 * handlers may ask, once task__symbols_prepare was called elsewhere.
 */
#ifndef TASK_SRC_SYMBOLS_H
#define TASK_SRC_SYMBOLS_H

#include "say.h"

/* Load what the first backtrace would load. */
void task__symbols_prepare(void);

/* The return addresses above the caller, from the inside; how many. */
size_t task__symbols_backtrace(uintptr_t frames[], size_t n);

/* Say "name+0x12"; "0x123 (object)" where there is no name. */
void task__symbols_say(struct sentence *sentence, uintptr_t address);

/*
 * The symbol of the program's own that contains an address, static ones
 * included: false if there is none. One file for each format of programs.
 */
bool task__symbols_find(struct sentence *name, uintptr_t address,
                        uintptr_t *offset);

#endif
