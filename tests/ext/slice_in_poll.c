/* The signal of a time slice comes in with every other call that only asks what
 * is ready and finds nothing: the kernel's poll(), select() and ppoll() return
 * EINTR then.  To be preloaded. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/select.h>

static int
interrupt(int found)
{
    static int turn;
    if (found == 0 && (turn ^= 1)) {
        errno = EINTR;
        return -1;
    }
    return found;
}

int
poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
    int (*real)(struct pollfd *, nfds_t, int) = dlsym(RTLD_NEXT, "poll");
    int found = real(fds, nfds, timeout);
    return timeout == 0 ? interrupt(found) : found;
}

int
ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
      const sigset_t *mask)
{
    int (*real)(struct pollfd *, nfds_t, const struct timespec *,
                const sigset_t *) = dlsym(RTLD_NEXT, "ppoll");
    int found = real(fds, nfds, timeout, mask);
    return timeout != NULL && timeout->tv_sec == 0 && timeout->tv_nsec == 0
           && mask == NULL ? interrupt(found) : found;
}

int
select(int nfds, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout)
{
    int (*real)(int, fd_set *, fd_set *, fd_set *, struct timeval *) =
        dlsym(RTLD_NEXT, "select");
    int found = real(nfds, r, w, e, timeout);
    return timeout != NULL && timeout->tv_sec == 0 && timeout->tv_usec == 0
           ? interrupt(found) : found;
}

int
pselect(int nfds, fd_set *r, fd_set *w, fd_set *e,
        const struct timespec *timeout, const sigset_t *mask)
{
    int (*real)(int, fd_set *, fd_set *, fd_set *, const struct timespec *,
                const sigset_t *) = dlsym(RTLD_NEXT, "pselect");
    int found = real(nfds, r, w, e, timeout, mask);
    return timeout != NULL && timeout->tv_sec == 0 && timeout->tv_nsec == 0
           && mask == NULL ? interrupt(found) : found;
}
