/* A program that switches contexts itself, in the stack of a thread: a coroutine
 * that blocks in the middle, for tests. */

#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

static void
body(unsigned int high, unsigned int low)
{
    ucontext_t *contexts = (ucontext_t *)(((unsigned long)high << 32) | low);
    for (;;) {
        usleep(200);
        swapcontext(&contexts[1], &contexts[0]);
    }
}

/* Run a coroutine `rounds` times, with the rounding mode `round`.  Return how
 * often the coroutine came back with that mode. */
int
run_coroutine(int rounds, int round)
{
    ucontext_t contexts[2];
    char *stack = malloc(1 << 16);
    unsigned long address = (unsigned long)contexts;
    int good = 0;
    fesetround(round);
    getcontext(&contexts[1]);
    contexts[1].uc_stack.ss_sp = stack;
    contexts[1].uc_stack.ss_size = 1 << 16;
    contexts[1].uc_link = NULL;
    makecontext(&contexts[1], (void (*)(void))body, 2,
                (unsigned int)(address >> 32), (unsigned int)address);
    for (int i = 0; i < rounds; i++) {
        if (swapcontext(&contexts[0], &contexts[1]) == 0) {
            good += (fegetround() == round);
        }
        usleep(100);
        good -= (fegetround() != round);
    }
    fesetround(FE_TONEAREST);
    free(stack);
    return good;
}
