// GNU Pth backend: the stacks that threads run on.
//
// Pth would take them with malloc(): no guard page, and 64 KiB.  A Python
// thread gets what pthread_create() gives it: `ulimit -s` of address space,
// committed page by page as it is used, with a page below that faults.

#include "pth_internal.h"

#include <sys/mman.h>
#include <sys/resource.h>         // getrlimit()
#include <unistd.h>               // sysconf()

#ifdef WITH_VALGRIND
#  include <valgrind/valgrind.h>  // VALGRIND_STACK_REGISTER()
#endif
#ifdef _Py_ADDRESS_SANITIZER
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif

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

// Tools that watch the stack have to know where it is.
static void
stack_begins(_PyPth_thread *thread, size_t size)
{
#ifdef WITH_VALGRIND
    thread->valgrind_stack = VALGRIND_STACK_REGISTER(thread->stack,
                                                     thread->stack + size);
#endif
#ifdef _Py_ADDRESS_SANITIZER
    thread->asan_stack = thread->stack;
    thread->asan_size = size;
#endif
}

static void
stack_ends(_PyPth_thread *thread, size_t size)
{
#ifdef WITH_VALGRIND
    VALGRIND_STACK_DEREGISTER(thread->valgrind_stack);
#endif
#ifdef _Py_ADDRESS_SANITIZER
    // The thread has left by pth_exit(), and nobody returned from the frames
    // whose surroundings are poisoned.
    ASAN_UNPOISON_MEMORY_REGION(thread->stack, size);
#endif
}

#ifdef _Py_ADDRESS_SANITIZER
// The sanitizer wants to be told before the switch where it leads, which is
// known only afterwards: it is told of both ends then.
void
_PyPth_SwitchedStack(_PyPth_thread *from, _PyPth_thread *to)
{
    if (from == to || to->asan_stack == NULL) {
        // At the start, the first thread is on its own stack.
        return;
    }
    const void *stack;
    size_t size;
    __sanitizer_start_switch_fiber(&from->asan_fake_stack, to->asan_stack,
                                   to->asan_size);
    __sanitizer_finish_switch_fiber(to->asan_fake_stack, &stack, &size);
    if (from->asan_stack == NULL) {
        from->asan_stack = stack;
        from->asan_size = size;
    }
}
#endif

int
_PyPth_NewStack(_PyPth_thread *thread, size_t size)
{
    size_t guard = page_size();
    if (size > SIZE_MAX - 2 * guard) {
        errno = ENOMEM;
        return -1;
    }
    size = whole_pages(size);
    char *base = mmap(NULL, size + guard, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
                      -1, 0);
    if (base == MAP_FAILED) {
        return -1;
    }
    if (mprotect(base + guard, size, PROT_READ | PROT_WRITE) != 0) {
        int err = errno;
        munmap(base, size + guard);
        errno = err;
        return -1;
    }
    thread->stack = base + guard;
    stack_begins(thread, size);
    return 0;
}

void
_PyPth_FreeStack(_PyPth_thread *thread, size_t size)
{
    size_t guard = page_size();
    size = whole_pages(size);
    stack_ends(thread, size);
    munmap(thread->stack - guard, size + guard);
}
