// GNU Pth backend: calls that a kernel thread of their own makes.
//
// For blocking calls that no descriptor, signal or child process tells the end
// of.  The thread lives as long as the call, so that between such calls the
// process has one kernel thread, and a fork finds none of ours in the middle
// of something.  It never enters Python.

#include "pth_syscalls.h"

#include <sys/eventfd.h>

DECLARE_REAL(poll)
DECLARE_REAL(close)

struct offload {
    void (*call)(void *);
    void *arg;
    int fd;                       // readable when the call has returned
};

static void *
run(void *arg)
{
    struct offload *o = arg;
    o->call(o->arg);
    // Does not block: the counter is 0.
    (void)eventfd_write(o->fd, 1);
    return NULL;
}

// Start the kernel thread.  Signals are for the threads of Python, but for the
// one that interrupts a call.
static int
start(pthread_t *thread, struct offload *o)
{
    sigset_t blocked, mask;
    sigfillset(&blocked);
    _PyPth_UnblockSlice(&blocked);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &blocked, &mask);
    int err = pthread_create(thread, NULL, run, o);
    (void)_PyPth_sys_sigmask(SIG_SETMASK, &mask, NULL);
    return err == 0 ? 0 : -1;
}

// A signal that comes in before the thread is in the kernel is lost: send it
// again and again until the call has returned.
static void
interrupt(pthread_t thread, int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    _PyPth_BeginInterrupt();
    do {
        _PyPth_Interrupt(thread);
    } while (real(poll)(&p, 1, 1) <= 0);
    _PyPth_EndInterrupt();
}

int
_PyPth_Offload(void (*call)(void *), void *arg, int flags)
{
    struct offload o = {call, arg, eventfd(0, EFD_CLOEXEC)};
    if (o.fd < 0) {
        return -1;
    }
    pthread_t thread;
    int result = start(&thread, &o);
    if (result == 0) {
        struct pollfd p = {o.fd, POLLIN, 0};
        _PyPth_result woken = _PyPth_WaitFds(&p, 1, _PyPth_FOREVER, flags);
        if (woken == _PyPth_INTR) {
            interrupt(thread, o.fd);
        }
        // Returns soon now.  If there was no memory to wait with, or somebody
        // has closed the descriptor, all threads wait here for the call.
        (void)pthread_join(thread, NULL);
        if (p.revents & POLLNVAL) {
            return 0;
        }
    }
    (void)real(close)(o.fd);
    return result;
}
