/* The time slice ends in every calloc() that the main thread makes, from
 * slice_in_calloc() on: between any two steps of a thread's start, for tests.
 * To be preloaded. */

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

extern void *__libc_calloc(size_t n, size_t size);

static uintptr_t main_stack;

void
slice_in_calloc(void)
{
    main_stack = (uintptr_t)__builtin_frame_address(0);
}

void *
calloc(size_t n, size_t size)
{
    /* The other threads' stacks are elsewhere. */
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (main_stack != 0 && here > main_stack - (1 << 20)
        && here < main_stack + (1 << 20))
    {
        raise(SIGRTMAX - 1);
    }
    return __libc_calloc(n, size);
}
