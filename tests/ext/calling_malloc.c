/* A preloaded malloc() that makes system calls, as jemalloc's does when it begins, and
   has a lock meanwhile, as tcmalloc's has when it asks libunwind who wants more memory.
   It ends the program if one of them needs memory itself: for tests/syscalls.t. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Of another kind, the variable would take memory itself.
static __thread int inside __attribute__((tls_model("initial-exec")));

static void
enter(void)
{
    static const char NEEDS[] = "a system call of malloc() needs memory\n";
    int error = errno;
    struct timespec now, no_time = {0, 0};
    struct timeval none = {0, 0};
    struct rusage usage;
    struct sigaction action;
    sigset_t set;
    char c;

    if (inside) {
        syscall(SYS_write, 2, NEEDS, sizeof(NEEDS) - 1);
        _exit(3);
    }
    pthread_mutex_lock(&lock);
    inside = 1;
    syscall(SYS_gettid);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_THREAD, &usage);
    sched_yield();
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    sigpending(&set);
    sigaction(SIGUSR1, NULL, &action);
    nanosleep(&no_time, NULL);
    poll(NULL, 0, 0);
    select(0, NULL, NULL, NULL, &none);
    // The rest fails.
    c = (char)read(-1, &c, 1);
    c = (char)write(-1, "", 1);
    recv(-1, &c, 1, 0);
    fcntl(-1, F_GETFL);
    close(-1);
    waitpid(-0x7fffffff, NULL, WNOHANG);
    inside = 0;
    errno = error;
}

static void
leave(void)
{
    pthread_mutex_unlock(&lock);
}

void *
malloc(size_t size)
{
    enter();
    void *p = __libc_malloc(size);
    leave();
    return p;
}

void *
calloc(size_t n, size_t size)
{
    enter();
    void *p = __libc_calloc(n, size);
    leave();
    return p;
}

void *
realloc(void *old, size_t size)
{
    enter();
    void *p = __libc_realloc(old, size);
    leave();
    return p;
}

void
free(void *p)
{
    if (p != NULL) {
        enter();
        __libc_free(p);
        leave();
    }
}
