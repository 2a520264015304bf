#include "tests/simt/fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(HY_FIBER_PORTABLE)
#define HY_FIBER_PORTABLE 1
#endif
#ifdef HY_FIBER_PORTABLE
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK = 256 << 10, GUARD = 64 << 10 }; /* bytes */

struct hy_fiber {
    void *at;             /* its stack pointer while it does not run */
    unsigned char *stack; /* [STACK] above GUARD bytes that may not be touched; NULL: the caller's own */
    void (*body)(hy_fiber *);
    const void *bottom; /* what the sanitizer is told */
    size_t size;
    void *fake;
#ifdef HY_FIBER_PORTABLE
    ucontext_t context;
#endif
};

static hy_fiber *starting;    /* the fiber that runs for the first time */
static hy_fiber *coming_from; /* who switched last */

static void switch_begins(hy_fiber *from, const hy_fiber *to) {
    coming_from = from;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#else
    (void)to;
#endif
}

static void switch_ends(hy_fiber *now) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(now->fake, &coming_from->bottom, &coming_from->size);
#else
    (void)now;
#endif
}

static void fiber_enter(void) {
    hy_fiber *self = starting;
    switch_ends(self);
    self->body(self);
    abort();
}

#ifdef HY_FIBER_PORTABLE

static void stack_prepare(hy_fiber *f) {
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK;
    makecontext(&f->context, fiber_enter, 0);
}

static void stack_switch(hy_fiber *from, hy_fiber *to) {
    swapcontext(&from->context, &to->context);
}

#else

/* hy_fiber_jump(&where the stack pointer goes, the other one) */
void hy_fiber_jump(void **save, void *to);
__asm__(".text\n"
        ".globl hy_fiber_jump\n"
        ".type hy_fiber_jump, @function\n"
        "hy_fiber_jump:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size hy_fiber_jump, . - hy_fiber_jump\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

/* Six registers, where to return to, and an alignment as behind a call. */
static void stack_prepare(hy_fiber *f) {
    uintptr_t *top = (uintptr_t *)(void *)(f->stack + STACK) - 8;
    top[6] = (uintptr_t)fiber_enter;
    f->at = top;
}

static void stack_switch(hy_fiber *from, hy_fiber *to) {
    hy_fiber_jump(&from->at, to->at);
}

#endif

hy_fiber *hy_fiber_of_caller(void) {
    hy_fiber *f = calloc(1, sizeof *f);
    if (f == NULL) {
        perror("simt: fiber");
        abort();
    }
    return f;
}

hy_fiber *hy_fiber_create(void (*body)(hy_fiber *self)) {
    hy_fiber *f = hy_fiber_of_caller();
    unsigned char *memory =
        mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD, PROT_NONE) != 0) {
        perror("simt: stack of a fiber");
        abort();
    }
    f->stack = memory + GUARD;
    f->bottom = f->stack;
    f->size = STACK;
    f->body = body;
    stack_prepare(f);
    return f;
}

void hy_fiber_switch(hy_fiber *from, hy_fiber *to) {
    starting = to;
    switch_begins(from, to);
    stack_switch(from, to);
    switch_ends(from);
}

bool hy_fiber_overflows(const hy_fiber *fiber, const void *address) {
    return fiber->stack != NULL && (uintptr_t)fiber->stack - (uintptr_t)address <= GUARD;
}
