// GNU Pth backend: kernel threads.
//
// What belongs to one, whoever runs on it: its record, its signal mask and alternate
// stack, what the C library and the kernel keep for it, and the stacks that stubs run
// and kernel threads park on.

#include "pth_internal.h"
#include "pth_machine.h"

#include <fcntl.h>                // O_RDONLY
#include <linux/futex.h>
#include <sys/mman.h>

long
_PyPth_Futex(int *word, int op, int value, const struct timespec *timeout)
{
    int err = errno;
    long result = _PyPth_Sys(SYS_futex, word, op, value, timeout, NULL, 0);
    if (result < 0) {
        result = -errno;
        errno = err;
    }
    return result;
}

void
_PyPth_WakeKernel(_PyPth_kernel *k)
{
    _Py_atomic_store_int_release(&k->go, 1);
    (void)_PyPth_Futex(&k->go, FUTEX_WAKE_PRIVATE, 1, NULL);
}

void
_PyPth_ReadProc(const char *name, char *buf, size_t size)
{
    ssize_t n = 0;
    int fd = (int)_PyPth_Sys(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = _PyPth_Sys(SYS_read, fd, buf, size - 1);
        (void)_PyPth_Sys(SYS_close, fd);
    }
    buf[n > 0 ? n : 0] = '\0';
}

void
_PyPth_ReadTask(pid_t tid, const char *what, char *buf, size_t size)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/self/task/%d/%s", (int)tid,
                   what);
    _PyPth_ReadProc(name, buf, size);
}

int
_PyPth_ReadStatus(pid_t tid, const char *field, int base, uint64_t *value)
{
    char status[4096];
    _PyPth_ReadTask(tid, "status", status, sizeof(status));
    const char *line = strstr(status, field);
    if (line == NULL) {
        return -1;
    }
    *value = strtoull(line + strlen(field), NULL, base);
    return 0;
}

uint64_t
_PyPth_ReadTicks(void)
{
    return _PyPth_Ticks();
}

// Restartable sequences (rseq(2)): the kernel writes to the area of the thread
// that a kernel thread began with, whichever it runs.  So there are none: the C
// library, and allocators, then ask for the processor in other ways.
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

void
_PyPth_LeaveRseq(void)
{
#ifdef SYS_rseq
    if (&__rseq_size != NULL && __rseq_size != 0) {
        int err = errno;
        char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
        int cpu_id;
        memcpy(&cpu_id, area + 4, sizeof(cpu_id));
        if (cpu_id < 0) {
            // The C library has not registered this one, as the kernel thread that has
            // started it had none (glibc, nptl/pthread_create.c).
            return;
        }
        // 1: RSEQ_FLAG_UNREGISTER.  32: what the C library has registered, or
        // what the kernel knows if that is more.
        if (_PyPth_Sys(SYS_rseq, area, 32, 1, RSEQ_SIGNATURE) != 0) {
            (void)_PyPth_Sys(SYS_rseq, area, __rseq_size, 1, RSEQ_SIGNATURE);
        }
        errno = err;
    }
#endif
}

void
_PyPth_TakeOwnTP(_PyPth_thread *thread)
{
    thread->k.tp = thread->tp;
    thread->lends_tp = thread->tp_with = thread;
}

void
_PyPth_TakeNewKernel(_PyPth_thread *self)
{
    _PyPth_TakeOwnTP(self);
    self->tid = (pid_t)_PyPth_Sys(SYS_gettid);
    self->k.go = 0;
    self->sent_away = NULL;
    self->counts_for = self;
    self->given = 0;
    self->owes = 0;
}

void
_PyPth_InitKernel(_PyPth_thread *self)
{
    self->tp = __builtin_thread_pointer();
    _PyPth_TakeNewKernel(self);
    self->pthread = pthread_self();
    self->timer = -1;
    self->kmask = self->sigmask = _PyPth_GetSignalMask();
    self->has_altstack = 0;
    self->alt_owner = NULL;
    self->ran = self;
    _PyPth_self = self;
}

void
_PyPth_SetKernelMask(_PyPth_thread *kernel, uint64_t mask)
{
    if (kernel->kmask != mask) {
        kernel->kmask = mask;
        (void)_PyPth_Sys(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL,
                         sizeof(mask));
    }
}

// Where Go may have changed it: what it is for the thread that has run there.
static void
ask_for_altstack(_PyPth_thread *kernel)
{
    _PyPth_thread *thread = kernel->ran;
    stack_t now;
    if (_PyPth_sys_sigaltstack(NULL, &now) == 0) {
        now.ss_flags &= ~SS_ONSTACK;
        thread->has_altstack = !(now.ss_flags & SS_DISABLE);
        thread->altstack = now;
        kernel->alt_owner = thread->has_altstack ? thread : NULL;
    }
}

void
_PyPth_SetAltstack(_PyPth_thread *kernel, _PyPth_thread *thread)
{
    if (_PyPth_has_go && kernel->ran != NULL) {
        ask_for_altstack(kernel);
    }
    kernel->ran = thread;
    // Where the thread has none, that of the kernel thread's own stays: it
    // costs no call then to run others in between.  But Go would take it for the
    // thread's.
    _PyPth_thread *owner = NULL;
    if (thread != NULL && thread->has_altstack) {
        owner = thread;
    }
    else if (kernel->has_altstack && !_PyPth_has_go) {
        owner = kernel;
    }
    stack_t none = {.ss_flags = SS_DISABLE};
    if (kernel->alt_owner != owner
        && _PyPth_sys_sigaltstack(owner != NULL ? &owner->altstack : &none,
                                  NULL) == 0)
    {
        kernel->alt_owner = owner;
    }
}

void
_PyPth_KeepAltstack(ucontext_t *context)
{
    // It takes no notice of one that is not valid (Linux, kernel/signal.c,
    // restore_altstack()).  SS_AUTODISARM: the kernel thread has none meanwhile.
    if (!((unsigned int)context->uc_stack.ss_flags & (1U << 31))) {
        context->uc_stack.ss_flags = SS_ONSTACK | SS_DISABLE;
    }
}

void
_PyPth_LeaveAltstack(_PyPth_thread *kernel)
{
    // Its own thread may be using its one elsewhere, but for the first.
    _PyPth_SetAltstack(kernel, kernel == _PyPth_first ? kernel : NULL);
    kernel->ran = NULL;
}

// The first one goes on to take the signals of the process for its thread.  The others
// take none but PTH_SIGSETXID.
void
_PyPth_QuietKernel(_PyPth_thread *kernel)
{
    if (kernel == _PyPth_first) {
        _PyPth_SetKernelMask(kernel, kernel->sigmask);
    }
    else {
        _PyPth_SetKernelMask(kernel, ~PTH_SIGNAL_BIT(PTH_SIGSETXID));
    }
    _PyPth_LeaveAltstack(kernel);
}

void
_PyPth_AtHome(_PyPth_thread *self, _PyPth_thread *on)
{
    // In this order: what the mask lets through may come at once.
    _PyPth_SetAltstack(on, self);
    _PyPth_SetKernelMask(on, self->sigmask);
}

// setuid() and its kin: the C library has each kernel thread make the system
// call, by a signal that it knows by its thread pointer (nptl/nptl_setxid.c).
// The handler therefore runs with the kernel thread's own one.

// sigaction() of the C library refuses this number.
static struct {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
} setxid_action;
static void (*setxid_handler)(int, siginfo_t *, void *);
static char setxid_wrapped = 0;

static void
handle_setxid(int signum, siginfo_t *info, void *context)
{
    void *tp = __builtin_thread_pointer(), *own = tp;
    pid_t tid = (pid_t)_PyPth_Sys(SYS_gettid);
    for (_PyPth_thread *t = _Py_atomic_load_ptr(&_PyPth_records);
         t != NULL; t = t->record_next)
    {
        if (t->tid == tid) {
            own = t->tp;
            break;
        }
    }
    _PyPth_SetThreadPointer(own);
    setxid_handler(signum, info, context);
    _PyPth_SetThreadPointer(tp);
}

void
_PyPth_WrapSetxid(void)
{
    if (setxid_wrapped) {
        return;
    }
    setxid_wrapped = 1;
    if (_PyPth_Sys(SYS_rt_sigaction, PTH_SIGSETXID, NULL, &setxid_action,
                   8) == 0
        && (setxid_action.flags & SA_SIGINFO))
    {
        setxid_handler = setxid_action.handler;
        setxid_action.handler = handle_setxid;
        (void)_PyPth_Sys(SYS_rt_sigaction, PTH_SIGSETXID, &setxid_action,
                         NULL, 8);
    }
}


/* Memory, stacks for stubs, and those to park on */

void *
_PyPth_Map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

void
_PyPth_Clear(void *memory, size_t size)
{
    uintptr_t start = (uintptr_t)memory, end = start + size;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (start + page - 1) & -page, last = end & -page;
    if (first >= last
        || madvise((void *)first, last - first, MADV_DONTNEED) != 0)
    {
        first = last = end;
    }
    memset(memory, 0, first - start);
    memset((void *)last, 0, end - last);
}

typedef struct stub_stack {
    struct stub_stack *next;
} stub_stack;

static stub_stack *stubs;

// Behind the top of it, which is never unmapped: Pth looks at the lowest word of a
// stack as long as the thread lives that has begun there.
#define LINK_SIZE 64

static inline stub_stack *
link_of(char *stack)
{
    return (stub_stack *)(stack + PTH_STUB_SIZE);
}

char *
_PyPth_NewStub(void)
{
    if (stubs != NULL) {
        char *stack = (char *)stubs - PTH_STUB_SIZE;
        stubs = stubs->next;
        return stack;
    }
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, guard + PTH_STUB_SIZE + LINK_SIZE,
                      PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    (void)mprotect(base, guard, PROT_NONE);
    return base + guard;
}

void
_PyPth_FreeStub(char *stack)
{
    stub_stack *link = link_of(stack);
    link->next = stubs;
    stubs = link;
}

// A kernel thread's stack while it is parked.  Nothing is written there but the
// frame of a signal handler, so it takes no memory.
#define PARKS 64

void *
_PyPth_NewPark(void)
{
    static char *parks;
    static int left = 0;
    size_t room = ((size_t)sysconf(_SC_MINSIGSTKSZ) + 2048 + 15)
                  & ~(size_t)15;
    if (left == 0) {
        char *base = mmap(NULL, PARKS * room, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
                          | MAP_STACK, -1, 0);
        if (base == MAP_FAILED) {
            return NULL;
        }
        parks = base;
        left = PARKS;
    }
    left--;
    parks += room;
    return parks;
}
