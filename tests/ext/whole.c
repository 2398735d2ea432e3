/* An extension module that does what C libraries do with threads: it asks which
 * one it runs in, keeps things for it, locks mutexes, starts kernel threads that
 * call Python, has signal handlers.  See use_whole.py. */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static PyObject *
error(int err)
{
    errno = err;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* --- the thread that runs */

/* look() -> (pthread_self(), gettid(), the stack that pthread_getattr_np() tells
   has this frame, its size) */
static PyObject *
look(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    pthread_attr_t attr;
    void *base;
    size_t size;
    char here;
    int err = pthread_getattr_np(pthread_self(), &attr);
    if (err != 0) {
        return error(err);
    }
    pthread_attr_getstack(&attr, &base, &size);
    pthread_attr_destroy(&attr);
    int inside = &here > (char *)base && &here < (char *)base + size;
    return Py_BuildValue("kiNn", (unsigned long)pthread_self(),
                         (int)syscall(SYS_gettid), PyBool_FromLong(inside),
                         (Py_ssize_t)size);
}

/* pin(cpu): the calling thread runs on that processor only, by syscall() */
static PyObject *
pin(PyObject *Py_UNUSED(self), PyObject *arg)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((int)PyLong_AsLong(arg), &set);
    if (syscall(SYS_sched_setaffinity, 0, sizeof(set), &set) < 0) {
        return error(errno);
    }
    Py_RETURN_NONE;
}

/* set_personality(flags) -> the one before */
static PyObject *
set_personality(PyObject *Py_UNUSED(self), PyObject *arg)
{
    return PyLong_FromLong(personality(PyLong_AsUnsignedLong(arg)));
}

/* start_timer(seconds) -> a timer of the calling thread's clock, that tells nobody */
static PyObject *
start_timer(PyObject *Py_UNUSED(self), PyObject *arg)
{
    timer_t timer;
    double seconds = PyFloat_AsDouble(arg);
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    struct itimerspec spec = {
        .it_value = {(time_t)seconds, (long)(seconds * 1e9) % 1000000000},
    };
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) < 0
        || timer_settime(timer, 0, &spec, NULL) < 0)
    {
        return error(errno);
    }
    return PyLong_FromVoidPtr((void *)timer);
}

/* timer_left(timer) -> the rest, in seconds */
static PyObject *
timer_left(PyObject *Py_UNUSED(self), PyObject *arg)
{
    struct itimerspec spec;
    if (timer_gettime((timer_t)PyLong_AsVoidPtr(arg), &spec) < 0) {
        return error(errno);
    }
    return PyFloat_FromDouble((double)spec.it_value.tv_sec
                              + (double)spec.it_value.tv_nsec / 1e9);
}

static pthread_key_t key;
static int destroyed;

static void
destroy(void *Py_UNUSED(value))
{
    __sync_fetch_and_add(&destroyed, 1);
}

/* keep(value, func) -> what pthread_getspecific() says after func() of the value
   that was set before. */
static PyObject *
keep(PyObject *Py_UNUSED(self), PyObject *args)
{
    long value;
    PyObject *func;
    if (!PyArg_ParseTuple(args, "lO", &value, &func)) {
        return NULL;
    }
    pthread_setspecific(key, (void *)value);
    PyObject *result = PyObject_CallNoArgs(func);
    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    return PyLong_FromLong((long)pthread_getspecific(key));
}

/* How many destructors of that key have run. */
static PyObject *
count_destroyed(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    return PyLong_FromLong(destroyed);
}

/* alternate_stack(func): does the thread have the alternate stack after func()
   that it has set before, and does it find none first? */
static PyObject *
alternate_stack(PyObject *Py_UNUSED(self), PyObject *func)
{
    size_t size = 65536;
    stack_t before, now, mine = {.ss_sp = malloc(size), .ss_size = size};
    if (sigaltstack(&mine, &before) != 0) {
        return error(errno);
    }
    PyObject *result = PyObject_CallNoArgs(func);
    if (result == NULL) {
        return NULL;
    }
    Py_DECREF(result);
    sigaltstack(NULL, &now);
    int same = (before.ss_flags & SS_DISABLE) && now.ss_sp == mine.ss_sp
               && !(now.ss_flags & SS_DISABLE);
    mine.ss_flags = SS_DISABLE;
    sigaltstack(&mine, NULL);
    free(mine.ss_sp);
    return PyBool_FromLong(same);
}

/* --- locks of C */

static pthread_mutex_t mutexes[] = {
    PTHREAD_MUTEX_INITIALIZER,
    PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
    PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
    PTHREAD_MUTEX_INITIALIZER,
};
#define INHERITS 3
#define RWLOCK 4
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int inside, most_inside;

/* init_inheriting() -> errno: the last one of them has priority inheritance. */
static PyObject *
init_inheriting(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    pthread_mutexattr_t attr;
    int err = pthread_mutexattr_init(&attr);
    if (err == 0) {
        err = pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    }
    if (err == 0) {
        err = pthread_mutex_init(&mutexes[INHERITS], &attr);
    }
    return PyLong_FromLong(err);
}

/* enter(which, microseconds) -> (errno of the lock, of the unlock): sleep under
   a mutex, plain, recursive, error-checking or with priority inheritance, or (4)
   a read-write lock. */
static PyObject *
enter(PyObject *Py_UNUSED(self), PyObject *args)
{
    int which, us, locked, unlocked = 0;
    if (!PyArg_ParseTuple(args, "ii", &which, &us)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    locked = which == RWLOCK ? pthread_rwlock_wrlock(&rwlock)
                             : pthread_mutex_lock(&mutexes[which]);
    if (locked == 0) {
        int n = __sync_add_and_fetch(&inside, 1);
        if (n > most_inside) {
            most_inside = n;
        }
        usleep((useconds_t)us);
        __sync_sub_and_fetch(&inside, 1);
        unlocked = which == RWLOCK ? pthread_rwlock_unlock(&rwlock)
                                   : pthread_mutex_unlock(&mutexes[which]);
    }
    Py_END_ALLOW_THREADS
    return Py_BuildValue("ii", locked, unlocked);
}

/* The most threads that were under such a lock since the last call. */
static PyObject *
take_most_inside(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    int most = most_inside;
    most_inside = 0;
    return PyLong_FromLong(most);
}

/* --- kernel threads that Python did not start */

static PyThread_type_lock lock;

static void *
release(void *Py_UNUSED(arg))
{
    usleep(20000);
    PyThread_release_lock(lock);
    return NULL;
}

/* Acquire a lock that such a thread releases; false if that takes too long. */
static PyObject *
released(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    pthread_t thread;
    int got;
    lock = PyThread_allocate_lock();
    PyThread_acquire_lock(lock, 1);
    int err = pthread_create(&thread, NULL, release, NULL);
    if (err != 0) {
        return error(err);
    }
    Py_BEGIN_ALLOW_THREADS
    got = PyThread_acquire_lock_timed(lock, 60000000, 0) == PY_LOCK_ACQUIRED;
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    PyThread_release_lock(lock);
    PyThread_free_lock(lock);
    return PyBool_FromLong(got);
}

static long pending_done;

static int
pending(void *Py_UNUSED(arg))
{
    pending_done++;
    return 0;
}

static void *
add_pending(void *n)
{
    for (long i = 0; i < (long)n;) {
        if (Py_AddPendingCall(pending, NULL) == 0) {
            i++;
        }
        else {
            usleep(10);
        }
    }
    return NULL;
}

/* add_pending_calls(n): two threads add n pending calls each. */
static PyObject *
add_pending_calls(PyObject *Py_UNUSED(self), PyObject *arg)
{
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        int err = pthread_create(&thread, NULL, add_pending,
                                 (void *)PyLong_AsLong(arg));
        if (err != 0) {
            return error(err);
        }
        pthread_detach(thread);
    }
    Py_RETURN_NONE;
}

static PyObject *
count_pending_calls(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    return PyLong_FromLong(pending_done);
}

static PyMutex mutex;
static long under_mutex;

static void *
count_under_mutex(void *n)
{
    for (long i = 0; i < (long)n; i++) {
        PyMutex_Lock(&mutex);
        under_mutex++;
        PyMutex_Unlock(&mutex);
    }
    return NULL;
}

/* lock_py_mutex(n) -> 3n if a PyMutex excludes two such threads and the caller
   from each other. */
static PyObject *
lock_py_mutex(PyObject *Py_UNUSED(self), PyObject *arg)
{
    void *n = (void *)PyLong_AsLong(arg);
    pthread_t threads[2];
    under_mutex = 0;
    for (int i = 0; i < 2; i++) {
        int err = pthread_create(&threads[i], NULL, count_under_mutex, n);
        if (err != 0) {
            return error(err);
        }
    }
    Py_BEGIN_ALLOW_THREADS
    count_under_mutex(n);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(under_mutex);
}

static void *
allocate(void *Py_UNUSED(arg))
{
    for (int i = 0; i < 1000; i++) {
        PyMem_RawFree(PyMem_RawMalloc(100));
    }
    return NULL;
}

/* Such a thread uses the raw memory allocator, which may be traced. */
static PyObject *
allocate_raw(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(args))
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, allocate, NULL);
    if (err != 0) {
        return error(err);
    }
    Py_BEGIN_ALLOW_THREADS
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static void *
call(void *func)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs((PyObject *)func);
    if (result == NULL) {
        PyErr_Print();
        abort();
    }
    Py_DECREF(result);
    PyGILState_Release(state);
    return NULL;
}

/* call_in_threads(func, n): n such threads call func() once, and are joined. */
static PyObject *
call_in_threads(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *func;
    pthread_t threads[64];
    int n;
    if (!PyArg_ParseTuple(args, "Oi", &func, &n)) {
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        int err = pthread_create(&threads[i], NULL, call, func);
        if (err != 0) {
            return error(err);
        }
    }
    Py_BEGIN_ALLOW_THREADS
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* --- signals, processes */

static int handler_fd;

/* Async-signal-safe, and may block. */
static void
handler(int Py_UNUSED(signum))
{
    char data[4096];
    memset(data, 'x', sizeof(data));
    (void)!write(handler_fd, data, sizeof(data));
}

/* handle(fd): have a handler of SIGUSR1 write 4096 bytes to the pipe. */
static PyObject *
handle(PyObject *Py_UNUSED(self), PyObject *arg)
{
    handler_fd = (int)PyLong_AsLong(arg);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    Py_RETURN_NONE;
}

/* allocate_under_signals(milliseconds): be inside of malloc() most of the time, and
   let SIGUSR1 through.  The caller blocks it: its handler may wait for another
   thread, which may need the GIL for that. */
static PyObject *
allocate_under_signals(PyObject *Py_UNUSED(self), PyObject *arg)
{
    int ms = (int)PyLong_AsLong(arg);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    Py_BEGIN_ALLOW_THREADS
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    do {
        for (size_t i = 0; i < 1000; i++) {
            volatile char *p = malloc(20 + i * 50);
            *p = 1;
            free((void *)p);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000
             + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* vfork_and_read(fd): the child of a vfork(), made without the GIL as
   _posixsubprocess.c does, reads from the pipe and ends. */
static PyObject *
vfork_and_read(PyObject *Py_UNUSED(self), PyObject *arg)
{
    int fd = (int)PyLong_AsLong(arg), status = -1;
    PyThreadState *tstate = PyEval_SaveThread();
    pid_t pid = vfork();
    if (pid == 0) {
        char c;
        (void)!read(fd, &c, 1);
        _exit(0);
    }
    PyEval_RestoreThread(tstate);
    waitpid(pid, &status, 0);
    return PyLong_FromLong(status);
}

/* execute(how): a child that no handler of pthread_atfork() is called for executes
   a program, of clone() ("copy"; "share": in this memory, as by vfork()), of
   _Fork() or of syscall() -> its status */
static int
execute_true(void *Py_UNUSED(arg))
{
    char *argv[] = {"true", NULL};
    // Who hangs would have the output of the tests open.
    alarm(30);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int fds[2];
    if (pipe(fds) == 0 && dup2(fds[1], 99) == 99 && write(99, "", 1) == 1
        && close(99) == 0 && close(fds[1]) == 0 && close(fds[0]) == 0)
    {
        execv("/bin/true", argv);
    }
    _exit(127);
}

static PyObject *
execute(PyObject *Py_UNUSED(self), PyObject *arg)
{
    const char *how = PyUnicode_AsUTF8(arg);
    size_t size = 64 * 1024;
    int status = -1;
    char *stack = malloc(size);
    if (stack == NULL) {
        return PyErr_NoMemory();
    }
    pid_t pid;
    PyThreadState *tstate = PyEval_SaveThread();
    if (strcmp(how, "_Fork") == 0 || strcmp(how, "syscall") == 0) {
        pid = how[0] == '_' ? _Fork()
                            : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) {
            (void)execute_true(NULL);
        }
    }
    else {
        int flags = strcmp(how, "share") == 0 ? CLONE_VM | CLONE_VFORK : 0;
        pid = clone(execute_true, stack + size, flags | SIGCHLD, NULL);
    }
    waitpid(pid, &status, 0);
    PyEval_RestoreThread(tstate);
    free(stack);
    return PyLong_FromLong(status);
}

/* ask_for_time(i): be in a loop of short calls, without the GIL, until stop_asking().
   count_asking() -> how many threads are there
   came(i) -> how often SIGUSR2 has come to that thread */
#define MAX_ASKING 16
static volatile int stopped;
static int asking;
static volatile int came_to[MAX_ASKING];
static __thread int who_asks;

static void
count_signal(int Py_UNUSED(signum))
{
    came_to[who_asks]++;
}

static PyObject *
ask_for_time(PyObject *Py_UNUSED(self), PyObject *arg)
{
    struct timespec time;
    struct sigaction action = {.sa_handler = count_signal};
    who_asks = (int)PyLong_AsLong(arg) % MAX_ASKING;
    sigaction(SIGUSR2, &action, NULL);
    stopped = 0;
    Py_BEGIN_ALLOW_THREADS
    __atomic_fetch_add(&asking, 1, __ATOMIC_SEQ_CST);
    while (!stopped) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    }
    __atomic_fetch_sub(&asking, 1, __ATOMIC_SEQ_CST);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
stop_asking(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    stopped = 1;
    Py_RETURN_NONE;
}

static PyObject *
count_asking(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    return PyLong_FromLong(__atomic_load_n(&asking, __ATOMIC_SEQ_CST));
}

static PyObject *
came(PyObject *Py_UNUSED(self), PyObject *arg)
{
    return PyLong_FromLong(came_to[PyLong_AsLong(arg) % MAX_ASKING]);
}

/* What a handler of SIGUSR2 is told: signals for a thread, for the process with the
   value 7, and others; in the thread that has called note_told() and in the rest. */
static pthread_t notes;
static int told[2][3];

static void
note(int Py_UNUSED(signum), siginfo_t *info, void *Py_UNUSED(context))
{
    int what = info->si_code == SI_TKILL ? 0
               : info->si_code == SI_QUEUE && info->si_value.sival_int == 7 ? 1 : 2;
    __atomic_fetch_add(&told[!pthread_equal(pthread_self(), notes)][what], 1,
                       __ATOMIC_RELAXED);
}

static PyObject *
note_told(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    struct sigaction action = {.sa_sigaction = note,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    notes = pthread_self();
    sigaction(SIGUSR2, &action, NULL);
    Py_RETURN_NONE;
}

/* told() -> ((for a thread, with 7, others) of the one, the same of the rest) */
static PyObject *
get_told(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(arg))
{
    return Py_BuildValue("(iii)(iii)", told[0][0], told[0][1], told[0][2],
                         told[1][0], told[1][1], told[1][2]);
}

/* signal_fd(signum) -> a descriptor from which that signal is read */
static PyObject *
signal_fd(PyObject *Py_UNUSED(self), PyObject *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, (int)PyLong_AsLong(arg));
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd < 0 ? error(errno) : PyLong_FromLong(fd);
}

static PyMethodDef methods[] = {
    {"look", look, METH_NOARGS},
    {"pin", pin, METH_O},
    {"set_personality", set_personality, METH_O},
    {"start_timer", start_timer, METH_O},
    {"timer_left", timer_left, METH_O},
    {"keep", keep, METH_VARARGS},
    {"count_destroyed", count_destroyed, METH_NOARGS},
    {"alternate_stack", alternate_stack, METH_O},
    {"init_inheriting", init_inheriting, METH_NOARGS},
    {"enter", enter, METH_VARARGS},
    {"take_most_inside", take_most_inside, METH_NOARGS},
    {"released", released, METH_NOARGS},
    {"add_pending_calls", add_pending_calls, METH_O},
    {"count_pending_calls", count_pending_calls, METH_NOARGS},
    {"lock_py_mutex", lock_py_mutex, METH_O},
    {"allocate_raw", allocate_raw, METH_NOARGS},
    {"call_in_threads", call_in_threads, METH_VARARGS},
    {"handle", handle, METH_O},
    {"allocate_under_signals", allocate_under_signals, METH_O},
    {"signal_fd", signal_fd, METH_O},
    {"vfork_and_read", vfork_and_read, METH_O},
    {"execute", execute, METH_O},
    {"ask_for_time", ask_for_time, METH_O},
    {"stop_asking", stop_asking, METH_NOARGS},
    {"count_asking", count_asking, METH_NOARGS},
    {"came", came, METH_O},
    {"note_told", note_told, METH_NOARGS},
    {"told", get_told, METH_NOARGS},
    {NULL}
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "whole",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit_whole(void)
{
    int err = pthread_key_create(&key, destroy);
    return err != 0 ? error(err) : PyModule_Create(&module);
}
