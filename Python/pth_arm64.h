// GNU Pth backend: the machine's part, AArch64 (LP64).
//
// What a port has to provide, and what the functions do: pth_machine.h.
//
// The thread pointer is the register TPIDR_EL0, which programs may write.

static inline void
_PyPth_InitMachine(void)
{
}

static inline void
_PyPth_SetThreadPointer(void *tp)
{
    __asm__ volatile("msr tpidr_el0, %0" : : "r"(tp) : "memory");
}

// A clock for short times, in steps of some nanoseconds.
static inline uint64_t
_PyPth_Ticks(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

static inline void
_PyPth_Pause(void)
{
    __asm__ volatile("yield");
}

// A second stack of return addresses, which nobody here switches (GCS)?
static inline int
_PyPth_HasShadowStack(void)
{
    register unsigned long x16 __asm__("x16") = 1;
    // chkfeat x16: does nothing on older processors.
    __asm__ volatile("hint 40" : "+r"(x16));
    return x16 == 0;
}

// If the signal has ended this call with EINTR, have it made again.
static inline int
_PyPth_RestartCall(ucontext_t *context, const _PyPth_call *call)
{
    mcontext_t *m = &context->uc_mcontext;
    if ((long)m->regs[0] == -EINTR && m->pc == call->pc
        && (long)m->regs[8] == call->number)
    {
        m->regs[0] = call->arg;
        m->pc -= 4;                   // svc
        return 1;
    }
    return 0;
}

// The other way round.  The number of the call that the kernel is about to make
// again, or that is about to be made; or -1.
static inline long
_PyPth_NextCall(const ucontext_t *context)
{
    const mcontext_t *m = &context->uc_mcontext;
    return *(const uint32_t *)m->pc == 0xd4000001 ? (long)m->regs[8] : -1;  // svc
}

// Its argument `i`, which may be changed.
static inline unsigned long *
_PyPth_CallArg(ucontext_t *context, int i)
{
    return (unsigned long *)&context->uc_mcontext.regs[i];
}

// It fails with EINTR.
static inline void
_PyPth_InterruptCall(ucontext_t *context)
{
    mcontext_t *m = &context->uc_mcontext;
    m->regs[0] = (unsigned long)-EINTR;
    m->pc += 4;
}

static inline int
_PyPth_IsParked(const ucontext_t *context)
{
    const char *pc = (const char *)context->uc_mcontext.pc;
    return pc >= _PyPth_Parked && pc <= _PyPth_Unparked;
}

#define RSEQ_SIGNATURE 0xd428bc00         // <bits/rseq.h>

#ifdef PTH_MACHINE_CODE

#define STR_(x) #x
#define STR(x) STR_(x)

// Of what a function preserves (AAPCS64, 6.1): x19-x29, sp, d8-d15, and FPCR;
// x30 is where it returns to.
#define SAVE                            \
    "sub sp, sp, #176\n\t"              \
    "stp x19, x20, [sp]\n\t"            \
    "stp x21, x22, [sp, #16]\n\t"       \
    "stp x23, x24, [sp, #32]\n\t"       \
    "stp x25, x26, [sp, #48]\n\t"       \
    "stp x27, x28, [sp, #64]\n\t"       \
    "stp x29, x30, [sp, #80]\n\t"       \
    "stp d8, d9, [sp, #96]\n\t"         \
    "stp d10, d11, [sp, #112]\n\t"      \
    "stp d12, d13, [sp, #128]\n\t"      \
    "stp d14, d15, [sp, #144]\n\t"      \
    "mrs x9, fpcr\n\t"                  \
    "str x9, [sp, #160]\n\t"

#define RESTORE                         \
    "ldr x9, [sp, #160]\n\t"            \
    "msr fpcr, x9\n\t"                  \
    "ldp x19, x20, [sp]\n\t"            \
    "ldp x21, x22, [sp, #16]\n\t"       \
    "ldp x23, x24, [sp, #32]\n\t"       \
    "ldp x25, x26, [sp, #48]\n\t"       \
    "ldp x27, x28, [sp, #64]\n\t"       \
    "ldp x29, x30, [sp, #80]\n\t"       \
    "ldp d8, d9, [sp, #96]\n\t"         \
    "ldp d10, d11, [sp, #112]\n\t"      \
    "ldp d12, d13, [sp, #128]\n\t"      \
    "ldp d14, d15, [sp, #144]\n\t"      \
    "add sp, sp, #176\n\t"              \
    "ret\n\t"

// Wake the kernel thread whose record x20 points to.
#define WAKE                            \
    "mov w9, #1\n\t"                    \
    "stlr w9, [x20]\n\t"                \
    "mov x8, #" STR(SYS_futex) "\n\t"   \
    "mov x0, x20\n\t"                   \
    "mov x1, #129\n\t"                  \
    "mov x2, #1\n\t"                    \
    "mov x3, #0\n\t"                    \
    "svc #0\n\t"

__asm__(
    ".text\n\t"
    ".p2align 4\n\t"
    ".globl _PyPth_Switch\n\t"
    ".hidden _PyPth_Switch\n\t"
    ".type _PyPth_Switch, %function\n"
"_PyPth_Switch:\n\t"
    SAVE
    "mov x21, sp\n\t"
    "str x21, [x0]\n\t"
    "mov sp, x1\n\t"
    "msr tpidr_el0, x2\n\t"
    "cbz x3, 1f\n\t"
    "mov x20, x3\n\t"
    WAKE
    "1:\n\t"
    RESTORE
    ".size _PyPth_Switch, .-_PyPth_Switch\n\t"

    ".p2align 4\n\t"
    ".globl _PyPth_Park\n\t"
    ".hidden _PyPth_Park\n\t"
    ".type _PyPth_Park, %function\n"
"_PyPth_Park:\n\t"
    SAVE
    "mov x21, sp\n\t"
    "str x21, [x0]\n\t"
    "mov x19, x1\n\t"
    "mov x20, x2\n\t"
    "ldr x9, [x19, #16]\n\t"
    "msr tpidr_el0, x9\n\t"
    // From here on the stack may be another kernel thread's.
    "ldr x9, [x19, #24]\n\t"
    "cbz x9, 1f\n\t"
    "mov sp, x9\n\t"
    "1:\n\t"
    "cbz x3, 2f\n\t"
    "stlr x4, [x3]\n\t"
    "2:\n\t"
    "cbz x20, 3f\n\t"
    WAKE
    ".globl _PyPth_Parked\n\t"
    ".hidden _PyPth_Parked\n"
"_PyPth_Parked:\n"
    "3:\n\t"
    "mov x8, #" STR(SYS_futex) "\n\t"
    "mov x0, x19\n\t"
    "mov x1, #128\n\t"
    "mov x2, #0\n\t"
    "mov x3, #0\n\t"
    "svc #0\n\t"
    ".globl _PyPth_Unparked\n\t"
    ".hidden _PyPth_Unparked\n"
"_PyPth_Unparked:\n"
    "4:\n\t"
    "ldaxr w9, [x19]\n\t"
    "stxr w10, wzr, [x19]\n\t"
    "cbnz w10, 4b\n\t"
    "cbz w9, 3b\n\t"
    // It may have been given another one meanwhile.
    "ldr x9, [x19, #16]\n\t"
    "msr tpidr_el0, x9\n\t"
    "ldr x9, [x19, #8]\n\t"
    "mov sp, x9\n\t"
    RESTORE
    ".size _PyPth_Park, .-_PyPth_Park\n\t"
);

#ifndef _Py_ADDRESS_SANITIZER     // see pth_syscalls.c
__asm__(
    ".p2align 4\n\t"
    ".globl vfork\n\t"
    ".type vfork, %function\n"
"vfork:\n\t"
    "mov x0, x30\n\t"
    "bl _PyPth_BeforeVfork\n\t"
    "blr x0\n\t"
    "sub sp, sp, #16\n\t"
    "str x0, [sp]\n\t"
    "bl _PyPth_AfterVfork\n\t"
    "mov x30, x0\n\t"
    "ldr x0, [sp]\n\t"
    "add sp, sp, #16\n\t"
    "ret\n\t"
    ".size vfork, .-vfork\n\t"
);
#endif

static inline void *
_PyPth_Frame(void *top, void (*entry)(void))
{
    char *sp = (char *)((uintptr_t)top & ~(uintptr_t)15) - 176;
    memset(sp, 0, 176);
    *(void **)(sp + 88) = (void *)entry;
    __asm__ volatile("mrs x9, fpcr\n\tstr x9, [%0, #160]"
                     : : "r"(sp) : "x9", "memory");
    return sp;
}

#undef SAVE
#undef RESTORE
#undef WAKE

#endif  // PTH_MACHINE_CODE
