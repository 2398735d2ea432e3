// What the runtime of Go does to the threads that call a library written in it: see
// Python/pth_go.c.

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// Go's linker: name and size of the description, the type, the name.
__asm__(".pushsection .note.go.buildid, \"a\", %note\n"
        ".balign 4\n"
        ".long 4, 4, 4\n"
        ".ascii \"Go\\0\\0\"\n"
        ".long 0\n"
        ".popsection");

static void *
begin(void *arg)
{
    sigset_t none;
    sigemptyset(&none);
    (void)pthread_sigmask(SIG_BLOCK, &none, NULL);
    return arg;
}

// The runtime has threads of its own, which begin when the library is loaded.
__attribute__((constructor)) static void
load(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, begin, NULL) != 0
        || pthread_join(thread, NULL) != 0)
    {
        abort();
    }
}

#define STACK_SIZE 32768

static __thread long tid;
static __thread char *stack;

// On its first call the thread gets an alternate stack, by the system call.
// Return 1 if it has that and its kernel thread each time, else 0.
int
call(void)
{
    stack_t now;
    if (stack == NULL) {
        tid = syscall(SYS_gettid);
        stack = malloc(STACK_SIZE);
        stack_t ours = {.ss_sp = stack, .ss_size = STACK_SIZE};
        if (stack == NULL || syscall(SYS_sigaltstack, &ours, NULL) != 0) {
            return 0;
        }
    }
    return syscall(SYS_gettid) == tid
           && syscall(SYS_sigaltstack, NULL, &now) == 0 && now.ss_sp == stack;
}
