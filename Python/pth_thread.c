// GNU Pth backend: threads start, finish, are joined, and go away in a fork.
//
// A thread is a pthread (pthread_create(3)), which the C library knows and
// takes away.  One that has finished is kept for the next start where that
// makes no difference to anybody, see is_clean().

#include "pth_internal.h"
#include "pycore_pymem_init.h"    // _PyMem_ArenaAlloc()

#include <dlfcn.h>                // dlsym()
#include <fcntl.h>                // O_CLOEXEC
#include <link.h>                 // dl_iterate_phdr()
#include <locale.h>               // uselocale()
#include <sys/select.h>           // FD_SETSIZE
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>               // pipe2()

// What a thread that is being waited for leaves behind: its record may be
// another thread's by then.
struct _PyPth_job {
    char done;
    char detached;
    char leaves;                  // `pthread` ends, too, or
    _PyPth_thread *kept;          // it is kept for another start
    unsigned int generation;      // of `kept`
    pthread_t pthread;
    _PyPth_queue joiners;
};

_PyPth_thread _PyPth_main = {.timer = -1};
_PyPth_thread *_PyPth_threads = &_PyPth_main;
unsigned int _PyPth_generation = 0;
volatile int _PyPth_nthreads = 1;
volatile int _PyPth_no_threads = 0;

// All records that there ever were, linked by record_next.  None is given back
// to malloc(), so that a signal handler may look at them at any time.
_PyPth_thread *_PyPth_records = &_PyPth_main;
static _PyPth_thread *free_records;       // linked by parked_next
#define MORE_RECORDS 16           // are made at a time

// Finished ones, with a default stack.  They are used again when they have
// been joined: until then somebody may compare their IDs with others'.
static _PyPth_thread *pool;
static _PyPth_thread *finished;   // these, and those that will be in it,
static int npooled = 0;           // linked by all_next

#define MAX_POOLED 8


/* The list of threads alive */

static void
list_add(_PyPth_thread **list, _PyPth_thread *thread)
{
    thread->all_prev = NULL;
    thread->all_next = *list;
    if (*list != NULL) {
        (*list)->all_prev = thread;
    }
    *list = thread;
}

static void
list_remove(_PyPth_thread **list, _PyPth_thread *thread)
{
    if (thread->all_prev != NULL) {
        thread->all_prev->all_next = thread->all_next;
    }
    else {
        *list = thread->all_next;
    }
    if (thread->all_next != NULL) {
        thread->all_next->all_prev = thread->all_prev;
    }
}

int
_PyPth_IsFinished(unsigned long ident)
{
    _PyPth_thread *thread = finished;
    while (thread != NULL && (unsigned long)thread->pthread != ident) {
        thread = thread->all_next;
    }
    return thread != NULL;
}

_PyPth_thread *
_PyPth_FindThread(unsigned long ident)
{
    if ((unsigned long)_PyPth_main.pthread == ident) {
        return &_PyPth_main;
    }
    _PyPth_thread *thread = _PyPth_threads;
    while (thread != NULL && (unsigned long)thread->pthread != ident) {
        thread = thread->all_next;
    }
    return thread;
}

_PyPth_thread *
_PyPth_FindTid(pid_t tid)
{
    _PyPth_thread *thread = _PyPth_threads;
    while (thread != NULL && thread->tid != tid) {
        thread = thread->all_next;
    }
    return thread;
}


/* Pth */

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
    fds[0] = _PyPth_MoveFd(fds[0]);
    fds[1] = _PyPth_MoveFd(fds[1]);
    if (fds[0] >= FD_SETSIZE || fds[1] >= FD_SETSIZE) {
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

static pth_attr_t thread_attr;    // of all threads but the main one

// Pth, on the first start of a thread.  Its main thread is the main thread of
// Python, whoever calls this: it comes back to the caller at once.
static int
start_pth(void)
{
    static int started = 0, failed = 0;
    if (started) {
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
    _PyPth_inside = 1;
    int done = pth_init();
    if (done && (thread_attr = pth_attr_new()) == NULL) {
        done = 0;
    }
    int err = errno;
    if (done) {
        (void)pth_attr_set(thread_attr, PTH_ATTR_JOINABLE, FALSE);
        (void)pth_attr_set(thread_attr, PTH_ATTR_CANCEL_STATE,
                           PTH_CANCEL_DISABLE);
        (void)pth_attr_set(thread_attr, PTH_ATTR_NAME, "python");
        // From here on the masks are ours, and Pth asks for none.
        sigset_t mask;
        (void)pth_sigmask(SIG_SETMASK, NULL, &mask);
    }
    _PyPth_inside = 0;
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
    self->pth = pth_self();
    self->place = PTH_RUNNING;
    started = 1;
    return 0;
}

// Where a thread begins in Pth, on its stub, when its turn has come.
static void *
begin(void *arg)
{
    _PyPth_thread *thread = arg;
    _PyPth_CameBack(thread);
    _PyPth_Arrived(thread);
    // pth_cond_await() gives it up and takes it back.
    (void)pth_mutex_acquire(&thread->mutex, FALSE, NULL);
    _PyPth_RunOn(thread);
    return NULL;
}

int
_PyPth_Spawn(_PyPth_thread *thread)
{
    char *stack = _PyPth_NewStub();
    if (stack == NULL) {
        return -1;
    }
    (void)pth_attr_set(thread_attr, PTH_ATTR_STACK_SIZE,
                       (unsigned int)PTH_STUB_SIZE);
    (void)pth_attr_set(thread_attr, PTH_ATTR_STACK_ADDR, stack);
    thread->pth = pth_spawn(thread_attr, begin, thread);
    if (thread->pth == NULL) {
        _PyPth_FreeStub(stack);
        return -1;
    }
    (void)pth_cond_init(&thread->cond);
    (void)pth_mutex_init(&thread->mutex);
    (void)pth_suspend(thread->pth);
    thread->stub = stack;
    thread->place = PTH_NEW;
    return 0;
}


/* A thread's life */

// Objects that have thread-locals, but for the C library's and Python's.
static int
count_tls(struct dl_phdr_info *info, size_t Py_UNUSED(size), void *data)
{
    int has_tls = 0, is_python = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        has_tls |= (p->p_type == PT_TLS);
        is_python |= (p->p_type == PT_LOAD
                      && (uintptr_t)count_tls - info->dlpi_addr - p->p_vaddr
                         < p->p_memsz);
    }
    if (has_tls && !is_python && strstr(info->dlpi_name, "/libc.so") == NULL) {
        (*(int *)data)++;
    }
    return 0;
}

static int
get_adds(struct dl_phdr_info *info, size_t Py_UNUSED(size), void *data)
{
    *(unsigned long long *)data = info->dlpi_adds;
    return 1;
}

// dl_iterate_phdr() has a lock, which the child of a fork inherits from whoever
// had it, and which the C library does not make new there (posix/fork.c).  So a
// child of a process with other threads never asks.
static char cannot_ask = 0;

uint64_t
_PyPth_CountLoads(void)
{
    unsigned long long loads = 0;
    if (!cannot_ask) {
        (void)dl_iterate_phdr(get_adds, &loads);
    }
    return loads;
}

// What a thread has for pthread keys lies in blocks.  The C library tells
// debuggers where it has the array of those that there are (glibc,
// nptl_db/structs.def): to ask for each key would take as long as the rest of a
// short thread's life.
#define BLOCK_KEYS 32             // nptl/descr.h, PTHREAD_KEY_2NDLEVEL_SIZE
#define NBLOCKS (PTHREAD_KEYS_MAX / BLOCK_KEYS)

typedef struct {                  // the same, struct pthread_key_data
    uintptr_t seq;
    void *data;
} key_data;

// Those of the calling thread.
static inline key_data *const *
key_blocks(const uint32_t *desc)
{
    return (key_data *const *)((char *)pthread_self() + desc[2]);
}

// Its description: bits, how often, and the offset.  NULL: it is not known, or not
// what it was when this was written.
static const uint32_t *key_blocks_desc = NULL;

static void
find_key_blocks(void)
{
    pthread_key_t key;
    const uint32_t *desc = dlsym(RTLD_DEFAULT, "_thread_db_pthread_specific");
    if (desc != NULL
        && desc[0] * desc[1] == 8 * sizeof(void *) * NBLOCKS
        && pthread_key_create(&key, NULL) == 0)
    {
        if (pthread_setspecific(key, &key) == 0) {
            const key_data *block = key_blocks(desc)[key / BLOCK_KEYS];
            if (block != NULL && block[key % BLOCK_KEYS].data == &key) {
                key_blocks_desc = desc;
            }
        }
        (void)pthread_key_delete(key);
    }
}

// Has nobody but the C library and Python kept anything for the calling
// thread?  Then its kernel thread may be used for another one, for whom all is
// new.  What Python has kept is forgotten.
static int
is_clean(void)
{
    // Twice the loads, and whether there are others.
    static uint64_t known = 0;
    uint64_t loads = _PyPth_CountLoads();
    if (loads == 0) {
        return 0;
    }
    uint64_t found = _Py_atomic_load_uint64_relaxed(&known);
    if (found >> 1 != loads) {
        int others = 0;
        (void)dl_iterate_phdr(count_tls, &others);
        found = loads << 1 | (others > 0);
        _Py_atomic_store_uint64_relaxed(&known, found);
    }
    if (found & 1) {
        return 0;
    }
    const uint32_t *desc = key_blocks_desc;
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++) {
        if (desc != NULL) {
            const key_data *block = key_blocks(desc)[key / BLOCK_KEYS];
            if (block == NULL) {
                key += BLOCK_KEYS - 1;
                continue;
            }
            if (block[key % BLOCK_KEYS].data == NULL) {
                continue;
            }
        }
        if (pthread_getspecific(key) != NULL) {
            if (!_PyPth_tss_keys[key]) {
                return 0;
            }
            (void)pthread_setspecific(key, NULL);
        }
    }
    return 1;
}

void
_PyPth_AddRecord(_PyPth_thread *thread)
{
    thread->record_next = _PyPth_records;
    _Py_atomic_store_ptr_release(&_PyPth_records, thread);
}

// A new record, or NULL.  Locked.
static _PyPth_thread *
new_record(void)
{
    static _PyPth_thread *unused;
    static int nunused = 0;
    _PyPth_thread *thread = free_records;
    if (thread != NULL) {
        free_records = thread->parked_next;
        _PyPth_thread *next = thread->record_next;
        void *park_sp = thread->k.park_sp;
        memset(thread, 0, sizeof(*thread));
        thread->record_next = next;
        thread->k.park_sp = park_sp;
    }
    else {
        if (nunused == 0) {
            unused = _PyPth_Map(MORE_RECORDS * sizeof(*unused));
            if (unused == NULL) {
                return NULL;
            }
            nunused = MORE_RECORDS;
        }
        thread = unused;
        thread->k.park_sp = _PyPth_NewPark();
        if (thread->k.park_sp == NULL) {
            return NULL;
        }
        unused++;
        nunused--;
        _PyPth_AddRecord(thread);
    }
    thread->timer = -1;
    return thread;
}

static void
free_record(_PyPth_thread *thread)
{
    thread->tid = 0;
    thread->parked_next = free_records;
    free_records = thread;
}

void
_PyPth_FreeThread(_PyPth_thread *thread)
{
    if (thread->ended && thread->place != PTH_NONE) {
        list_remove(&finished, thread);
    }
    if (thread->stub != NULL) {
        _PyPth_FreeStub(thread->stub);
        thread->stub = NULL;
    }
    if (thread != &_PyPth_main) {
        free_record(thread);
    }
}

// The thread is over as far as anybody can see.  Return true if nobody is
// going to join its kernel thread; then free `*gone` when the backend is not
// locked any more.  Locked.
static int
finish(_PyPth_thread *self, struct _PyPth_job **gone)
{
    int detached = 1;
    *gone = NULL;
    list_remove(&_PyPth_threads, self);
    _PyPth_MaskStale();
    _PyPth_nthreads--;
    struct _PyPth_job *job = self->job;
    self->job = NULL;
    if (job != NULL) {
        detached = job->detached;
        job->leaves = !self->pooled;
        job->kept = self->pooled ? self : NULL;
        job->generation = _PyPth_generation;
        if (job->detached) {
            *gone = job;
        }
        else {
            job->done = 1;
            (void)_PyPth_WakeAll(&job->joiners);
        }
    }
    return detached;
}

// The kernel threads of the process, but for those that a program with pthreads
// would not have: the monitor, the spare one, the pool's.  0 if /proc is not
// there.
static int
count_kernels(void)
{
    char stat[512];
    int n = 0;
    _PyPth_ReadProc("/proc/self/stat", stat, sizeof(stat));
    // As warn_about_fork_with_threads() does (posixmodule.c): the 20th number, 18
    // behind the name.  An emulator may have threads of its own, and say 0.
    const char *rest = strrchr(stat, ')');
    if (rest == NULL
        || sscanf(rest, ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                        "%*s %*s %*s %*s %*s %d", &n) != 1
        || n == 0)
    {
        return 0;
    }
    return n - _PyPth_nown_kernels - npooled;
}

// The C library ends the process with its last thread (pthread_exit(3)), but
// the backend keeps some.  Called by the monitor.
void
_PyPth_ExitWithLast(void)
{
    // The first one stays until the others have gone.
    if (count_kernels() <= _PyPth_first->ended) {
        exit(0);
    }
}

// Its kernel thread, which it runs on, is about to end.  Return as finish().
static int
end_thread(_PyPth_thread *self)
{
    _PyPth_Lock();
    self->pooled = 0;
    _PyPth_GoHome(self);
    struct _PyPth_job *job;
    int detached = finish(self, &job);
    _PyPth_self = NULL;
    self->ended = 1;
    _PyPth_CheckState(self);
    if (self->place == PTH_NONE) {
        _PyPth_FreeThread(self);
    }
    else {
        // Its stub leaves Pth and frees it.  The child of a fork has to know it.
        list_add(&finished, self);
        _PyPth_MakeReady(self);
    }
    int last = (_PyPth_nthreads == 0);
    _PyPth_Unlock();
    free(job);
    if (last) {
        // The monitor does the rest when this one has gone.
        _PyPth_no_threads = 1;
        _PyPth_WakeMonitor();
    }
    return detached;
}

static void
leave(void *arg)
{
    if (end_thread((_PyPth_thread *)arg)) {
        (void)pthread_detach(pthread_self());
    }
}

void
_PyPth_Renamed(unsigned long ident, const char *name)
{
    if (!_PyPth_inside && !_PyPth_vforked) {
        _PyPth_Lock();
        _PyPth_thread *thread = _PyPth_FindThread(ident);
        if (thread != NULL) {
            (void)strncpy(thread->name, name, PTH_NAME - 1);
        }
        _PyPth_Unlock();
    }
}

// The name that a thread gets which the calling one starts (pthread_setname_np(3)).
static void
inherited_name(char name[PTH_NAME])
{
    if (_PyPth_self != NULL) {
        memcpy(name, _PyPth_self->name, PTH_NAME);
    }
    else {
        memset(name, 0, PTH_NAME);
        (void)_PyPth_Sys(SYS_prctl, PR_GET_NAME, name, 0, 0, 0);
    }
}

// Read or write the file of the name, by the system call `number`.  Return what
// that returns, or -errno.
static long
access_name(pid_t tid, int flags, long number, void *buf, size_t size)
{
    int err = errno;
    char file[64];
    (void)snprintf(file, sizeof(file), "/proc/self/task/%d/comm", (int)tid);
    int fd = (int)_PyPth_Sys(SYS_openat, AT_FDCWD, file, flags | O_CLOEXEC);
    long result = fd < 0 ? -errno : _PyPth_Sys(number, fd, buf, size);
    if (fd >= 0) {
        if (result < 0) {
            result = -errno;
        }
        (void)_PyPth_Sys(SYS_close, fd);
    }
    errno = err;
    return result;
}

int
_PyPth_WriteName(pid_t tid, const char *name)
{
    long n = access_name(tid, O_WRONLY, SYS_write, (void *)name,
                         strlen(name));
    return n < 0 ? (int)-n : 0;
}

int
_PyPth_ReadName(pid_t tid, char name[PTH_NAME])
{
    long n = access_name(tid, O_RDONLY, SYS_read, name, PTH_NAME);
    if (n > 0) {
        // It ends with a newline.
        name[n - 1] = '\0';
    }
    return n < 0 ? (int)-n : 0;
}

static void
put_into_pool(_PyPth_thread *thread)
{
    thread->parked_next = pool;
    pool = thread;
}

// Nobody asks for the thread of this job any more.  Locked.
static void
release_kept(struct _PyPth_job *job)
{
    if (job->kept != NULL && job->generation == _PyPth_generation) {
        put_into_pool(job->kept);
    }
}

// Or there is nobody who could start another thread.
static inline int
pool_is_full(void)
{
    return npooled >= MAX_POOLED || _PyPth_nthreads == 1;
}

// Wait for another job.  Return false if the thread shall leave instead.
static int
wait_in_pool(_PyPth_thread *self)
{
    if (!self->pooled || !_PyPth_CanLend() || pool_is_full()) {
        return 0;
    }
    // The dynamic linker has locks of its own, with which it calls others.
    int clean = is_clean();
    _PyPth_Lock();
    if (!clean || pool_is_full()) {
        _PyPth_Unlock();
        return 0;
    }
    (void)uselocale(LC_GLOBAL_LOCALE);
    self->has_altstack = 0;
    self->has_call_mask = 0;
    self->pending = self->put_aside = 0;
    self->gil = NULL;
    self->func = NULL;
    struct _PyPth_job *job;
    int detached = finish(self, &job);
    npooled++;
    list_add(&finished, self);
    if (detached) {
        put_into_pool(self);
    }
    do {
        (void)_PyPth_Wait(NULL, _PyPth_FOREVER, 0);
    } while (self->func == NULL);
    // Who was idle on the carrier did not have to arrive there.
    _PyPth_AtHome(self, _PyPth_KernelOf(self));
    _PyPth_Unlock();
    free(job);
    errno = 0;
    return 1;
}

static void *
run_thread(void *arg)
{
    _PyPth_thread *self = arg;
    _PyPth_InitKernel(self);
    _PyPth_LeaveRseq();
    if (self->misnamed) {
        (void)_PyPth_Sys(SYS_prctl, PR_SET_NAME, self->name, 0, 0, 0);
    }
    self->out = 1;
    self->on = self;
    self->busy = 1;
    pthread_cleanup_push(leave, self);
    _PyPth_Lock();
    _PyPth_MaskInherited(self);
    _PyPth_arriving--;
    if (_PyPth_CanLend() && !self->alone) {
        _PyPth_TakeTurn(self);
    }
    _PyPth_Unlock();
    do {
        _PyPth_BeginCalls(self);
        self->func(self->arg);
    } while (wait_in_pool(self));
    pthread_cleanup_pop(1);
    return NULL;
}

void _Py_NO_RETURN
_PyPth_Exit(void *value)
{
    _PyPth_thread *self = _PyPth_self;
    if (self != NULL) {
        _PyPth_Lock();
        self->pooled = 0;
        _PyPth_GoHome(self);
        _PyPth_Unlock();
        if (self == _PyPth_first) {
            // The process outlives its main thread until the last is done.
            (void)end_thread(self);
        }
    }
    // Goes back to run_thread(), and unwinds what is in between.
    _PyPth_sys_pthread_exit(value);
    Py_UNREACHABLE();
}


/* Data stacks */

// Data stacks of threads that have ended.  To map and unmap one for each thread
// takes a quarter of the time of its start and end, most of that in page faults.
static void *kept_stacks[MAX_POOLED];

// Can it be one, and would another thread take it?  A program with one thread
// makes the system calls of stock.
static inline int
is_data_stack(size_t size)
{
    return size == 16 * 1024      // DATA_STACK_CHUNK_SIZE, Python/pystate.c
           && _PyPth_CanLend();
}

// Neither takes a lock: interpreters with GILs of their own may come at once, and
// the child of a fork finds nothing half done.
void *
_PyPth_ArenaAlloc(void *ctx, size_t size)
{
    if (is_data_stack(size)) {
        for (int i = 0; i < MAX_POOLED; i++) {
            void *memory = _Py_atomic_exchange_ptr(&kept_stacks[i], NULL);
            if (memory != NULL) {
                return memory;
            }
        }
    }
    return _PyMem_ArenaAlloc(ctx, size);
}

void
_PyPth_ArenaFree(void *ctx, void *memory, size_t size)
{
    if (is_data_stack(size)) {
        for (int i = 0; i < MAX_POOLED; i++) {
            void *none = NULL;
            if (_Py_atomic_compare_exchange_ptr(&kept_stacks[i], &none,
                                                memory)) {
                return;
            }
        }
    }
    _PyMem_ArenaFree(ctx, memory, size);
}


/* Start */

// Threads whose kernel threads have not begun yet.
volatile int _PyPth_arriving = 0;

// A job for a thread of the pool.  Return NULL if it cannot have that name.
// Locked, but not all the time.
static _PyPth_thread *
take_from_pool(void (*func)(void *), void *arg, struct _PyPth_job *job,
               const char *name)
{
    _PyPth_thread *thread = pool;
    pool = thread->parked_next;
    if (memcmp(thread->name, name, PTH_NAME) != 0) {
        _PyPth_Unlock();
        int err = _PyPth_WriteName(thread->tid, name);
        _PyPth_Lock();
        if (err != 0) {
            put_into_pool(thread);
            return NULL;
        }
        memcpy(thread->name, name, PTH_NAME);
    }
    npooled--;
    list_remove(&finished, thread);
    // All until now was that of the one before.
    _PyPth_CountOwn(thread);
    if (thread == _PyPth_current && !thread->out) {
        // It is idle on the carrier, and will not arrive there.
        _PyPth_Count(_PyPth_carrier, thread);
    }
    thread->used = 0;
    thread->func = func;
    thread->arg = arg;
    thread->job = job;
    thread->sigmask = _PyPth_GetSignalMask();
    _PyPth_MaskInherited(thread);
    list_add(&_PyPth_threads, thread);
    _PyPth_WakeThread(thread, _PyPth_WOKEN);
    return thread;
}

static int
create(_PyPth_thread *thread, size_t stacksize, pthread_t *pthread)
{
    pthread_attr_t attr;
    int err = pthread_attr_init(&attr);
    if (err != 0) {
        return err;
    }
    if (stacksize != 0) {
        err = pthread_attr_setstacksize(&attr, stacksize);
    }
    if (err == 0) {
        err = pthread_create(pthread, &attr, run_thread, thread);
    }
    (void)pthread_attr_destroy(&attr);
    return err;
}

// Who starts what there is one of.
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

int
_PyPth_StartFirstMonitor(void)
{
    (void)pthread_mutex_lock(&init_lock);
    int result = _PyPth_StartMonitor();
    (void)pthread_mutex_unlock(&init_lock);
    return result;
}

// Start a thread that calls `func(arg)`, on a stack of `stacksize` bytes (0:
// the default).  A detached one frees what it holds when it ends; another has
// to be given to _PyPth_Join() or _PyPth_Detach().
// Return 0, or -1 and errno.
int
_PyPth_Start(void (*func)(void *), void *arg, size_t stacksize, int detached,
             Py_uintptr_t *ident, struct _PyPth_job **pjob)
{
    static char initialized = 0;
    struct _PyPth_job *job = NULL;
    _PyPth_thread *thread = NULL;
    if (!detached) {
        job = calloc(1, sizeof(*job));
        if (job == NULL) {
            return -1;
        }
    }
    // Interpreters with GILs of their own may start the first one at once.
    (void)pthread_mutex_lock(&init_lock);
    if (!initialized) {
        find_key_blocks();
        // Where it cannot be read, a new thread keeps what it begins with.
        (void)_PyPth_ReadName(_PyPth_main.tid, _PyPth_main.name);
        _PyPth_Lock();
        if (_PyPth_self != _PyPth_first) {
            _PyPth_FindFirstMask();
        }
        // The monitor may take it at the same time.
        int taken = _PyPth_TakeSignal();
        _PyPth_Unlock();
        initialized = (taken == 0 && start_pth() == 0
                       && _PyPth_InitTakeover() == 0);
    }
    int ready = (initialized && _PyPth_StartMonitor() == 0
                 && _PyPth_StartSpare() == 0);
    (void)pthread_mutex_unlock(&init_lock);
    if (!ready) {
        goto error;
    }
    char name[PTH_NAME];
    inherited_name(name);
    _PyPth_Lock();
    if (_PyPth_ReserveTimers(_PyPth_nthreads + 1 + MAX_POOLED) < 0) {
        _PyPth_Unlock();
        goto error;
    }
    _PyPth_nthreads++;
    _PyPth_MaskStale();
    int alone = (_PyPth_self != NULL && _PyPth_self->alone);
    if (stacksize == 0 && pool != NULL && !alone
        && (thread = take_from_pool(func, arg, job, name)) != NULL)
    {
        *ident = (Py_uintptr_t)thread->pthread;
        if (job != NULL) {
            job->pthread = thread->pthread;
            *pjob = job;
        }
        _PyPth_Unlock();
        return 0;
    }
    thread = new_record();
    if (thread != NULL) {
        // It inherits what that one has set for its kernel thread.
        thread->alone = alone;
        memcpy(thread->name, name, PTH_NAME);
        thread->misnamed = (_PyPth_self != NULL
                            && memcmp(_PyPth_KernelOf(_PyPth_self)->name, name,
                                      PTH_NAME) != 0);
        thread->func = func;
        thread->arg = arg;
        thread->job = job;
        thread->pooled = (stacksize == 0 && !alone);
        list_add(&_PyPth_threads, thread);
        _PyPth_arriving++;
        _PyPth_Unlock();
        pthread_t pthread;
        int err = create(thread, stacksize, &pthread);
        if (err == 0) {
            // The record may be gone by now.
            *ident = (Py_uintptr_t)pthread;
            if (job != NULL) {
                job->pthread = pthread;
                *pjob = job;
            }
            return 0;
        }
        errno = err;
        _PyPth_Lock();
        _PyPth_arriving--;
        list_remove(&_PyPth_threads, thread);
        free_record(thread);
    }
    _PyPth_nthreads--;
    _PyPth_Unlock();

error:
    free(job);
    return -1;
}

void
_PyPth_Join(struct _PyPth_job *job)
{
    _PyPth_Lock();
    while (!job->done) {
        (void)_PyPth_Wait(&job->joiners, _PyPth_FOREVER, 0);
    }
    release_kept(job);
    _PyPth_Unlock();
    if (job->leaves) {
        // What others keep for a thread is gone when it has been joined.
        (void)pthread_join(job->pthread, NULL);
    }
    free(job);
}

void
_PyPth_Detach(struct _PyPth_job *job)
{
    _PyPth_Lock();
    int done = job->done;
    job->detached = 1;
    if (done) {
        release_kept(job);
    }
    _PyPth_Unlock();
    if (done) {
        if (job->leaves) {
            (void)pthread_detach(job->pthread);
        }
        free(job);
    }
}

int
_PyPth_ThreadCount(void)
{
    _PyPth_Lock();
    int n = count_kernels();
    if (n <= 0) {
        n = _PyPth_nthreads;
    }
    _PyPth_Unlock();
    return n;
}


/* Fork */

// <sys/single_threaded.h>: a program with one thread makes the system calls of
// stock.
extern char __libc_single_threaded __attribute__((weak));

static char forks_alone;

// The state of Pth is the child's, too: nobody is inside of it.
static void
before_fork(void)
{
    _PyPth_BeforeChild();
    // The child is not to find it locked by a thread that it has not.
    (void)pthread_mutex_lock(&init_lock);
    _PyPth_Lock();
    forks_alone = (&__libc_single_threaded != NULL && __libc_single_threaded)
                  || (_PyPth_nthreads == 1 && count_kernels() == 1);
}

static void
after_fork_in_parent(void)
{
    _PyPth_Unlock();
    (void)pthread_mutex_unlock(&init_lock);
}

// The child has the calling thread alone, but a copy of Pth's queues with all
// the others in them.  pth_fork() would free those, the main thread's record
// included, which pth_main goes on pointing to (pth_fork.c, pth_sched.c): the
// next thread at that address would be taken for the main thread.  So they are
// suspended for good.  Their stacks stay: what lies there may still be
// referred to.
static void
suspend_for_good(_PyPth_thread *thread)
{
    if (!thread->suspended && thread != _PyPth_self
        && (thread->place == PTH_READY || thread->place == PTH_AWAITING))
    {
        (void)pth_suspend(thread->pth);
    }
}

static void
after_fork_in_child(void)
{
    init_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    cannot_ask |= !forks_alone;
    _PyPth_ForgetSleepers();
    _PyPth_generation++;
    _PyPth_arriving = 0;
    _PyPth_ForgetMonitor();
    _PyPth_thread *self = _PyPth_self;
    for (_PyPth_thread *t = _PyPth_threads; t != NULL; t = t->all_next) {
        suspend_for_good(t);
    }
    for (_PyPth_thread *t = finished; t != NULL; t = t->all_next) {
        suspend_for_good(t);
    }
    pool = finished = NULL;
    npooled = 0;
    int current = !_PyPth_CanLend() || _PyPth_IsCurrent();
    if (self == NULL && current) {
        // No thread was ever started.
        _PyPth_Unlock();
        return;
    }
    if (self != &_PyPth_main) {
        _PyPth_main.pthread = 0;
    }
    // A foreign thread is none that we know.
    _PyPth_threads = self;
    _PyPth_nthreads = 1;
    _PyPth_ForgetOthers();
    if (self == NULL) {
        _PyPth_first->pthread = 0;
    }
    else {
        // What it has set for its kernel thread is inherited by all from now on.
        self->alone = 0;
        self->all_next = self->all_prev = NULL;
        if (_PyPth_KernelOf(self) != self) {
            (void)_PyPth_Sys(SYS_prctl, PR_SET_NAME, self->name, 0, 0, 0);
        }
        _PyPth_MaskStale();
        _PyPth_ForgetKernels(self);
    }
    if (!current) {
        _PyPth_ForgetCarrier();
    }
    _PyPth_Unlock();
}

void
_PyPth_Adopt(void)
{
    static char adopted = 0;
    if (!adopted) {
        adopted = 1;
        _PyPth_InitKernel(&_PyPth_main);
        // Its signals are taken while others carry.
        static char park[64 * 1024];
        _PyPth_main.k.park_sp = (void *)((uintptr_t)(park + sizeof(park))
                                         & ~(uintptr_t)15);
        if (pthread_atfork(before_fork, after_fork_in_parent,
                           after_fork_in_child) != 0)
        {
            Py_FatalError("pthread_atfork() failed");
        }
    }
}
