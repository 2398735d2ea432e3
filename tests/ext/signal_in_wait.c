/* A signal comes in when the backend has decided to wait in the kernel, but has
 * not got there: after the last look at what has come in.  To be preloaded. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>

static volatile sig_atomic_t next_signal;
static const char *volatile came_in;

/* `signum` is to come in before the next wait. */
void
signal_in_wait(int signum)
{
    came_in = "none";
    next_signal = signum;
}

/* The system call that it came in before, or "none". */
const char *
signal_came_in(void)
{
    return came_in;
}

long
syscall(long number, ...)
{
    long arg[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        arg[i] = va_arg(list, long);
    }
    va_end(list);
    long (*real)(long, ...) = dlsym(RTLD_NEXT, "syscall");
    if (next_signal != 0
        && (number == SYS_ppoll || number == SYS_epoll_pwait2))
    {
        /* Not before one of the monitor's, which blocks all signals. */
        unsigned long long mask = 0;
        (void)real(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
        int signum = next_signal;
        if ((mask >> (signum - 1) & 1) == 0) {
            next_signal = 0;
            came_in = number == SYS_ppoll ? "ppoll" : "epoll_pwait2";
            raise(signum);
        }
    }
    return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
