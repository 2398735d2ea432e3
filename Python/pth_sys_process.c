// GNU Pth backend, system call mapping: child processes.
//
// Nothing tells when a child of several will end, and nobody waits for one that
// has ended: so a wait that would block makes room for others, who need not find
// out that it does, and is the plain call.

#include "pth_syscalls.h"

#include <sys/wait.h>

DECLARE_REAL(waitpid)

MAPPED pid_t
waitpid(pid_t pid, int *status, int options)
{
    if (!(options & WNOHANG) && can_map(waitpid)) {
        pid_t child = real(waitpid)(pid, status, options | WNOHANG);
        if (child != 0) {
            return child;
        }
        _PyPth_BeforeLongCall();
        forget_error();
    }
    return real(waitpid)(pid, status, options);
}
