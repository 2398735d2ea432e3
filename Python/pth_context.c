// GNU Pth backend: the switch of stock Pth without system calls.
//
// Pth switches by swapcontext(), which sets the signal mask, twice a hand-off
// (into the scheduler and out of it): half of the time that a hand-off takes.
// The mask rarely differs from thread to thread, it is set where it does
// (pth_takeover.c), and the scheduler, which blocks all signals, may as well
// run with the mask of the thread before.  So the executable (or libpython)
// defines swapcontext(), and what Pth asks of it is done here, with the
// registers that a function has to keep (System V ABI, AMD64 supplement,
// 3.2.1).
//
// What this has saved is told from what getcontext(), makecontext() and the C
// library's swapcontext() have left by its program counter, and only this goes
// back to it.  On other machines, where the processor keeps a second stack of
// return addresses, and for programs that call swapcontext() themselves, it is
// the C library's.  A libpth with the patches of pth/ does not call it.

#include "pth_syscalls.h"

#if defined(__x86_64__) && defined(__LP64__) \
    && !defined(_Py_ADDRESS_SANITIZER) && !defined(_Py_THREAD_SANITIZER)

#include <signal.h>
#include <ucontext.h>

DECLARE_REAL(swapcontext)
DECLARE_REAL(setcontext)

// Save the registers on the stack, and where they are in `*sp`.
#define SAVE                    \
    "pushq %rbp\n\t"            \
    "pushq %rbx\n\t"            \
    "pushq %r12\n\t"            \
    "pushq %r13\n\t"            \
    "pushq %r14\n\t"            \
    "pushq %r15\n\t"            \
    "subq $8, %rsp\n\t"         \
    "stmxcsr (%rsp)\n\t"        \
    "fnstcw 4(%rsp)\n\t"        \
    "movq %rsp, (%rdi)\n\t"

// Take them back, and return `eax` to where the context was saved.
#define RESTORE                 \
    "ldmxcsr (%rsp)\n\t"        \
    "fldcw 4(%rsp)\n\t"         \
    "addq $8, %rsp\n\t"         \
    "popq %r15\n\t"             \
    "popq %r14\n\t"             \
    "popq %r13\n\t"             \
    "popq %r12\n\t"             \
    "popq %rbx\n\t"             \
    "popq %rbp\n\t"             \
    "ret\n\t"

// Save this context in `*sp`, and go on with the one that was saved in
// `other_sp`.  Return 0 when somebody comes back.
static int __attribute__((naked, noinline))
swap_saved(void **Py_UNUSED(sp), void *Py_UNUSED(other_sp))
{
    __asm__(SAVE
            "movq %rsi, %rsp\n\t"
            "xorl %eax, %eax\n\t"
            RESTORE);
}

typedef int (*set_func)(const ucontext_t *);

// Save this context in `*sp`, and call set(context), which does not return; if
// it does, return its result.
static int __attribute__((naked, noinline))
save_and_set(void **Py_UNUSED(sp), const ucontext_t *Py_UNUSED(context),
             set_func Py_UNUSED(set))
{
    __asm__(SAVE
            "movq %rsi, %rdi\n\t"
            "call *%rdx\n\t"
            RESTORE);
}

#define MARK ((greg_t)(uintptr_t)swap_saved)

// A shadow stack has to be switched, too: the C library knows how.
static int
has_shadow_stack(void)
{
    unsigned long ssp = 0;
    // Does nothing where there is none.
    __asm__ volatile("rdsspq %0" : "+r"(ssp));
    return ssp != 0;
}

MAPPED int
swapcontext(ucontext_t *from, const ucontext_t *to)
{
    static char plain = -1;

    int saved = (to->uc_mcontext.gregs[REG_RIP] == MARK);
    if (!saved && !_PyPth_inside) {
        return real(swapcontext)(from, to);
    }
    if (plain < 0) {
        plain = has_shadow_stack();
    }
    if (plain) {
        return real(swapcontext)(from, to);
    }
    if (!saved) {
        // setcontext() would set the mask that was in force when the context
        // was made.
        memcpy(&((ucontext_t *)to)->uc_sigmask, &_PyPth_carrier->kmask,
               sizeof(_PyPth_carrier->kmask));
    }
    from->uc_mcontext.gregs[REG_RIP] = MARK;
    void **sp = (void **)&from->uc_mcontext.gregs[REG_RSP];
    if (saved) {
        return swap_saved(sp, (void *)to->uc_mcontext.gregs[REG_RSP]);
    }
    return save_and_set(sp, to, real(setcontext));
}

#elif defined(_Py_ADDRESS_SANITIZER)

#include <dlfcn.h>
#include <gnu/lib-names.h>        // LIBC_SO
#include <ucontext.h>

DECLARE_REAL(swapcontext)

// The sanitizer's swapcontext() prints a warning that it does not know the
// stacks, and forgets what is poisoned in them.  Threads are pthreads, whose
// stacks it knows, so Pth's calls go to the C library's.
MAPPED int
swapcontext(ucontext_t *from, const ucontext_t *to)
{
    static __typeof__(&swapcontext) plain = NULL;
    if (!_PyPth_inside) {
        return real(swapcontext)(from, to);
    }
    if (plain == NULL) {
        void *libc = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
        plain = libc != NULL ? (__typeof__(plain))dlsym(libc, "swapcontext")
                             : real(swapcontext);
    }
    return plain(from, to);
}

#endif
