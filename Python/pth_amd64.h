// GNU Pth backend: the machine's part, x86-64 (System V ABI, LP64).
//
// What a port has to provide, and what the functions do: pth_machine.h.
//
// The thread pointer is the base of the segment FS.  A program may write it
// where the processor and the kernel have FSGSBASE, which the kernel tells in
// AT_HWCAP2 (Documentation/arch/x86/x86_64/fsgs.rst); elsewhere it is a system
// call, arch_prctl(2).

#define HWCAP2_FSGSBASE (1 << 1)

// 0: by system call.
extern int _PyPth_fsgsbase __attribute__((visibility("hidden")));

static inline void
_PyPth_InitMachine(void)
{
    _PyPth_fsgsbase = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) != 0;
}

static inline void
_PyPth_SetThreadPointer(void *tp)
{
    if (_PyPth_fsgsbase) {
        __asm__ volatile("wrfsbase %0" : : "r"(tp) : "memory");
    }
    else {
        long result;
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "0"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(tp)
                         : "rcx", "r11", "memory");
    }
}

// A clock for short times, in steps of some nanosecond.
static inline uint64_t
_PyPth_Ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static inline void
_PyPth_Pause(void)
{
    __builtin_ia32_pause();
}

// A second stack of return addresses, which nobody here switches (CET)?
static inline int
_PyPth_HasShadowStack(void)
{
    unsigned long ssp = 0;
    // Does nothing where there is none.
    __asm__ volatile("rdsspq %0" : "+r"(ssp));
    return ssp != 0;
}

// The number of the call that has just been made, or -1.  It is in rax no more,
// but stands in the code, as the C library's macros make it, or on the stack, from
// where glibc's __internal_syscall_cancel() takes it (since 2.41).
static inline long
_PyPth_LastCall(const greg_t *regs)
{
    const unsigned char *pc = (const unsigned char *)regs[REG_RIP];
    const unsigned char *sp = (const unsigned char *)regs[REG_RSP];
    int number;
    if (pc[-7] == 0xb8) {                 // mov $number, %eax
        memcpy(&number, pc - 6, sizeof(number));
        return number;
    }
    if (pc[-4] == 0x31 && pc[-3] == 0xc0) {       // xor %eax, %eax
        return 0;
    }
    if (memcmp(pc - 7, "\x48\x8b\x44\x24", 4) == 0) {    // mov n(%rsp), %rax
        memcpy(&number, sp + pc[-3], sizeof(number));
        return number;
    }
    if (memcmp(pc - 7, "\x4c\x89\x5c\x24\x08", 5) != 0) {  // mov %r11, 8(%rsp)
        return -1;
    }
    // In __syscall_cancel_arch(), which was called with the number in rsi.
    memcpy(&pc, sp, sizeof(pc));
    sp += sizeof(pc);
    for (int i = 6; i < 32; i++) {
        if (memcmp(pc - i, "\x48\x8b\x74\x24", 4) == 0) {   // mov n(%rsp), %rsi
            memcpy(&number, sp + pc[4 - i], sizeof(number));
            return number;
        }
        if ((pc[-i] & 0xf8) == 0x50 || pc[-i] == 0xec) {
            // It may be a push, or a subtraction from rsp.
            break;
        }
    }
    return -1;
}

// If the signal has ended a call with EINTR, have it made again.  `call` tells its
// number where _PyPth_LastCall() does not.
static inline int
_PyPth_RestartCall(ucontext_t *context, const _PyPth_call *call)
{
    greg_t *regs = context->uc_mcontext.gregs;
    if (regs[REG_RAX] != -EINTR) {
        return 0;
    }
    const unsigned char *pc = (const unsigned char *)regs[REG_RIP];
    if (pc[-2] != 0x0f || pc[-1] != 0x05) {       // syscall
        return 0;
    }
    long number = _PyPth_LastCall(regs);
    if (number < 0 && (unsigned long)regs[REG_RIP] == call->pc
        && (unsigned long)regs[REG_RDI] == call->arg)
    {
        number = call->number;
    }
    if (number < 0) {
        return 0;
    }
    regs[REG_RAX] = number;
    regs[REG_RIP] -= 2;
    return 1;
}

// The other way round.  The number of the call that the kernel is about to make
// again, or that is about to be made; or -1.
static inline long
_PyPth_NextCall(const ucontext_t *context)
{
    const greg_t *regs = context->uc_mcontext.gregs;
    const unsigned char *pc = (const unsigned char *)regs[REG_RIP];
    return pc[0] == 0x0f && pc[1] == 0x05 ? regs[REG_RAX] : -1;   // syscall
}

// Its argument `i`, which may be changed.
static inline unsigned long *
_PyPth_CallArg(ucontext_t *context, int i)
{
    static const int regs[] = {REG_RDI, REG_RSI, REG_RDX, REG_R10};
    return (unsigned long *)&context->uc_mcontext.gregs[regs[i]];
}

// It fails with EINTR.
static inline void
_PyPth_InterruptCall(ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;
    regs[REG_RAX] = -EINTR;
    regs[REG_RIP] += 2;
}

static inline int
_PyPth_IsParked(const ucontext_t *context)
{
    const char *pc = (const char *)context->uc_mcontext.gregs[REG_RIP];
    return pc >= _PyPth_Parked && pc <= _PyPth_Unparked;
}

#define RSEQ_SIGNATURE 0x53053053         // <bits/rseq.h>

#ifdef PTH_MACHINE_CODE

__attribute__((used)) int _PyPth_fsgsbase;

#define STR_(x) #x
#define STR(x) STR_(x)

// Of what a function preserves (AMD64 supplement, 3.2.1): rbx, rbp, r12-r15,
// rsp, the control bits of mxcsr and the x87 control word.
#define SAVE                            \
    "pushq %rbp\n\t"                    \
    "pushq %rbx\n\t"                    \
    "pushq %r12\n\t"                    \
    "pushq %r13\n\t"                    \
    "pushq %r14\n\t"                    \
    "pushq %r15\n\t"                    \
    "subq $8, %rsp\n\t"                 \
    "stmxcsr (%rsp)\n\t"                \
    "fnstcw 4(%rsp)\n\t"

#define RESTORE                         \
    "ldmxcsr (%rsp)\n\t"                \
    "fldcw 4(%rsp)\n\t"                 \
    "addq $8, %rsp\n\t"                 \
    "popq %r15\n\t"                     \
    "popq %r14\n\t"                     \
    "popq %r13\n\t"                     \
    "popq %r12\n\t"                     \
    "popq %rbx\n\t"                     \
    "popq %rbp\n\t"                     \
    "ret\n\t"

// The thread pointer becomes rsi; rax, rcx, rdi and r11 are lost.
#define SET_TP                          \
    "cmpl $0, _PyPth_fsgsbase(%rip)\n\t" \
    "je 91f\n\t"                        \
    "wrfsbase %rsi\n\t"                 \
    "jmp 92f\n"                         \
    "91:\n\t"                           \
    "movl $" STR(SYS_arch_prctl) ", %eax\n\t" \
    "movl $0x1002, %edi\n\t"            \
    "syscall\n"                         \
    "92:\n\t"

// Wake the kernel thread whose record r12 points to.
#define WAKE                            \
    "movl $1, (%r12)\n\t"               \
    "movl $" STR(SYS_futex) ", %eax\n\t" \
    "movq %r12, %rdi\n\t"               \
    "movl $129, %esi\n\t"               \
    "movl $1, %edx\n\t"                 \
    "xorl %r10d, %r10d\n\t"             \
    "syscall\n\t"

__asm__(
    ".text\n\t"
    ".p2align 4\n\t"
    ".globl _PyPth_Switch\n\t"
    ".hidden _PyPth_Switch\n\t"
    ".type _PyPth_Switch, @function\n"
"_PyPth_Switch:\n\t"
    SAVE
    "movq %rsp, (%rdi)\n\t"
    "movq %rsi, %rsp\n\t"
    "movq %rcx, %r12\n\t"
    "movq %rdx, %rsi\n\t"
    SET_TP
    "testq %r12, %r12\n\t"
    "je 1f\n\t"
    WAKE
    "1:\n\t"
    RESTORE
    ".size _PyPth_Switch, .-_PyPth_Switch\n\t"

    ".p2align 4\n\t"
    ".globl _PyPth_Park\n\t"
    ".hidden _PyPth_Park\n\t"
    ".type _PyPth_Park, @function\n"
"_PyPth_Park:\n\t"
    SAVE
    "movq %rsp, (%rdi)\n\t"
    "movq %rsi, %rbx\n\t"
    "movq %rdx, %r12\n\t"
    "movq %rcx, %r13\n\t"
    "movq %r8, %r14\n\t"
    "movq 16(%rbx), %rsi\n\t"
    SET_TP
    // From here on the stack may be another kernel thread's.
    "movq 24(%rbx), %rax\n\t"
    "testq %rax, %rax\n\t"
    "cmovne %rax, %rsp\n\t"
    "testq %r13, %r13\n\t"
    "je 1f\n\t"
    "movq %r14, (%r13)\n"
    "1:\n\t"
    "testq %r12, %r12\n\t"
    "je 2f\n\t"
    WAKE
    ".globl _PyPth_Parked\n\t"
    ".hidden _PyPth_Parked\n"
"_PyPth_Parked:\n"
    "2:\n\t"
    "movl $" STR(SYS_futex) ", %eax\n\t"
    "movq %rbx, %rdi\n\t"
    "movl $128, %esi\n\t"
    "xorl %edx, %edx\n\t"
    "xorl %r10d, %r10d\n\t"
    "syscall\n\t"
    "xorl %eax, %eax\n\t"
    ".globl _PyPth_Unparked\n\t"
    ".hidden _PyPth_Unparked\n"
"_PyPth_Unparked:\n\t"
    "xchgl %eax, (%rbx)\n\t"
    "testl %eax, %eax\n\t"
    "je 2b\n\t"
    // It may have been given another one meanwhile.
    "movq 16(%rbx), %rsi\n\t"
    SET_TP
    "movq 8(%rbx), %rsp\n\t"
    RESTORE
    ".size _PyPth_Park, .-_PyPth_Park\n\t"
);

#ifndef _Py_ADDRESS_SANITIZER     // see pth_syscalls.c
__asm__(
    ".p2align 4\n\t"
    ".globl vfork\n\t"
    ".type vfork, @function\n"
"vfork:\n\t"
    // The child would overwrite it.
    "popq %rdi\n\t"
    "call _PyPth_BeforeVfork\n\t"
    "call *%rax\n\t"
    "pushq %rax\n\t"
    "subq $8, %rsp\n\t"
    "movl %eax, %edi\n\t"
    "call _PyPth_AfterVfork\n\t"
    "addq $8, %rsp\n\t"
    "popq %rcx\n\t"
    "pushq %rax\n\t"
    "movq %rcx, %rax\n\t"
    "ret\n\t"
    ".size vfork, .-vfork\n\t"
);
#endif

static inline void *
_PyPth_Frame(void *top, void (*entry)(void))
{
    // As after a call: the stack pointer is 8 below a multiple of 16.
    void **sp = (void **)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = NULL;
    *--sp = (void *)entry;
    for (int i = 0; i < 6; i++) {
        *--sp = NULL;
    }
    sp--;
    __asm__ volatile("stmxcsr (%0)\n\tfnstcw 4(%0)" : : "r"(sp) : "memory");
    return sp;
}

#undef SAVE
#undef RESTORE
#undef SET_TP
#undef WAKE

#endif  // PTH_MACHINE_CODE
