// GNU Pth backend: threads start, finish, are joined, and go away in a fork.
//
// A thread that has finished stays parked for the next one to be started: that
// saves both of them a stack, a pth_spawn() and a pass of the scheduler.  The
// few that are kept also mean that a thread never has to leave Pth while
// nobody else is ready, see _PyPth_Park().

#include "pth_internal.h"
#include "pycore_ceval.h"
#include "pycore_runtime.h"       // _PyRuntime

#include <dlfcn.h>                // dlsym()
#include <fcntl.h>                // O_CLOEXEC
#include <sys/select.h>           // FD_SETSIZE
#include <sys/syscall.h>          // SYS_gettid
#include <unistd.h>               // pipe2()

// What a thread that is being waited for leaves behind: its record may be
// another thread's by then.
struct _PyPth_job {
    char done;
    char detached;
    _PyPth_queue joiners;
};

_PyPth_thread _PyPth_main = {.timer = -1};
_PyPth_thread *_PyPth_threads = &_PyPth_main;
_PyPth_thread *_PyPth_current = &_PyPth_main;
_Py_thread_local char _PyPth_mark;
char *_PyPth_kernel_mark;
pthread_t _PyPth_kernel_thread;
pid_t _PyPth_kernel_pid, _PyPth_kernel_tid;
unsigned int _PyPth_generation = 0;
volatile sig_atomic_t _PyPth_nthreads = 1;

static _PyPth_thread *parked;     // finished ones, with a default stack
static int nparked = 0;
static unsigned int last_number = 0;
static _PyPth_thread *departed;   // left Pth: stack and record can be freed

#define MAX_PARKED 8


/* The kernel thread */

void _Py_NO_RETURN
_PyPth_ForeignThread(const char *func)
{
    // Not Py_FatalError(), which frees the objects of faulthandler: that takes
    // the thread state that this thread cannot have (_PyFaulthandler_Fini()).
    fprintf(stderr,
            "Fatal Python error: %s: called from a thread that Python did not "
            "start; this Python was built with GNU Pth (--with-pth) and runs "
            "all its threads on the kernel thread that initialized it\n",
            func);
    fflush(stderr);
    abort();
}

static void after_fork_in_child(void);

static void
adopt_kernel_thread(void)
{
    _PyPth_kernel_mark = &_PyPth_mark;
    _PyPth_kernel_thread = pthread_self();
    _PyPth_kernel_pid = getpid();
    _PyPth_kernel_tid = (pid_t)syscall(SYS_gettid);
}

void
_PyPth_Adopt(void)
{
    static int registered = 0;
    if (_PyPth_main.tid == NULL) {
        // No second thread was ever started: nobody is bound to the kernel
        // thread of an earlier initialization.
        adopt_kernel_thread();
    }
    if (!registered) {
        registered = 1;
        if (pthread_atfork(NULL, NULL, after_fork_in_child) != 0) {
            Py_FatalError("pthread_atfork() failed");
        }
    }
}


/* The list of threads alive */

static void
list_add(_PyPth_thread *thread)
{
    thread->all_prev = NULL;
    thread->all_next = _PyPth_threads;
    if (_PyPth_threads != NULL) {
        _PyPth_threads->all_prev = thread;
    }
    _PyPth_threads = thread;
}

static void
list_remove(_PyPth_thread *thread)
{
    if (thread->all_prev != NULL) {
        thread->all_prev->all_next = thread->all_next;
    }
    else {
        _PyPth_threads = thread->all_next;
    }
    if (thread->all_next != NULL) {
        thread->all_next->all_prev = thread->all_prev;
    }
}

_PyPth_thread *
_PyPth_FindThread(unsigned long ident)
{
    _PyPth_thread *thread = _PyPth_threads;
    while (thread != NULL && (unsigned long)(Py_uintptr_t)thread != ident) {
        thread = thread->all_next;
    }
    return thread;
}


/* A thread's life */

static void
free_thread(_PyPth_thread *thread)
{
    size_t size = thread->stacksize != 0 ? thread->stacksize
                                         : _PyPth_DefaultStackSize();
    if (thread->stack != NULL) {
        _PyPth_FreeStack(thread, size);
    }
    free(thread->tss);
    free(thread);
}

// Free the threads that left Pth.  Whoever calls this runs, so they do not.
static void
free_departed(void)
{
    while (departed != NULL) {
        _PyPth_thread *thread = departed;
        departed = thread->parked_next;
        free_thread(thread);
    }
}

// Called by _PyPth_Park() when there is somebody to switch to.
static void
leave(_PyPth_thread *self)
{
    free_departed();
    self->parked_next = departed;
    departed = self;
    (void)pth_mutex_release(&self->mutex);
    _PyPth_in_pth = 1;
    // The scheduler frees Pth's own part: the thread is not joinable for Pth.
    pth_exit(NULL);
}

// The thread is over as far as anybody can see.
static void
finish(_PyPth_thread *self)
{
    // PyThread_exit_thread() may come here from anywhere.
    _Py_tss_tstate = NULL;
    self->func = NULL;
    for (int i = 0; i < self->ntss; i++) {
        self->tss[i].value = NULL;
    }
    list_remove(self);
    _PyPth_MaskStale();
    self->has_pending = 0;
    if (--_PyPth_nthreads <= 1) {
        // The last one's blocking calls are plain ones.
        _PyPth_StopLooking();
    }
    struct _PyPth_job *job = self->job;
    self->job = NULL;
    if (job != NULL) {
        if (job->detached) {
            free(job);
        }
        else {
            job->done = 1;
            (void)_PyPth_WakeAll(&job->joiners);
        }
    }
    if (_PyPth_nthreads == 0) {
        // pthread_exit() of the last thread ends the process, too
        // (pthread_exit(3)).
        exit(0);
    }
}

static void *
run_thread(void *arg)
{
    _PyPth_thread *self = arg;
    _PyPth_Enter(self);
    for (;;) {
        if (memcmp(&self->sigmask, &self->start_mask, sizeof(sigset_t)) != 0) {
            self->sigmask = self->start_mask;
            (void)_PyPth_sys_sigmask(SIG_SETMASK, &self->sigmask, NULL);
            _PyPth_TellSignalMask();
        }
        if (sigsetjmp(self->exit_jump, 0) == 0) {
            self->func(self->arg);
        }
        finish(self);
        int surplus = self->stacksize != 0 || nparked >= MAX_PARKED;
        if (!surplus) {
            self->parked_next = parked;
            parked = self;
            nparked++;
        }
        while (self->func == NULL) {
            _PyPth_Park(self, surplus, leave);
        }
    }
    return NULL;
}

void _Py_NO_RETURN
_PyPth_Exit(void)
{
    _PyPth_thread *self = _PyPth_current;
    if (self != &_PyPth_main) {
        siglongjmp(self->exit_jump, 1);
    }
    // The process outlives its main thread until the last thread is done.
    finish(self);
    for (;;) {
        (void)_PyPth_Wait(NULL, _PyPth_FOREVER, 0);
    }
}


/* Start */

const char *
_PyPth_LibraryPatches(void)
{
    // Of the library that runs, which may not be the one that was linked.
    static const char *suffix = NULL;
    static char looked = 0;
    if (!looked) {
        looked = 1;
        suffix = dlsym(RTLD_DEFAULT, "pth_version_local");
    }
    return suffix;
}

// Stock Pth's scheduler has a pipe (pth_sched.c, pth_scheduler_init()), which
// every program that is executed would inherit.  So pipe() gives it one of
// ours (pth_syscalls.c).  No call on it reaches the kernel, but Pth puts its
// number into an fd_set: if all numbers below FD_SETSIZE are taken, it gets
// one of those without the file, and sets O_NONBLOCK there, which start_pth()
// takes back.
#define BORROWED_FD (FD_SETSIZE - 1)

// Return 0 and in `*borrowed` the file status flags of BORROWED_FD, or -1 if
// it is not borrowed; or -1 and errno.
static int
make_pipe_for_init(int *borrowed)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    *borrowed = -1;
    if (fds[0] >= FD_SETSIZE) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        *borrowed = fcntl(BORROWED_FD, F_GETFL);
        if (*borrowed == -1) {
            return -1;
        }
        fds[0] = fds[1] = BORROWED_FD;
    }
    memcpy(_PyPth_pipe_for_init, fds, sizeof(fds));
    return 0;
}

// Pth, on the first start of a thread.
static int
start_pth(void)
{
    static int failed = 0;
    if (_PyPth_main.tid != NULL) {
        return 0;
    }
    if (failed) {
        // pth_init() cannot be called again: it believes that it is done
        // (pth_lib.c).
        errno = EAGAIN;
        return -1;
    }
    int borrowed = -1;
    if (_PyPth_LibraryPatches() == NULL && make_pipe_for_init(&borrowed) < 0) {
        return -1;
    }
    int done = pth_init();
    int err = errno;
    if (borrowed != -1) {
        (void)fcntl(BORROWED_FD, F_SETFL, borrowed);
    }
    if (!done) {
        failed = 1;
        errno = err;
        return -1;
    }
    _PyPth_thread *self = &_PyPth_main;
    (void)pth_cond_init(&self->cond);
    (void)pth_mutex_init(&self->mutex);
    (void)pth_mutex_acquire(&self->mutex, FALSE, NULL);
    // Threads start in turn, not before those that are ready.
    (void)pth_ctrl(PTH_CTRL_FAVOURNEW, 0);
    self->tid = pth_self();
    _PyPth_GetSignalMask(&self->sigmask);
    _PyPth_TellSignalMask();
    return 0;
}

static _PyPth_thread *
new_thread(size_t stacksize)
{
    static pth_attr_t attr = NULL;
    if (attr == NULL) {
        attr = pth_attr_new();
        if (attr == NULL) {
            return NULL;
        }
        (void)pth_attr_set(attr, PTH_ATTR_JOINABLE, FALSE);
        (void)pth_attr_set(attr, PTH_ATTR_CANCEL_STATE, PTH_CANCEL_DISABLE);
        (void)pth_attr_set(attr, PTH_ATTR_NAME, "python");
    }
    _PyPth_thread *thread = calloc(1, sizeof(*thread));
    if (thread == NULL) {
        return NULL;
    }
    size_t size = stacksize != 0 ? stacksize : _PyPth_DefaultStackSize();
    thread->timer = -1;
    // The new context takes over the mask that is set now (getcontext(3)).
    thread->sigmask = _PyPth_current->sigmask;
    thread->stacksize = stacksize;
    if (_PyPth_NewStack(thread, size) < 0) {
        free_thread(thread);
        return NULL;
    }
    (void)pth_cond_init(&thread->cond);
    (void)pth_mutex_init(&thread->mutex);
    // Pth counts the size in an unsigned int.  It only needs the upper end,
    // and a word at the lower one that it checks in every switch.
    unsigned int top = (unsigned int)Py_MIN(size, (size_t)1 << 30);
    (void)pth_attr_set(attr, PTH_ATTR_STACK_SIZE, top);
    (void)pth_attr_set(attr, PTH_ATTR_STACK_ADDR,
                       thread->stack + (size - top));
    thread->tid = pth_spawn(attr, run_thread, thread);
    if (thread->tid == NULL) {
        free_thread(thread);
        return NULL;
    }
    return thread;
}

// Start a thread that calls `func(arg)`, on a stack of `stacksize` bytes (0:
// the default).  A detached one frees what it holds when it ends; another has
// to be given to _PyPth_Join() or _PyPth_Detach().
// Return 0, or -1 and errno.
int
_PyPth_Start(void (*func)(void *), void *arg, size_t stacksize, int detached,
             Py_uintptr_t *ident, struct _PyPth_job **pjob)
{
    (void)_PyPth_CheckKernelThread(__func__);
    struct _PyPth_job *job = NULL;
    _PyPth_thread *thread = NULL;
    if (start_pth() < 0) {
        return -1;
    }
    // The slice's handler stops the timer if it finds one thread: the new
    // one counts before _PyPth_StartSlices() looks whether the timer runs.
    _PyPth_nthreads++;
    if (_PyPth_StartSlices() < 0
        || _PyPth_ReserveTimers(_PyPth_nthreads) < 0)
    {
        goto error;
    }
    free_departed();
    if (!detached) {
        job = calloc(1, sizeof(*job));
        if (job == NULL) {
            goto error;
        }
    }
    if (stacksize == 0 && parked != NULL) {
        thread = parked;
        parked = thread->parked_next;
        nparked--;
        _PyPth_WakeThread(thread, _PyPth_WOKEN);
    }
    else {
        thread = new_thread(stacksize);
        if (thread == NULL) {
            goto error;
        }
        _PyPth_Ready(thread);
    }
    thread->func = func;
    thread->arg = arg;
    thread->job = job;
    thread->number = ++last_number;
    thread->start_mask = _PyPth_current->sigmask;
    list_add(thread);
    _PyPth_MaskStale();
    *ident = (Py_uintptr_t)thread;
    if (pjob != NULL) {
        *pjob = job;
    }
    return 0;

error:
    free(job);
    _PyPth_nthreads--;
    return -1;
}

void
_PyPth_Join(struct _PyPth_job *job)
{
    while (!job->done) {
        (void)_PyPth_Wait(&job->joiners, _PyPth_FOREVER, 0);
    }
    free(job);
}

void
_PyPth_Detach(struct _PyPth_job *job)
{
    if (job->done) {
        free(job);
    }
    else {
        job->detached = 1;
    }
}

int
_PyPth_ThreadCount(void)
{
    return _PyPth_nthreads;
}

int
_PyPth_GetCpuClockId(unsigned long ident, clockid_t *clk_id)
{
    if (_PyPth_FindThread(ident) == NULL) {
        return ESRCH;
    }
    // All threads burn the time of the one kernel thread.
    return pthread_getcpuclockid(_PyPth_kernel_thread, clk_id);
}


/* Fork */

// The child has the calling thread alone, but a copy of Pth's queues with all
// the others in them.  pth_fork() would free those, the main thread's record
// included, which pth_main goes on pointing to (pth_fork.c, pth_sched.c): the
// next thread at that address would be taken for the main thread.  So they are
// suspended for good.  Their stacks stay: what lies there may still be
// referred to, as after a fork with pthreads.
static void
suspend_for_good(_PyPth_thread *thread)
{
    if (!thread->suspended && thread != _PyPth_current
        && thread->tid != NULL)
    {
        (void)pth_suspend(thread->tid);
    }
}

static void
after_fork_in_child(void)
{
    if (!_PyPth_IsKernelThread()) {
        // The child of a foreign thread has no Python thread.
        return;
    }
    _PyPth_generation++;
    adopt_kernel_thread();
    _PyPth_MaskStale();
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        suspend_for_good(t);
    }
    for (_PyPth_thread *t = parked; t != NULL; t = t->parked_next) {
        suspend_for_good(t);
    }
    parked = NULL;
    nparked = 0;
    _PyPth_thread *self = _PyPth_current;
    self->all_next = self->all_prev = NULL;
    _PyPth_threads = self;
    _PyPth_nthreads = 1;
    _PyPth_ForgetOthers();
    _PyPth_ForgetSlices();
    _PyPth_ForgetWatchdog();
}
