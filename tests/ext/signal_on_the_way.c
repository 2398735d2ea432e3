/* A signal comes in when a thread is about to wait with a signal mask that lets it
 * through, and has not got there.  To be preloaded. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* For the process, and time for other threads to take it. */
static void
send_signal(void)
{
    struct timespec time = {0, 50 * 1000 * 1000};
    kill(getpid(), SIGUSR2);
    syscall(SYS_nanosleep, &time, NULL);
}

#define FUNCTION(name, params, args)                    \
    int                                                 \
    name params                                         \
    {                                                   \
        int (*real) params = dlsym(RTLD_NEXT, #name);   \
        if (mask != NULL) {                             \
            send_signal();                              \
        }                                               \
        return real args;                               \
    }

/* Its declaration says that the mask is there. */
int
sigsuspend(const sigset_t *mask)
{
    int (*real)(const sigset_t *) = dlsym(RTLD_NEXT, "sigsuspend");
    send_signal();
    return real(mask);
}

FUNCTION(pselect, (int nfds, fd_set *r, fd_set *w, fd_set *e,
                   const struct timespec *timeout, const sigset_t *mask),
         (nfds, r, w, e, timeout, mask))
FUNCTION(ppoll, (struct pollfd *fds, nfds_t nfds,
                 const struct timespec *timeout, const sigset_t *mask),
         (fds, nfds, timeout, mask))
FUNCTION(epoll_pwait, (int epfd, struct epoll_event *events, int maxevents,
                       int timeout, const sigset_t *mask),
         (epfd, events, maxevents, timeout, mask))
