// GNU Pth backend: what depends on the machine.
//
// A port is one header like pth_amd64.h.  It defines
//   _PyPth_InitMachine()         called once, before the others
//   _PyPth_SetThreadPointer(tp)  make `tp` the thread pointer, as
//                                __builtin_thread_pointer() returns it
//   _PyPth_HasShadowStack()      true where stacks cannot be switched so
//   _PyPth_Ticks(), _PyPth_Pause()
//   _PyPth_RestartCall()         in a signal handler, make a system call again;
//                                true if it had ended with EINTR
//   _PyPth_NextCall(), _PyPth_CallArg()
//                                the same for what is known of the call
//   _PyPth_IsParked()            has it interrupted _PyPth_Park()'s wait?
//   RSEQ_SIGNATURE               for rseq(2)
//   _PyPth_Frame(top, entry)     a context that calls `entry` on the stack
//                                that ends at `top`
// and, where PTH_MACHINE_CODE is defined, which one file does, what is written out in
// assembler: _PyPth_Switch() and _PyPth_Park(), because no stack may be used in
// between, and vfork(2), which tells _PyPth_BeforeVfork() and, when it returns, twice,
// _PyPth_AfterVfork() of it.
//
// A context is what a function of the ABI has to preserve, pushed onto the
// stack, and known by the stack pointer behind it.

#ifndef Py_PTH_MACHINE_H
#define Py_PTH_MACHINE_H

#include <stdint.h>
#include <string.h>               // memset()
#include <sys/auxv.h>             // getauxval()
#include <sys/syscall.h>
#ifdef __x86_64__
#  include <asm/prctl.h>          // ARCH_SET_FS
#endif

// Save the context in `*save`, and go on with the context `sp` and the thread
// pointer `tp`.  With `wake`, then wake that kernel thread, which goes on with
// wake->sp (which `save` may be).
extern void _PyPth_Switch(void **save, void *sp, void *tp,
                          _PyPth_kernel *wake)
    __attribute__((visibility("hidden")));

// Save the context in `*save`, and let the calling kernel thread `k` wait,
// with a thread pointer of its own, until k->go is set; then go on with
// k->sp.  As soon as the stack is free: store `value` in `*lock` (if not
// NULL), and wake `wake` (if not NULL), which goes on with wake->sp (which
// `save` may be).
extern void _PyPth_Park(void **save, _PyPth_kernel *k, _PyPth_kernel *wake,
                        void *lock, void *value)
    __attribute__((visibility("hidden")));

// _PyPth_Park() waits from the first of these places to the second.
extern const char _PyPth_Parked[] __attribute__((visibility("hidden")));
extern const char _PyPth_Unparked[] __attribute__((visibility("hidden")));

#if defined(__x86_64__) && defined(__LP64__)
#  include "pth_amd64.h"
#elif defined(__aarch64__) && defined(__LP64__)
#  include "pth_arm64.h"
#else
#  error "GNU Pth threads have not been ported to this machine: see pth_machine.h"
#endif

#endif  // !Py_PTH_MACHINE_H
