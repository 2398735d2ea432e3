// GNU Pth backend: calls that the kernel answers for the kernel thread, or that
// change it, where a program means the thread.

#include "pth_syscalls.h"

#include <grp.h>                  // setgroups()
#include <linux/futex.h>
#include <linux/prctl.h>          // PR_SET_NAME
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/fsuid.h>
#ifdef __x86_64__
#  include <sys/io.h>
#endif
#include <sys/mman.h>             // pkey_set()
#include <sys/personality.h>
#include <sys/resource.h>         // setpriority()
#include <sys/syscall.h>
#include <time.h>                 // timer_create()

_Py_thread_local char _PyPth_vforked;


/* What the caller's own kernel thread has to make */

// OWN: just that.  STAY: and what is set holds from now on.
#define OWN _PyPth_ToOwnKernel(0)
#define STAY _PyPth_ToOwnKernel(1)

// The C library has all kernel threads make these, the caller's first.
ON_OWN(OWN, int, setuid, (uid_t id), (id))
ON_OWN(OWN, int, setgid, (gid_t id), (id))
ON_OWN(OWN, int, seteuid, (uid_t id), (id))
ON_OWN(OWN, int, setegid, (gid_t id), (id))
ON_OWN(OWN, int, setreuid, (uid_t ruid, uid_t euid), (ruid, euid))
ON_OWN(OWN, int, setregid, (gid_t rgid, gid_t egid), (rgid, egid))
ON_OWN(OWN, int, setresuid, (uid_t ruid, uid_t euid, uid_t suid),
       (ruid, euid, suid))
ON_OWN(OWN, int, setresgid, (gid_t rgid, gid_t egid, gid_t sgid),
       (rgid, egid, sgid))
ON_OWN(OWN, int, setgroups, (size_t n, const gid_t *groups), (n, groups))
ON_OWN(OWN, int, initgroups, (const char *user, gid_t group), (user, group))

// Is it the calling thread's?  They also take its native ID.
static inline int
is_own(pid_t tid)
{
    return tid == 0 || (_PyPth_self != NULL && tid == _PyPth_self->tid);
}
#define STAY_IF(own)                                            \
    if (own) {                                                  \
        STAY;                                                   \
    }
#define STAY_IF_OWN(tid) STAY_IF(is_own(tid))

ON_OWN(STAY_IF_OWN(tid), int, sched_setaffinity,
       (pid_t tid, size_t size, const cpu_set_t *set), (tid, size, set))
ON_OWN(STAY_IF_OWN(tid), int, sched_setscheduler,
       (pid_t tid, int policy, const struct sched_param *param),
       (tid, policy, param))
ON_OWN(STAY_IF_OWN(tid), int, sched_setparam,
       (pid_t tid, const struct sched_param *param), (tid, param))
ON_OWN(STAY_IF(which == PRIO_PROCESS && is_own((pid_t)who)), int, setpriority,
       (__priority_which_t which, id_t who, int value), (which, who, value))
ON_OWN(STAY, int, nice, (int change), (change))
ON_OWN(STAY_IF(id != (uid_t)-1), int, setfsuid, (uid_t id), (id))
ON_OWN(STAY_IF(id != (gid_t)-1), int, setfsgid, (gid_t id), (id))
ON_OWN(STAY_IF(persona != 0xffffffff), int, personality,
       (unsigned long persona), (persona))
// <sys/capability.h> is not the C library's.
extern int capset(void *header, const void *data);
ON_OWN(STAY, int, capset, (void *header, const void *data), (header, data))
// A timer of its clock, which the kernel thread runs.
ON_OWN(STAY_IF(clock == CLOCK_THREAD_CPUTIME_ID), int, timer_create,
       (clockid_t clock, struct sigevent *event, timer_t *timer),
       (clock, event, timer))
ON_OWN(STAY, int, unshare, (int flags), (flags))
ON_OWN(STAY, int, setns, (int fd, int type), (fd, type))
#ifdef __x86_64__
ON_OWN(STAY, int, ioperm, (unsigned long from, unsigned long n, int on),
       (from, n, on))
ON_OWN(STAY, int, iopl, (int level), (level))
#endif
// They write to a register of the processor.
ON_OWN(STAY, int, pkey_alloc, (unsigned int flags, unsigned int rights),
       (flags, rights))
ON_OWN(STAY, int, pkey_set, (int key, unsigned int rights), (key, rights))
// The kernel thread is the tracer.  <sys/ptrace.h> has it with "...".
extern long ptrace(int op, pid_t pid, void *addr, void *data);
ON_OWN(STAY, long, ptrace, (int op, pid_t pid, void *addr, void *data),
       (op, pid, addr, data))
ON_OWN(STAY_IF(pthread_equal(thread, pthread_self())), int,
       pthread_setaffinity_np,
       (pthread_t thread, size_t size, const cpu_set_t *set),
       (thread, size, set))
ON_OWN(STAY_IF(pthread_equal(thread, pthread_self())), int,
       pthread_setschedparam,
       (pthread_t thread, int policy, const struct sched_param *param),
       (thread, policy, param))

#ifndef PR_SET_VMA                // Linux 5.17
#  define PR_SET_VMA 0x53564d41
#endif

// <sys/prctl.h> has it with "...", which cannot be handed on.
extern int prctl(int op, unsigned long a, unsigned long b, unsigned long c,
                 unsigned long d);
DECLARE_REAL(prctl)

MAPPED int
prctl(int op, unsigned long a, unsigned long b, unsigned long c,
      unsigned long d)
{
    switch (op) {
    case PR_SET_NAME: {
        OWN;
        int result = real(prctl)(op, a, b, c, d);
        if (result == 0) {
            _PyPth_Renamed((unsigned long)pthread_self(), (const char *)a);
        }
        return result;
    }
    // These only ask.
    case PR_GET_PDEATHSIG: case PR_GET_DUMPABLE: case PR_GET_KEEPCAPS:
    case PR_GET_TIMING: case PR_GET_NAME: case PR_GET_SECCOMP:
    case PR_CAPBSET_READ: case PR_GET_SECUREBITS: case PR_GET_TIMERSLACK:
    case PR_GET_CHILD_SUBREAPER: case PR_GET_NO_NEW_PRIVS:
    case PR_GET_THP_DISABLE:
        OWN;
        break;
    // These are about the process, and allocators make some of them.
    case PR_SET_DUMPABLE: case PR_SET_PTRACER: case PR_SET_MM:
    case PR_SET_VMA: case PR_SET_CHILD_SUBREAPER: case PR_SET_THP_DISABLE:
        break;
    default:
        STAY;
    }
    return real(prctl)(op, a, b, c, d);
}

MAPPED pid_t
gettid(void)
{
    if (_PyPth_self != NULL && !_PyPth_vforked) {
        return _PyPth_self->tid;
    }
    return (pid_t)_PyPth_Sys(SYS_gettid);
}

// Send the signal to the thread with that native ID.  Return false if there is none
// here; else `*result` is what tgkill() returns.
static int
kill_thread(pid_t tid, int signum, int *result)
{
    if (tid <= 0 || !_PyPth_InProgram()) {
        return 0;
    }
    int err = is_own(tid) ? pthread_kill(pthread_self(), signum)
                          : _PyPth_KillTid(tid, signum);
    if (err > 0) {
        errno = err;
    }
    *result = err == 0 ? 0 : -1;
    return err >= 0;
}

// Since glibc 2.30.
extern int tgkill(pid_t pid, pid_t tid, int signum);
DECLARE_REAL(tgkill)

MAPPED int
tgkill(pid_t pid, pid_t tid, int signum)
{
    int result;
    if (pid == getpid() && kill_thread(tid, signum, &result)) {
        return result;
    }
    return real(tgkill)(pid, tid, signum);
}


/* The name of a thread: the C library asks for the calling thread's by prctl(),
   which is that of the kernel thread that runs it. */

DECLARE_REAL(pthread_setname_np)
DECLARE_REAL(pthread_getname_np)

// The ID of the thread's own kernel thread, if it is the calling thread and another
// kernel thread runs it, or 0.
static pid_t
own_tid_elsewhere(pthread_t thread)
{
    return _PyPth_self != NULL && pthread_equal(thread, pthread_self())
           && (pid_t)_PyPth_Sys(SYS_gettid) != _PyPth_self->tid
           ? _PyPth_self->tid : 0;
}

MAPPED int
pthread_setname_np(pthread_t thread, const char *name)
{
    pid_t tid = strlen(name) < PTH_NAME ? own_tid_elsewhere(thread) : 0;
    int err = tid != 0 ? _PyPth_WriteName(tid, name)
                       : real(pthread_setname_np)(thread, name);
    if (err == 0) {
        _PyPth_Renamed((unsigned long)thread, name);
    }
    return err;
}

MAPPED int
pthread_getname_np(pthread_t thread, char *buf, size_t len)
{
    pid_t tid = len >= PTH_NAME ? own_tid_elsewhere(thread) : 0;
    if (tid == 0) {
        return real(pthread_getname_np)(thread, buf, len);
    }
    return _PyPth_ReadName(tid, buf);
}


/* vfork(): what is noted here, the child sees, too, for it runs in its parent's
   memory. */

#ifdef _Py_ADDRESS_SANITIZER
// Its own vfork() would hide from us who runs in whose memory.
__attribute__((visibility("default"))) pid_t
vfork(void)
{
    return fork();
}
#else
static _Py_thread_local void *vfork_return;

DECLARE_REAL(vfork)

// Called by vfork() in pth_machine.h, where link-time optimization does not see it.
#define BY_VFORK __attribute__((used, visibility("hidden")))

// Before it, with the address to return to.  Return the C library's own function.
BY_VFORK void *
_PyPth_BeforeVfork(void *address)
{
    _PyPth_BeforeChild();
    vfork_return = address;
    _PyPth_vforked = 1;
    return (void *)real(vfork);
}

// After it, in the child and then in the parent, with its result.
BY_VFORK void *
_PyPth_AfterVfork(int result)
{
    if (result != 0) {
        _PyPth_vforked = 0;
    }
    return vfork_return;
}
#endif


/* Children that no handler of pthread_atfork() is called for */

ON_OWN(_PyPth_BeforeChild(), int, posix_spawn,
       (pid_t *pid, const char *path,
        const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attr, char *const *argv, char *const *env),
       (pid, path, actions, attr, argv, env))
ON_OWN(_PyPth_BeforeChild(), int, posix_spawnp,
       (pid_t *pid, const char *file,
        const posix_spawn_file_actions_t *actions,
        const posix_spawnattr_t *attr, char *const *argv, char *const *env),
       (pid, file, actions, attr, argv, env))
ON_OWN(_PyPth_BeforeChild(), FILE *, popen,
       (const char *command, const char *mode), (command, mode))

// The others are of other kernel threads than the backend knows of, in their
// parent's memory or in a copy in which it may be locked: all their calls are
// plain ones.

DECLARE_REAL(clone)

MAPPED int
clone(int (*func)(void *), void *stack, int flags, void *arg, ...)
{
    va_list args;
    va_start(args, arg);
    pid_t *parent_tid = va_arg(args, pid_t *);
    void *tls = va_arg(args, void *);
    pid_t *child_tid = va_arg(args, pid_t *);
    va_end(args);
    char before = _PyPth_vforked;
    if (!(flags & (CLONE_THREAD | CLONE_SETTLS))) {
        _PyPth_BeforeChild();
        _PyPth_vforked = 1;
    }
    int pid = real(clone)(func, stack, flags, arg, parent_tid, tls, child_tid);
    _PyPth_vforked = before;
    return pid;
}

// Since glibc 2.34.
extern pid_t _Fork(void);
DECLARE_REAL(_Fork)

MAPPED pid_t
_Fork(void)
{
    _PyPth_BeforeChild();
    pid_t pid = real(_Fork)();
    if (pid == 0) {
        _PyPth_vforked = 1;
    }
    return pid;
}


/* Mutexes with priority inheritance: the C library writes the thread into them, and
   the kernel compares that with the kernel thread (futex(2), FUTEX_UNLOCK_PI). */

DECLARE_REAL(pthread_mutexattr_setprotocol)

MAPPED int
pthread_mutexattr_setprotocol(pthread_mutexattr_t *attr, int protocol)
{
    if (protocol == PTHREAD_PRIO_INHERIT) {
        _PyPth_all_alone = 1;
        STAY;
    }
    return real(pthread_mutexattr_setprotocol)(attr, protocol);
}


/* syscall(): the same calls, past the C library's functions */

static long first_syscall(long number, ...);

// The C library's own, for the backend.
long (*_PyPth_Sys)(long number, ...) = first_syscall;

#define MAX_ARGS 6

// The caller may have given fewer: what is there is read, as the C library does.
static void __attribute__((no_sanitize("address")))
get_args(va_list list, long *args)
{
    for (int i = 0; i < MAX_ARGS; i++) {
        args[i] = va_arg(list, long);
    }
}

DECLARE_REAL(syscall)

static long
first_syscall(long number, ...)
{
    long args[MAX_ARGS];
    va_list list;
    va_start(list, number);
    get_args(list, args);
    va_end(list);
    _PyPth_Sys = real(syscall);
    return _PyPth_Sys(number, args[0], args[1], args[2], args[3], args[4],
                          args[5]);
}

// Does it make a child with a thread of its own?
static int
makes_child(long number, const long *args)
{
    switch (number) {
#ifdef SYS_fork
    // Not on newer machines.
    case SYS_fork: case SYS_vfork:
        return 1;
#endif
    case SYS_clone:
        return !(args[0] & CLONE_THREAD);
#ifdef SYS_clone3
    case SYS_clone3:
        // The flags are what struct clone_args begins with (clone(2)).
        return args[0] != 0
               && !(*(const uint64_t *)args[0] & CLONE_THREAD);
#endif
    }
    return 0;
}

// Is it about the kernel thread of the calling thread, and does more or less than
// the function of that name, or has none?
static int
is_about_own(long number, const long *args)
{
    switch (number) {
    case SYS_sched_setattr:
        return is_own((pid_t)args[0]);
    case SYS_ioprio_set:
        // IOPRIO_WHO_PROCESS (ioprio_set(2)).
        return args[0] == 1 && is_own((pid_t)args[1]);
    case SYS_timer_create:
        return args[0] == CLOCK_THREAD_CPUTIME_ID;
    case SYS_perf_event_open:
        return is_own((pid_t)args[1]);
    case SYS_futex:
        // The kernel compares the owner with the kernel thread.
        switch (args[1] & FUTEX_CMD_MASK) {
        case FUTEX_LOCK_PI: case FUTEX_TRYLOCK_PI: case FUTEX_UNLOCK_PI:
        case FUTEX_LOCK_PI2:
            return 1;
        }
        return 0;
    // Those of the C library are made by all kernel threads.
    case SYS_setuid: case SYS_setgid: case SYS_setreuid: case SYS_setregid:
    case SYS_setresuid: case SYS_setresgid: case SYS_setgroups:
    case SYS_seccomp: case SYS_set_mempolicy:
#ifdef SYS_landlock_restrict_self
    case SYS_landlock_restrict_self:
#endif
    // Keyrings of a thread, of its session.
    case SYS_keyctl: case SYS_add_key: case SYS_request_key:
    // A ring may be one thread's, and what it has begun ends with that.
    case SYS_io_uring_setup: case SYS_io_uring_enter:
    case SYS_io_uring_register:
    case SYS_set_robust_list:
    // Unlike the function of that name it stores the word that it reads.
    case SYS_ptrace:
#ifdef __x86_64__
    case SYS_arch_prctl:
#endif
        return 1;
    }
    return 0;
}

MAPPED long
syscall(long number, ...)
{
    long args[MAX_ARGS];
    va_list list;
    va_start(list, number);
    get_args(list, args);
    va_end(list);
    int killed;
    switch (number) {
    case SYS_gettid:
        return gettid();
    case SYS_clock_gettime:
        return clock_gettime((clockid_t)args[0], (struct timespec *)args[1]);
    case SYS_getrusage:
        return getrusage((int)args[0], (struct rusage *)args[1]);
    case SYS_prctl:
        return prctl((int)args[0], (unsigned long)args[1],
                     (unsigned long)args[2], (unsigned long)args[3],
                     (unsigned long)args[4]);
    case SYS_sched_setaffinity:
        return sched_setaffinity((pid_t)args[0], (size_t)args[1],
                                 (const cpu_set_t *)args[2]);
    case SYS_sched_setscheduler:
        return sched_setscheduler((pid_t)args[0], (int)args[1],
                                  (const struct sched_param *)args[2]);
    case SYS_sched_setparam:
        return sched_setparam((pid_t)args[0],
                              (const struct sched_param *)args[1]);
    case SYS_setpriority:
        return setpriority((int)args[0], (id_t)args[1], (int)args[2]);
    case SYS_setfsuid:
        return setfsuid((uid_t)args[0]);
    case SYS_setfsgid:
        return setfsgid((gid_t)args[0]);
    case SYS_personality:
        return personality((unsigned long)args[0]);
    case SYS_capset:
        return capset((void *)args[0], (const void *)args[1]);
    case SYS_unshare:
        return unshare((int)args[0]);
    case SYS_setns:
        return setns((int)args[0], (int)args[1]);
    case SYS_pkey_alloc:
        return pkey_alloc((unsigned int)args[0], (unsigned int)args[1]);
#ifdef __x86_64__
    case SYS_ioperm:
        return ioperm((unsigned long)args[0], (unsigned long)args[1],
                      (int)args[2]);
    case SYS_iopl:
        return iopl((int)args[0]);
#endif
    case SYS_tgkill:
        return tgkill((pid_t)args[0], (pid_t)args[1], (int)args[2]);
    case SYS_tkill:
        if (kill_thread((pid_t)args[0], (int)args[1], &killed)) {
            return killed;
        }
        break;
#ifdef SYS_rseq
    case SYS_rseq:
        // See _PyPth_LeaveRseq().
        if (_PyPth_self != NULL && _PyPth_self != _PyPth_first) {
            errno = ENOSYS;
            return -1;
        }
#endif
    }
    if (is_about_own(number, args)) {
        STAY;
    }
    char before = _PyPth_vforked;
    int child = makes_child(number, args);
    if (child) {
        _PyPth_BeforeChild();
        _PyPth_vforked = 1;
    }
    long result = _PyPth_Sys(number, args[0], args[1], args[2], args[3],
                                 args[4], args[5]);
    if (child && result != 0) {
        _PyPth_vforked = before;
    }
    return result;
}
