// GNU Pth backend: the stacks that threads run on.
//
// Pth would take them with malloc(): no guard page, and 64 KiB.  A Python
// thread gets what pthread_create() gives it: `ulimit -s` of address space,
// committed page by page as it is used, with a page below that faults.

#include "pth_internal.h"

#include <sys/mman.h>
#include <sys/resource.h>         // getrlimit()
#include <unistd.h>               // sysconf()

#ifndef MAP_NORESERVE
#  define MAP_NORESERVE 0
#endif
#ifndef MAP_STACK
#  define MAP_STACK 0
#endif

#define FALLBACK_STACK_SIZE ((size_t)8 << 20)

size_t
_PyPth_DefaultStackSize(void)
{
    // Once, as glibc does it: __pthread_initialize_minimal() reads the limit
    // at the start of the process (nptl/nptl_init.c).
    static size_t size = 0;
    if (size == 0) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_STACK, &limit) == 0
            && limit.rlim_cur != RLIM_INFINITY
            && limit.rlim_cur >= 128 * 1024)
        {
            size = (size_t)limit.rlim_cur;
        }
        else {
            size = FALLBACK_STACK_SIZE;
        }
    }
    return size;
}

static size_t
page_size(void)
{
    static size_t size = 0;
    if (size == 0) {
        size = (size_t)sysconf(_SC_PAGESIZE);
    }
    return size;
}

static size_t
whole_pages(size_t size)
{
    return (size + page_size() - 1) & ~(page_size() - 1);
}

char *
_PyPth_NewStack(size_t size)
{
    size_t guard = page_size();
    if (size > SIZE_MAX - 2 * guard) {
        errno = ENOMEM;
        return NULL;
    }
    size = whole_pages(size);
    char *base = mmap(NULL, size + guard, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
                      -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(base + guard, size, PROT_READ | PROT_WRITE) != 0) {
        int err = errno;
        munmap(base, size + guard);
        errno = err;
        return NULL;
    }
    return base + guard;
}

void
_PyPth_FreeStack(char *stack, size_t size)
{
    size_t guard = page_size();
    munmap(stack - guard, whole_pages(size) + guard);
}
